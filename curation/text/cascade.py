"""Whether an image is rich in text: a cascade that runs OCR only where cheaper steps could not decide.

=============  ==================================================================  ==============
step           input                                                               costs about
=============  ==================================================================  ==============
density        the image at 384 × 384, with a small network (in the scan)          3 ms
density_large  the image at 576 × 576, with the same network                       6 ms
detect_small   the regions where it found text, with the engine's detector         5 to 25 ms
detect_large   the same regions enlarged, for small print                          15 to 45 ms
read           the most informative lines, one by one                              7 ms a line
=============  ==================================================================  ==============

Each step gives two probabilities, for the two questions that Web-SSL asked a VLM (Fan et al., 2025,
arXiv:2504.01017): *light*, there is any readable text, and *heavy*, the image is a chart, table, document or
screenshot with readable text. They are logistic regressions on the features of the steps, fitted by
scripts/text_net/fit.py (text_weights.json). A question is settled once its probability falls below the step's lower
bound or reaches its upper bound. An image goes on to the next step while a question is open. `curate calibrate` makes
the bounds.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curation.text.bounds import CascadeSettings, TextStep, text_weights, weights_hash
from curation.text.windows import View, views
from filters.logistic import logit, weighted_probability
from filters.protocol import Boxes, Line, Rgb, TextEngine, TextProbabilities
from filters.text_density import TextMap, text_map, text_probabilities

Features = Mapping[str, float]

SCORE_DECIMALS = 6
LIGHT_SHARE = 0.3  # the weight of light in the score; the rest is the weight of heavy
MAX_BLOB_FRACTION, MIN_LINE_RATIO = 0.15, 4.0  # a larger and less elongated box is not a line of text
MAX_LINE_RATIO = 15.0  # width by height: a longer line counts as much as one of this ratio
WORD_CHARS = 3  # letters and digits that make a line a word
MIN_LINE_CONFIDENCE = 0.7
LEAST_PROBABILITY = 1e-4  # below it, the log-odds of a density are not informative
LARGE_MAP_PIXELS, LARGE_MAP_ENLARGEMENT = 576 * 576, 1.6


_NOTHING_FOUND = TextMap(
    log_odds=np.full((1, 1), -30, np.float32), heights_pixels=np.ones((1, 1), np.float32), flat_share=0.0
)


@dataclass(frozen=True, kw_only=True)
class TextMeasures:
    """What the cascade measured. A field is None where the step that measures it did not run.

    `text_area_fraction`: share of the image under boxes, in [0, 1]. `text_lines` and `text_chars`: lines read with
    enough confidence, and their characters without spaces. `text_confidence`: mean over all lines read.
    `text_score`: in [0, 1], 6 decimals, how likely the image is a chart, table, document or screenshot with readable
    text; comparable between images, whichever `text_step` decided. `text_trail`: the probabilities (light, heavy)
    after each step, as JSON.
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
    """The features that one step measured on one image, and the probabilities that follow from them."""

    step: TextStep
    features: Features
    probabilities: TextProbabilities


@dataclass(kw_only=True)
class _Progress:
    """One image on its way through the cascade: what has been measured so far."""

    rgb: Rgb
    found: TextMap
    prior: TextProbabilities
    traces: list[Trace]
    views: list[View] = field(default_factory=list)
    boxes: Boxes | None = None
    unread: list[int] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    line_scores: list[float] = field(default_factory=list)

    @property
    def probabilities(self) -> TextProbabilities:
        return self.traces[-1].probabilities


