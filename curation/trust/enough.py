"""Whether labels are enough to show what a calibration promises."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import beta

from curation.trust.calibration import Goals, LabelledRow, effective_number

_NAMES = {("heavy", False): "none or light", ("light", False): "none"}
_NAMES |= {("heavy", True): "heavy", ("light", True): "light or heavy"}


def require_enough(rows: Sequence[LabelledRow], goals: Goals) -> None:
    """Raise ValueError unless `rows` are enough to show the false rates, or the recalls, that are wanted.

    They are too few if not even all of them on the right side of the threshold would show it: if the 95 % interval of
    no error among them (Jeffreys') still reaches beyond the goal. Their number is the effective one of their weights.
    """
    for question in ("heavy", "light"):
        recall, false_rate = getattr(goals, f"{question}_recall"), getattr(goals, f"{question}_false_rate")
        is_recall = recall is not None
        allowed = 1 - recall if is_recall else false_rate
        weights = np.array([row.weight for row in rows if row.answers(question) is is_recall])
        number = effective_number(weights)
        if (best := _highest_without_error(number)) <= allowed:
            continue
        needed = next(n for n in itertools.count(1) if _highest_without_error(n) <= allowed)
        there = f"{len(weights):,}" + (f", which weigh as {number:,.0f}" if number < len(weights) - 0.5 else "")
        shown = math.floor(100 * (1 - best)) / 100 if is_recall else math.ceil(100 * best) / 100
        option = f"{question}-{'recall' if is_recall else 'false-rate'}"
        raise ValueError(
            f"--{option} {recall if is_recall else false_rate:g} needs {needed:,} pictures labelled "
            f"{_NAMES[question, is_recall]}, and there are {there}; label more, or ask for what they can show: "
            f"--{option} {shown:g}"
        )


def _highest_without_error(number: float) -> float:
    """Return the upper end of Jeffreys' 95 % interval of a share when none of `number` samples has it."""
    return float(beta.ppf(0.975, 0.5, number + 0.5)) if number else 1.0
