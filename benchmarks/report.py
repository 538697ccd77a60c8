"""What `curate report` costs: seconds, processor time of all processes, memory and bytes, of two sizes of manifest.

    python -m benchmarks.report [--manifest out/chosen] [--rows 10000000] [--folder F] [--json]

`--manifest` is a chosen manifest of real pictures, such as that of the labelled corpus. `--rows` is a manifest made
from row numbers (benchmarks.synthetic_manifests), whose pictures are not there: its report shows none, and everything
else is counted. Each report is made by a process of its own. Exits with 1 if a bar is missed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic_manifests import make
from manifests.format.store import open_manifest

SMALL_ROWS = 100_000
BARS = {"small": (20.0, 40e6), "large": (60.0, None)}
MAX_MEMORY_BYTES = 2 << 30


@dataclass(frozen=True, kw_only=True)
class Line:
    """One report. `memory_bytes`: the most that one process had. The bars are for `seconds`, memory and bytes."""

    what: str
    rows: int
    seconds: float
    core_seconds: float
    memory_bytes: int
    size_bytes: int
    pictures: int
    is_met: bool


@click.command()
@click.option("--manifest", help="A chosen manifest of real pictures.")
@click.option("--rows", default=10_000_000, show_default=True, help="Rows of the manifest that is made; 0 for none.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to make it; kept for the next run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(manifest: str | None, rows: int, folder: Path | None, as_json: bool) -> None:
    """Measure reports of a manifest of real pictures, and of one of many rows."""
    with tempfile.TemporaryDirectory(prefix="curate-report-") as scratch:
        there = folder or Path(scratch)
        lines = []
        if manifest is not None:
            lines.append(_measure(manifest, open_manifest(manifest).rows, Path(scratch) / "real"))
        if rows:
            made = make(there, rows)
            lines.append(_measure(made.uri, rows, Path(scratch) / "made"))
    if as_json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print(lines)
    sys.exit(0 if all(line.is_met for line in lines) else 1)


def _measure(uri: str, rows: int, out: Path) -> Line:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs", "report", uri, "-o", str(out), "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    answer = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    seconds = time.perf_counter() - started
    size_bytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    memory = usage.ru_maxrss * 1024
    max_seconds, max_bytes = BARS["small" if rows <= SMALL_ROWS else "large"]
    return Line(
        what=uri.rstrip("/").rpartition("/")[2],
        rows=rows,
        seconds=round(seconds, 1),
        core_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        memory_bytes=memory,
        size_bytes=size_bytes,
        pictures=answer["pictures"],
        is_met=seconds <= max_seconds and memory <= MAX_MEMORY_BYTES and size_bytes <= (max_bytes or size_bytes),
    )


def _print(lines: list[Line]) -> None:
    table = Table("manifest", "rows", "seconds", "core s", "memory", "pictures", "size", "bar")
    for line in lines:
        table.add_row(
            line.what, f"{line.rows:,}", f"{line.seconds:.1f}", f"{line.core_seconds:.1f}",
            f"{line.memory_bytes / 1e6:,.0f} MB", f"{line.pictures:,}", f"{line.size_bytes / 1e6:.1f} MB",
            "met" if line.is_met else "missed",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
