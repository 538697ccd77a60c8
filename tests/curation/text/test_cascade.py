"""The cascade: images it must accept or refuse, and the laws of its steps, on the real components."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.choosing.rules import text_classes
from curation.text.bounds import Bounds, CascadeSettings, TextRules, TextStep, default_bounds
from curation.text.cascade import (
    Cascade,
    TextMeasures,
    density_measures,
    parse_text_trail,
    settled_measures,
    text_score,
)
from curation.text.features import most_informative_lines
from curation.text.first_look import FirstLook, first_look
from examples.corpus import charts, documents, patterns, photographs
from filters.protocol import Boxes, Line, Rgb, TextEngine, TextProbabilities, load_engine
from filters.text_kind import TextKind
from tests.support.pictures import LINES, as_jpeg, landscape, noise, on_landscape, render, turned

pytestmark = pytest.mark.model

OPEN = {step: Bounds() for step in TextStep}


def looked(light: float, heavy: float, kind: TextKind = TextKind.DOCUMENT) -> FirstLook:
    """A first look that the network of kinds was part of, and is sure of `kind`."""
    kinds = {each: 0.9 if each is kind else 0.01 for each in TextKind}
    return FirstLook(probabilities=TextProbabilities(light=light, heavy=heavy), kinds=kinds)


@pytest.fixture(scope="module")
def engine() -> TextEngine:
    return load_engine("rapidocr")


def measure(engine: TextEngine, rgb: Rgb, **changes: object) -> TextMeasures:
    (found,) = Cascade(engine, CascadeSettings(**changes)).measure([rgb], [first_look(rgb)])  # type: ignore[arg-type]
    return found


def class_of(engine: TextEngine, rgb: Rgb) -> str:
    found = measure(engine, np.ascontiguousarray(rgb))
    lines = pa.array([found.text_lines], pa.int32())
    (text_class,) = text_classes(pa.array([found.text_score]), TextRules(), lines).to_pylist()
    return text_class


def drawn(painter: Callable, seed: int, width: int = 640, height: int = 480) -> Rgb:
    return np.asarray(painter(np.random.default_rng(seed), width, height).convert("RGB"))


CJK = ["情報処理の報告書 第三章", "日本語の文章を読み取る", "価格は三千円です 東京都", "中国語も同じように扱う"] * 4
RICH: dict[str, Callable[[], Rgb]] = {
    "page": lambda: render(LINES),
    "CJK": lambda: render(CJK, size_pixels=20, script="cjk"),
    "Cyrillic": lambda: render(["Годовой отчёт компании за год", "Продажи выросли на треть"] * 7, script="cyrillic"),
    "dark mode": lambda: render(LINES, ink=225, paper=28),
    "low contrast": lambda: render(LINES, ink=120, paper=165),
    "turned by 90°": lambda: np.rot90(render(LINES)),
    "turned by 270°": lambda: np.rot90(render(LINES), 3),
    "tilted by 4°": lambda: turned(render(LINES), 4),
    "tall receipt": lambda: render([line[:26] for line in LINES * 3], size_pixels=14),
    "8 px x-height": lambda: render(LINES * 2, size_pixels=15, least=512)[:512, :512],
    "JPEG": lambda: as_jpeg(render(LINES), 30),
    "table": lambda: drawn(documents.table, 1),
    "letter": lambda: drawn(documents.letter, 2, 600, 800),
    "receipt in a photograph": lambda: drawn(documents.receipt, 3, 480, 700),
    "slide": lambda: drawn(documents.slide, 4),
    "screenshot": lambda: drawn(documents.app, 5),
    "code": lambda: drawn(documents.code, 6),
    "form": lambda: drawn(documents.form, 7),
    "bar chart": lambda: drawn(charts.bar_chart, 8),
    "line chart": lambda: drawn(charts.line_chart, 9),
    "pie chart": lambda: drawn(charts.pie_chart, 11),
}
ANY: dict[str, Callable[[], Rgb]] = {
    "wide banner": lambda: render([" ".join(LINES[:6]), " ".join(LINES[6:12])], size_pixels=18),
    "sign": lambda: on_landscape(render(["Hello world"], size_pixels=30)),
    "small word": lambda: on_landscape(render(["Open daily"], size_pixels=15)),
    "meme": lambda: drawn(photographs.meme, 1),
    "product": lambda: drawn(photographs.product, 2),
    "watermark": lambda: drawn(photographs.watermark, 3),
    "handwriting": lambda: render(["See you on Sunday"], size_pixels=48, script="hand", least=300),
}
NONE: dict[str, Callable[[], Rgb]] = {
    "bricks": lambda: drawn(photographs.bricks, 1),
    "fence": lambda: drawn(photographs.fence, 2),
    "foliage": lambda: drawn(photographs.foliage, 3),
    "fabric": lambda: drawn(photographs.fabric, 4),
    "windows": lambda: drawn(patterns.windows, 5),
    "keyboard": lambda: drawn(patterns.keyboard, 6),
    "QR code": lambda: drawn(patterns.qr_code, 7),
    "bar code": lambda: drawn(patterns.bar_codes, 8),
    "line art": lambda: drawn(patterns.line_art, 9),
    "ruled paper": lambda: drawn(patterns.ruled_paper, 10),
    "shapes": lambda: drawn(patterns.shapes, 11),
    "noise": noise,
    "coloured noise": lambda: drawn(patterns.noise, 12),
    "hills": landscape,
    "bare chart": lambda: drawn(patterns.bare_chart, 13),
}


@pytest.mark.parametrize("name", RICH)
def test_rich_pictures_are_heavy(engine: TextEngine, name: str):
    assert class_of(engine, RICH[name]()) == "heavy"


@pytest.mark.parametrize("name", ANY)
def test_pictures_with_some_text_are_light_or_heavy(engine: TextEngine, name: str):
    assert class_of(engine, ANY[name]()) in ("light", "heavy")


@pytest.mark.parametrize("name", NONE)
def test_images_that_only_look_like_text_are_neither(engine: TextEngine, name: str):
    assert class_of(engine, NONE[name]()) == "none"


# --- laws -------------------------------------------------------------------------------------------------


class ScriptedEngine:
    """A user's engine that returns what it is given, and counts its calls."""

    name = "scripted"
    version = "scripted-1"

    def __init__(self, *, lines: int = 3, text: str = "total 42", confidence: float = 0.9) -> None:
        self.lines, self.text, self.confidence = lines, text, confidence
        self.detections = 0
        self.read_counts: list[int] = []

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> list[Boxes]:
        self.detections += 1
        tops = np.arange(self.lines, dtype=np.float32) * 12
        quads = np.array([[[0, t], [60, t], [60, t + 10], [0, t + 10]] for t in tops], dtype=np.float32)
        boxes = Boxes(quads=quads.reshape(-1, 4, 2), scores=np.full(self.lines, 0.8, dtype=np.float32))
        return [boxes for _ in pictures]

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> list[list[Line]]:
        self.read_counts += [len(mine) for mine in boxes]
        return [[Line(text=self.text, confidence=self.confidence)] * len(mine) for mine in boxes]


