"""Image statistics as features, to detect a dirty, dark, blurred or replaced camera.

Needs numpy, which a service with images has; it is imported only when called.
"""

from __future__ import annotations

from typing import Any

# grey values, 0 to 1
MAX_DARK_GREY, MIN_BRIGHT_GREY = 0.05, 0.95
GREY_WEIGHTS = [0.299, 0.587, 0.114]  # of red, green and blue: ITU-R BT.601


def image_statistics(image: Any, name: str = "image") -> dict[str, float]:
    """Compute features of one image to log.

    - `name.width`, `name.height`: pixels
    - `name.brightness`: mean of the grey values, 0 to 1
    - `name.contrast`: their standard deviation
    - `name.sharpness`: standard deviation of the four-neighbour Laplacian; falls when
      out of focus; only from 3 x 3 pixels
    - `name.dark`, `name.bright`: share of pixels below 0.05 and above 0.95
    - `name.saturation`: mean of (max - min) / max over the channels; only in colour

    `image` is anything that numpy converts to an array of shape (height, width), or
    (height, width, channels) with 1, 3 or 4 channels: a numpy array, a Pillow image,
    nested lists. The fourth channel, opacity, is ignored. Whole numbers of 8 or 16 bits
    are scaled to 0 to 1 by their type; other values are taken as 0 to 255 if any is
    above 1. Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). Raises ValueError for
    any other shape.

        client.log(image_statistics(photo) | {"photo": model.embed(photo)}, prediction="cat")
    """
    import numpy as np

    pixels = np.asarray(image)
    _check_shape(pixels.shape)
    values = pixels.astype(np.float64) / _full_scale(pixels)
    colour = None
    if values.ndim == 3 and values.shape[2] >= 3:
        colour = values[..., :3]
        grey = colour @ np.array(GREY_WEIGHTS)
    else:
        grey = values.reshape(values.shape[:2])
    height, width = grey.shape
    statistics = {
        "width": width,
        "height": height,
        "brightness": grey.mean(),
        "contrast": grey.std(),
        "dark": (grey < MAX_DARK_GREY).mean(),
        "bright": (grey > MIN_BRIGHT_GREY).mean(),
    }
    if min(height, width) >= 3:
        statistics["sharpness"] = _laplacian(grey).std()
    if colour is not None:
        statistics["saturation"] = _saturation(colour).mean()
    return {f"{name}.{key}": float(value) for key, value in statistics.items()}


def _check_shape(shape: tuple[int, ...]) -> None:
    empty = 0 in shape
    odd_channels = len(shape) == 3 and shape[2] not in (1, 3, 4)
    if len(shape) not in (2, 3) or empty or odd_channels:
        raise ValueError(
            "an image has shape (height, width) or (height, width, 1, 3 or 4),"
            f" this is {shape}"
        )


def _full_scale(pixels: Any) -> float:
    """Return the value of a fully bright pixel."""
    import numpy as np

    if pixels.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(pixels.dtype).max)
    return 255.0 if pixels.max() > 1 else 1.0


def _laplacian(grey: Any) -> Any:
    neighbours = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    )  # above, below, left, right
    return neighbours - 4 * grey[1:-1, 1:-1]


def _saturation(colour: Any) -> Any:
    import numpy as np

    highest = colour.max(axis=2)
    lowest = colour.min(axis=2)
    zeros = np.zeros_like(highest)
    return np.divide(highest - lowest, highest, out=zeros, where=highest > 0)
