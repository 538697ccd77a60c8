"""How long rows are looked up by each of their names, and explained, in a manifest of many rows.

    python -m benchmarks.names [--rows 5000000] [--folder F] [--json]

Each look-up starts DuckDB anew, as a command does; files are in the page cache after the first. The manifest is made
from row numbers (benchmarks.synthetic_manifests).
"""

import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic_manifests import make
from jobs.operations.explain import explain_rows
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine
from manifests.sql.names import find_named


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was asked, how many rows were found, and in how many seconds; the most memory so far."""

    what: str
    rows: int
    seconds: float
    memory_bytes: int


@click.command()
@click.option("--rows", default=5_000_000, show_default=True, help="Rows of the manifest that is made.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to make it; kept for the next run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rows: int, folder: Path | None, as_json: bool) -> None:
    """Measure look-ups in a manifest of many rows."""
    with tempfile.TemporaryDirectory(prefix="curate-names-") as scratch:
        lines = list(_measure(make(folder or Path(scratch), rows)))
    if as_json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
        return
    table = Table(title=f"One row of {rows:,}", title_justify="left")
    for name in ("by", "rows", "seconds", "MB"):
        table.add_column(name, justify="left" if name == "by" else "right")
    for line in lines:
        table.add_row(line.what, f"{line.rows:,}", f"{line.seconds:.2f}", f"{line.memory_bytes / 1e6:,.0f}")
    Console().print(table)


def _measure(manifest: Manifest) -> Iterator[Line]:
    middle = manifest.parts[len(manifest.parts) // 2]
    row = manifest.read_part(middle, ["key", "member", "sha256", "url"]).slice(middle.rows // 2, 1).to_pylist()[0]
    texts = {
        "key": row["key"],
        "beginning of a key": row["key"][:12],
        "member": row["member"],
        "sha256": row["sha256"],
        "url": row["url"],
        "key with a mistake": row["key"][:-1] + "x",
        "nothing like it": "no row has this name",
    }
    for what, text in texts.items():
        began = time.perf_counter()
        with DuckEngine() as engine:
            found = find_named(manifest, [text], engine).places.num_rows
        yield _line(what, found, began)
    began = time.perf_counter()
    yield _line("explained, by its key", len(explain_rows(manifest, [row["key"]]).explanations), began)


def _line(what: str, rows: int, began: float) -> Line:
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Line(what=what, rows=rows, seconds=round(seconds, 2), memory_bytes=peak)


if __name__ == "__main__":
    main()
