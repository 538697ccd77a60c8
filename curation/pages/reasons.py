"""The page "why": for every reason and every status a sample of its pictures, and those nearest to the decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.pages.picks import ROWS, Gallery, Rows
from manifests.format.schema import STATUSES_WITH_PIXELS

KEPT = "kept"
RANDOM, NEAR = "random", "near"
MAX_REASONS = 40
MAX_ERRORS = 5

_EXPLAINED: Mapping[str, str] = {
    KEPT: "They met every rule.",
    "status": "The file is broken, empty, too large or of an unknown form, as the error says; its tar still has it.",
    "duplicate": "They are copies of another picture of the manifest, which stands for all of them.",
    "not_heavy": "Their text_score is below choose.min_heavy_score, or no line was read.",
    "not_light": "Their text_score is below choose.min_light_score.",
    "has_text": "Their text_score is above choose.max_text_score.",
    "kind": "Their text_kind is none of choose.kinds.",
    "too_small": "Their shorter side has fewer pixels than choose.min_side.",
    "aspect": "They are longer, for their width, than choose.max_aspect.",
    "where": "A rule of choose.where is not true for them.",
    "not_scored": "No text was measured in them.",
    "below_target": "They met every rule; the target was reached with pictures of higher text_score.",
    "here": "They go on to the next stage.",
}


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why rows are where they are: how many, a sample, the nearest to the decision, and the most frequent errors."""

    name: str
    title: str
    explained: str
    rows: int
    share: float
    sample: Sequence[Mapping[str, Any]]
    near: Sequence[Mapping[str, Any]]
    errors: Sequence[tuple[str, int]]


def group_of(rows: Rows) -> str:
    """Return SQL for the reason of a row, by what the manifest knows of it."""
    if rows.has("drop_reason"):
        return f"coalesce(drop_reason, '{KEPT}')"
    pixels = ", ".join(f"'{status}'" for status in STATUSES_WITH_PIXELS)
    copy = "WHEN duplicate_of IS NOT NULL THEN 'duplicate:' || duplicate_kind " if rows.has("duplicate_of") else ""
    return f"CASE WHEN status NOT IN ({pixels}) THEN 'status:' || status {copy}ELSE 'here' END"


def galleries(rows: Rows, pictures: int) -> list[Gallery]:
    """Return what to draw: of each reason `pictures` at random and, where a score decided, half as many nearest."""
    group = group_of(rows)
    found = [Gallery(name=RANDOM, group=group, where="true", count=pictures)]
    if rows.has("drop_reason"):
        near = (
            "(drop_reason IN ('too_small', 'aspect') OR text_score IS NOT NULL AND (drop_reason IS NULL OR "
            "drop_reason IN ('not_heavy', 'not_light', 'has_text', 'below_target')))"
        )
        towards = (
            "CASE WHEN drop_reason IN ('not_heavy', 'not_light', 'below_target') THEN -text_score "
            "WHEN drop_reason = 'too_small' THEN -least(width, height) "
            "WHEN drop_reason = 'aspect' THEN greatest(width, height) / least(width, height) ELSE text_score END"
        )
        found.append(Gallery(name=NEAR, group=group, where=near, order=towards, count=max(1, pictures // 2)))
    return found


def reasons(rows: Rows, picked: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> list[Reason]:
    """Return the reasons: rows that go on first, then by the number of rows. At most MAX_REASONS."""
    group = group_of(rows)
    counts = {
        row["reason"]: int(row["n"])
        for row in rows.fetch(f"SELECT {group} AS reason, count(*) AS n FROM {ROWS} GROUP BY ALL")
    }
    errors: dict[str, list[tuple[str, int]]] = {}
    for row in rows.fetch(
        f"SELECT {group} AS reason, error, count(*) AS n FROM {ROWS} WHERE error IS NOT NULL AND status <> 'ok' "
        "GROUP BY reason, error "
        f"QUALIFY row_number() OVER (PARTITION BY reason ORDER BY n DESC, error) <= {MAX_ERRORS} "
        "ORDER BY reason, n DESC, error"
    ):
        errors.setdefault(row["reason"], []).append((row["error"], int(row["n"])))
    whole = max(1, sum(counts.values()))
    order = sorted(counts, key=lambda name: (name not in (KEPT, "here"), -counts[name], name))
    return [
        Reason(
            name=name,
            title=title_of(name),
            explained=_EXPLAINED.get(name, _EXPLAINED.get(name.partition(":")[0], "")),
            rows=counts[name],
            share=counts[name] / whole,
            sample=picked[RANDOM].get(name, []),
            near=picked.get(NEAR, {}).get(name, []),
            errors=errors.get(name, []),
        )
        for name in order[:MAX_REASONS]
    ]


def title_of(name: str) -> str:
    """Return a reason as a heading."""
    return "go on" if name == "here" else name.replace(":", ": ").replace("_", " ")
