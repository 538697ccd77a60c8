"""Answers on stdout: tables for people, JSON for machines."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.report import FunnelRow, funnel
from jobs.facts import Check, EngineModels, Outlook
from manifests.store import Manifest

MAX_CELL_CHARS = 40
PIPED_WIDTH = 140
_MARKS = {True: "[green]ok[/green]", False: "[red]missing[/red]"}


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


def human_bytes(size: float | None) -> str:
    """Return a size in bytes as people read it."""
    if size is None:
        return ""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError("TB ends the loop")


def print_outlook(found: Sequence[Outlook], *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        _print_json([dataclasses.asdict(o) for o in found])
        return
    table = Table(title="Plan (nothing was written)", title_justify="left")
    for name in ("stage", "state", "units", "done", "bytes", "output"):
        table.add_column(name, justify="right" if name in ("units", "done", "bytes") else "left", overflow="fold")
    for each in found:
        counts = ["" if n is None else f"{n:,}" for n in (each.units, each.units_done)]
        table.add_row(each.stage, each.state, *counts, human_bytes(each.size_bytes), escape(each.output))
    console = _console()
    console.print(table)
    for each in found:
        if each.detail:
            console.print(f"{each.stage}: {each.detail}", markup=False)


def funnel_table(rows: Sequence[FunnelRow]) -> Table:
    """Return the funnel as a table."""
    table = Table(title="Funnel", title_justify="left")
    table.add_column("stage")
    for name in ("came in", "left", "went on"):
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    table.add_column("core ms/image", justify="right")
    for row in rows:
        why = [f"{name} {n:,}" for name, n in sorted(row.reasons.items(), key=lambda r: (-r[1], r[0]))]
        why += [f"({name} {n:,})" for name, n in sorted(row.notes.items())]
        cost = "" if row.core_milliseconds is None else f"{row.core_milliseconds:,.2f}"
        table.add_row(
            row.stage, f"{row.came_in:,}", f"{row.left:,}", f"{row.went_on:,}", escape(", ".join(why)), cost
        )
    return table


def facts_of(manifest: Manifest) -> dict[str, Any]:
    """Return what machines want to know of a manifest."""
    return {
        "uri": manifest.uri,
        "stage": manifest.stage,
        "rows": manifest.rows,
        "parts": len(manifest.parts),
        "bytes": sum(p.size_bytes for p in manifest.parts),
        "digest": manifest.digest,
        "created": manifest.created,
        "config": manifest.config,
        "software": manifest.software,
        "parents": [dataclasses.asdict(p) for p in manifest.parents],
        "roots": manifest.roots,
        "counts": manifest.counts,
        "funnel": [dataclasses.asdict(r) for r in funnel(manifest.funnel)],
        "broken_sources": manifest.broken_sources,
        "facts": manifest.facts,
        "cost": manifest.cost,
        "columns": {f.name: str(f.type) for f in manifest.schema},
    }


def print_done(manifest: Manifest, *, as_json: bool) -> None:
    """Print the funnel and where everything is."""
    if as_json:
        _print_json(facts_of(manifest))
        return
    console = _console()
    console.print(funnel_table(funnel(manifest.funnel)))
    for uri, why in manifest.broken_sources.items():
        console.print(f"left out: {uri}: {why}", markup=False, soft_wrap=True)
    print(f"{manifest.stage}: {manifest.rows:,} rows at {manifest.uri}\ndigest: {manifest.digest}")


def print_manifest(manifest: Manifest, *, rows: int, as_json: bool) -> None:
    """Print a manifest: its facts, funnel, columns and first rows."""
    if as_json:
        _print_json(facts_of(manifest))
        return
    console = _console()
    size = human_bytes(sum(p.size_bytes for p in manifest.parts))
    print(f"{manifest.uri}\nstage {manifest.stage} · {manifest.rows:,} rows · {len(manifest.parts)} parts · {size}")
    print(f"digest {manifest.digest}\ncreated {manifest.created}")
    for parent in manifest.parents:
        print(f"made from {parent.uri} ({parent.stage}, {parent.digest[:16]}…)")
    console.print(funnel_table(funnel(manifest.funnel)))
    if rows > 0:
        console.print(_rows_table(manifest, min(rows, max(1, (console.width - 40) // 30))))


def _rows_table(manifest: Manifest, count: int) -> Table:
    """Return the first rows, a column each, the manifest's columns downwards."""
    first: list[Mapping[str, Any]] = []
    for part in manifest.parts:
        if len(first) >= count:
            break
        first += manifest.read_part(part).slice(0, count - len(first)).to_pylist()
    table = Table(title=f"Columns and the first {len(first)} rows", title_justify="left")
    table.add_column("column", no_wrap=True, min_width=max(len(n) for n in manifest.schema.names))
    table.add_column("type", no_wrap=True)
    for _ in first:
        table.add_column("", overflow="ellipsis", no_wrap=True, ratio=1)
    for column in manifest.schema:
        table.add_row(column.name, str(column.type), *(_cell(row[column.name]) for row in first))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]–[/dim]"
    text = value.hex() if isinstance(value, bytes) else str(value)
    printable = "".join(c if c.isprintable() else "·" for c in text)
    return escape(printable if len(printable) <= MAX_CELL_CHARS else printable[: MAX_CELL_CHARS - 1] + "…")


def print_checks(found: Sequence[Check], *, as_json: bool) -> None:
    """Print what `curate doctor` found, and how to mend what is missing."""
    if as_json:
        _print_json([dataclasses.asdict(c) for c in found])
        return
    table = Table(title="curate doctor", title_justify="left")
    for name in ("check", "", "found", "how to mend it"):
        table.add_column(name, overflow="fold")
    for check in found:
        mend = "" if check.is_good else escape(check.mend)
        table.add_row(check.name, _MARKS[check.is_good], escape(check.found), mend)
    _console().print(table)


def print_models(found: Sequence[EngineModels], *, as_json: bool) -> None:
    """Print the files that text engines load, and how to get what is missing."""
    if as_json:
        _print_json([dataclasses.asdict(each) for each in found])
        return
    table = Table(title="Model files of the text engines", title_justify="left")
    for name in ("engine", "file", "size", "note"):
        table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    for each in found:
        if each.problem is not None:
            table.add_row(each.engine, "", "", escape(each.problem))
        for file in each.files:
            table.add_row(each.engine, escape(file.path), human_bytes(file.size_bytes), escape(file.note))
    _console().print(table)
