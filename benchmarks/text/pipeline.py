"""Runs the pipeline's stages on tars, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import click


def curate(*args: str | Path) -> None:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "jobs", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"curate {' '.join(map(str, args))}\n{done.stderr}")


def choose_all(tars: Path, out: Path) -> Path:
    """Return the chosen manifest of a run over `tars`, up to `choose`, on two cores."""
    curate("scan", f"{tars}/*.tar", "-o", out / "scan", "--master", "local[2]", "-q")
    curate("dedupe", out / "scan", "-o", out / "deduped", "--master", "local[2]", "-q")
    curate("score", out / "deduped", "-o", out / "scored", "--master", "local[2]", "-q")
    curate("choose", out / "scored", "-o", out / "chosen", "--master", "local[2]", "-q")
    return out / "chosen"
