"""Whether an image is rich in text: a cascade that runs OCR only where cheaper steps could not decide.

=============  ==================================================================  ==============
step           input                                                               costs about
=============  ==================================================================  ==============
density        the image at 384 × 384, with a small network (in the scan)          3 ms
kind           the image at 256 × 256, with a larger network                       9 ms
density_large  the image at 576 × 576, with the small network                      6 ms
detect_small   the regions where it found text, with the engine's detector         5 to 25 ms
detect_large   the same regions enlarged, for small print                          15 to 45 ms
read           the most informative lines, one by one                              7 ms a line
=============  ==================================================================  ==============

Each step gives two probabilities, for the two questions that Web-SSL asked a VLM (Fan et al., 2025,
arXiv:2504.01017): *light*, there is any readable text, and *heavy*, the image is a chart, table, document or
screenshot with readable text. They are logistic regressions on the features of the steps (text_weights.json); after
the last step, boosted trees decide about heavy, which also see colours and straight lines (text_trees.json). Both are
fitted by scripts/text_net/fit.py. A question is settled once its probability falls below the step's lower bound or
reaches its upper bound. An image goes on to the next step while a question is open. A picture that is to be heavy
must have a legible line: if a step before reading has settled that it is, lines are read until one is legible, small
print last, which changes no probability. `curate calibrate` makes the bounds.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from curation.text.bounds import CascadeSettings, TextStep, text_weights, weights_hash
from curation.text.features import (
    CERTAIN_TEXT,
    Features,
    box_features,
    concatenated,
    is_legible,
    is_readable,
    line_certainties,
    line_features,
    look_features,
    most_informative_lines,
    without_blobs,
)
from curation.text.first_look import FirstLook, first_look, kind_of, network_kinds
from curation.text.trees import heavy_trees
from curation.text.windows import View, views
from filters.appearance import appearance
from filters.logistic import rounded_probability, weighted_log_odds
from filters.protocol import Boxes, Line, Rgb, TextEngine, TextProbabilities
from filters.text_density import TextMap, map_features, text_map

SCORE_DECIMALS = 6
LIGHT_SHARE = 0.3  # the weight of light in the score; the rest is the weight of heavy
LARGE_MAP_PIXELS, LARGE_MAP_ENLARGEMENT = 576 * 576, 1.6


@dataclass(frozen=True, kw_only=True)
class TextMeasures:
    """What the cascade measured. A field is None where the step that measures it did not run.

    `text_kind`: what the image is, a TextKind. `text_area_fraction`: share of the image under boxes, in [0, 1].
    `text_lines`: the legible lines among those that were read. `text_chars`: the characters without spaces of those
    that the engine could read. `text_confidence`: mean over all lines read. `text_score`: in [0, 1], 6 decimals, how
    likely the image is a chart, table, document or screenshot with readable text; comparable between images,
    whichever `text_step` decided. `text_trail`: the probabilities (light, heavy) after each step, as JSON.
    """

    text_kind: str
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
    look: FirstLook
    traces: list[Trace]
    found: TextMap | None = None  # at the larger size, from the step density_large on
    views: list[View] = field(default_factory=list)
    boxes: Boxes = field(default_factory=lambda: concatenated([]))
    unread: list[int] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    line_scores: list[float] = field(default_factory=list)
    legible: int = 0

    @cached_property
    def appearance(self) -> dict[str, float]:
        return appearance(self.rgb)

    @cached_property
    def is_surely_text(self) -> bool:
        return self.found is not None and map_features(self.found)["line"] >= CERTAIN_TEXT

    @property
    def step(self) -> TextStep:
        return self.traces[-1].step

    @property
    def probabilities(self) -> TextProbabilities:
        return self.traces[-1].probabilities

    def add(self, step: TextStep) -> None:
        """Add the trace of `step`, from all that has been measured."""
        features = {
            **look_features(self.look, self.found),
            **box_features(self.boxes),
            **line_features(self.lines, self.line_scores),
        }
        if step is TextStep.READ:
            features |= self.appearance
        self.traces.append(Trace(step=step, features=features, probabilities=_weigh(step, features)))


class Cascade:
    """Runs the steps on images, for each as far as it needs."""

    VERSION = f"3+{weights_hash()}"

    def __init__(self, engine: TextEngine, settings: CascadeSettings) -> None:
        self.engine = engine
        self.settings = settings

    def measure(self, pictures: Sequence[Rgb], looks: Sequence[FirstLook]) -> list[TextMeasures]:
        """Return what the cascade measures on each of `pictures`, uint8 (height, width, 3).

        `looks`: the first look at each. Errors of the engine are not caught.
        """
        return [_measures(each) for each in self._run(pictures, looks)]

    def trace(self, pictures: Sequence[Rgb], looks: Sequence[FirstLook]) -> list[list[Trace]]:
        """Return the traces of each of `pictures`, one for each step that ran: what the weights are fitted to."""
        return [each.traces for each in self._run(pictures, looks)]

    def boxes(self, rgb: Rgb, *, area_pixels: int) -> Boxes:
        """Return the boxes of text that a detection at this total area finds in `rgb`, uint8 (height, width, 3)."""
        image = _Progress(rgb=rgb, look=first_look(rgb), traces=[])
        image.found = text_map(rgb, area_pixels=LARGE_MAP_PIXELS, max_enlargement=LARGE_MAP_ENLARGEMENT)
        self._find_boxes([image], area_pixels)
        return image.boxes

    def _run(self, pictures: Sequence[Rgb], looks: Sequence[FirstLook]) -> list[_Progress]:
        images = [
            _Progress(rgb=rgb, look=look, traces=[_density(look)]) for rgb, look in zip(pictures, looks, strict=True)
        ]
        for image in self._open(images, TextStep.DENSITY):
            if not image.look.has_rich_kinds:  # the scan asks the network only about what may be heavy
                image.look = dataclasses.replace(image.look, kinds=network_kinds(image.rgb))
            image.add(TextStep.KIND)
        for image in self._open(images, TextStep.KIND):
            image.found = text_map(image.rgb, area_pixels=LARGE_MAP_PIXELS, max_enlargement=LARGE_MAP_ENLARGEMENT)
            image.add(TextStep.DENSITY_LARGE)
        small, large = TextStep.DETECT_SMALL, TextStep.DETECT_LARGE
        self._detect(self._open(images, TextStep.DENSITY_LARGE), small, self.settings.small_area_pixels)
        self._detect(self._open(images, small), large, self.settings.large_area_pixels)
        self._read(self._open(images, large))
        self._look_for_a_line([image for image in images if image.step in (small, large)])
        return images

    def _open(self, images: Sequence[_Progress], step: TextStep) -> list[_Progress]:
        return [image for image in images if image.step is step and self._is_open(image)]

    def _detect(self, images: Sequence[_Progress], step: TextStep, area_pixels: int) -> None:
        """Detect text in each image's views, and add the trace of the step."""
        self._find_boxes(images, area_pixels)
        for image in images:
            image.add(step)

    def _find_boxes(self, images: Sequence[_Progress], area_pixels: int) -> None:
        """Detect text in each image's views; where the step before had the same views, keep its boxes."""
        changed: list[_Progress] = []
        for image in images:
            new = views(image.rgb, image.found, area_pixels=area_pixels) if image.found else []
            if [v.size for v in new] != [v.size for v in image.views]:
                changed.append(image)
            image.views = new
        pixels_of_views = [view.pixels for image in changed for view in image.views]
        if pixels_of_views:
            largest = max(pixels.shape[0] * pixels.shape[1] for pixels in pixels_of_views)
            boxes = iter(self.engine.detect(pixels_of_views, max_area_pixels=largest))
            for image in changed:
                image.boxes = without_blobs(concatenated([v.place(next(boxes)) for v in image.views]), image.rgb)

    def _read(self, images: Sequence[_Progress]) -> None:
        """Read the most informative lines, one of each image at a time, while a question is open."""
        reading = self._with_lines(images)
        while reading:
            self._read_one(reading)
            for image in reading:
                if image.step is TextStep.READ:
                    image.traces.pop()
                image.add(TextStep.READ)
            reading = [i for i in reading if i.unread and (self._is_open(i) or self._lacks_line(i))]

    def _look_for_a_line(self, images: Sequence[_Progress]) -> None:
        """Look for a legible line in images that are settled as heavy; without one, detect small print, too."""
        settled = [image for image in images if self._lacks_line(image)]
        self._read_until_legible(settled)
        small = [image for image in settled if image.step is TextStep.DETECT_SMALL and self._lacks_line(image)]
        self._find_boxes(small, self.settings.large_area_pixels)
        self._read_until_legible(small)

    def _read_until_legible(self, images: Sequence[_Progress]) -> None:
        reading = self._with_lines(images)
        while reading:
            self._read_one(reading)
            reading = [image for image in reading if image.unread and self._lacks_line(image)]

    def _is_open(self, image: _Progress) -> bool:
        return self.settings.is_open(image.step, image.probabilities)

    def _lacks_line(self, image: _Progress) -> bool:
        """Return whether an image that is settled as heavy has no legible line yet."""
        return self.settings.is_accepted_as_heavy(image.step, image.probabilities) and not image.legible

    def _with_lines(self, images: Sequence[_Progress]) -> list[_Progress]:
        for image in images:
            image.unread = most_informative_lines(image.boxes, self.settings.max_lines)
        return [image for image in images if image.unread]

    def _read_one(self, images: Sequence[_Progress]) -> None:
        """Read the next line of each image."""
        boxes = [image.boxes.take([image.unread.pop(0)]) for image in images]
        read = self.engine.read([image.rgb for image in images], boxes)
        for image, mine, lines in zip(images, boxes, read, strict=True):
            image.lines += lines
            image.line_scores += [float(score) for score in mine.scores]
            image.legible += sum(
                is_legible(line, float(certainty), is_surely_text=image.is_surely_text)
                for line, certainty in zip(lines, line_certainties(mine), strict=True)
            )


