"""The funnel: how many samples each stage got, how many left and why, and the processor time."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
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

    After `choose`, the reasons that it gave show where each sample left: in the scan for its status, in dedupe as a
    duplicate, in choose by a rule. Before `choose`, samples without pixels and duplicates count as left. After an
    operation (sample, select, merge, patch) the remaining samples go on, and earlier stages keep their numbers.
    """
    rows: list[FunnelRow] = []
    for run in _runs(stages):
        verdicts = next((s.get("drop_reason", {}) for s in run if s["stage"] == Stage.CHOOSE), None)
        for stage in run:
            here = rows[-1].went_on if rows else None
            if stage["stage"] not in STAGES:
                rows.append(_operation(stage, here))
                continue
            came_in = int(stage["rows"]) if here is None else here
            is_drawn = any(row.stage not in STAGES for row in rows)
            reasons = _reasons(stage, verdicts)
            if is_drawn and stage["stage"] == Stage.CHOOSE:
                reasons = _verdicts_after_operation(stage, reasons, came_in)
            rows.append(_row(stage, came_in, reasons))
    return rows


def _runs(stages: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the stages between two operations together, and each operation alone."""
    for is_stage, run in itertools.groupby(stages, key=lambda s: s["stage"] in STAGES):
        if is_stage:
            yield list(run)
        else:
            yield from ([each] for each in run)


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


def _verdicts_after_operation(stage: Mapping[str, Any], reasons: Mapping[str, int], came_in: int) -> dict[str, int]:
    """Return why rows left in `choose`, when an operation came after the scan.

    Rows with pixels whose status the rules refuse went on after the operation, and leave here.
    """
    left = max(0, came_in - int(stage.get("keep", {}).get("true", 0)))
    refused = left - sum(reasons.values())
    if refused <= 0:
        return dict(reasons)
    name = next(
        (f"status:{s}" for s in reversed(STATUSES_WITH_PIXELS) if stage.get("drop_reason", {}).get(f"status:{s}")),
        "other",
    )
    return {**reasons, name: refused}


def _reasons(stage: Mapping[str, Any], verdicts: Mapping[str, int] | None) -> dict[str, int]:
    name = stage["stage"]
    if name == Stage.SCAN:
        if verdicts is not None:
            return {r: n for r, n in verdicts.items() if r.startswith("status:")}
        return {f"status:{s}": n for s, n in stage.get("status", {}).items() if s not in STATUSES_WITH_PIXELS}
    if name == Stage.DEDUPE:
        if verdicts is not None:
            return {r: n for r, n in verdicts.items() if r.startswith("duplicate:")}
        return {f"duplicate:{k}": n for k, n in stage.get("duplicate_kind", {}).items()}
    if name == Stage.CHOOSE and verdicts is not None:
        return {r: n for r, n in verdicts.items() if not r.startswith(("status:", "duplicate:"))}
    return {}
