"""SQL expressions over one row that users write: checked before work starts, evaluated without access to files."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from manifests.errors import InputError

_VOLATILE = (
    "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY')"
)
_NUMBERS = frozenset(["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "BOOLEAN"])
_TIMES = frozenset(("current_time", "current_timestamp", "localtime", "localtimestamp", "age"))  # written without ()
_ROW = '"(row)"'  # the table has a name that nobody writes, so that expressions name columns, never the whole row


def sealed() -> duckdb.DuckDBPyConnection:
    """Return a connection in memory that cannot read files or use the network."""
    return duckdb.connect(config={"threads": 1, "enable_external_access": False, "lock_configuration": True})


def check_expression(expression: str, schema: pa.Schema, what: str) -> None:
    """Raise InputError unless `expression` is a condition on one row with the same value each time.

    `schema` has the row's columns; the message begins with `what`, such as the name of an option.
    """
    _check(expression, schema, what, _why_no_truth)


def check_value(expression: str, schema: pa.Schema, what: str) -> None:
    """Raise InputError unless `expression` is a number of one row with the same value each time.

    The arguments are those of `check_expression`.
    """
    _check(expression, schema, what, _why_no_number)


def columns_in(expression: str, columns: Sequence[str]) -> list[str]:
    """Return those of `columns` that a checked `expression` needs.

    A column whose name is a text or a function in the expression is returned, too.
    """
    with sealed() as db:
        texts = {text.lower() for text in _texts(_parsed(db, expression))}  # a column is found in any case
    return [name for name in columns if name.lower() in texts]


def _check(
    expression: str, schema: pa.Schema, what: str, why_not: Callable[[duckdb.DuckDBPyConnection, str], str | None]
) -> None:
    with sealed() as db:
        db.register("rows", schema.empty_table())
        try:
            wrong = _what_is_wrong(db, expression, set(schema.names)) or why_not(db, expression)
        except duckdb.Error as e:
            raise InputError(f"{what}: {expression!r} is refused: {e}") from e
    if wrong:
        raise InputError(f"{what}: {expression!r} {wrong}")


def _what_is_wrong(db: duckdb.DuckDBPyConnection, expression: str, columns: set[str]) -> str | None:
    """Return why the value of `expression` depends on more than its row; None if it does not."""
    parsed = _parsed(db, expression)
    if len(parsed.get("statements", [None])) != 1:
        return "is more than one statement; write one expression"
    unrepeatable = _TIMES | {name for (name,) in db.execute(_VOLATILE).fetchall()}
    for node in _nodes(parsed):
        if node.get("class") in ("SUBQUERY", "STAR"):
            return "looks beyond its row; a rule is an expression over the columns"
        if node.get("class") == "POSITIONAL_REFERENCE":
            return f"takes a column by its number (#{node['index']}); name the column"
        names = [node.get("function_name"), *set(node.get("column_names") or ()) - columns]
        if called := sorted(unrepeatable.intersection(n.lower() for n in names if n)):
            return f"gives another answer each time ({called[0]}); a rule must depend on the row alone"
    return None


def _why_no_truth(db: duckdb.DuckDBPyConnection, expression: str) -> str | None:
    """Return what `expression` is instead of a truth value; None if it is one."""
    # A WHERE clause refuses what looks at several rows: aggregates, windows, unnest.
    kind = db.execute(f"SELECT ({expression}) FROM rows {_ROW} WHERE ({expression})").description[0][1]
    if str(kind).upper() not in ("BOOL", "BOOLEAN"):
        return f"is a {kind}, not a truth value; compare it with something"
    return None


def _why_no_number(db: duckdb.DuckDBPyConnection, expression: str) -> str | None:
    """Return what `expression` is instead of a number; None if it is one."""
    found = db.execute(f"SELECT ({expression}) FROM rows {_ROW} WHERE ({expression}) IS NULL")
    kind = str(found.description[0][1]).upper()
    is_number = kind.removeprefix("U") in _NUMBERS or kind.startswith("DECIMAL(")
    return None if is_number else f"is a {kind}, not a number"


def _parsed(db: duckdb.DuckDBPyConnection, expression: str) -> Any:
    """Return DuckDB's syntax tree of a query for `expression`, as JSON."""
    serialized = db.execute("SELECT json_serialize_sql(?)", [f"SELECT {expression} FROM rows"]).fetchall()[0][0]
    return json.loads(serialized)


def _texts(tree: Any) -> Iterator[str]:
    """Yield every text in a parsed expression, among them the names of columns, however they are written."""
    if isinstance(tree, str):
        yield tree
    for below in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _texts(below)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object of a parsed expression."""
    if isinstance(tree, dict):
        yield tree
    for below in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(below)
