"""What `curate log` shows: each manifest of a lineage with its settings and rows, then the sources."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curation.config import PipelineConfig
from curation.report import FunnelRow, funnel
from jobs.show.basics import print_json, settings_line, visible
from manifests.format.lineage import Step, lineage
from manifests.format.schema import Stage
from manifests.format.store import Manifest

_SCAN_DEFAULTS = {"local_features": True, "filters": {}}  # what other sections' defaults make of the scan


def history(manifest: Manifest) -> dict[str, Any]:
    """Return `manifests`, the youngest first, and `sources`, as values that JSON can contain."""
    steps = lineage(manifest)
    return {
        "manifests": [_described(step, funnel(step.manifest.funnel)) for step in steps],
        "sources": [_sources(step.manifest) for step in steps if _is_oldest(step)],
    }


def _is_oldest(step: Step) -> bool:
    """Return whether none of the manifests that it was made from is there."""
    return all(link.found is None for link in step.row_links)


def _described(step: Step, rows: Sequence[FunnelRow]) -> dict[str, Any]:
    here = step.manifest
    settings = here.operation_settings
    return {
        "uri": here.uri,
        "made_by": here.made_by,
        "stage": str(here.stage),
        "created": here.created,
        "digest": here.digest,
        "rows": here.rows,
        "parts": len(here.parts),
        "came_in": rows[-1].came_in,
        "added": rows[-1].added,
        "left": rows[-1].left,
        "went_on": rows[-1].went_on,
        "reasons": dict(rows[-1].reasons),
        "settings": settings if here.derivation else dict(here.config),
        "changed": settings if here.derivation else changed(here.stage, here.config),
        "software": dict(here.software),
        "parents": [
            {
                **dataclasses.asdict(link.recorded),
                "role": link.role,
                "state": str(link.state),
                "found_at": None if link.found is None else link.found.uri,
                "why": link.why,
            }
            for link in step.links
        ],
        # stages whose manifests are gone: only their counts are known
        "before": [dataclasses.asdict(row) for row in rows[:-1]] if step.row_links and _is_oldest(step) else [],
    }


def changed(stage: Stage, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from the defaults of this version, with dotted names."""
    defaults = PipelineConfig.model_fields[stage.value].default.model_dump(mode="json")
    if stage is Stage.SCAN:
        defaults |= _SCAN_DEFAULTS
    if "copies" in defaults:
        defaults["copies"] = sorted(defaults["copies"])  # as dedupe records them
    return {name: value for name, value in _flat(config).items() if _flat(defaults).get(name) != value}


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _sources(scan: Manifest) -> dict[str, Any]:
    """Return what the oldest manifest of a lineage records about the files it was made from."""
    known = scan.inputs.get("sources")
    folders = None if known is None else sum(uri.endswith("/") for uri in known)
    return {
        "scan": scan.uri,
        "roots": list(scan.roots),
        "tars": None if known is None or folders is None else len(known) - folders,
        "folders": folders,
        "left_out": dict(scan.broken_sources),
    }


# --- on a terminal


def print_history(found: Mapping[str, Any], *, oneline: bool, as_json: bool) -> None:
    """Print a lineage, the youngest manifest first, and the sources in the end."""
    if as_json:
        print_json(found)
        return
    known = {each["uri"]: each for each in found["manifests"]}
    shown: set[str] = set()
    for line in _history_lines(found["manifests"][0], known, shown, "", oneline=oneline):
        print(line.rstrip())
    for each in found["sources"]:
        print(_sources_line(each))
        for uri, why in each["left_out"].items():
            print(visible(f"  left out: {uri}: {why}"))