def test_the_same_pictures_measure_the_same_in_any_batch_and_order(engine: TextEngine):
    makers = [*RICH.values(), *ANY.values(), *NONE.values()][::4]
    pictures = [np.ascontiguousarray(make()) for make in makers]
    looks = [first_look(rgb) for rgb in pictures]
    cascade = Cascade(engine, CascadeSettings(bounds=OPEN))
    together = cascade.measure(pictures, looks)
    for size in (1, 8):
        cut = [
            m
            for k in range(0, len(pictures), size)
            for m in cascade.measure(pictures[k : k + size], looks[k : k + size])
        ]
        assert cut == together
    assert cascade.measure(pictures[::-1], looks[::-1])[::-1] == together


def test_a_settled_question_ends_the_cascade():
    engine, rgb, look = ScriptedEngine(), landscape(), looked(0.5, 0.5)
    bounds = {TextStep.DETECT_SMALL: Bounds(drop_heavy=1.0, keep_light=0.0)}
    (found,) = Cascade(engine, CascadeSettings(bounds=bounds)).measure([rgb], [look])
    assert (found.text_step, engine.detections, engine.read_counts) == ("detect_small", 1, [])
    assert list(json.loads(found.text_trail)) == ["density", "kind", "density_large", "detect_small"]
    dropped = {TextStep.DENSITY: Bounds(drop_heavy=0.6, drop_light=0.6)}
    (found,) = Cascade(engine, CascadeSettings(bounds=dropped)).measure([rgb], [look])
    assert (found.text_step, found.text_boxes, found.text_lines) == ("density", None, None)
    assert found == density_measures(look)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_without_light_no_more_images_go_on(light: float, heavy: float, low: float, high: float):
    bounds = Bounds(drop_light=min(low, high), keep_light=max(low, high), drop_heavy=low, keep_heavy=1.1)
    chances = TextProbabilities(light=light, heavy=heavy)
    assert bounds.is_open(chances, with_light=True) >= bounds.is_open(chances, with_light=False)


def test_lines_are_read_one_by_one_while_a_question_is_open():
    rgb, look = landscape(), looked(0.5, 0.5)
    thorough = ScriptedEngine(lines=5)
    (found,) = Cascade(thorough, CascadeSettings(bounds=OPEN, max_lines=5)).measure([rgb], [look])
    assert (found.text_step, thorough.read_counts) == ("read", [1] * 5)
    assert (found.text_lines, found.text_chars) == (5, 35)
    quick = ScriptedEngine(lines=5)
    sure = {**OPEN, TextStep.READ: Bounds(keep_heavy=0.0)}
    Cascade(quick, CascadeSettings(bounds=sure, max_lines=5)).measure([rgb], [look])
    assert quick.read_counts == [1]