def text_score(probabilities: TextProbabilities) -> float:
    """Return the one number that images are ranked by: mostly the probability of heavy, partly that of any text."""
    any_text = max(probabilities.light, probabilities.heavy)
    return round(LIGHT_SHARE * any_text + (1 - LIGHT_SHARE) * probabilities.heavy, SCORE_DECIMALS)


def density_measures(look: FirstLook) -> TextMeasures:
    """Return the measures of an image that density settled: its probabilities and its kind, nothing else."""
    return _measures(_Progress(rgb=np.zeros((1, 1, 3), np.uint8), look=look, traces=[_density(look)]))


def settled_measures(look: FirstLook, settings: CascadeSettings) -> TextMeasures | None:
    """Return the measures of an image that the first look settles; None if its pixels are needed again."""
    if not settings.is_open(TextStep.DENSITY, look.probabilities):
        return density_measures(look)
    if not look.has_rich_kinds:
        return None
    image = _Progress(rgb=np.zeros((1, 1, 3), np.uint8), look=look, traces=[_density(look)])
    image.add(TextStep.KIND)
    return None if settings.is_open(TextStep.KIND, image.probabilities) else _measures(image)


def parse_text_trail(text: str) -> dict[TextStep, TextProbabilities]:
    """Return the probabilities after each step, from a row's column `text_trail`."""
    return {
        TextStep(s): TextProbabilities(light=light, heavy=heavy) for s, (light, heavy) in json.loads(text).items()
    }


