"""Answers on stdout: tables for people, JSON for machines."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from curation.report import FunnelRow, funnel
from jobs.show import terminal
from jobs.show.facts import Check, EngineModels, Outlook
from manifests.format.store import Manifest

if TYPE_CHECKING:  # scipy takes a second to import
    from rich.console import Console

    from curation.trust.audit import Audit
    from curation.trust.audit_labels import Estimate, Estimates
    from curation.trust.calibration import Calibration, Interval

MAX_CELL_CHARS = 40
PIPED_WIDTH = 140
_MARKS = {True: "[green]ok[/green]", False: "[red]missing[/red]"}


def _console() -> "Console":
    return terminal.console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


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
        why += [f"{row.added:,} added"] if row.added else []
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
    print(f"{manifest.made_by}: {manifest.rows:,} rows at {manifest.uri}\ndigest: {manifest.digest}")


def print_would_be(operation: str, rows: int, uri: str, *, as_json: bool) -> None:
    """Print what an operation would make."""
    if as_json:
        _print_json({"operation": operation, "rows": rows, "uri": uri})
        return
    print(f"{operation}: would have {rows:,} rows at {uri}; nothing was written")


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]–[/dim]"
    text = value.hex() if isinstance(value, bytes) else str(value)
    printable = "".join(c if c.isprintable() else "·" for c in text)
    return escape(printable if len(printable) <= MAX_CELL_CHARS else printable[: MAX_CELL_CHARS - 1] + "…")


def print_cluster(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a row, its cluster, its representative and why it is that."""
    if as_json:
        _print_json(found)
        return
    row, representative, members = found["row"], found["representative"], found["members"]
    if row["duplicate_of"] is None:
        print(f"{row['key']} represents its cluster of {found['count']:,}: {found['why']}")
    else:
        print(f"{row['key']} is a copy of {row['duplicate_of']} ({row['duplicate_kind']}): {row['found']}")
        print(f"{representative['key']} represents: {found['why']}")
    if "manifest" in representative:
        print(f"it lies in {representative['manifest']}")
    table = Table(title=f"Cluster {escape(row['cluster_id'])}", title_justify="left")
    for name in ("key", "kind", "found", "size", "source", "member"):
        table.add_column(name, overflow="fold")
    for each in [representative] * ("manifest" in representative) + list(members):
        kind = each.get("duplicate_kind") or "–"
        size = f"{each['width']} × {each['height']}" if each["width"] else "–"
        told = (each["key"], kind, each.get("found", ""), size, each["source"].rpartition("://")[2], each["member"])
        table.add_row(*map(escape, told), style="bold" if each["key"] == row["key"] else None)
    _console().print(table)
    if found["count"] > len(members):
        print(f"{len(members):,} of {found['count']:,} members; --limit shows more")


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


def print_calibration(made: "Calibration", *, as_json: bool) -> None:
    """Print what is to be expected of a calibration."""
    if as_json:
        _print_json(dataclasses.asdict(made))
        return
    console = _console()
    expected = Table(title="Expected, with 95 % intervals", title_justify="left")
    for name in ("class", "text_score from", "recall", "false rate", "precision"):
        expected.add_column(name, justify="left" if name == "class" else "right")
    for question in ("heavy", "light"):
        spans = [made.expected[f"{question}_{name}"] for name in ("recall", "false_rate", "precision")]
        expected.add_row(question, f"{made.rules[f'min_{question}_score']:g}", *(_span(s) for s in spans))
    console.print(expected)
    steps = Table(title="Steps", title_justify="left")
    for name in ("step", "saw", "settled", "heavy lost", "light lost"):
        steps.add_column(name, justify="left" if name == "step" else "right")
    for step in made.steps:
        steps.add_row(
            step.step, f"{step.saw:.1%}", f"{step.settled:.1%}", _span(step.heavy_lost), _span(step.light_lost)
        )
    console.print(steps)


def _span(interval: "Interval") -> str:
    return f"{interval.share:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def print_strata(made: "Audit", *, page: str, as_json: bool) -> None:
    """Print a drawn sample, stratum by stratum, and where to label it."""
    if as_json:
        _print_json({**dataclasses.asdict(made), "page": page})
        return
    table = Table(title="Strata", title_justify="left")
    for name in ("decided by", "class", "kept", "text_score", "rows", "drawn"):
        table.add_column(name, justify="right" if name in ("rows", "drawn") else "left", overflow="fold")
    for each in made.strata:
        facets = each.facets
        said = (escape(facets.text_step), facets.text_class, "yes" if facets.is_kept else "no", facets.band)
        table.add_row(*said, f"{each.rows:,}", f"{len(each.keys):,}")
    _console().print(table)
    outside = made.rows - made.audited_rows
    print(f"audit: {len(made.keys):,} pictures of {made.audited_rows:,} rows to label at {page}")
    if outside:
        print(f"left out: {outside:,} rows that are duplicates or have no picture or score")


def print_estimates(found: "Estimates", *, as_json: bool) -> None:
    """Print what labels say of the whole set."""
    if as_json:
        _print_json(dataclasses.asdict(found))
        return
    console = _console()
    told = ", ".join(f"{count:,} {label}" for label, count in found.labels.items())
    print(f"{found.rows:,} rows; of the pictures drawn from them, {told}")
    quality = Table(title="The whole set, with 95 % intervals", title_justify="left")
    for name in ("", "precision", "labels", "recall", "labels"):
        quality.add_column(name, justify="right" if name else "left")
    for name, each in found.quality.items():
        quality.add_row(name, *_share(each["precision"]), *_share(each["recall"]))
    console.print(quality)
    lost = Table(title="Of all heavy images, called light or none by", title_justify="left")
    for name in ("step", "share", "labels"):
        lost.add_column(name, justify="left" if name == "step" else "right")
    for step, each_lost in found.lost_heavy.items():
        lost.add_row(escape(step), *_share(each_lost))
    console.print(lost)
    if found.blind_strata:
        print(
            f"{found.blind_strata} strata, {found.blind_rows:,} rows, have no label that counts: the shares leave "
            "them out, the intervals allow for anything in them. Label more"
        )


def _share(estimate: "Estimate") -> tuple[str, str]:
    labels = f"{estimate.labels_hit:,} of {estimate.labels:,}"
    if estimate.value is None:
        return "–", labels
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})", labels
