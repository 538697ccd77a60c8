"""What `curate takedown` and `curate purge` print."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from jobs.show.basics import human_bytes, print_json, stdout_console, visible

MAX_ROWS = 50


def print_takedown(answer: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what goes and why, then how many rows and hashes, and where the manifest is."""
    if as_json:
        print_json(answer)
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in answer["counts"].items())
    _print_rows("Taken down", ("key", "why"), answer["removed"])
    print(f"removed: {len(answer['removed']):,} of {answer['rows_before']:,} rows ({counts})")
    print(f"hashes kept: {answer['hashes']:,}")
    if answer["unhashed"]:
        print(f"without a hash, so that nothing keeps them from returning: {answer['unhashed']:,}")
    if answer["digest"] is None:
        print(f"takedown: would have {answer['rows']:,} rows at {answer['uri']}; nothing was written")
    else:
        print(f"takedown: {answer['rows']:,} rows at {answer['uri']}\ndigest: {answer['digest']}")


def _print_rows(title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the first MAX_ROWS rows as a table."""
    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows[:MAX_ROWS]:
        table.add_row(*(escape(visible(str(row[name]))) for name in names))
    stdout_console().print(table)
    if len(rows) > MAX_ROWS:
        print(f"and {len(rows) - MAX_ROWS:,} more; --json has all")


def print_purge(answer: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what went from which shard, then how much in all, and where the shards are."""
    if as_json:
        print_json(answer)
        return
    _print_rows("Samples", ("key", "shard", "image_bytes"), answer["removed"])
    _print_rows("Shards", ("shard", "now", "samples", "removed_bytes", "sha256"), answer["shards"])
    print(f"removed: {answer['samples']:,} samples, {human_bytes(answer['removed_bytes'])} in tars")
    if answer["digest"] is not None:
        print(f"purge: {answer['rows']:,} rows at {answer['uri']}\ndigest: {answer['digest']}")
    elif answer.get("tars") is not None:
        print(f"purge: {answer['tars']:,} tars written at {answer['uri']}; their tables and indexes, if any, are old")
    else:
        print(f"purge: nothing was written at {answer['uri']}")