class Cascade:
    """Runs the steps on images, for each as far as it needs."""

    VERSION = f"2+{weights_hash()}"

    def __init__(self, engine: TextEngine, settings: CascadeSettings) -> None:
        self.engine = engine
        self.settings = settings

    def measure(self, pictures: Sequence[Rgb], priors: Sequence[TextProbabilities]) -> list[TextMeasures]:
        """Return what the cascade measures on each of `pictures`, uint8 (height, width, 3).

        `priors`: the probabilities that density gave them. Errors of the engine are not caught.
        """
        return [_measures(each) for each in self._run(pictures, priors)]

    def trace(self, pictures: Sequence[Rgb], priors: Sequence[TextProbabilities]) -> list[list[Trace]]:
        """Return the traces of each of `pictures`, one for each step that ran: what the weights are fitted to."""
        return [each.traces for each in self._run(pictures, priors)]

    def _run(self, pictures: Sequence[Rgb], priors: Sequence[TextProbabilities]) -> list[_Progress]:
        images = [
            _Progress(rgb=rgb, found=_NOTHING_FOUND, prior=prior, traces=[_density(prior)])
            for rgb, prior in zip(pictures, priors, strict=True)
        ]
        for image in self._open(images, TextStep.DENSITY):
            image.found = text_map(image.rgb, area_pixels=LARGE_MAP_PIXELS, max_enlargement=LARGE_MAP_ENLARGEMENT)
            image.traces.append(_trace(TextStep.DENSITY_LARGE, image))
        small, large = TextStep.DETECT_SMALL, TextStep.DETECT_LARGE
        self._detect(self._open(images, TextStep.DENSITY_LARGE), small, self.settings.small_area_pixels)
        self._detect(self._open(images, small), large, self.settings.large_area_pixels)
        self._read(self._open(images, TextStep.DETECT_LARGE))
        return images

    def _open(self, images: Sequence[_Progress], step: TextStep) -> list[_Progress]:
        return [i for i in images if i.traces[-1].step is step and self.settings.is_open(step, i.probabilities)]

    def _detect(self, images: Sequence[_Progress], step: TextStep, area_pixels: int) -> None:
        """Detect text in each image's views; where the step before had the same views, keep its boxes."""
        changed: list[_Progress] = []
        for image in images:
            new = views(image.rgb, image.found, area_pixels=area_pixels)
            if image.boxes is None or [v.size for v in new] != [v.size for v in image.views]:
                changed.append(image)
            image.views = new
        pixels_of_views = [view.pixels for image in changed for view in image.views]
        if pixels_of_views:
            largest = max(pixels.shape[0] * pixels.shape[1] for pixels in pixels_of_views)
            boxes = iter(self.engine.detect(pixels_of_views, max_area_pixels=largest))
            for image in changed:
                image.boxes = _without_blobs(_concatenated([v.place(next(boxes)) for v in image.views]), image.rgb)
        for image in images:
            image.traces.append(_trace(step, image))

    def _read(self, images: Sequence[_Progress]) -> None:
        """Read the most informative lines, one of each image at a time, while a question is open."""
        for image in images:
            image.unread = most_informative_lines(_boxes_of(image), self.settings.max_lines)
        reading = [image for image in images if image.unread]
        while reading:
            boxes = [_boxes_of(image).take([image.unread.pop(0)]) for image in reading]
            read = self.engine.read([image.rgb for image in reading], boxes)
            for image, mine, lines in zip(reading, boxes, read, strict=True):
                image.lines += lines
                image.line_scores += [float(score) for score in mine.scores]
                if image.traces[-1].step is TextStep.READ:
                    image.traces.pop()
                image.traces.append(_trace(TextStep.READ, image))
            reading = [i for i in reading if i.unread and self.settings.is_open(TextStep.READ, i.probabilities)]


def most_informative_lines(boxes: Boxes, max_lines: int) -> list[int]:
    """Return the positions of the `max_lines` boxes most worth reading: probably text, long, and not tiny."""
    ratios = np.minimum(_line_ratios(boxes), MAX_LINE_RATIO)
    legible = np.minimum(boxes.heights_pixels() / 12, 1)
    worth = boxes.scores * ratios * legible
    return [int(place) for place in np.lexsort((np.arange(len(boxes)), -worth))[:max_lines]]


def text_score(probabilities: TextProbabilities) -> float:
    """Return the one number that images are ranked by: mostly the probability of heavy, partly that of any text."""
    any_text = max(probabilities.light, probabilities.heavy)
    return round(LIGHT_SHARE * any_text + (1 - LIGHT_SHARE) * probabilities.heavy, SCORE_DECIMALS)


