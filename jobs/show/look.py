"""What the commands that show manifests print: `show`, `stats`, `query`, `cat`."""

import csv
import dataclasses
import decimal
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.markup import escape
from rich.table import Table

from curation.report import funnel
from jobs.show import terminal
from jobs.show.answers import facts_of, funnel_table
from jobs.show.basics import (
    NOTHING,
    cell,
    human_bytes,
    plain,
    print_json,
    setting_text,
    settings_line,
    stdout_console,
    visible,
)
from manifests import storage
from manifests.format.schema import schema
from manifests.format.store import Manifest, read_batches
from manifests.inspect.stats import ColumnStats, GroupStats, Histogram, Numbers, Stats, Values

BARS = "▁▂▃▄▅▆▇█"
MAX_WIDE_COLUMNS = 10
ROWS_PER_TABLE = 100
MAX_WARNINGS = 5
MAX_BYTES = 32
WIDE_CHARS = 120


# --- show


def first_rows(manifest: Manifest, count: int) -> list[dict[str, Any]]:
    """Return the first rows, at most `count`. Of the parts, only the batches that contain them are read."""
    found: list[dict[str, Any]] = []
    for part in manifest.parts:
        batches = read_batches(manifest.part_uri(part), batch_rows=max(1, count))
        while len(found) < count and (batch := next(batches, None)) is not None:
            found += batch.slice(0, count - len(found)).to_pylist()
    return found