def _weigh(step: TextStep, features: Features) -> TextProbabilities:
    weights: Mapping[str, Mapping[str, float]] = text_weights()["chances"][step.value]
    light, heavy = (weighted_log_odds(weights[question], features) for question in ("light", "heavy"))
    if step is TextStep.READ:
        heavy = heavy_trees().log_odds(features, heavy)
    return TextProbabilities(
        light=rounded_probability(light, decimals=SCORE_DECIMALS),
        heavy=rounded_probability(heavy, decimals=SCORE_DECIMALS),
    )


def _density(look: FirstLook) -> Trace:
    return Trace(step=TextStep.DENSITY, features={}, probabilities=look.probabilities)


def _measures(image: _Progress) -> TextMeasures:
    has_boxes = any(trace.step is TextStep.DETECT_SMALL for trace in image.traces)
    lines = image.lines or None
    readable = [line for line in lines or [] if is_readable(line)]
    fraction = None
    if has_boxes:
        share = float(image.boxes.areas_pixels().sum()) / (image.rgb.shape[0] * image.rgb.shape[1])
        fraction = round(min(1.0, share), SCORE_DECIMALS)
    confidence = None
    if lines:
        confidence = round(sum(line.confidence for line in lines) / len(lines), SCORE_DECIMALS)
    return TextMeasures(
        text_kind=str(kind_of(image.look.kinds, image.probabilities)),
        text_boxes=len(image.boxes) if has_boxes else None,
        text_area_fraction=fraction,
        text_lines=None if lines is None else image.legible,
        text_chars=None if lines is None else sum(len("".join(line.text.split())) for line in readable),
        text_confidence=confidence,
        text_score=text_score(image.probabilities),
        text_step=str(image.step),
        text_trail=_text_trail(image.traces),
    )


def _text_trail(traces: Sequence[Trace]) -> str:
    """Return the probabilities after each step as JSON: {"density": [light, heavy], …}, in the order of the steps."""
    by_step = {str(t.step): [t.probabilities.light, t.probabilities.heavy] for t in traces}
    return json.dumps(by_step, separators=(",", ":"))
