"""Whether a picture is rich in text: a cascade that pays for OCR only where less could not decide.

=============  ==================================================================  ==============
step           looks at                                                            costs about
=============  ==================================================================  ==============
density        the picture at 384 × 384, with a network of its own (in the scan)   3 ms
density_large  the picture at 576 × 576, with the same network                     6 ms
detect_small   where that saw text, with the engine's detector                     5 to 25 ms
detect_large   the same, larger: for small print                                   15 to 45 ms
read           the most telling lines, one by one                                  7 ms a line
=============  ==================================================================  ==============

Each step leaves two chances, the two questions Web-SSL asked a VLM (Fan et al., 2025, arXiv:2504.01017): *light*,
that there is any text to read, and *heavy*, that it is a chart, table, document or screenshot with readable text.
They are logistic regressions on what the steps saw, fitted by scripts/text_net/fit.py (text_weights.json). A question
is settled once its chance falls below the step's lower bound or reaches its upper one; a picture goes on while one of
the questions asked is open. `curate calibrate` makes the bounds.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curation.text.bounds import CascadeSettings, TextClass, TextRules, TextStep, text_weights, weights_mark
from curation.text.windows import View, views
from filters.protocol import Boxes, Line, Rgb, TextEngine, TextProbabilities
from filters.text_density import TextMap, text_map, text_probabilities

Features = Mapping[str, float]

SCORE_DECIMALS = 6
LIGHT_SHARE = 0.3  # of the score: any text at all; the rest says whether it makes the picture
MAX_BLOB_FRACTION, MIN_LINE_RATIO = 0.15, 4.0  # a box larger and stubbier than this is no line of text
MAX_LINE_RATIO = 15.0  # a line longer than this many times its height counts as no more
WORD_CHARS = 3  # letters and digits that make a line a word
MIN_LINE_CONFIDENCE = 0.7
LARGE_MAP_PIXELS, LARGE_MAP_ENLARGEMENT = 576 * 576, 1.6


_NOTHING_FOUND = TextMap(
    log_odds=np.full((1, 1), -30, np.float32), heights_pixels=np.ones((1, 1), np.float32), flat_share=0.0
)


@dataclass(frozen=True, kw_only=True)
class TextMeasures:
    """What the cascade saw. A field is None where the step that measures it did not run.

    `text_area_fraction`: share of the picture under boxes, in [0, 1]. `text_lines` and `text_chars`: lines
    read with enough confidence, and their characters without spaces. `text_confidence`: mean over all
    lines read. `text_score`: in [0, 1], 6 decimals, how likely the picture is a chart, table, document or
    screenshot with readable text; comparable whatever `text_step` decided. `text_trail`: the chances (light, heavy)
    that each step left, as JSON.
    """

    text_boxes: int | None
    text_area_fraction: float | None
    text_lines: int | None
    text_chars: int | None
    text_confidence: float | None
    text_score: float
    text_step: str
    text_trail: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one step saw of one picture, and the chances that followed."""

    step: TextStep
    features: Features
    chances: TextProbabilities


@dataclass(kw_only=True)
class _Sight:
    """What is known of one picture so far."""

    rgb: Rgb
    found: TextMap
    prior: TextProbabilities
    traces: list[Trace]
    views: list[View] = field(default_factory=list)
    boxes: Boxes | None = None
    unread: list[int] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    worths: list[float] = field(default_factory=list)

    @property
    def chances(self) -> TextProbabilities:
        return self.traces[-1].chances