def _history_lines(
    here: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], shown: set[str], indent: str, *, oneline: bool
) -> Iterator[str]:
    """Yield the lines of a manifest and of all that it was made from; one that was shown already is only named."""
    if here["uri"] in shown:
        yield f"{indent}{here['made_by']}  {visible(here['uri'])}  (shown above)"
        return
    shown.add(here["uri"])
    yield from (indent + line for line in (_short_lines(here) if oneline else _step_lines(here)))
    rows = [parent for parent in here["parents"] if parent["role"] == "rows"]
    for place, parent in enumerate(rows):
        branch = indent + ("│ " if place < len(rows) - 1 else "  ") if len(rows) > 1 else indent
        if len(rows) > 1:
            yield f"{indent}{'├' if place < len(rows) - 1 else '└'}─ parent {place + 1} of {len(rows)}"
        if parent["found_at"] in known:
            yield from _history_lines(known[parent["found_at"]], known, shown, branch, oneline=oneline)
        else:
            yield branch + _absent(parent)
    for row in here["before"]:
        yield f"{indent}{row['stage']}: {_went(row)}; only its counts are known"


def _short_lines(here: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{here['made_by']:<8}  {here['created'][:16].replace('T', ' ')}  {_went(here, with_reasons=False)}  "
        f"{here['digest'][:8]}  {visible(here['uri'])}"
    )
    yield from (f"  {_other(parent)}" for parent in here["parents"] if parent["role"] != "rows")


def _step_lines(here: Mapping[str, Any]) -> Iterator[str]:
    made = here["made_by"] if here["made_by"] == here["stage"] else f"{here['made_by']} (stage {here['stage']})"
    yield f"{made}  {here['created']}"
    yield f"  at        {visible(here['uri'])}"
    yield f"  digest    {here['digest']}"
    yield f"  rows      {_went(here)}"
    if here["rows"] != here["went_on"]:
        yield f"            {here['rows']:,} rows in the manifest"
    yield f"  settings  {settings_line(here['changed']) if here['changed'] else 'the defaults'}"
    if here["software"] and here["made_by"] == here["stage"]:  # else it is the parent's
        yield f"  software  {visible(', '.join(f'{name} {version}' for name, version in here['software'].items()))}"
    for parent in here["parents"]:
        if parent["role"] != "rows":
            yield f"  {_other(parent)}"
        elif parent["state"] == "moved":
            yield f"  moved     its parent was at {visible(parent['uri'])}"
    yield ""


def _went(row: Mapping[str, Any], *, with_reasons: bool = True) -> str:
    added = f" + {row['added']:,}" if row["added"] else ""
    why = ", ".join(
        f"{name} {n:,}" for name, n in sorted(row["reasons"].items(), key=lambda each: (-each[1], each[0]))
    )
    left = f", {row['left']:,} left ({visible(why)})" if row["left"] and with_reasons else ""
    return f"{row['came_in']:,}{added} in{left}, {row['went_on']:,} on"


def _other(parent: Mapping[str, Any]) -> str:
    """Return a line about a reference set or an earlier manifest that duplicates were searched in."""
    role, _, name = parent["role"].partition(":")
    is_there = parent["found_at"] is not None
    at = f"{parent['found_at']} ({parent['digest'][:8]})" if is_there else _absent(parent)
    return visible(f"{role} {name}: {at}")


def _absent(parent: Mapping[str, Any]) -> str:
    """Return a line about a parent that is gone, or is another manifest now."""
    known = f"{parent['uri']} ({parent['stage']}, digest {parent['digest'][:8]}…)"
    if parent["state"] == "changed":
        return visible(f"{known} is not there any more: {parent['why']}")
    return visible(f"{known} is gone: {parent['why']}")


def _sources_line(each: Mapping[str, Any]) -> str:
    roots = ", ".join(map(visible, each["roots"])) or "unknown places"
    if each["tars"] is None:
        return f"sources: under {roots}; how many is recorded only by the scan, which is not there"
    counts = [
        f"{each[kind]:,} {kind[: -1 if each[kind] == 1 else None]}" for kind in ("tars", "folders") if each[kind]
    ]
    return f"sources: {' and '.join(counts) or 'none'} under {roots}"
