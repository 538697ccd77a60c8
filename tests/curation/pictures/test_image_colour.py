"""Pixels of pictures in memory, however Pillow stores them."""

import numpy as np
import pytest
from PIL import Image

from curation.pictures.image_colour import pixels_of


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (700, 901), (5_000, 1_200)])
def test_pixels_are_those_that_pillow_copies(size: tuple[int, int]) -> None:
    """Also of a picture that is too large for one block of memory."""
    wanted = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    picture = Image.fromarray(wanted)
    assert np.array_equal(pixels_of(picture), wanted)
    assert np.array_equal(pixels_of(picture.transpose(Image.Transpose.ROTATE_90)), np.rot90(wanted))
    pixels_of(picture)[:] = 0  # a copy: the picture stays
    assert np.array_equal(pixels_of(picture), wanted)
