"""The funnel: how many samples each stage got, how many left and why, and the processor time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests.format.schema import STATUSES_WITH_PIXELS, Stage

STAGES = frozenset(map(str, Stage))
OPERATIONS = {
    "sample": "not drawn",
    "select": "not selected",
    "merge": "merged away",
    "patch": "patched",
    "takedown": "taken down",
    "purge": "purged",
}


@dataclass(frozen=True, kw_only=True)
class FunnelRow:
    """One stage, or operation on manifests, of the funnel.

    `came_in` + `added` - `left` = `went_on`, and `reasons` add up to `left`. Only operations add rows: a patch may
    keep rows that were dropped. `core_milliseconds`: the mean processor time for each image that it worked on, of all
    processes.
    """

    stage: str
    came_in: int
    left: int
    went_on: int
    added: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    core_milliseconds: float | None = None


def funnel(stages: Sequence[Mapping[str, Any]]) -> list[FunnelRow]:
    """Return the funnel of a manifest from the counts for each stage that are stored in it.

    Samples without pixels leave in the scan, duplicates in dedupe, and in `choose` all others that a rule drops: also
    those whose pixels are truncated, which were compared and scored. So the numbers of a stage are the same before
    and after later ones. After an operation (sample, select, merge, patch) the remaining samples go on, and earlier
    stages keep their numbers.
    """
    rows: list[FunnelRow] = []
    for stage in stages:
        here = rows[-1].went_on if rows else None
        if stage["stage"] not in STAGES:
            rows.append(_operation(stage, here))
            continue
        came_in = int(stage["rows"]) if here is None else here
        rows.append(_row(stage, came_in, _reasons(stage, came_in, is_first=here is None)))
    return rows


def _row(stage: Mapping[str, Any], came_in: int, reasons: Mapping[str, int], added: int = 0) -> FunnelRow:
    left = sum(reasons.values())
    images = stage.get("images_worked", stage["rows"])  # earlier versions did not record it
    return FunnelRow(
        stage=stage["stage"],
        came_in=came_in,
        left=left,
        went_on=came_in + added - left,
        added=added,
        reasons=reasons,
        notes=dict(stage.get("text_step", {})) if stage["stage"] == Stage.SCORE else {},
        core_milliseconds=round(1000 * stage["core_seconds"] / max(1, images), 3),
    )


def _operation(stage: Mapping[str, Any], came_in: int | None) -> FunnelRow:
    """Return the row of an operation. `came_in`: what went on before it, or None if it is the first."""
    went_on = _remaining(stage)
    if came_in is None:
        return _row(stage, int(stage["rows"]), _left_before(stage, went_on))
    left = max(0, came_in - went_on)
    reason = OPERATIONS.get(stage["stage"], f"not in the {stage['stage']}")
    return _row(stage, came_in, {reason: left} if left else {}, added=max(0, went_on - came_in))


def _remaining(stage: Mapping[str, Any]) -> int:
    """Return how many rows go on: those that are kept, or else those with pixels that are no duplicates."""
    kept: Mapping[str, int] | None = stage.get("keep")
    if kept is not None:
        return int(kept.get("true", 0))
    gone = sum(n for status, n in stage.get("status", {}).items() if status not in STATUSES_WITH_PIXELS)
    copies = sum(stage.get("duplicate_kind", {}).values())
    return max(0, int(stage["rows"]) - int(gone) - int(copies))


def _left_before(stage: Mapping[str, Any], went_on: int) -> dict[str, int]:
    """Return the reasons of rows that do not go on, when the stages before are unknown."""
    left = int(stage["rows"]) - went_on
    if "keep" in stage:
        reasons = dict(stage.get("drop_reason", {}))
    else:
        reasons = {f"status:{s}": n for s, n in stage.get("status", {}).items() if s not in STATUSES_WITH_PIXELS}
        reasons |= {f"duplicate:{k}": n for k, n in stage.get("duplicate_kind", {}).items()}
    return reasons if sum(reasons.values()) == left else ({"dropped before": left} if left else {})


def _reasons(stage: Mapping[str, Any], came_in: int, *, is_first: bool) -> dict[str, int]:
    """Return why rows leave in a stage of the pipeline."""
    if stage["stage"] == Stage.SCAN:
        return {f"status:{s}": n for s, n in stage.get("status", {}).items() if s not in STATUSES_WITH_PIXELS}
    if stage["stage"] == Stage.DEDUPE:
        return {f"duplicate:{k}": n for k, n in stage.get("duplicate_kind", {}).items()}
    if stage["stage"] != Stage.CHOOSE:
        return {}
    verdicts = stage.get("drop_reason", {})
    if is_first:
        return dict(verdicts)
    reasons = {r: n for r, n in verdicts.items() if not r.startswith(("status:", "duplicate:"))}
    refused = came_in - int(stage.get("keep", {}).get("true", 0)) - sum(reasons.values()) if "keep" in stage else 0
    if refused <= 0:
        return reasons
    # Rows with pixels whose status the rules refuse. Those of them that are duplicates left before.
    named = (f"status:{s}" for s in reversed(STATUSES_WITH_PIXELS) if f"status:{s}" in verdicts)
    return {**reasons, next(named, "other"): refused}