class Cascade:
    """Runs the steps on pictures, as far as each needs."""

    VERSION = f"2+{weights_mark()}"

    def __init__(self, engine: TextEngine, settings: CascadeSettings) -> None:
        self.engine = engine
        self.settings = settings

    def measure(self, pictures: Sequence[Rgb], priors: Sequence[TextProbabilities]) -> list[TextMeasures]:
        """Return what the cascade sees in each of `pictures`, (height, width, 3), whose density left `priors`.

        What the engine raises is not caught.
        """
        return [_measures(sight) for sight in self._look(pictures, priors)]

    def trace(self, pictures: Sequence[Rgb], priors: Sequence[TextProbabilities]) -> list[list[Trace]]:
        """Return what each step that ran saw of each of `pictures`: what the weights are fitted to."""
        return [sight.traces for sight in self._look(pictures, priors)]

    def _look(self, pictures: Sequence[Rgb], priors: Sequence[TextProbabilities]) -> list[_Sight]:
        sights = [
            _Sight(rgb=rgb, found=_NOTHING_FOUND, prior=prior, traces=[_density(prior)])
            for rgb, prior in zip(pictures, priors, strict=True)
        ]
        for sight in self._open(sights, TextStep.DENSITY):
            sight.found = text_map(sight.rgb, area_pixels=LARGE_MAP_PIXELS, max_enlargement=LARGE_MAP_ENLARGEMENT)
            sight.traces.append(_trace(TextStep.DENSITY_LARGE, sight))
        small, large = TextStep.DETECT_SMALL, TextStep.DETECT_LARGE
        self._detect(self._open(sights, TextStep.DENSITY_LARGE), small, self.settings.small_area_pixels)
        self._detect(self._open(sights, small), large, self.settings.large_area_pixels)
        self._read(self._open(sights, TextStep.DETECT_LARGE))
        return sights

    def _open(self, sights: Sequence[_Sight], step: TextStep) -> list[_Sight]:
        return [s for s in sights if s.traces[-1].step is step and self.settings.is_open(step, s.chances)]

    def _detect(self, sights: Sequence[_Sight], step: TextStep, area_pixels: int) -> None:
        """Look at each picture's views; where they are those of the step before, its boxes stand."""
        looking: list[_Sight] = []
        for sight in sights:
            new = views(sight.rgb, sight.found, area_pixels=area_pixels)
            if sight.boxes is None or [v.size for v in new] != [v.size for v in sight.views]:
                looking.append(sight)
            sight.views = new
        shown = [view.pixels for sight in looking for view in sight.views]
        if shown:
            largest = max(pixels.shape[0] * pixels.shape[1] for pixels in shown)
            boxes = iter(self.engine.detect(shown, max_area_pixels=largest))
            for sight in looking:
                sight.boxes = _without_blobs(_together([v.place(next(boxes)) for v in sight.views]), sight.rgb)
        for sight in sights:
            sight.traces.append(_trace(step, sight))

    def _read(self, sights: Sequence[_Sight]) -> None:
        """Read the most telling lines, one of each picture at a time, while a question is open."""
        for sight in sights:
            sight.unread = telling_lines(sight.boxes, self.settings.max_lines) if sight.boxes is not None else []
        reading = [sight for sight in sights if sight.unread]
        while reading:
            boxes = [_boxes_of(sight).take([sight.unread.pop(0)]) for sight in reading]
            read = self.engine.read([sight.rgb for sight in reading], boxes)
            for sight, mine, lines in zip(reading, boxes, read, strict=True):
                sight.lines += lines
                sight.worths += [float(score) for score in mine.scores]
                if sight.traces[-1].step is TextStep.READ:
                    sight.traces.pop()
                sight.traces.append(_trace(TextStep.READ, sight))
            reading = [s for s in reading if s.unread and self.settings.is_open(TextStep.READ, s.chances)]


def telling_lines(boxes: Boxes, max_lines: int) -> list[int]:
    """Return the positions of the `max_lines` boxes most worth reading: surely text, long, and not tiny."""
    ratios = np.minimum(_line_ratios(boxes), MAX_LINE_RATIO)
    legible = np.minimum(boxes.heights_pixels() / 12, 1)
    worth = boxes.scores * ratios * legible
    return [int(place) for place in np.lexsort((np.arange(len(boxes)), -worth))[:max_lines]]


def text_score(chances: TextProbabilities) -> float:
    """Return the one number pictures are ranked by: text that makes the picture, and a share of any text at all."""
    any_text = max(chances.light, chances.heavy)
    return round(LIGHT_SHARE * any_text + (1 - LIGHT_SHARE) * chances.heavy, SCORE_DECIMALS)


def text_class(measures: TextMeasures, rules: TextRules) -> TextClass:
    """Return the class of a picture under `rules`."""
    if measures.text_score >= rules.min_heavy_score:
        return "heavy"
    return "light" if measures.text_score >= rules.min_light_score else "none"


def density_measures(prior: TextProbabilities) -> TextMeasures:
    """Return what is known of a picture that density settled: nothing but its chances."""
    nothing = np.zeros((1, 1, 3), np.uint8)
    return _measures(_Sight(rgb=nothing, found=_NOTHING_FOUND, prior=prior, traces=[_density(prior)]))


def trail(traces: Sequence[Trace]) -> str:
    """Return the chances each step left as JSON: {"density": [light, heavy], …}, in the order of the steps."""
    return json.dumps({str(t.step): [t.chances.light, t.chances.heavy] for t in traces}, separators=(",", ":"))


def read_trail(text: str) -> dict[TextStep, TextProbabilities]:
    """Return the chances that a row's `text_trail` holds."""
    return {
        TextStep(s): TextProbabilities(light=light, heavy=heavy) for s, (light, heavy) in json.loads(text).items()
    }


# --- weights ----------------------------------------------------------------------------------------------


