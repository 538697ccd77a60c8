"""Laws and contracts of text density: the network's map, the probabilities and windows computed from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.text.windows import MAX_WINDOWS, views, windows
from filters import text_density
from filters.networks import read_network
from filters.protocol import Rgb
from filters.text_density import CELL_PIXELS, TextMap, map_features, text_map, text_probabilities
from tests.support.pictures import LINES, landscape, noise, on_landscape, render

SHAPES = [(1, 1), (1, 400), (20, 8000), (8000, 20), (1, 60000), (31, 33), (385, 384), (700, 900)]


def probabilities_of(rgb: Rgb):
    return text_probabilities(map_features(text_map(rgb)))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3)), elements=st.integers(0, 255))
)
def test_probabilities_are_between_0_and_1_and_repeatable(rgb: Rgb):
    probabilities = probabilities_of(rgb)
    assert 0 <= probabilities.light <= 1
    assert 0 <= probabilities.heavy <= 1
    assert probabilities_of(rgb.copy()) == probabilities


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_picture_of_one_colour_has_no_text(shape: tuple[int, int], level: int):
    probabilities = probabilities_of(np.full((*shape, 3), level, dtype=np.uint8))
    assert probabilities.light < 0.5
    assert probabilities.heavy < 0.05


def test_the_map_has_a_value_for_each_cell():
    found = text_map(render(LINES, least=384)[:384, :384])
    assert found.log_odds.shape == found.heights_pixels.shape == (384 // CELL_PIXELS, 384 // CELL_PIXELS)
    assert found.log_odds.dtype == np.float32
    assert ((found.probabilities >= 0) & (found.probabilities <= 1)).all()


def test_the_map_is_high_where_the_text_is():
    rgb = landscape()
    word = render(["Hello world"], size_pixels=30)
    rgb[200 : 200 + word.shape[0], 30 : 30 + word.shape[1]] = word
    probabilities = text_map(rgb).probabilities
    rows, columns = np.nonzero(probabilities > 0.5)
    assert len(rows) > 4
    assert rows.min() * CELL_PIXELS >= 180
    assert columns.max() * CELL_PIXELS <= 40 + word.shape[1]


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), float)]
)
def test_other_arrays_are_refused(array: np.ndarray):
    with pytest.raises(ValueError, match="pass a picture"):
        text_map(array)


def test_the_version_names_network_and_runtime():
    assert text_density.version().startswith("text_net@")
    assert "onnxruntime-" in text_density.version()


def test_networks_and_weights_are_small():
    assert len(read_network("text_net.onnx")) + len(read_network("text_net.json")) < 2_000_000
    assert len(read_network("text_kind.onnx")) < 7_000_000


# --- windows ----------------------------------------------------------------------------------------------


def blank_map(rows: int = 48, columns: int = 48) -> TextMap:
    return TextMap(
        log_odds=np.full((rows, columns), -6, np.float32),
        heights_pixels=np.full((rows, columns), 12, np.float32),
        flat_share=0.5,
        white_share=0.2,
        common_share=0.4,
    )


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.lists(st.tuples(st.integers(0, 47), st.integers(0, 47), st.floats(-3, 8)), max_size=30),
    st.integers(1000, 500_000),
)
def test_windows_are_inside_the_picture_and_apart_and_views_fit_the_area(
    height: int, width: int, peaks: list[tuple[int, int, float]], area: int
):
    found = blank_map()
    for row, column, odds in peaks:
        found.log_odds[row, column] = odds
    chosen = windows(found, height, width)
    assert 1 <= len(chosen) <= MAX_WINDOWS
    for window in chosen:
        assert 0 <= window.top < window.bottom <= height
        assert 0 <= window.left < window.right <= width
    assert not any(a.overlaps(b) for k, a in enumerate(chosen) for b in chosen[k + 1 :])
    assert chosen == windows(found, height, width)


def test_a_word_in_a_photograph_is_examined_enlarged():
    rgb = on_landscape(render(["Open"], size_pixels=14))
    (view,) = views(rgb, text_map(rgb), area_pixels=320 * 320)
    window = view.window
    assert window.area_pixels < 0.5 * rgb.shape[0] * rgb.shape[1]
    assert window.top < 130 < window.bottom
    assert view.pixels.shape[0] > 1.5 * (window.bottom - window.top)


def test_a_page_is_examined_as_a_whole_and_shrunk():
    page = render(LINES * 2, size_pixels=28)
    (view,) = views(page, text_map(page), area_pixels=320 * 320)
    assert (view.window.top, view.window.left) == (0, 0)
    assert (view.window.bottom, view.window.right) == page.shape[:2]
    assert view.pixels.shape[0] * view.pixels.shape[1] < 1.3 * 320 * 320


def test_a_long_page_is_examined_in_tiles_so_that_small_print_is_readable():
    page = render([line[:30] for line in LINES * 12], size_pixels=14)
    assert page.shape[0] > 10 * page.shape[1]
    shown = views(page, text_map(page), area_pixels=320 * 320)
    assert len(shown) == 2
    assert all(view.window.aspect < 2 for view in shown)
    assert all(view.pixels.shape[1] > 0.6 * page.shape[1] for view in shown)


def test_boxes_found_in_a_view_are_mapped_to_the_picture():
    from filters.protocol import Boxes

    rgb = on_landscape(render(["Open"], size_pixels=14))
    (view,) = views(rgb, text_map(rgb), area_pixels=320 * 320)
    height, width = view.pixels.shape[:2]
    full = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    (quad,) = view.place(Boxes(quads=full, scores=np.ones(1, np.float32))).quads
    window = view.window
    assert quad.tolist() == [
        [window.left, window.top], [window.right, window.top],
        [window.right, window.bottom], [window.left, window.bottom],
    ]  # fmt: skip


def test_noise_has_windows_too():
    assert views(noise(), text_map(noise()), area_pixels=320 * 320)
