"""What other settings would keep: rows by `drop_reason`, for many settings in one pass over a scored manifest.

To the rules, most rows are alike: they differ only in what no rule reads, and in scores between the same two bounds.
The engine counts the rows by what the rules read, with the largest bound that it reaches in place of each score. The
rules then decide once for each such case, not for each row.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from curation.choosing.conditions import Rules
from curation.choosing.rules import DROP_TARGET, apply_rules, columns_read
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, quoted, sql_text

_VIEW, _ROWS = "choice_cases", "rows"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What decides the verdicts: rules, and how many of the rows that meet them are wanted; None for all of them."""

    rules: Rules
    wanted: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How many rows a choice keeps, and how many it drops for which `drop_reason`."""

    kept: int
    reasons: Mapping[str, int] = field(default_factory=dict)


def count_outcomes(manifest: Manifest, choices: Sequence[Choice], engine: Engine) -> list[Outcome]:
    """Return the outcome of each choice, exactly as choosing with it would count its rows.

    Args:
        manifest: one with the columns of a scored manifest; verdicts that it has are not used.
        choices: rules of which each `where` is checked. Hundreds cost little more than one.
        engine: counts the rows; only the columns that the rules name are read.

    Returns:
        The outcomes, in the order of `choices`; reasons sorted by name.

    Raises:
        InputError: an expression of `where` fails on a row.
        ManifestError: a part is missing or damaged.
    """
    expressions = list(dict.fromkeys(sql for each in choices for _, sql in each.rules.where))
    columns = _case_columns([each.rules for each in choices], expressions)
    engine.view(_VIEW, manifest, columns)
    names = ", ".join(map(quoted, columns))
    cases = engine.fetch(f"SELECT {names}, count(*) AS {_ROWS} FROM {_VIEW} GROUP BY {names}")
    places = {sql: _where_column(place) for place, sql in enumerate(expressions)}
    return [_outcome(cases, each, places) for each in choices]


def _case_columns(rules: Sequence[Rules], expressions: Sequence[str]) -> dict[str, str]:
    """Return name → SQL of what a case is: all that the rules read, and no more of it than they can tell apart."""
    plain = [replace(each, where=()) for each in rules]
    names = dict.fromkeys(name for each in plain for name in columns_read(each))
    columns = {name: quoted(name) for name in names}
    columns["duplicate_of"] = "CASE WHEN duplicate_of IS NOT NULL THEN '' END"
    columns["text_lines"] = "CASE WHEN text_lines >= 1 THEN 1 ELSE 0 END"
    columns["text_score"] = f"CASE WHEN text_score IS NOT NULL THEN {_reached(_bounds(plain))} END"
    for place, sql in enumerate(expressions):
        columns[_where_column(place)] = f"coalesce(({sql})::BOOLEAN, false)"
    return columns


def _where_column(place: int) -> str:
    return f"where_{place}"


def _bounds(rules: Sequence[Rules]) -> list[float]:
    """Return the scores, ascending, from which on a rule may decide otherwise."""
    bounds = {bound for each in rules for bound in (each.text.min_light_score, each.text.min_heavy_score)}
    bounds |= {math.nextafter(each.max_text_score, math.inf) for each in rules if each.max_text_score is not None}
    return [-1.0, *sorted(bounds)]


def _reached(bounds: Sequence[float]) -> str:
    """Return SQL for the largest of `bounds` that `text_score` reaches, by halving them. It must reach the first."""
    if len(bounds) == 1:
        return _double(bounds[0])
    middle = len(bounds) // 2
    low, high = _reached(bounds[:middle]), _reached(bounds[middle:])
    return f"CASE WHEN text_score < {_double(bounds[middle])} THEN {low} ELSE {high} END"


def _double(value: float) -> str:
    return f"{sql_text(repr(value))}::DOUBLE"  # without quotes it would be a decimal number, which is rounded


def _outcome(cases: pa.Table, choice: Choice, places: Mapping[str, str]) -> Outcome:
    rules = replace(choice.rules, where=tuple((name, places[sql]) for name, sql in choice.rules.where))
    _, reasons = apply_rules(cases, rules)
    by_reason = pa.table({"reason": reasons, _ROWS: cases.column(_ROWS)}).group_by("reason")
    summed = by_reason.aggregate([(_ROWS, "sum")]).sort_by("reason").to_pydict()
    found = dict(zip(summed["reason"], summed[f"{_ROWS}_sum"], strict=True))
    passing = found.pop(None, 0)
    kept = passing if choice.wanted is None else min(passing, choice.wanted)
    if passing > kept:
        found[DROP_TARGET] = passing - kept
    return Outcome(kept=kept, reasons=dict(sorted(found.items())))