def test_an_open_picture_that_the_scan_did_not_show_to_the_network_of_kinds_is_shown_to_it():
    rgb = np.ascontiguousarray(render(LINES))
    without = FirstLook(
        probabilities=TextProbabilities(light=0.5, heavy=0.5),
        kinds={TextKind.DESIGNED: 0.5, TextKind.SCENE: 0.3, TextKind.NONE: 0.2},
    )
    (found,) = Cascade(ScriptedEngine(), CascadeSettings(bounds=OPEN)).measure([rgb], [without])
    assert found.text_kind == TextKind.DOCUMENT


def test_a_picture_that_is_to_be_heavy_has_a_readable_line():
    accepted = {**OPEN, TextStep.DETECT_SMALL: Bounds(keep_heavy=0.0)}
    for confidence, lines_read in ((0.9, 1), (0.3, 10)):  # five at each size
        engine = ScriptedEngine(lines=5, confidence=confidence)
        (found,) = Cascade(engine, CascadeSettings(bounds=accepted)).measure([landscape()], [looked(0.5, 0.5)])
        assert (found.text_step, engine.read_counts) == ("detect_small", [1] * lines_read)
        assert found.text_lines == (1 if confidence > 0.5 else 0)
        lines = pa.array([found.text_lines], pa.int32())
        (text_class,) = text_classes(pa.array([1.0]), TextRules(), lines).to_pylist()
        assert text_class == ("heavy" if confidence > 0.5 else "light")


def test_exhaustive_runs_every_step_whatever_the_bounds():
    engine = ScriptedEngine(lines=2)
    (found,) = Cascade(engine, CascadeSettings(is_exhaustive=True)).measure([landscape()], [looked(0, 0)])
    assert list(parse_text_trail(found.text_trail)) == list(TextStep)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.floats(0, 1), st.floats(0, 1))
def test_score_grows_with_boxes_and_confidence(lines: int, sure: float, surer: float):
    """From one line on: a single unreadable line may score less than none."""
    rgb, look = noise(700, 300), looked(0.3, 0.1)
    sure, surer = sorted((sure, surer))
    rules = CascadeSettings(bounds=OPEN)
    (fewer,) = Cascade(ScriptedEngine(lines=lines, confidence=sure), rules).measure([rgb], [look])
    (more,) = Cascade(ScriptedEngine(lines=lines + 1, confidence=surer), rules).measure([rgb], [look])
    assert 0 <= fewer.text_score <= more.text_score <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_score_is_a_share_that_grows_with_both_chances(light: float, heavy: float, more: float):
    score = text_score(TextProbabilities(light=light, heavy=heavy))
    assert 0 <= score <= 1
    assert score <= text_score(TextProbabilities(light=max(light, more), heavy=heavy))
    assert score <= text_score(TextProbabilities(light=light, heavy=max(heavy, more)))


def test_a_box_that_covers_the_image_is_not_a_line():
    class Blob(ScriptedEngine):
        def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> list[Boxes]:
            found = []
            for rgb in pictures:
                height, width = rgb.shape[:2]
                quad = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
                found.append(Boxes(quads=quad, scores=np.ones(1, np.float32)))
            return found

    rgb = render(LINES * 2, size_pixels=28)  # the whole image is one view
    (found,) = Cascade(Blob(), CascadeSettings(bounds=OPEN)).measure([rgb], [looked(0.5, 0.5)])
    assert found.text_boxes == 0


def test_informative_lines_are_long_and_probably_text():
    quads = np.array([[[0, y], [w, y], [w, y + 20], [0, y + 20]] for y, w in ((0, 40), (30, 300), (60, 200))])
    boxes = Boxes(quads=quads.astype(np.float32), scores=np.array([0.9, 0.9, 0.9], np.float32))
    assert most_informative_lines(boxes, 2) == [1, 2]


def test_a_text_trail_is_parsed_back(engine: TextEngine):
    found = measure(engine, render(LINES), bounds=OPEN)
    probabilities = parse_text_trail(found.text_trail)
    assert text_score(list(probabilities.values())[-1]) == found.text_score


def test_rules_must_be_ordered():
    with pytest.raises(ValueError, match="swap or correct"):
        TextRules(min_light_score=0.9, min_heavy_score=0.5)


def test_the_shipped_bounds_leave_heavy_to_an_engine():
    bounds = default_bounds()
    assert set(bounds) == set(TextStep)
    for step in (TextStep.DENSITY, TextStep.KIND, TextStep.DENSITY_LARGE):
        assert bounds[step].keep_heavy > 1


def test_what_the_first_look_settles_is_what_the_cascade_measures(engine: TextEngine):
    pictures = [np.ascontiguousarray(make()) for make in [*RICH.values(), *ANY.values(), *NONE.values()][::3]]
    for with_light in (True, False):
        settings = CascadeSettings(with_light=with_light)
        for rgb in pictures:
            look = first_look(rgb)
            settled = settled_measures(look, settings)
            (found,) = Cascade(engine, settings).measure([rgb], [look])
            assert settled is None or settled == found
            if look.has_rich_kinds:
                assert (settled is not None) == (found.text_step in ("density", "kind"))
