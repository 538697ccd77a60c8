"""Whether a picture is rich in text: a cascade that pays for OCR only where less could not decide.

=======  ============================================  ===============================
step     decides where                                 from
=======  ============================================  ===============================
density  the density is small: scores in [0, 0.05)     density
detect   there are no boxes, or they leave no doubt    density, boxes
read     else                                          density, boxes, a few lines read
=======  ============================================  ===============================

The score mixes two chances, fitted by logistic regression on labelled pictures: that there is any text to
read, and that text makes the picture. They are the two questions Web-SSL asked a VLM (Fan et al., 2025,
arXiv:2504.01017).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from filters.protocol import Boxes, Line, Rgb, TextEngine

TextStep = Literal["density", "detect", "read"]
TextClass = Literal["none", "light", "heavy"]

DENSITY_BAND = 0.05  # scores below it were decided by density alone
SCORE_DECIMALS = 6
LIGHT_SHARE = 0.3  # of the score: any text at all; the rest says whether it makes the picture
MAX_BLOB_FRACTION, MIN_LINE_RATIO = 0.25, 3.0  # a box larger and stubbier than this is no line of text
MAX_LINE_RATIO = 15.0  # a line longer than this many times its height counts as no more
MIN_WORD_CHARS = 2
NO_BOXES_FACTOR = 0.2  # density alone mistakes drawings and patterns for text


@dataclass(frozen=True, kw_only=True)
class CascadeSettings:
    """How much is spent on one picture.

    `min_text_density`: below it no engine runs. `detect_area_pixels`: what detection shrinks a picture to.
    `large_detect_area_pixels`: what it tries next where it saw fewer than `few_boxes` lines though the
    density is at least `min_dense_text_density` (fine print). `min_sure_chance`: where boxes and density make
    rich so likely that nothing is read. `max_lines`: how many lines are read elsewhere, the most telling.
    `min_line_confidence`: what a line needs to count in `text_lines` and `text_chars`.
    """

    min_text_density: float = 0.03
    detect_area_pixels: int = 384 * 384
    large_detect_area_pixels: int = 768 * 768
    few_boxes: int = 8
    min_dense_text_density: float = 0.5
    min_sure_chance: float = 0.95
    max_lines: int = 6
    min_line_confidence: float = 0.7


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """The least `text_score` of each class: light: any readable text; heavy: charts, tables, documents."""

    min_light_score: float = 0.2
    min_heavy_score: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.min_light_score <= self.min_heavy_score <= 1:
            raise ValueError(
                f"TextRules: need 0 <= min_light_score ({self.min_light_score}) <= "
                f"min_heavy_score ({self.min_heavy_score}) <= 1; swap or correct them"
            )


@dataclass(frozen=True, kw_only=True)
class TextMeasures:
    """What the cascade saw. A field is None where the step that measures it did not run.

    `text_area_fraction`: share of the picture under boxes, in [0, 1]. `text_lines` and `text_chars`: lines
    read with enough confidence, and their characters without spaces. `text_confidence`: mean over all
    lines read. `text_score`: in [0, 1], 6 decimals, how likely the picture is a chart, table, document or
    screenshot with readable text; comparable whatever `text_step` decided.
    """

    text_boxes: int | None
    text_area_fraction: float | None
    text_lines: int | None
    text_chars: int | None
    text_confidence: float | None
    text_score: float
    text_step: TextStep


def measure_text(rgb: Rgb, text_density: float, engine: TextEngine, settings: CascadeSettings) -> TextMeasures:
    """Return what the cascade sees in `rgb`, (height, width, 3), whose density in [0, 1] is `text_density`.

    What `engine` raises is not caught.
    """
    if text_density < settings.min_text_density:
        return _measures(min(DENSITY_BAND * text_density, DENSITY_BAND - 10**-SCORE_DECIMALS), "density")
    boxes = _detect(rgb, text_density, engine, settings)
    picture_pixels = rgb.shape[0] * rgb.shape[1]
    rich = _chance_rich(boxes, text_density)
    seen = _Seen(boxes=len(boxes), area_fraction=min(1.0, float(boxes.areas_pixels().sum()) / picture_pixels))
    if rich >= settings.min_sure_chance or not len(boxes) or not settings.max_lines:
        unread = _score(rich, _chance_any(boxes, text_density, []), len(boxes))
        return _measures(unread, "detect", seen)
    lines = engine.read(rgb, boxes.take(telling_lines(boxes, settings.max_lines)))
    score = _score(rich, _chance_any(boxes, text_density, lines), len(boxes))
    return _measures(score, "read", seen, _sum_up(lines, settings))


def telling_lines(boxes: Boxes, max_lines: int) -> list[int]:
    """Return the positions of the `max_lines` boxes most worth reading: surely text, long, and not tiny."""
    ratios = np.minimum(_line_ratios(boxes), MAX_LINE_RATIO)
    legible = np.minimum(boxes.heights_pixels() / 12, 1)
    worth = boxes.scores * ratios * legible
    return [int(place) for place in np.lexsort((np.arange(len(boxes)), -worth))[:max_lines]]


def text_class(measures: TextMeasures, rules: TextRules) -> TextClass:
    """Return the class of a picture under `rules`."""
    if measures.text_score >= rules.min_heavy_score:
        return "heavy"
    return "light" if measures.text_score >= rules.min_light_score else "none"


@dataclass(frozen=True, kw_only=True)
class _Seen:
    boxes: int
    area_fraction: float


@dataclass(frozen=True, kw_only=True)
class _Read:
    lines: int
    chars: int
    confidence: float


def _measures(score: float, step: TextStep, seen: _Seen | None = None, read: _Read | None = None) -> TextMeasures:
    return TextMeasures(
        text_boxes=None if seen is None else seen.boxes,
        text_area_fraction=None if seen is None else round(seen.area_fraction, SCORE_DECIMALS),
        text_lines=None if read is None else read.lines,
        text_chars=None if read is None else read.chars,
        text_confidence=None if read is None else round(read.confidence, SCORE_DECIMALS),
        text_score=round(score, SCORE_DECIMALS),
        text_step=step,
    )


def _detect(rgb: Rgb, text_density: float, engine: TextEngine, settings: CascadeSettings) -> Boxes:
    """Return the lines seen, at the large area if the small one showed fewer than the density promised."""
    boxes = _without_blobs(engine.detect(rgb, max_area_pixels=settings.detect_area_pixels), rgb)
    is_dense = text_density >= settings.min_dense_text_density
    is_shrunk = rgb.shape[0] * rgb.shape[1] > settings.detect_area_pixels
    if len(boxes) >= settings.few_boxes or not (is_dense and is_shrunk):
        return boxes
    larger = _without_blobs(engine.detect(rgb, max_area_pixels=settings.large_detect_area_pixels), rgb)
    return larger if len(larger) > len(boxes) else boxes


def _without_blobs(boxes: Boxes, rgb: Rgb) -> Boxes:
    is_large = boxes.areas_pixels() > MAX_BLOB_FRACTION * rgb.shape[0] * rgb.shape[1]
    is_line = ~is_large | (_line_ratios(boxes) >= MIN_LINE_RATIO)
    return boxes.take([int(place) for place in np.flatnonzero(is_line)])


def _line_ratios(boxes: Boxes) -> NDArray[np.float32]:
    """Return how many times each line is longer than high, (N,) float32."""
    heights = np.maximum(boxes.heights_pixels(), np.float32(1))
    return np.asarray(boxes.areas_pixels() / heights**2, dtype=np.float32)


def _chance_rich(boxes: Boxes, text_density: float) -> float:
    """Return the chance that text makes the picture: logistic in the lines' total length and the density."""
    return _logistic(1.126 * _log_length(boxes) + 1.145 * _log_odds(text_density) - 3.472)


