"""What a manifest records of its cost: processor time of all processes by phase, time, and memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manifests.format.receipts import Receipt
from manifests.format.schema import STATUSES_WITH_PIXELS, Stage

UNITS = "units"


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the run that commits has spent.

    `phases` are the processor seconds of all processes by phase of the stage; None if only the receipts tell it.
    `starting_seconds` are those that the run used before its first stage, `wall_seconds` the time of the stage.
    """

    phases: Mapping[str, float] | None = None
    starting_seconds: float = 0.0
    wall_seconds: float = 0.0


def images_worked(made_by: str, rows: int, counts: Mapping[str, Mapping[str, int]]) -> int:
    """Return how many images the stage or operation `made_by` worked on, of `rows` that are counted in `counts`.

    Dedupe compares rows with pixels, score works on rows that it gives a step; all others work on all rows.
    """
    if made_by == Stage.DEDUPE:
        return sum(counts.get("status", {}).get(status, 0) for status in STATUSES_WITH_PIXELS)
    if made_by == Stage.SCORE:
        return sum(counts.get("text_step", {}).values())
    return rows


def cost_of(receipts: Sequence[Receipt], images: int, spent: Spent) -> dict[str, Any]:
    """Return the field `cost` of a manifest of `images` from the receipts of its units and what its run spent."""
    given = spent.phases if spent.phases is not None else {UNITS: sum(r.seconds for r in receipts)}
    phases = {name: round(seconds, 3) for name, seconds in given.items()}
    core_seconds = round(sum(phases.values()), 3)
    return {
        "core_seconds": core_seconds,
        "phases": phases,
        "starting_core_seconds": round(spent.starting_seconds, 3),
        "wall_seconds": round(spent.wall_seconds, 3),
        "core_milliseconds_per_image": round(1000 * core_seconds / max(1, images), 4),
        "peak_worker_memory_bytes": max((r.peak_memory_bytes for r in receipts), default=0),
    }
