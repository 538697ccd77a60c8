"""What a picture looks like: laws of the shares, and pictures for which the answer is known."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from filters.appearance import LEAST_RUN, appearance
from filters.protocol import Rgb
from tests.support.pictures import LINES, noise, render

SHARES = (
    "mean", "white", "black", "commonest_1", "commonest_2", "commonest_4", "commonest_16", "saturation", "grey_share",
    "grey_level", "upright", "empty_rows",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3)), elements=st.integers(0, 255))
)
def test_shares_are_between_0_and_1_and_all_is_repeatable(rgb: Rgb):
    found = appearance(rgb)
    assert all(-1e-6 <= found[name] <= 1 + 1e-6 for name in SHARES)
    assert all(math.isfinite(value) for value in found.values())
    commonest = [found[f"commonest_{count}"] for count in (1, 2, 4, 16)]
    assert all(fewer <= more + 1e-9 for fewer, more in pairwise(commonest))
    assert appearance(np.asfortranarray(rgb)) == found


def test_a_white_surface_is_white_and_nothing_else():
    found = appearance(np.full((300, 400, 3), 255, np.uint8))
    assert (found["white"], found["black"], found["commonest_1"], found["empty_rows"]) == (1, 0, 1, 1)
    assert (found["saturation"], found["entropy"], found["upright"]) == (0, 0, 0)


def test_ruled_lines_are_long():
    ruled = np.full((384, 384, 3), 255, np.uint8)
    ruled[40::60] = 0
    found = appearance(ruled)
    none = math.log(LEAST_RUN)
    assert found["across_16"] >= found["across_48"] >= found["across_120"] > 0
    assert found["down_48"] == found["down_120"] == none
    turned = appearance(np.ascontiguousarray(np.rot90(ruled)))
    assert turned["down_120"] == found["across_120"]
    assert turned["across_16"] == none


def test_a_page_has_fewer_colours_than_noise():
    page, noisy = appearance(render(LINES)), appearance(noise())
    assert page["commonest_1"] > noisy["commonest_1"]
    assert page["entropy"] < noisy["entropy"]
    assert page["empty_rows"] > noisy["empty_rows"]


def test_pictures_smaller_than_a_line_have_none():
    assert appearance(np.zeros((3, 3, 3), np.uint8))["across_16"] == math.log(LEAST_RUN)
