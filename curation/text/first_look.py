"""The first look at a picture, in the scan: is there text, is it a document, and what kind of picture is it?

A small network finds where text is. If the picture may be a chart, table or document, a larger network looks at the
whole picture and says which kind it is. Most pictures are photographs and drawings that need no second network: for
them, the kind follows from the map of text, as `designed`, `scene` or `none`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from curation.text.bounds import TextStep, default_bounds, text_weights
from filters import text_density, text_kind
from filters.protocol import Rgb, TextProbabilities
from filters.text_density import map_features, text_map, text_probabilities
from filters.text_kind import RICH_KINDS, TextKind, kind_log_odds

KIND_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class FirstLook:
    """What the first look measured.

    `probabilities`: of any text, and of a chart, table or document, from where text is. `kinds`: how likely each kind
    of picture is, 6 decimals; without the kinds that Web-SSL's heavy question means if the network of kinds did not
    look.
    """

    probabilities: TextProbabilities
    kinds: Mapping[TextKind, float]

    @property
    def has_rich_kinds(self) -> bool:
        """Whether the network of kinds looked at the picture."""
        return TextKind.DOCUMENT in self.kinds


def version() -> str:
    """Return what the numbers of the first look depend on: both networks and the weights."""
    return f"{text_density.version()}+{text_kind.version()}"


def first_look(rgb: Rgb) -> FirstLook:
    """Return the first look at `rgb`, (height, width, 3) uint8. Raises ValueError for another shape or type."""
    features = map_features(text_map(rgb))
    probabilities = text_probabilities(features)
    if probabilities.heavy >= default_bounds()[TextStep.DENSITY].drop_heavy:
        return FirstLook(probabilities=probabilities, kinds=network_kinds(rgb))
    return FirstLook(probabilities=probabilities, kinds=_kinds_of_map(features))


def network_kinds(rgb: Rgb) -> dict[TextKind, float]:
    """Return how likely each kind of picture is, by the network of kinds, rounded to 6 decimals."""
    return _softmax(dict(zip(TextKind, kind_log_odds(rgb).tolist(), strict=True)))


def rich_probability(kinds: Mapping[TextKind, float]) -> float:
    """Return the probability that the picture is of one of RICH_KINDS."""
    return min(1.0, sum(kinds.get(kind, 0.0) for kind in RICH_KINDS))


def kinds_text(kinds: Mapping[TextKind, float]) -> str:
    """Return `kinds` as JSON, as the column `text_kinds` stores it, most likely first."""
    ordered = sorted(kinds.items(), key=lambda each: (-each[1], each[0]))
    return json.dumps({str(kind): probability for kind, probability in ordered}, separators=(",", ":"))


def parse_kinds(text: str) -> dict[TextKind, float]:
    """Return the probabilities in a row's column `text_kinds`."""
    return {TextKind(kind): float(probability) for kind, probability in json.loads(text).items()}


def kind_of(kinds: Mapping[TextKind, float], probabilities: TextProbabilities) -> TextKind:
    """Return what a picture is, from how likely each kind is and from its last `probabilities`.

    A picture that is probably a chart, table or document has the most likely of these kinds. Any other has the more
    likely of the other kinds with text, if it probably has text, and is `none` otherwise.
    """
    if probabilities.heavy >= 0.5 and rich_probability(kinds) > 0:
        return max(RICH_KINDS, key=lambda kind: kinds.get(kind, 0.0))
    if max(probabilities.light, probabilities.heavy) < 0.5:
        return TextKind.NONE
    return max((TextKind.DESIGNED, TextKind.SCENE), key=lambda kind: kinds.get(kind, 0.0))


def _kinds_of_map(features: Mapping[str, float]) -> dict[TextKind, float]:
    """Return how likely the three kinds that are no documents are, from the features of the map of text."""
    weights: Mapping[str, Mapping[str, float]] = text_weights()["kinds"]
    return _softmax(
        {
            TextKind(kind): each["bias"] + sum(w * features[name] for name, w in each.items() if name != "bias")
            for kind, each in weights.items()
        }
    )


def _softmax(log_odds: Mapping[TextKind, float]) -> dict[TextKind, float]:
    highest = max(log_odds.values())
    odds = {kind: math.exp(value - highest) for kind, value in log_odds.items()}
    total = math.fsum(odds.values())
    return {kind: round(value / total, KIND_DECIMALS) for kind, value in odds.items()}
