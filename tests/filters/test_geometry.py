"""Pictures are shrunk to an area: never enlarged, and to what they show."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.geometry import shrink_smoothly, shrink_to_area

SIDES = st.integers(1, 700)


@given(SIDES, SIDES, st.integers(1, 100_000), st.sampled_from([1, 4, 8]))
def test_a_picture_is_shrunk_to_about_the_area_and_never_enlarged(height, width, area, step):
    small = shrink_smoothly(np.full((height, width), 77, np.uint8), area, step_pixels=step)
    assert (small == 77).all()
    for side, whole in zip(small.shape, (height, width), strict=True):
        assert side == whole or side % step == 0 or whole < step
        assert 1 <= side <= whole
    if min(small.shape) >= 10 * step and height * width > area:
        assert small.size == pytest.approx(area, rel=0.15)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("area", [2_000, 9_000, 25_000, 60_000])
def test_it_shows_what_an_average_over_areas_shows(area, colours):
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (9, 12, colours), np.uint8)
    picture = cv2.resize(rough, (333, 251), interpolation=cv2.INTER_CUBIC).reshape(251, 333, colours)
    smooth, mean = (each(picture, area).astype(float) for each in (shrink_smoothly, shrink_to_area))
    assert smooth.shape[:2] == mean.shape[:2]
    assert np.abs(smooth.reshape(mean.shape) - mean).mean() < 6
