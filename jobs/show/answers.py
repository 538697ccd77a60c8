"""What commands print that run stages or make manifests: the plan, the funnel, the result."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from curation.report import FunnelRow, funnel
from jobs.show.basics import human_bytes, print_json, stdout_console
from manifests.format.schema import Stage
from manifests.format.store import Manifest


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a stage would do. `state` is `up to date`, `resume`, `run`, or `after …` the stage that must run first."""

    stage: Stage
    output: str
    state: str
    units: int | None = None
    units_done: int | None = None
    size_bytes: int | None = None
    detail: str | None = None
    variant: str = ""

    @property
    def name(self) -> str:
        """The stage, and the variant if there are several."""
        return f"{self.stage} {self.variant}".rstrip()


def print_outlook(found: Sequence[Outlook], *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        print_json([dataclasses.asdict(o) for o in found])
        return
    table = Table(title="Plan (nothing was written)", title_justify="left")
    for name in ("stage", "state", "units", "done", "bytes", "output"):
        table.add_column(name, justify="right" if name in ("units", "done", "bytes") else "left", overflow="fold")
    for each in found:
        counts = ["" if n is None else f"{n:,}" for n in (each.units, each.units_done)]
        table.add_row(each.name, each.state, *counts, human_bytes(each.size_bytes), escape(each.output))
    console = stdout_console()
    console.print(table)
    for each in found:
        if each.detail:
            console.print(f"{each.name}: {each.detail}", markup=False)


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
        why += [f"{row.added:,} added"] if row.added else []
        cost = "" if row.core_milliseconds is None else f"{row.core_milliseconds:,.2f}"
        table.add_row(
            row.stage, f"{row.came_in:,}", f"{row.left:,}", f"{row.went_on:,}", escape(", ".join(why)), cost
        )
    return table


def facts_of(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest's description for JSON."""
    return {
        "uri": manifest.uri,
        "stage": manifest.stage,
        "made_by": manifest.made_by,
        "derivation": manifest.derivation,
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
        "source_warnings": manifest.source_warnings,
        "facts": manifest.facts,
        "files": manifest.files,
        "shuffle": manifest.shuffle,
        "cost": manifest.cost,
        "columns": {f.name: str(f.type) for f in manifest.schema},
    }


def print_done(manifest: Manifest, *, as_json: bool) -> None:
    """Print the funnel of a manifest that was made, and where it is."""
    if as_json:
        print_json(facts_of(manifest))
        return
    console = stdout_console()
    console.print(funnel_table(funnel(manifest.funnel)))
    for uri, why in manifest.broken_sources.items():
        console.print(f"left out: {uri}: {why}", markup=False, soft_wrap=True)
    print(f"{manifest.made_by}: {manifest.rows:,} rows at {manifest.uri}\ndigest: {manifest.digest}")


def print_all_done(made: Mapping[str, Manifest], *, as_json: bool) -> None:
    """Print what `print_done` does for each variant of a pipeline; as JSON, by name if there are several."""
    if as_json and list(made) != [""]:
        print_json({name: facts_of(manifest) for name, manifest in made.items()})
        return
    for name, manifest in made.items():
        if name:
            print(f"{name}:")
        print_done(manifest, as_json=as_json)


def print_would_be(operation: str, rows: int, uri: str, *, as_json: bool) -> None:
    """Print what an operation would make, for --dry-run."""
    if as_json:
        print_json({"operation": operation, "rows": rows, "uri": uri})
        return
    print(f"{operation}: would have {rows:,} rows at {uri}; nothing was written")
