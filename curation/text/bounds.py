"""The settings of the text cascade: the bounds of its steps, and the thresholds of the text classes.

The defaults are in text_weights.json. `curate calibrate` made them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Any

from curation.text.trees import trees_file
from filters.protocol import TextProbabilities


class TextStep(StrEnum):
    """The steps of the cascade, each more expensive than the one before."""

    DENSITY = "density"
    KIND = "kind"
    DENSITY_LARGE = "density_large"
    DETECT_SMALL = "detect_small"
    DETECT_LARGE = "detect_large"
    READ = "read"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """When a step settles a question, as probabilities: below `drop_…` the answer is no, from `keep_…` on it is yes.

    A bound of 1.1 is never reached.
    """

    drop_light: float = 0.0
    keep_light: float = 1.1
    drop_heavy: float = 0.0
    keep_heavy: float = 1.1

    def is_open(self, probabilities: TextProbabilities, *, with_light: bool) -> bool:
        """Return whether one of the questions that count is still open. An image that is heavy is also light."""
        if probabilities.heavy >= self.keep_heavy:
            return False
        if probabilities.heavy >= self.drop_heavy:
            return True
        return with_light and self.drop_light <= probabilities.light < self.keep_light


@lru_cache(maxsize=1)
def text_weights() -> Mapping[str, Any]:
    """Return the fitted numbers.

    `chances`: regression weights by step and question; `kinds`: by kind; `bounds` by step; `rules`: thresholds.
    """
    found: dict[str, Any] = json.loads(resources.files("curation.text").joinpath("text_weights.json").read_bytes())
    return found


def weights_hash() -> str:
    """Return 8 hexadecimal digits of the sha256 of the weights and trees that turn features into probabilities."""
    weights = json.dumps([text_weights()[name] for name in ("chances", "kinds")], sort_keys=True)
    return hashlib.sha256(weights.encode() + trees_file()).hexdigest()[:8]


def default_bounds() -> dict[TextStep, Bounds]:
    """Return the bounds that ship with the project."""
    return {step: Bounds(**text_weights()["bounds"].get(step.value, {})) for step in TextStep}


def default_rules() -> Mapping[str, float]:
    """Return the thresholds on `text_score` that ship with the project."""
    rules: Mapping[str, float] = text_weights()["rules"]
    return rules


@dataclass(frozen=True, kw_only=True)
class CascadeSettings:
    """How much work the cascade does on one image.

    `with_light`: also find images with little text, not only the text-rich ones. `small_area_pixels`,
    `large_area_pixels`: the total area of the views in each detection step. `max_lines`: how many lines are read, the
    most informative first, at least 1. `bounds`: when each step settles a question; a step without bounds settles
    none. `is_exhaustive`: run every step on every image, as calibration needs.
    """

    with_light: bool = True
    small_area_pixels: int = 256 * 256
    large_area_pixels: int = 448 * 448
    max_lines: int = 6
    bounds: Mapping[TextStep, Bounds] = field(default_factory=default_bounds)
    is_exhaustive: bool = False

    def is_open(self, step: TextStep, probabilities: TextProbabilities) -> bool:
        """Return whether an image with these `probabilities` after `step` goes on to the next step."""
        return self.is_exhaustive or self._bounds(step).is_open(probabilities, with_light=self.with_light)

    def is_accepted_as_heavy(self, step: TextStep, probabilities: TextProbabilities) -> bool:
        """Return whether `step` has settled that an image with these `probabilities` is heavy."""
        return probabilities.heavy >= self._bounds(step).keep_heavy

    def _bounds(self, step: TextStep) -> Bounds:
        return self.bounds.get(step, Bounds())


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """The lowest `text_score` of each class: light, any readable text; heavy, charts, tables and documents.

    Raises ValueError unless they are ordered, in [0, 1].
    """

    min_light_score: float = field(default_factory=lambda: default_rules()["min_light_score"])
    min_heavy_score: float = field(default_factory=lambda: default_rules()["min_heavy_score"])

    def __post_init__(self) -> None:
        if not 0 <= self.min_light_score <= self.min_heavy_score <= 1:
            raise ValueError(
                f"TextRules: need 0 <= min_light_score ({self.min_light_score}) <= "
                f"min_heavy_score ({self.min_heavy_score}) <= 1; swap or correct them"
            )
