"""Laws and contracts of text density, the text engines and the cascade, on the real components."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, ImageFont

from curation.text_rich import (
    DENSITY_BAND,
    CascadeSettings,
    TextMeasures,
    TextRules,
    measure_text,
    telling_lines,
    text_class,
)
from filters.protocol import (
    Boxes,
    Filter,
    Line,
    Rgb,
    TextEngine,
    load_engine,
)
from filters.text_density import TextDensity, text_density

PAGE_LINES = [f"Line {row} of the report: {row * 37} items sold at {row}.95 each" for row in range(1, 19)]


def render(lines: Sequence[str], *, size_pixels: int = 16, ink: int = 0, paper: int = 255) -> Rgb:
    font = ImageFont.load_default(size_pixels)
    step = round(size_pixels * 1.6)
    width = 40 + round(max(font.getlength(line) for line in lines))
    page = Image.new("RGB", (width, 40 + step * len(lines)), (paper,) * 3)
    pen = ImageDraw.Draw(page)
    for row, line in enumerate(lines):
        pen.text((20, 20 + row * step), line, font=font, fill=(ink,) * 3)
    return np.asarray(page)


def noise(height: int = 300, width: int = 400) -> Rgb:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def landscape() -> Rgb:
    """Return smooth hills under a sky, with grain: no text, no sharp edges."""
    rows, columns = np.mgrid[0:300, 0:450]
    hills = 150 + 60 * np.sin(columns / 70) * np.cos(rows / 45) - rows / 4
    grain = np.random.default_rng(1).normal(0, 6, (300, 450))
    grey = np.clip(hills + grain, 0, 255)
    return np.stack([grey, grey * 0.9, grey * 0.7], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def engine() -> TextEngine:
    return load_engine("rapidocr")


class ScriptedEngine:
    """A user's own engine: it sees what it was told to see, and remembers what it was asked."""

    name = "scripted"
    version = "scripted-1"

    def __init__(self, *, lines: int = 3, text: str = "total 42", confidence: float = 0.9) -> None:
        self.lines, self.text, self.confidence = lines, text, confidence
        self.areas: list[int] = []
        self.read_counts: list[int] = []

    def detect(self, rgb: Rgb, *, max_area_pixels: int) -> Boxes:
        self.areas.append(max_area_pixels)
        tops = np.arange(self.lines, dtype=np.float32) * 12
        quads = np.array([[[0, t], [60, t], [60, t + 10], [0, t + 10]] for t in tops], dtype=np.float32)
        return Boxes(quads=quads.reshape(-1, 4, 2), scores=np.full(self.lines, 0.8, dtype=np.float32))

    def read(self, rgb: Rgb, boxes: Boxes) -> Sequence[Line]:
        self.read_counts.append(len(boxes))
        return [Line(text=self.text, confidence=self.confidence)] * len(boxes)


# --- text density -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3)), elements=st.integers(0, 255))
)
def test_density_is_a_share_and_repeats(rgb: Rgb):
    density = text_density(rgb)
    assert 0 <= density <= 1
    assert text_density(rgb.copy()) == density


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 400), (20, 8000), (8000, 20), (1, 60000), (31, 33), (385, 384), (700, 900)]
)
@pytest.mark.parametrize("level", [0, 127, 255])
def test_density_of_one_colour_is_low_whatever_the_shape(shape: tuple[int, int], level: int):
    density = text_density(np.full((*shape, 3), level, dtype=np.uint8))
    assert density < CascadeSettings().min_text_density


@pytest.mark.parametrize(
    "page",
    [
        render(PAGE_LINES),
        render(PAGE_LINES * 5),
        render(PAGE_LINES, ink=235, paper=20),
        render(PAGE_LINES, ink=110, paper=150),
        render(PAGE_LINES, size_pixels=40),
        render([" ".join(PAGE_LINES[:8])], size_pixels=14),
        render([line[:24] for line in PAGE_LINES * 4], size_pixels=12),
    ],
    ids=["page", "tall", "dark mode", "pale", "large", "banner", "receipt"],
)
def test_rendered_pages_are_dense_and_noise_and_hills_are_not(page: Rgb):
    density = text_density(page)
    assert density > 0.5
    assert density > text_density(noise()) + 0.3
    assert density > text_density(landscape()) + 0.3


def test_dark_mode_is_as_dense_as_light_mode():
    page = render(PAGE_LINES)
    assert text_density(255 - page) == pytest.approx(text_density(page), abs=0.02)


def test_density_as_a_filter_fills_its_columns():
    density: Filter = TextDensity()
    page = render(PAGE_LINES)
    assert density.measure(page) == {"text_density": text_density(page)}
    assert set(density.measure(page)) == set(density.columns)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_density_refuses_what_is_no_picture(array: np.ndarray):
    with pytest.raises(ValueError, match="pass a picture"):
        text_density(array)