def _chance_any(boxes: Boxes, text_density: float, lines: Sequence[Line]) -> float:
    """Return the chance that the picture holds any text one can read."""
    words = [line for line in lines if len(_without_spaces(line)) >= MIN_WORD_CHARS]
    surest = max((line.confidence for line in words), default=0.0)
    chars = sum(len(_without_spaces(line)) for line in words if line.confidence >= 0.7)
    return _logistic(
        0.618 * _log_length(boxes)
        + 0.315 * math.log1p(chars)
        + 4.598 * surest
        + 0.556 * _log_odds(text_density)
        - 1.399
    )


def _score(chance_rich: float, chance_any: float, boxes: int) -> float:
    mixed = LIGHT_SHARE * max(chance_any, chance_rich) + (1 - LIGHT_SHARE) * chance_rich
    return DENSITY_BAND + (1 - DENSITY_BAND) * mixed * (1.0 if boxes else NO_BOXES_FACTOR)


def _sum_up(lines: Sequence[Line], settings: CascadeSettings) -> _Read:
    sure = [line for line in lines if line.confidence >= settings.min_line_confidence and _without_spaces(line)]
    return _Read(
        lines=len(sure),
        chars=sum(len(_without_spaces(line)) for line in sure),
        confidence=sum(line.confidence for line in lines) / len(lines) if lines else 0.0,
    )


def _log_length(boxes: Boxes) -> float:
    return math.log1p(float(np.minimum(_line_ratios(boxes), MAX_LINE_RATIO).sum()))


def _log_odds(text_density: float) -> float:
    bounded = min(max(text_density, 1e-3), 1 - 1e-3)
    return math.log(bounded / (1 - bounded))


def _logistic(weighed: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, weighed))))


def _without_spaces(line: Line) -> str:
    return "".join(line.text.split())
