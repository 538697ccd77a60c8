"""The first picture that shows the same part is found as if each one had been compared."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curation.copies.same_part import MAX_SHIFT, SameParts

SMALL = st.floats(-0.04, 0.04)
PARTS = st.tuples(st.floats(0.1, 1.2), st.floats(-0.3, 0.3), st.floats(0, 0.8), st.floats(0.1, 1.2), st.booleans())
CORNERS = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float).T


def matrix_of(part, near):
    """Return the map to `part`, changed by so much in its own units."""
    wide, slant, at, high, _ = part
    square = np.array([[wide, slant, at], [-slant, high, 0.1], [0, 0, 1]]) @ (
        np.eye(3) + np.vstack([np.reshape(near, (2, 3)), np.zeros(3)])
    )
    return tuple(square[:2].ravel())


def shows_the_same(first, second):
    to, of = (np.vstack([np.reshape(each, (2, 3)), [0, 0, 1]]) for each in (first, second))
    return np.abs(np.linalg.inv(of) @ to @ CORNERS - CORNERS).max() <= MAX_SHIFT


@settings(max_examples=100, deadline=None)
@given(
    st.lists(PARTS, min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.tuples(*[SMALL] * 6)), min_size=2, max_size=12),
)
@example([(1.0, 0.0, 0.0, 1.0, False)], [(0, (0.0,) * 6), (0, (0.03, 0, 0, 0, 0.03, 0))])
def test_it_is_the_first_of_those_that_a_comparison_with_each_would_find(parts, changes):
    known, kept = SameParts(), []
    for number, (which, near) in enumerate(changes):
        part = parts[which % len(parts)]
        matrix, is_mirrored = matrix_of(part, near), part[4]
        wanted = next((n for n, m, b in kept if b == is_mirrored and shows_the_same(matrix, m)), None)
        assert known.first(matrix, is_mirrored=is_mirrored) == wanted
        known.add(number, matrix, is_mirrored=is_mirrored)
        kept.append((number, matrix, is_mirrored))


def test_a_map_without_extent_is_nowhere():
    known = SameParts()
    known.add(0, (0.0,) * 6, is_mirrored=False)
    assert known.first((0.0,) * 6, is_mirrored=False) is None
    assert known.first((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), is_mirrored=False) is None
