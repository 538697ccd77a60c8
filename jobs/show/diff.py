"""What `curate diff` prints: a summary, the reasons, the first rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.show.basics import print_json, stdout_console
from manifests.compare.changes import Change
from manifests.compare.diff import Diff, reasons

MAX_COLUMNS = 12


def print_diff(found: Diff, *, out: str | None, style: str) -> None:
    """Print a diff as `table`, `markdown` or `json`."""
    if style == "json":
        print_json(_as_json(found, out))
        return
    show = _markdown_table if style == "markdown" else _rich_table(stdout_console())
    print(summary(found))
    if not found.is_empty and (kept := _kept(found)) is not None:
        moved = ""
        if found.comparison.has_membership(found.a, found.b):
            moved = f"; {found.tally.entered:,} entered, {found.tally.left:,} left"
        print(f"kept: {kept[0]:,} in the first, {kept[1]:,} in the second{moved}")
    for line in _about_columns(found):
        print(line)
    if why := reasons(found.tally):
        show("Why", ("change", "reason", "rows"), [(change, reason, f"{rows:,}") for change, reason, rows in why])
    if found.tally.columns:
        lines = _columns(found.tally.columns)
        rest = [("…", f"{len(lines) - MAX_COLUMNS} more")] * (len(lines) > MAX_COLUMNS)
        show("Columns", ("columns", "rows"), lines[:MAX_COLUMNS] + rest)
    if found.first:
        title = f"The first {len(found.first)} of {found.tally.rows:,} rows, by key"
        show(title, ("change", "key", "reason", "what"), [_row(row) for row in found.first])
    for note in found.notes:
        print(f"note: {note}")
    if out is not None:
        print(f"all {found.tally.rows:,} rows, before and after: {out}")


def summary(found: Diff) -> str:
    """Return the diff in one line."""
    if found.is_empty and found.a.digest == found.b.digest:
        return f"the same: {found.a.rows:,} rows, digest {found.a.digest[:16]}…"
    counts = ", ".join(f"{found.tally.of(change):,} {change}" for change in Change)
    same = "" if found.same is None else f", {found.same:,} the same"
    proven = "; proven by the digests" if found.is_proven else ""
    return f"{counts}{same}{proven}"


def _kept(found: Diff) -> tuple[int, int] | None:
    """Return how many rows each manifest keeps; None unless both have verdicts and all rows were compared."""
    if found.comparison.where is not None or not all("keep" in m.schema.names for m in (found.a, found.b)):
        return None
    a, b = (m.counts.get("keep", {}).get("true", 0) for m in (found.a, found.b))
    return a, b


def _membership(found: Diff) -> dict[str, int | None]:
    is_known = found.comparison.has_membership(found.a, found.b)
    tally = found.tally
    return {"entered": tally.entered if is_known else None, "left": tally.left if is_known else None}


def _about_columns(found: Diff) -> list[str]:
    pairs = (("columns only in the second", found.new_columns), ("columns only in the first", found.lost_columns))
    return [f"{what}: {', '.join(names)}" for what, names in pairs if names]


def _columns(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the columns that differ in so many rows, the most first; those that differ in equally many together."""
    by_rows: dict[int, list[str]] = {}
    for name, rows in sorted(counts.items()):
        by_rows.setdefault(rows, []).append(name)
    return [(", ".join(by_rows[rows]), f"{rows:,}") for rows in sorted(by_rows, reverse=True)]


def _row(row: Any) -> tuple[str, str, str, str]:
    if "columns" in row:
        changes = [f"{name}: {_short(a)} → {_short(b)}" for name, (a, b) in list(row["columns"].items())[:4]]
        what = "; ".join(changes) + (" …" if len(row["columns"]) > 4 else "")
    else:
        what = f"{row['source']} {row['member']}"
    return row["change"], row["key"], row["reason"] or "", what


def _short(value: Any) -> str:
    text = "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    printable = "".join(c if c.isprintable() else "·" for c in text)
    return printable if len(printable) <= 40 else printable[:39] + "…"


def _rich_table(console: Console) -> Callable[[str, Sequence[str], Sequence[Sequence[str]]], None]:
    def show(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(title=title, title_justify="left")
        for head in heads:
            table.add_column(head, justify="right" if head == "rows" else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)

    return show


def _markdown_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n**{title}**\n")
    print(f"| {' | '.join(heads)} |\n| {' | '.join('---:' if h == 'rows' else '---' for h in heads)} |")
    for row in rows:
        cells = (
            cell.replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;") for cell in row
        )
        print(f"| {' | '.join(cells)} |")


def _as_json(found: Diff, out: str | None) -> dict[str, Any]:
    tally = found.tally
    return {
        "a": {"uri": found.a.uri, "rows": found.a.rows, "digest": found.a.digest},
        "b": {"uri": found.b.uri, "rows": found.b.rows, "digest": found.b.digest},
        "is_same": found.is_empty,
        "is_proven": found.is_proven,
        "by": found.comparison.by,
        **{str(change): tally.of(change) for change in Change},
        "same": found.same,
        "kept": _kept(found),
        **_membership(found),
        "reasons": [{"change": c, "reason": reason, "rows": rows} for c, reason, rows in reasons(tally)],
        "columns": dict(sorted(tally.columns.items())),
        "columns_added": found.new_columns,
        "columns_removed": found.lost_columns,
        "rows": list(found.first),
        "notes": list(found.notes),
        "text_scores_compare": found.text_scores_compare,
        "out": out,
    }