# --- cascade ----------------------------------------------------------------------------------------------


def test_a_low_density_decides_without_the_engine():
    engine = ScriptedEngine()
    measures = measure_text(noise(), 0.01, engine, CascadeSettings())
    assert measures.text_step == "density"
    assert measures.text_boxes is None
    assert engine.areas == []


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_scores_by_density_keep_their_order_below_all_others(low: float, high: float):
    engine, never = ScriptedEngine(lines=0), CascadeSettings(min_text_density=1.1)
    low, high = sorted((low, high))
    scores = [measure_text(noise(8, 8), density, engine, never).text_score for density in (low, high)]
    assert scores == sorted(scores)
    assert scores[-1] < DENSITY_BAND
    detected = measure_text(noise(8, 8), 0.0, engine, CascadeSettings(min_text_density=0))
    assert detected.text_step == "detect"
    assert scores[-1] < detected.text_score


def test_lines_are_read_only_where_boxes_leave_doubt():
    page = noise(1200, 900)
    few, many = ScriptedEngine(lines=3), ScriptedEngine(lines=60)
    unsure = measure_text(page, 0.2, few, CascadeSettings(max_lines=2))
    assert (unsure.text_step, few.read_counts) == ("read", [2])
    assert (unsure.text_lines, unsure.text_chars) == (2, 14)
    sure = measure_text(page, 0.99, many, CascadeSettings())
    assert (sure.text_step, many.read_counts) == ("detect", [])
    assert sure.text_score > unsure.text_score


def test_fine_print_is_looked_for_at_the_large_area():
    engine, rules = ScriptedEngine(lines=2), CascadeSettings()
    measure_text(noise(1200, 900), 0.9, engine, rules)
    assert engine.areas == [rules.detect_area_pixels, rules.large_detect_area_pixels]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.floats(0, 1), st.floats(0, 1))
def test_score_grows_with_boxes_and_confidence(lines: int, sure: float, surer: float):
    rgb, rules = noise(700, 300), CascadeSettings(min_text_density=0)
    sure, surer = sorted((sure, surer))
    fewer = measure_text(rgb, 0.1, ScriptedEngine(lines=lines, confidence=sure), rules)
    more = measure_text(rgb, 0.1, ScriptedEngine(lines=lines + 1, confidence=surer), rules)
    assert DENSITY_BAND <= fewer.text_score <= more.text_score <= 1


def test_a_box_that_covers_the_picture_is_no_line():
    engine = ScriptedEngine(lines=1)
    rgb = noise(12, 60)[:, :20].copy()
    assert measure_text(rgb, 0.5, engine, CascadeSettings()).text_boxes == 1  # 6 times longer than high
    square = Boxes(quads=np.array([[[0, 0], [20, 0], [20, 12], [0, 12]]], np.float32), scores=np.ones(1, np.float32))
    engine.detect = lambda rgb, *, max_area_pixels: square  # type: ignore[method-assign]
    assert measure_text(rgb, 0.5, engine, CascadeSettings()).text_boxes == 0


def test_telling_lines_are_long_and_surely_text():
    quads = np.array([[[0, y], [w, y], [w, y + 20], [0, y + 20]] for y, w in ((0, 40), (30, 300), (60, 200))])
    boxes = Boxes(quads=quads.astype(np.float32), scores=np.array([0.9, 0.9, 0.9], np.float32))
    assert telling_lines(boxes, 2) == [1, 2]


def test_real_pictures_fall_into_their_classes(engine: TextEngine):
    label = landscape()
    sign = render(["Hello world"], size_pixels=30)
    label[100 : 100 + sign.shape[0], 60 : 60 + sign.shape[1]] = sign // 2 + 60
    classes = []
    for rgb in (landscape(), label, render(PAGE_LINES), render(PAGE_LINES, ink=230, paper=25)):
        rules = CascadeSettings(min_text_density=0)
        classes.append(text_class(measure_text(rgb, text_density(rgb), engine, rules), TextRules()))
    assert classes == ["none", "light", "heavy", "heavy"]


def test_rules_must_be_ordered():
    with pytest.raises(ValueError, match="swap or correct"):
        TextRules(min_light_score=0.9, min_heavy_score=0.5)


@pytest.mark.parametrize(("score", "expected"), [(0.0, "none"), (0.2, "light"), (0.7, "heavy")])
def test_thresholds_belong_to_the_class_above(score: float, expected: str):
    measures = TextMeasures(
        text_boxes=None,
        text_area_fraction=None,
        text_lines=None,
        text_chars=None,
        text_confidence=None,
        text_score=score,
        text_step="detect",
    )
    assert text_class(measures, TextRules()) == expected
