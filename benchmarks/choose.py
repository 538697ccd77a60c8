"""Choosing in this process: seconds and memory of `curate choose`, by the number of rows.

    python -m benchmarks.choose [--rows 2000,10000000] [--repeats 3] [--folder F] [--json]

The scored manifests are made first, which is not counted (benchmarks.synthetic_manifests): 43 columns, without local
features, in parts of 250,000 rows. Each measurement is a process of its own, from its start to its end:

choose    with the default preset: every row is read, gets its verdict, and is written
target    the same, with --target-fraction 0.013, for which the rows are counted first
dry run   the counts by reason alone
what if   the counts by reason for 21 thresholds

The bars are 2 s for 2,000 rows and 60 s for 10 million, on two cores. The best of the repeats counts; a size of more
than a million rows is run once. Memory is the peak resident set of the process as the kernel accounts it, in 10^6
bytes.
"""

import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.synthetic_manifests import make

REPEATED_ROWS = 1_000_000
MAX_SECONDS = {2_000: 2.0, 10_000_000: 60.0}
THRESHOLDS = ",".join(f"{n / 20:g}" for n in range(21))
COMMANDS: dict[str, Sequence[str]] = {
    "choose": ("-o", "{output}"),
    "target": ("-o", "{output}", "--target-fraction", "0.013"),
    "dry run": ("--dry-run",),
    "what if": ("--set", "choose.min_light_score=0", "--what-if", f"min_heavy_score={THRESHOLDS}"),
}


def measure(manifest: str, command: str) -> dict[str, Any]:
    """Return seconds, processor seconds and memory of `curate choose` on `manifest`, run as `command` says."""
    with tempfile.TemporaryDirectory(prefix="curate-choose-") as folder:
        given = [each.format(output=f"{folder}/chosen") for each in COMMANDS[command]]
        line = [sys.executable, "-m", "jobs", "choose", manifest, *given, "--quiet"]
        started = time.monotonic()
        process = os.posix_spawn(
            sys.executable,
            line,
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
        )
        _, status, used = os.wait4(process, 0)
        seconds = time.monotonic() - started
    if status:
        raise click.ClickException(f"{' '.join(line)} failed")
    return {
        "seconds": round(seconds, 2),
        "core_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss * 1024 / 10**6),
    }


@click.command()
@click.option("--rows", default="2000,10000000", show_default=True, help="Sizes of the manifests.")
@click.option("--repeats", default=3, show_default=True, help="Measurements of each, of which the best counts.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where manifests are kept; else they are removed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, rows: str, repeats: int, folder: Path | None, as_json: bool) -> None:
    """Measure `curate choose` in this process."""
    kept = folder or Path(tempfile.mkdtemp(prefix="curate-choose-"))
    found = []
    try:
        for size in map(int, rows.split(",")):
            manifest = make(kept, size, is_scored=True)
            for command in COMMANDS:
                times = repeats if size <= REPEATED_ROWS else 1
                best = min((measure(manifest.uri, command) for _ in range(times)), key=lambda each: each["seconds"])
                found.append({"rows": size, "command": command, **best})
                if not as_json:
                    click.echo(
                        f"{size:>12,}  {command:8}  {best['seconds']:7.2f} s  {best['core_seconds']:7.2f} core-s  "
                        f"{best['peak_mb']:6,} MB"
                    )
    finally:
        if folder is None:
            shutil.rmtree(kept)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    choosing = {each["rows"]: each["seconds"] for each in found if each["command"] == "choose"}
    if slow := [size for size, seconds in choosing.items() if seconds > MAX_SECONDS.get(size, math.inf)]:
        sys.exit(f"slower than the bar for {slow} rows: {MAX_SECONDS}")


if __name__ == "__main__":
    main()
