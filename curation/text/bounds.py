"""What settles a question about a picture's text: the bounds of the cascade's steps, and the rules of the classes.

The defaults lie in text_weights.json: `curate calibrate` made them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from filters.protocol import TextProbabilities

TextClass = Literal["none", "light", "heavy"]
READ_FEATURES = ("word", "second_word", "chars")  # of the lines that were read


class TextStep(StrEnum):
    """The steps of the cascade, each dearer than the one before."""

    DENSITY = "density"
    DENSITY_LARGE = "density_large"
    DETECT_SMALL = "detect_small"
    DETECT_LARGE = "detect_large"
    READ = "read"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """When a step settles a question: below `drop_…` no, from `keep_…` on yes; chances in [0, 1]."""

    drop_light: float = 0.0
    keep_light: float = 1.1
    drop_heavy: float = 0.0
    keep_heavy: float = 1.1

    def is_open(self, chances: TextProbabilities, *, with_light: bool, with_heavy: bool = True) -> bool:
        """Whether a question that is asked is still open; what is heavy is light."""
        if chances.heavy >= self.keep_heavy:
            return False
        if with_heavy and chances.heavy >= self.drop_heavy:
            return True
        return with_light and self.drop_light <= chances.light < self.keep_light


@lru_cache(maxsize=1)
def text_weights() -> Mapping[str, Any]:
    """Return what was fitted: `chances` by step and question, `bounds` by step, `rules`."""
    found: dict[str, Any] = json.loads(resources.files("curation.text").joinpath("text_weights.json").read_bytes())
    return found


def weights_mark() -> str:
    """Return a short sha256 of the weights that turn what the steps saw into chances."""
    chances = json.dumps(text_weights()["chances"], sort_keys=True)
    return hashlib.sha256(chances.encode()).hexdigest()[:8]


@lru_cache(maxsize=1)
def reading_tells_heavy() -> bool:
    """Whether lines that were read weigh in the chance of heavy: if not, none is read for its sake."""
    return any(text_weights()["chances"][TextStep.READ]["heavy"].get(name) for name in READ_FEATURES)


def is_open(
    bounds: Mapping[TextStep, Bounds], step: TextStep, chances: TextProbabilities, *, with_light: bool
) -> bool:
    """Whether a picture goes on after `step` left it these chances."""
    with_heavy = step not in (TextStep.DETECT_LARGE, TextStep.READ) or reading_tells_heavy()
    return bounds.get(step, Bounds()).is_open(chances, with_light=with_light, with_heavy=with_heavy)


def default_bounds() -> dict[TextStep, Bounds]:
    """Return the bounds that ship with the project."""
    return {step: Bounds(**text_weights()["bounds"].get(step.value, {})) for step in TextStep}


def default_rules() -> Mapping[str, float]:
    """Return the thresholds on `text_score` that ship with the project."""
    rules: Mapping[str, float] = text_weights()["rules"]
    return rules


@dataclass(frozen=True, kw_only=True)
class CascadeSettings:
    """How much is spent on one picture.

    `with_light`: whether any text at all is asked for, not the text-rich alone. `small_area_pixels`,
    `large_area_pixels`: what both detections look at in all. `max_lines`: how many lines are read, the most telling
    first. `bounds`: when each step settles a question; without, only the last step does. `is_exhaustive`: run every
    step on every picture, to calibrate by.
    """

    with_light: bool = True
    small_area_pixels: int = 256 * 256
    large_area_pixels: int = 448 * 448
    max_lines: int = 6
    bounds: Mapping[TextStep, Bounds] = field(default_factory=default_bounds)
    is_exhaustive: bool = False

    def is_open(self, step: TextStep, chances: TextProbabilities) -> bool:
        """Whether a picture goes on after `step` left it these chances."""
        if self.is_exhaustive:
            return True
        return is_open(self.bounds, step, chances, with_light=self.with_light)


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """The least `text_score` of each class: light: any readable text; heavy: charts, tables, documents."""

    min_light_score: float = field(default_factory=lambda: default_rules()["min_light_score"])
    min_heavy_score: float = field(default_factory=lambda: default_rules()["min_heavy_score"])

    def __post_init__(self) -> None:
        if not 0 <= self.min_light_score <= self.min_heavy_score <= 1:
            raise ValueError(
                f"TextRules: need 0 <= min_light_score ({self.min_light_score}) <= "
                f"min_heavy_score ({self.min_heavy_score}) <= 1; swap or correct them"
            )
