"""Laws and contracts of the network of kinds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import text_kind
from filters.text_kind import (
    AREA_PIXELS,
    MAX_ASPECT,
    RICH_KINDS,
    STEP_PIXELS,
    TextKind,
    kind_log_odds,
    network_input,
    network_size,
)
from tests.support.pictures import LINES, landscape, render


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_the_network_sees_pictures_of_about_one_area(height: int, width: int):
    down, across = network_size(height, width)
    assert down % STEP_PIXELS == across % STEP_PIXELS == 0
    assert 0.7 * AREA_PIXELS <= down * across <= 1.3 * AREA_PIXELS
    assert max(down / across, across / down) <= MAX_ASPECT
    assert network_size(width, height) == (across, down)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
def test_every_picture_has_one_output_for_each_kind(height: int, width: int, level: int):
    rgb = np.full((height, width, 3), level, np.uint8)
    found = kind_log_odds(rgb)
    assert found.shape == (len(TextKind),)
    assert np.isfinite(found).all()
    assert (kind_log_odds(rgb.copy()) == found).all()


def test_the_memory_order_of_a_picture_changes_nothing():
    rgb = render(LINES)
    assert (kind_log_odds(np.asfortranarray(rgb)) == kind_log_odds(rgb)).all()
    assert (kind_log_odds(rgb[::-1][::-1]) == kind_log_odds(rgb)).all()


def test_a_page_is_a_document_and_hills_are_no_rich_kind():
    assert list(TextKind)[int(kind_log_odds(render(LINES)).argmax())] in RICH_KINDS
    assert list(TextKind)[int(kind_log_odds(landscape()).argmax())] not in RICH_KINDS


def test_the_rich_kinds_come_first_as_training_assumes():
    assert tuple(TextKind)[: len(RICH_KINDS)] == RICH_KINDS


def test_long_pictures_are_squeezed():
    assert network_input(np.zeros((10, 5000, 3), np.uint8)).shape == (128, 512, 3)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), float)]
)
def test_other_arrays_are_refused(array: np.ndarray):
    with pytest.raises(ValueError, match="pass a picture"):
        kind_log_odds(array)


def test_the_version_names_network_and_runtime():
    assert text_kind.version().startswith("text_kind@")
    assert "onnxruntime-" in text_kind.version()