def print_manifest(manifest: Manifest, *, rows: int, as_json: bool) -> None:
    """Print a manifest: its description, funnel, counts, columns and first rows."""
    if as_json:
        print_json({**facts_of(manifest), "first_rows": [plain(row) for row in first_rows(manifest, rows)]})
        return
    console = stdout_console()
    size = human_bytes(manifest.size_bytes)
    made = f"stage {manifest.stage}" + (f", made by {manifest.made_by}" if manifest.derivation else "")
    print(f"{visible(manifest.uri)}\n{made} · {manifest.rows:,} rows · {len(manifest.parts):,} parts · {size}")
    print(f"digest {manifest.digest}\ncreated {manifest.created}")
    if settings := manifest.operation_settings:
        print(f"settings {settings_line(settings)}")
    for parent in manifest.parents:
        print(visible(f"made from {parent.uri} ({parent.stage}, {parent.digest[:16]}…)"))
    if manifest.shuffle:
        print(_shuffle_line(manifest.shuffle))
    if lacking := [name for name in schema(manifest.stage).names if name not in manifest.schema.names]:
        print(f"by an earlier curate, without {', '.join(lacking)}")
    for warning in list(manifest.source_warnings.values())[:MAX_WARNINGS]:
        print(visible(f"warning: {warning}"))
    if (more := len(manifest.source_warnings) - MAX_WARNINGS) > 0:
        print(f"warning: {more:,} more; --json has them all")
    console.print(funnel_table(funnel(manifest.funnel)))
    if manifest.counts:
        console.print(_counts_table(manifest))
    if rows > 0:
        fitting = max(1, (console.width - 40) // 30)
        console.print(_columns_table(manifest, first_rows(manifest, min(rows, fitting))))


def _shuffle_line(shuffle: Mapping[str, float]) -> str:
    """Return how well the samples of tars are shuffled, see curation.shards.shuffle."""
    return (
        f"shuffled: sources of neighbours are {shuffle['distance']:.3f} times as far apart as in a random order "
        f"(± {shuffle['deviation']:.3f})"
    )


def _counts_table(manifest: Manifest) -> Table:
    table = Table(title="Rows by value", title_justify="left", box=box.SIMPLE, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, counted in manifest.counts.items():
        counts = [f"{value} {n:,}" for value, n in sorted(counted.items(), key=lambda each: (-each[1], each[0]))]
        table.add_row(name, escape(visible(", ".join(counts))))
    return table


def _columns_table(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a line for each column: its values in `rows`, or its meaning when there are none."""
    title = f"Columns and the first {len(rows):,} rows" if rows else "Columns"
    table = Table(title=title, title_justify="left")
    table.add_column("column", no_wrap=True, min_width=max(map(len, manifest.schema.names)))
    table.add_column("type", no_wrap=True)
    if not rows:
        table.add_column("meaning", overflow="fold")
    for _ in rows:
        table.add_column("", overflow="ellipsis", no_wrap=True, ratio=1)
    for column in manifest.schema:
        meaning = (column.metadata or {}).get(b"description", b"").decode()
        cells = [cell(row[column.name]) for row in rows] or [escape(meaning)]
        table.add_row(column.name, str(column.type), *cells)
    return table


# --- stats


def print_stats(found: Stats, *, as_json: bool) -> None:
    """Print statistics of columns: a table for numbers, one for lengths in bytes, one for values."""
    if as_json:
        print_json(plain(dataclasses.asdict(found)))
        return
    where = "" if found.where is None else f" where {visible(found.where)}"
    print(f"{visible(found.uri)}: {found.rows:,} rows{where}")
    if found.sampled_rows is not None:
        print(
            f"p1 to p99, histograms, and values of columns with ≈ are of a sample of {found.sampled_rows:,} rows, "
            "drawn by a hash of their keys; everything else is of all rows"
        )
    if found.rows_left_out:
        print(f"the {len(found.groups):,} groups with most rows; {found.rows_left_out:,} rows are in others")
    console = stdout_console()
    if found.by:
        console.print(_groups_table(found))
    for title, kind in (("Numbers", "numbers"), ("Bytes of each value", "lengths")):
        if any(getattr(column, kind) for column in _columns(found)):
            console.print(_numbers_table(title, kind, found, is_wide=console.width >= WIDE_CHARS))
    if any(column.values for column in _columns(found)):
        console.print(_values_table(found))


def _columns(found: Stats) -> Iterator[ColumnStats]:
    return itertools.chain.from_iterable(group.columns for group in found.groups)


def _groups_table(found: Stats) -> Table:
    table = Table(title="Groups", title_justify="left", box=box.SIMPLE_HEAD)
    for name in found.by:
        table.add_column(escape(name))
    for name in ("rows", "share"):
        table.add_column(name, justify="right")
    for group in found.groups:
        share = f"{group.rows / found.rows:.1%}"
        table.add_row(*(cell(group.group[name]) for name in found.by), f"{group.rows:,}", share)
    return table


def _by_column(found: Stats, kind: str) -> Iterator[tuple[GroupStats, ColumnStats, bool]]:
    """Yield (group, column, whether it is the column's first group) for columns with statistics of `kind`."""
    for place in range(len(found.groups[0].columns) if found.groups else 0):
        for number, group in enumerate(found.groups):
            column = group.columns[place]
            if getattr(column, kind) is not None:
                yield group, column, number == 0


def _label(group: GroupStats) -> list[str]:
    """Return the cell that names a group, in a list; an empty list when all rows are one group."""
    return [", ".join(cell(value) for value in group.group.values())] if group.group else []


def _plain_label(group: GroupStats) -> str:
    return ", ".join(map(str, group.group.values()))


def _numbers_table(title: str, kind: str, found: Stats, *, is_wide: bool) -> Table:
    shown = ("p1", "p5", "p25", "p50", "p75", "p95", "p99") if is_wide else ("p5", "p50", "p95")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("column", no_wrap=True)
    if found.by:
        widest = max(map(len, [*found.by, *map(_plain_label, found.groups)]))
        table.add_column(escape(", ".join(found.by)), overflow="fold", min_width=min(24, widest))
    for name in ("nulls", "min", *shown, "max", "mean"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("p1 to p99", no_wrap=True)
    for group, column, is_first in _by_column(found, kind):
        numbers: Numbers = getattr(column, kind)
        name = escape(column.name) if is_first else ""
        nulls = f"{column.nulls:,}" + (f" +{numbers.not_finite:,} NaN" if numbers.not_finite else "")
        cells = [numbers.min, *(numbers.quantiles.get(q) for q in shown), numbers.max, numbers.mean]
        texts = [NOTHING if each is None else number(each) for each in cells]
        table.add_row(name, *_label(group), nulls, *texts, bars(numbers.histogram))
    return table


def number(value: float) -> str:
    """Return a number in about six characters: three digits and a unit from 100,000 on."""
    size = abs(value)
    if size < 100_000:
        if value == int(value) or size >= 1000:
            return f"{value:,.0f}"
        return f"{value:.3g}" if size >= 0.001 else f"{value:.1e}"
    for unit in ("k", "M", "G", "T", "P"):
        size /= 1000
        if size < 999.5:
            digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
            return f"{'-' * (value < 0)}{size:.{digits}f}{unit}"
    return f"{value:.2e}"


def bars(histogram: Histogram | None) -> str:
    """Return a histogram as a line of block characters; a blank is a bin without rows."""
    if histogram is None:
        return NOTHING
    most = max(histogram.rows, default=0)
    return "".join(BARS[(len(BARS) * n - 1) // most] if n else " " for n in histogram.rows)


def _values_table(found: Stats) -> Table:
    table = Table(title="Values", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("column", no_wrap=True)
    if found.by:
        table.add_column(escape(", ".join(found.by)))
    for name in ("nulls", "different"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("most frequent, with their share of the rows", overflow="fold")
    for group, column, is_first in _by_column(found, "values"):
        values = column.values
        if values is not None:
            name = escape(column.name) if is_first else ""
            distinct = f"{'' if values.is_exact else '≈ '}{values.distinct:,}"
            table.add_row(name, *_label(group), f"{column.nulls:,}", distinct, _frequent(column, values))
    return table


def _frequent(column: ColumnStats, values: Values) -> str:
    if values.is_exact and values.distinct == column.rows - column.nulls and values.distinct > len(values.top):
        return "[dim]each once[/dim]"
    if not values.is_exact and not values.top:
        return "[dim]none is frequent[/dim]"
    is_all = len(values.top) == values.distinct
    texts = [f"{cell(each.value)} {share(each.share)}" for each in values.top if is_all or each.rows > 1]
    return ", ".join([*texts, *["…"] * (not is_all)]) or NOTHING


def share(value: float) -> str:
    """Return a share in per cent."""
    return f"{value:.1%}" if value >= 0.001 or not value else f"{100 * value:.2g}%"


# --- rows


def print_rows(
    names: Sequence[str], tables: Iterable[pa.Table | pa.RecordBatch], *, form: str, max_rows: int | None = None
) -> None:
    """Print rows as they arrive; `form` is table, json (an array), jsonl or csv.

    As a table, at most `max_rows` are printed, and a line on stderr says when there are more. Printing ends when the
    reader of stdout stops reading, as `head` does. CSV is UTF-8 on every terminal.
    """
    rows = itertools.takewhile(lambda _: not terminal.nobody_reads(), _rows(tables))
    if form == "csv":
        terminal.write_utf8()
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(map(_csv_cell, row.values()) for row in rows)
    elif form in ("json", "jsonl"):
        _print_objects(rows, is_array=form == "json")
    else:
        _print_tables(names, rows if max_rows is None else itertools.islice(rows, max_rows))
        if max_rows is not None and next(rows, None) is not None:
            print(f"the first {max_rows:,} rows; --limit shows more", file=sys.stderr)


def _rows(tables: Iterable[pa.Table | pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    for table in tables:
        yield from table.to_pylist()


def _csv_cell(value: Any) -> str:
    return "" if value is None else setting_text(plain(value))


def _print_objects(rows: Iterator[dict[str, Any]], *, is_array: bool) -> None:
    lines = (json.dumps(plain(row), ensure_ascii=not terminal.is_utf8()) for row in rows)
    if not is_array:
        for line in lines:
            print(line)
        return
    before = "["
    for line in lines:
        print(before, line, sep="\n", end="")
        before = ","
    print("[]" if before == "[" else "\n]")


def _print_tables(names: Sequence[str], rows: Iterator[dict[str, Any]]) -> None:
    """Print rows below each other, or side by side when they have many columns, in as many tables as needed."""
    console = stdout_console()
    is_tall = len(names) > MAX_WIDE_COLUMNS
    each = max(1, (console.width - 25) // 40) if is_tall else ROWS_PER_TABLE
    for first in itertools.count():
        some = list(itertools.islice(rows, each))
        if some or not first:
            console.print(_tall_table(names, some) if is_tall else _wide_table(names, some))
        if len(some) < each:
            return


def _wide_table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name in names:
        is_number = any(isinstance(row[name], int | float | decimal.Decimal) for row in rows)
        table.add_column(escape(visible(name)), overflow="fold", justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(_text(row[name]) for name in names))
    return table


def _tall_table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    for _ in rows:
        table.add_column(overflow="fold", ratio=1)
    for name in names:
        table.add_row(escape(visible(name)), *(_text(row[name]) for row in rows))
    return table


def _text(value: Any) -> str:
    """Return the text of a cell: the complete value, but only the first MAX_BYTES of bytes."""
    if isinstance(value, bytes) and len(value) > MAX_BYTES:
        return f"{value[:MAX_BYTES].hex()}… ({len(value):,} bytes)"
    return NOTHING if value is None else escape(visible(setting_text(plain(value))))


def write_parquet(out: str, columns: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write rows as one Parquet file, completely or not at all, and return how many there were."""
    rows = 0
    with (
        storage.write_atomically(storage.absolute(out)) as f,
        pq.ParquetWriter(f, columns, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
