"""The funnel: how many samples came in at each stage, how many left and why, and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manifests.schema import Stage, Status

PIXELS = (str(Status.OK), str(Status.TRUNCATED))


@dataclass(frozen=True, kw_only=True)
class FunnelRow:
    """One stage of the funnel. `reasons` add up to `left`, and `came_in` minus `left` is what went on.

    `core_milliseconds` is the mean processor time an image of the stage took in its units, over all rows.
    """

    stage: str
    came_in: int
    left: int
    went_on: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    core_milliseconds: float | None = None


def funnel(stages: Sequence[Mapping[str, Any]]) -> list[FunnelRow]:
    """Return the funnel of a manifest from the per-stage counts it carries.

    Once `choose` has run, its verdicts say where each sample left: for its status in the scan, as a duplicate in
    dedupe, by a rule in choose. Before that, samples without pixels and duplicates count as left.
    """
    verdicts = next((s.get("drop_reason", {}) for s in stages if s["stage"] == Stage.CHOOSE), None)
    rows: list[FunnelRow] = []
    here = int(stages[0]["rows"]) if stages else 0
    for stage in stages:
        reasons = _reasons(stage, verdicts)
        left = sum(reasons.values())
        rows.append(
            FunnelRow(
                stage=stage["stage"],
                came_in=here,
                left=left,
                went_on=here - left,
                reasons=reasons,
                notes=dict(stage.get("text_step", {})) if stage["stage"] == Stage.SCORE else {},
                core_milliseconds=round(1000 * stage["core_seconds"] / max(1, stage["rows"]), 3),
            )
        )
        here -= left
    return rows


def _reasons(stage: Mapping[str, Any], verdicts: Mapping[str, int] | None) -> dict[str, int]:
    name = stage["stage"]
    if name == Stage.SCAN:
        if verdicts is not None:
            return {r: n for r, n in verdicts.items() if r.startswith("status:")}
        return {f"status:{s}": n for s, n in stage.get("status", {}).items() if s not in PIXELS}
    if name == Stage.DEDUPE:
        if verdicts is not None:
            return {r: n for r, n in verdicts.items() if r.startswith("duplicate:")}
        return {f"duplicate:{k}": n for k, n in stage.get("duplicate_kind", {}).items()}
    if name == Stage.CHOOSE and verdicts is not None:
        return {r: n for r, n in verdicts.items() if not r.startswith(("status:", "duplicate:"))}
    return {}
