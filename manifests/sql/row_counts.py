"""`SELECT count(*) FROM manifest` from what the manifest records, so that no part is opened."""

import re
from collections.abc import Mapping

import pyarrow as pa
import sqlglot
from sqlglot import exp

from manifests.format.store import Manifest

_MAY_COUNT = re.compile(r"\s*(select|from)\b.*\bcount\b", re.IGNORECASE | re.DOTALL)


def row_count(sql: str, views: Mapping[str, Manifest]) -> pa.Table | None:
    """Return the answer to a query that counts all rows of one manifest and does nothing else.

    Args:
        sql: one SELECT in DuckDB's dialect.
        views: name → manifest, as the query names them.

    Returns:
        One row, with the names of columns that DuckDB gives; None for any other query.
    """
    if _MAY_COUNT.match(sql) is None:
        return None
    try:
        select = sqlglot.parse_one(sql, read="duckdb")
    except sqlglot.errors.SqlglotError:
        return None
    manifest = {name.lower(): each for name, each in views.items()}.get(_counted(select) or "")
    if manifest is None:
        return None
    names = [each.alias or "count_star()" for each in select.expressions]
    return pa.table([pa.array([manifest.rows], pa.int64())] * len(names), names=names)


def _counted(select: exp.Expr) -> str | None:
    """Return the name, in lower case, of the table of which `select` counts all rows; None if it does more."""
    clauses = {name: value for name, value in select.args.items() if value}
    source = clauses.pop("from_", None) or clauses.pop("from", None)
    if not isinstance(select, exp.Select) or clauses.keys() != {"expressions"} or not isinstance(source, exp.From):
        return None
    table = source.this
    if not isinstance(table, exp.Table) or {name for name, value in table.args.items() if value} - {"this", "alias"}:
        return None
    return table.name.lower() if all(map(_is_count, select.expressions)) else None


def _is_count(expression: exp.Expr) -> bool:
    inner = expression.this if isinstance(expression, exp.Alias) else expression
    if not isinstance(inner, exp.Count) or inner.expressions:
        return False
    return inner.this is None or (isinstance(inner.this, exp.Star) and not any(inner.this.args.values()))