def _weigh(step: TextStep, features: Features) -> TextProbabilities:
    weights = text_weights()["chances"][step.value]
    light, heavy = (_chance(weights[question], features) for question in ("light", "heavy"))
    return TextProbabilities(light=light, heavy=heavy)


def _chance(weights: Mapping[str, float], features: Features) -> float:
    total = weights["bias"] + sum(weight * features[name] for name, weight in weights.items() if name != "bias")
    return round(1 / (1 + math.exp(-max(-30.0, min(30.0, total)))), SCORE_DECIMALS)


# --- evidence ---------------------------------------------------------------------------------------------


def _density(prior: TextProbabilities) -> Trace:
    return Trace(step=TextStep.DENSITY, features={}, chances=prior)


def _trace(step: TextStep, sight: _Sight) -> Trace:
    features = dict(_features(sight))
    return Trace(step=step, features=features, chances=_weigh(step, features))


def _features(sight: _Sight) -> Iterator[tuple[str, float]]:
    """Yield what chances are weighed from: the log-odds of both densities, the boxes, the lines read."""
    large = text_probabilities(sight.found)
    for name, chances in (("density", sight.prior), ("large", large)):
        yield f"{name}_light", _log_odds(chances.light)
        yield f"{name}_heavy", _log_odds(chances.heavy)
    boxes = _boxes_of(sight)
    ratios = np.minimum(_line_ratios(boxes), MAX_LINE_RATIO)
    yield "length", math.log1p(float((ratios * boxes.scores).sum()))
    yield "boxes", math.log1p(len(boxes))
    yield "surest", float((boxes.scores * np.minimum(ratios, 4) / 4).max(initial=0))
    words = sorted((_word(line, score) for line, score in zip(sight.lines, sight.worths, strict=True)), reverse=True)
    yield "word", words[0] if words else 0.0
    yield "second_word", words[1] if len(words) > 1 else 0.0
    sure = [line for line in sight.lines if line.confidence >= MIN_LINE_CONFIDENCE]
    yield "chars", math.log1p(sum(_letters(line) for line in sure))


def _word(line: Line, score: float) -> float:
    """Return how surely a line is a word, in [0, 1]: read and detected with confidence, and not too short."""
    return line.confidence * math.sqrt(score) * min(1.0, _letters(line) / WORD_CHARS)


def _letters(line: Line) -> int:
    return sum(character.isalnum() for character in line.text)


def _boxes_of(sight: _Sight) -> Boxes:
    return sight.boxes if sight.boxes is not None else _together([])


def _together(found: Sequence[Boxes]) -> Boxes:
    quads = [np.zeros((0, 4, 2), np.float32), *(boxes.quads for boxes in found)]
    return Boxes(
        quads=np.concatenate(quads).astype(np.float32, copy=False),
        scores=np.concatenate([np.zeros(0, np.float32), *(boxes.scores for boxes in found)]).astype(np.float32),
    )


def _without_blobs(boxes: Boxes, rgb: Rgb) -> Boxes:
    is_large = boxes.areas_pixels() > MAX_BLOB_FRACTION * rgb.shape[0] * rgb.shape[1]
    is_line = ~is_large | (_line_ratios(boxes) >= MIN_LINE_RATIO)
    return boxes.take([int(place) for place in np.flatnonzero(is_line)])


def _line_ratios(boxes: Boxes) -> NDArray[np.float32]:
    """Return how many times each line is longer than high, (N,) float32."""
    heights = np.maximum(boxes.heights_pixels(), np.float32(1))
    return np.asarray(boxes.areas_pixels() / heights**2, dtype=np.float32)


def _log_odds(chance: float) -> float:
    bounded = min(max(chance, 1e-4), 1 - 1e-4)
    return math.log(bounded / (1 - bounded))


def _measures(sight: _Sight) -> TextMeasures:
    boxes, lines = sight.boxes, sight.lines if sight.traces[-1].step is TextStep.READ else None
    sure = [line for line in lines or [] if line.confidence >= MIN_LINE_CONFIDENCE and line.text.strip()]
    fraction = None
    if boxes is not None:
        share = float(boxes.areas_pixels().sum()) / (sight.rgb.shape[0] * sight.rgb.shape[1])
        fraction = round(min(1.0, share), SCORE_DECIMALS)
    confidence = None
    if lines:
        confidence = round(sum(line.confidence for line in lines) / len(lines), SCORE_DECIMALS)
    return TextMeasures(
        text_boxes=None if boxes is None else len(boxes),
        text_area_fraction=fraction,
        text_lines=None if lines is None else len(sure),
        text_chars=None if lines is None else sum(len("".join(line.text.split())) for line in sure),
        text_confidence=confidence,
        text_score=text_score(sight.chances),
        text_step=str(sight.traces[-1].step),
        text_trail=trail(sight.traces),
    )
