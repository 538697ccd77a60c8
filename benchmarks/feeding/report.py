"""The figures as tables."""

import statistics
import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table

from benchmarks.feeding.bench import PLACES, Row
from benchmarks.feeding.readers import READERS


def spread(values: Iterable[float], digits: int) -> str:
    """Return the median of some values, with the smallest and the largest."""
    found = list(values)
    if not found:
        return ""
    return f"{statistics.median(found):.{digits}f} ({min(found):.{digits}f}–{max(found):.{digits}f})"


def _median(seconds: Sequence[float | str]) -> str:
    found = [each for each in seconds if not isinstance(each, str)]
    return f"{statistics.median(found):.2f}" if found else "fails"


COLUMNS = (
    "reader", "images/s a core", "images/s", "first batch (s)", "cold: images/s", "cold: first batch (s)",
    "s3: images/s a core", "s3: images/s", "resumed (s)", "memory (MB)", "mixed", "prepared (s)",
)  # fmt: skip


def figures(row: Row) -> list[str]:
    """Return the cells of the table of figures."""
    warm, cold, s3 = (row.runs[place] for place in PLACES)
    resumed = list(zip(*(run.resume_seconds for run in warm), strict=True))
    kind = READERS[row.reader]
    return [
        row.name,
        spread((run.images_a_core for run in warm), 0),
        spread((run.images_a_second for run in warm), 0),
        spread((run.first_seconds for run in warm), 2),
        spread((run.images_a_second for run in cold), 0),
        spread((run.first_seconds for run in cold), 2),
        spread((run.images_a_core for run in s3), 0),
        spread((run.images_a_second for run in s3), 0) or kind.remote or row.failures.get("s3", ""),
        " / ".join(map(_median, resumed)) or "no state",
        spread((run.peak_bytes / 1e6 for run in warm), 0),
        spread((run.mixed for run in warm), 2),
        f"{row.prepare_seconds:.1f}",
    ]


def lines_of(rows: Sequence[Row]) -> list[list[str]]:
    """Return the cells of the table of what is lost and repeated."""
    found = []
    for row in rows:
        if row.counts:
            cells = [each if isinstance(each, str) else f"{each[0]} / {each[1]}" for each in row.counts.values()]
            found.append([row.reader, *cells])
    return found


def print_table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table: for people, or in Markdown where no person looks."""
    if not sys.stdout.isatty():
        click.echo(f"\n{title}\n")
        for cells in (columns, ["---", *["---:"] * (len(columns) - 1)], *lines):
            click.echo("| " + " | ".join(cells) + " |")
        return
    table = Table(title=title, title_justify="left")
    for n, name in enumerate(columns):
        table.add_column(name, justify="right" if n else "left")
    for cells in lines:
        table.add_row(*cells)
    Console(highlight=False, markup=False).print(table)
