"""Statistics of an image: known values, all forms of an image, shapes that are none."""

import numpy as np
import pytest

from monitor.client import image_statistics

HALF = np.zeros((4, 6, 3), np.uint8)
HALF[:, 3:] = 255  # left half black, right half white


def test_known_values_of_a_black_and_white_image():
    found = image_statistics(HALF, "photo")
    assert found == pytest.approx(
        {
            "photo.width": 6,
            "photo.height": 4,
            "photo.brightness": 0.5,
            "photo.contrast": 0.5,
            "photo.dark": 0.5,
            "photo.bright": 0.5,
            # inside, 2 of the 4 columns stand at the edge: Laplacian 1 and -1 there, 0
            # elsewhere
            "photo.sharpness": np.sqrt(0.5),
            "photo.saturation": 0.0,
        }
    )
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize(
    "image",
    [
        HALF / 255,
        (HALF.astype(np.uint16) * 257),
        HALF.tolist(),
        np.concatenate([HALF, np.full((4, 6, 1), 9, np.uint8)], axis=2),
    ],
)
def test_the_same_image_in_other_forms(image):
    assert image_statistics(image) == pytest.approx(image_statistics(HALF))


def test_grey_images_have_no_saturation_and_tiny_ones_no_sharpness():
    assert "image.saturation" not in image_statistics(HALF[..., 0])
    assert image_statistics(HALF[..., :1]) == image_statistics(HALF[..., 0])
    assert "image.sharpness" not in image_statistics(np.ones((2, 2)))


def test_a_blurred_image_is_less_sharp_and_a_coloured_one_saturated():
    random = np.random.default_rng(1).random((40, 40))
    blurred = (
        random[:-1, :-1] + random[1:, :-1] + random[:-1, 1:] + random[1:, 1:]
    ) / 4
    assert (
        image_statistics(blurred)["image.sharpness"]
        < image_statistics(random)["image.sharpness"] / 2
    )
    red = np.zeros((3, 3, 3), np.uint8)
    red[..., 0] = 200
    assert image_statistics(red)["image.saturation"] == 1


@pytest.mark.parametrize("shape", [(3,), (2, 2, 5), (0, 3), (1, 2, 3, 4)])
def test_what_is_no_image_is_a_clear_error(shape):
    with pytest.raises(ValueError, match="an image has shape"):
        image_statistics(np.zeros(shape))
