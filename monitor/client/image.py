"""Simple statistics of an image as features, so that a camera that is dirty, dark, out of focus or replaced is seen.

Needs numpy, which a service with images has; it is imported only when called.
"""

from __future__ import annotations

from typing import Any

DARK, BRIGHT = 0.05, 0.95


def image_statistics(image: Any, name: str = "image") -> dict[str, float]:
    """Features of one image to log: `name.width`, `.height` (pixels), `.brightness` (mean of the grey values, 0 to 1),
    `.contrast` (their standard deviation), `.sharpness` (standard deviation of the
    four-neighbour Laplacian; falls when out of focus), `.dark` and `.bright` (share of
    pixels below 0.05 and above 0.95), and of a colour image `.saturation` (mean of (max
    - min) / max over the channels).

    `image` is whatever numpy can take as an array of shape (height, width), or (height,
    width, channels) with 1, 3 or 4 channels (the fourth, opacity, is not looked at): a
    numpy array, a Pillow image, nested lists. Whole numbers of 8 or 16 bits are scaled
    to 0 to 1 by their type, others are taken to be 0 to 255 if any is above 1. Grey is
    0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). Raises ValueError for any other shape.

        client.log(image_statistics(photo) | {"photo": model.embed(photo)}, prediction="cat")
    """
    import numpy as np

    pixels = np.asarray(image)
    if (
        pixels.ndim not in (2, 3)
        or pixels.size == 0
        or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4))
    ):
        raise ValueError(
            f"an image has shape (height, width) or (height, width, 1, 3 or 4), this is {pixels.shape}"
        )
    scale = (
        np.iinfo(pixels.dtype).max
        if pixels.dtype in (np.uint8, np.uint16)
        else 255
        if pixels.max() > 1
        else 1
    )
    values = pixels.astype(np.float64) / scale
    colour = values[..., :3] if values.ndim == 3 and values.shape[2] >= 3 else None
    grey = (
        colour @ np.array([0.299, 0.587, 0.114])
        if colour is not None
        else values.reshape(values.shape[:2])
    )
    height, width = len(grey), grey[0].size
    found = {
        "width": width,
        "height": height,
        "brightness": grey.mean(),
        "contrast": grey.std(),
        "dark": (grey < DARK).mean(),
        "bright": (grey > BRIGHT).mean(),
    }
    if min(height, width) >= 3:
        inner = grey[1:-1, 1:-1]
        laplacian = (
            grey[:-2, 1:-1]
            + grey[2:, 1:-1]
            + grey[1:-1, :-2]
            + grey[1:-1, 2:]
            - 4 * inner
        )
        found["sharpness"] = laplacian.std()
    if colour is not None:
        most, least = colour.max(axis=2), colour.min(axis=2)
        found["saturation"] = np.divide(
            most - least, most, out=np.zeros_like(most), where=most > 0
        ).mean()
    return {f"{name}.{key}": float(value) for key, value in found.items()}
