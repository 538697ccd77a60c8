"""Rules: from the measurements of a row to its `text_class` and `drop_reason`, independent of all other rows.

The user's rules are SQL expressions over the columns. DuckDB evaluates them without access to files or network.
"""

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from curation.choosing.conditions import Rules
from curation.text.bounds import TextRules
from manifests.errors import InputError
from manifests.format.schema import Stage, schema
from manifests.sql.expressions import check_expression, columns_in, sealed

DROP_TARGET = "below_target"
_ALWAYS_READ = frozenset(["status", "duplicate_of", "duplicate_kind", "text_score", "text_lines"])


def check_expressions(rules: Rules) -> None:
    """Raise InputError, with the name of the rule, unless each expression is a deterministic boolean of one row."""
    for name, expression in rules.where:
        check_expression(expression, schema(Stage.SCORE), f"choose.where.{name}")


def columns_read(rules: Rules) -> list[str]:
    """Return the columns that `apply_rules` reads, for checked rules, in the order of the schema."""
    columns = schema(Stage.SCORE).names
    read = {*_ALWAYS_READ, *(name for _, sql in rules.where for name in columns_in(sql, columns))}
    if _needs_shape(rules):
        read |= {"width", "height"}
    if rules.kinds is not None:
        read.add("text_kind")
    return [name for name in columns if name in read]


def _needs_shape(rules: Rules) -> bool:
    return bool(rules.min_side_pixels) or rules.max_aspect is not None


def _evaluate_rule(db: duckdb.DuckDBPyConnection, rows: pa.Table, name: str, expression: str) -> pa.Array:
    try:
        return _evaluate(db, rows, expression)
    except duckdb.Error as e:
        raise InputError(
            f"choose.where.{name}: {expression!r} fails on a row: {e}; guard it, for example with TRY_CAST"
        ) from e


def _evaluate(db: duckdb.DuckDBPyConnection, rows: pa.Table, expression: str) -> pa.Array:
    db.register("rows", rows)
    sql = f"SELECT ({expression})::BOOLEAN AS passes FROM rows"
    found: pa.Table = db.sql(sql).to_arrow_table()
    return pc.fill_null(found.column("passes").combine_chunks(), False)


def text_classes(scores: pa.Array, rules: TextRules, lines: pa.Array | None = None) -> pa.Array:
    """Return `none`, `light` or `heavy` for each score, and null for null.

    `lines`: how many lines were read with confidence, null where none was read; a picture without one is not heavy.
    Without `lines`, every picture counts as having one.
    """
    heavy = pc.greater_equal(scores, rules.min_heavy_score)
    if lines is not None:
        heavy = pc.and_(heavy, pc.greater_equal(pc.fill_null(lines, 0), 1))
    light = pc.greater_equal(scores, rules.min_light_score)
    return pc.if_else(heavy, "heavy", pc.if_else(light, "light", "none"))


def apply_rules(rows: pa.Table, rules: Rules) -> tuple[pa.Array, pa.Array]:
    """Return (`text_class`, `drop_reason`) of each row; the reason is null where the row meets every rule.

    `rows` needs the columns that `columns_read` returns. The first rule that fails gives the reason, in this order:
    `status:…`, `duplicate:…`, `too_small`, `aspect`, `where:…` by name, `not_scored`, `has_text`, `not_light` or
    `not_heavy`, `kind:…`.
    """
    scores, lines = (rows.column(name).combine_chunks() for name in ("text_score", "text_lines"))
    classes = text_classes(scores, rules.text, lines)
    reasons: list[tuple[pa.Array, pa.Array | str]] = [
        (
            pc.invert(pc.is_in(rows.column("status"), pa.array([str(s) for s in rules.statuses]))),
            pc.binary_join_element_wise("status", rows.column("status"), ":"),
        ),
        (
            pc.is_valid(rows.column("duplicate_of")),
            pc.binary_join_element_wise("duplicate", pc.fill_null(rows.column("duplicate_kind"), "?"), ":"),
        ),
        *_shape_reasons(rows, rules),
        *_where_reasons(rows, rules),
        *_text_reasons(rows, scores, classes, rules),
    ]
    reason: pa.Array = pa.nulls(rows.num_rows, pa.string())
    for fails, name in reversed(reasons):
        reason = pc.if_else(pc.fill_null(fails, True), name, reason)
    return classes, _one_chunk(reason)


def _shape_reasons(rows: pa.Table, rules: Rules) -> list[tuple[pa.Array, pa.Array | str]]:
    if not _needs_shape(rules):
        return []
    reasons: list[tuple[pa.Array, pa.Array | str]] = []
    width, height = rows.column("width"), rows.column("height")
    short, long = pc.min_element_wise(width, height), pc.max_element_wise(width, height)
    if rules.min_side_pixels:
        reasons.append((pc.less(short, rules.min_side_pixels), "too_small"))
    if rules.max_aspect is not None:
        limit = pc.multiply(pc.cast(short, pa.float64()), rules.max_aspect)
        reasons.append((pc.greater(pc.cast(long, pa.float64()), limit), "aspect"))
    return reasons


def _where_reasons(rows: pa.Table, rules: Rules) -> list[tuple[pa.Array, pa.Array | str]]:
    if not rules.where:
        return []
    with sealed() as db:
        return [
            (pc.invert(_evaluate_rule(db, rows, name, sql)), f"where:{name}") for name, sql in sorted(rules.where)
        ]


def _text_reasons(
    rows: pa.Table, scores: pa.Array, classes: pa.Array, rules: Rules
) -> list[tuple[pa.Array, pa.Array | str]]:
    reasons: list[tuple[pa.Array, pa.Array | str]] = []
    if rules.max_text_score is not None:
        reasons.append((pc.greater(scores, rules.max_text_score), "has_text"))
    if rules.least_class != "all":
        wanted = ["heavy"] if rules.least_class == "heavy" else ["heavy", "light"]
        reasons.append((pc.invert(pc.is_in(classes, pa.array(wanted))), f"not_{rules.least_class}"))
    if rules.kinds is not None:
        kinds = rows.column("text_kind")
        is_other = pc.invert(pc.is_in(kinds, pa.array([str(k) for k in rules.kinds], pa.string())))
        reasons.append((is_other, pc.binary_join_element_wise("kind", pc.fill_null(kinds, "?"), ":")))
    return [(pc.is_null(scores), "not_scored"), *reasons] if reasons else []


def _one_chunk(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
