"""What the steps of the text cascade measure on a picture, as named numbers for the weights of each step."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from curation.text.first_look import FirstLook, rich_probability
from filters.logistic import logit
from filters.protocol import Boxes, Line, Rgb
from filters.text_density import TextMap, map_features, text_probabilities
from filters.text_kind import TextKind

Features = Mapping[str, float]

MAX_BLOB_FRACTION, MIN_LINE_RATIO = 0.15, 4.0  # a larger and less elongated box is not a line of text
MAX_LINE_RATIO = 15.0  # width by height: a longer line counts as much as one of this ratio
WORD_CHARS = 3  # letters and digits that make a line a word
READABLE_CHARS = 2  # letters and digits that a readable line has at least: a tick label, but no stray mark
CERTAIN_LINE, CERTAIN_TEXT = 0.75, 5.5  # of a detected line; log-odds of the surest line in the map of text
MIN_LINE_CONFIDENCE = 0.7
LEAST_PROBABILITY = 1e-4  # below it, the log-odds of a density are not informative
LEAST_KIND_PROBABILITY = 1e-6


def look_features(look: FirstLook, large: TextMap | None) -> dict[str, float]:
    """Return the features of the first look and, if there is one, of the map of text at a larger size.

    `density_…` and `large_…`: log-odds of any text and of a chart, table or document. `kind_rich`: log-odds of the
    kinds that the heavy question means; `kind_text`, of any kind with text.
    """
    found = {
        "density_light": logit(look.probabilities.light, least=LEAST_PROBABILITY),
        "density_heavy": logit(look.probabilities.heavy, least=LEAST_PROBABILITY),
        "kind_rich": logit(rich_probability(look.kinds), least=LEAST_KIND_PROBABILITY),
        "kind_text": -logit(look.kinds[TextKind.NONE], least=LEAST_PROBABILITY),
    }
    if large is not None:
        probabilities = text_probabilities(map_features(large))
        found["large_light"] = logit(probabilities.light, least=LEAST_PROBABILITY)
        found["large_heavy"] = logit(probabilities.heavy, least=LEAST_PROBABILITY)
    return found


def box_features(boxes: Boxes) -> dict[str, float]:
    """Return the features of detected lines: `length` of all, number of `boxes`, and the `surest`."""
    ratios = np.minimum(line_ratios(boxes), MAX_LINE_RATIO)
    return {
        "length": math.log1p(float((ratios * boxes.scores).sum())),
        "boxes": math.log1p(len(boxes)),
        "surest": float(line_certainties(boxes).max(initial=0)),
    }


def line_features(lines: Sequence[Line], scores: Sequence[float]) -> dict[str, float]:
    """Return the features of the lines that were read, whose boxes were detected with `scores`.

    `word` and `second_word`: how likely the two surest lines are words, in [0, 1]. `chars`: log of the number of
    letters and digits in sure lines.
    """
    words = sorted((_word(line, score) for line, score in zip(lines, scores, strict=True)), reverse=True)
    return {
        "word": words[0] if words else 0.0,
        "second_word": words[1] if len(words) > 1 else 0.0,
        "chars": math.log1p(sum(_letters(line) for line in lines if line.confidence >= MIN_LINE_CONFIDENCE)),
    }


def is_readable(line: Line) -> bool:
    """Return whether a line was read with confidence and has more than a single letter or digit."""
    return line.confidence >= MIN_LINE_CONFIDENCE and _letters(line) >= READABLE_CHARS


def is_legible(line: Line, certainty: float, *, is_surely_text: bool) -> bool:
    """Return whether a person could read a line: the engine did, or it is text in a script that the engine lacks.

    `certainty`: of the detected line, as `line_certainties` returns. `is_surely_text`: whether the map of text is
    sure of a line somewhere in the picture; rows of icons are rarely sure for both.
    """
    return is_readable(line) or (is_surely_text and certainty >= CERTAIN_LINE)


def line_certainties(boxes: Boxes) -> NDArray[np.float32]:
    """Return how sure detection is of each line, (N,) float32 in [0, 1]; a short one counts for less."""
    return np.asarray(boxes.scores * np.minimum(line_ratios(boxes), 4) / 4, dtype=np.float32)


def most_informative_lines(boxes: Boxes, max_lines: int) -> list[int]:
    """Return the positions of the `max_lines` boxes most worth reading: probably text, long, and not tiny."""
    ratios = np.minimum(line_ratios(boxes), MAX_LINE_RATIO)
    legible = np.minimum(boxes.heights_pixels() / 12, 1)
    worth = boxes.scores * ratios * legible
    return [int(place) for place in np.lexsort((np.arange(len(boxes)), -worth))[:max_lines]]


def line_ratios(boxes: Boxes) -> NDArray[np.float32]:
    """Return how many times each line is longer than high, (N,) float32."""
    heights = np.maximum(boxes.heights_pixels(), np.float32(1))
    return np.asarray(boxes.areas_pixels() / heights**2, dtype=np.float32)


def without_blobs(boxes: Boxes, rgb: Rgb) -> Boxes:
    """Return `boxes` without the large ones that are not elongated: they are not lines of text."""
    is_large = boxes.areas_pixels() > MAX_BLOB_FRACTION * rgb.shape[0] * rgb.shape[1]
    is_line = ~is_large | (line_ratios(boxes) >= MIN_LINE_RATIO)
    return boxes.take([int(place) for place in np.flatnonzero(is_line)])


def concatenated(found: Sequence[Boxes]) -> Boxes:
    """Return all boxes of `found`, in order."""
    quads = [np.zeros((0, 4, 2), np.float32), *(boxes.quads for boxes in found)]
    return Boxes(
        quads=np.concatenate(quads).astype(np.float32, copy=False),
        scores=np.concatenate([np.zeros(0, np.float32), *(boxes.scores for boxes in found)]).astype(np.float32),
    )


def _word(line: Line, score: float) -> float:
    """Return how likely a line is a word, in [0, 1]: read and detected with confidence, and not too short."""
    return line.confidence * math.sqrt(score) * min(1.0, _letters(line) / WORD_CHARS)


def _letters(line: Line) -> int:
    return sum(character.isalnum() for character in line.text)