def density_measures(prior: TextProbabilities) -> TextMeasures:
    """Return the measures of an image that density settled: its probabilities and nothing else."""
    no_pixels = np.zeros((1, 1, 3), np.uint8)
    return _measures(_Progress(rgb=no_pixels, found=_NOTHING_FOUND, prior=prior, traces=[_density(prior)]))


def parse_text_trail(text: str) -> dict[TextStep, TextProbabilities]:
    """Return the probabilities after each step, from a row's column `text_trail`."""
    return {
        TextStep(s): TextProbabilities(light=light, heavy=heavy) for s, (light, heavy) in json.loads(text).items()
    }


# --- weights ----------------------------------------------------------------------------------------------


def _weigh(step: TextStep, features: Features) -> TextProbabilities:
    weights = text_weights()["chances"][step.value]
    light, heavy = (
        weighted_probability(weights[question], features, decimals=SCORE_DECIMALS) for question in ("light", "heavy")
    )
    return TextProbabilities(light=light, heavy=heavy)


# --- features ---------------------------------------------------------------------------------------------


def _density(prior: TextProbabilities) -> Trace:
    return Trace(step=TextStep.DENSITY, features={}, probabilities=prior)


def _trace(step: TextStep, image: _Progress) -> Trace:
    features = dict(_features(image))
    return Trace(step=step, features=features, probabilities=_weigh(step, features))


def _features(image: _Progress) -> Iterator[tuple[str, float]]:
    """Yield (name, value) of each feature: the log-odds of both densities, the boxes, the lines read."""
    large = text_probabilities(image.found)
    for name, density in (("density", image.prior), ("large", large)):
        yield f"{name}_light", logit(density.light, least=LEAST_PROBABILITY)
        yield f"{name}_heavy", logit(density.heavy, least=LEAST_PROBABILITY)
    boxes = _boxes_of(image)
    ratios = np.minimum(_line_ratios(boxes), MAX_LINE_RATIO)
    yield "length", math.log1p(float((ratios * boxes.scores).sum()))
    yield "boxes", math.log1p(len(boxes))
    yield "surest", float((boxes.scores * np.minimum(ratios, 4) / 4).max(initial=0))
    words = sorted(
        (_word(line, score) for line, score in zip(image.lines, image.line_scores, strict=True)), reverse=True
    )
    yield "word", words[0] if words else 0.0
    yield "second_word", words[1] if len(words) > 1 else 0.0
    sure = [line for line in image.lines if line.confidence >= MIN_LINE_CONFIDENCE]
    yield "chars", math.log1p(sum(_letters(line) for line in sure))


def _word(line: Line, score: float) -> float:
    """Return how likely a line is a word, in [0, 1]: read and detected with confidence, and not too short."""
    return line.confidence * math.sqrt(score) * min(1.0, _letters(line) / WORD_CHARS)


def _letters(line: Line) -> int:
    return sum(character.isalnum() for character in line.text)


def _boxes_of(image: _Progress) -> Boxes:
    return image.boxes if image.boxes is not None else _concatenated([])


def _concatenated(found: Sequence[Boxes]) -> Boxes:
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


def _measures(image: _Progress) -> TextMeasures:
    boxes, lines = image.boxes, image.lines if image.traces[-1].step is TextStep.READ else None
    sure = [line for line in lines or [] if line.confidence >= MIN_LINE_CONFIDENCE and line.text.strip()]
    fraction = None
    if boxes is not None:
        share = float(boxes.areas_pixels().sum()) / (image.rgb.shape[0] * image.rgb.shape[1])
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
        text_score=text_score(image.probabilities),
        text_step=str(image.traces[-1].step),
        text_trail=_text_trail(image.traces),
    )


def _text_trail(traces: Sequence[Trace]) -> str:
    """Return the probabilities after each step as JSON: {"density": [light, heavy], …}, in the order of the steps."""
    by_step = {str(t.step): [t.probabilities.light, t.probabilities.heavy] for t in traces}
    return json.dumps(by_step, separators=(",", ":"))
