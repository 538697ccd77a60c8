"""A measured value beside the bound that decided over it."""

from dataclasses import dataclass

DECIMALS = 6

Value = float | int | str | None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What was measured, and the setting that it was held against.

    `margin`: how far the value is on the side of the bound that keeps or proves, in the unit of both; negative if it
    missed it. None where there is no distance, as for texts.
    """

    name: str
    value: Value
    setting: str
    bound: Value
    margin: float | None = None


def at_least(name: str, value: float | None, setting: str, bound: float) -> Measure:
    """Return the measure of a value that must be at least `bound`."""
    margin = None if value is None else round(value - bound, DECIMALS)
    return Measure(name=name, value=value, setting=setting, bound=bound, margin=margin)


def at_most(name: str, value: float | None, setting: str, bound: float) -> Measure:
    """Return the measure of a value that must be at most `bound`."""
    margin = None if value is None else round(bound - value, DECIMALS)
    return Measure(name=name, value=value, setting=setting, bound=bound, margin=margin)
