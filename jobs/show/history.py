"""What `curate log` tells: each manifest of a lineage with its settings and rows, and the sources in the end."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from curation.config import PipelineConfig
from curation.report import FunnelRow, funnel
from manifests.format.lineage import Step, lineage
from manifests.format.schema import Stage
from manifests.format.store import Manifest

_SCAN_DEFAULTS = {"local_features": True, "filters": {}}  # what other sections' defaults make of the scan


def history(manifest: Manifest) -> dict[str, Any]:
    """Return `manifests`, the youngest first, and `sources`: what JSON can hold, and output_look prints."""
    steps = lineage(manifest)
    funnels = _funnels(steps)
    return {
        "manifests": [_told(step, funnels[step.manifest.uri]) for step in steps],
        "sources": [_sources(step.manifest) for step in steps if _is_oldest(step)],
    }


def _funnels(steps: Sequence[Step]) -> dict[str, list[FunnelRow]]:
    """Return the funnel up to each manifest, as the youngest that goes on from it tells it.

    Where samples left is known best in the end: a verdict of `choose` says of a duplicate that it was one.
    """
    whole: dict[str, Sequence[Mapping[str, Any]]] = {}
    for step in steps:
        here = step.manifest
        stages = whole.setdefault(here.uri, here.funnel)
        for link in step.row_links:
            if link.found is not None:
                before = list(link.found.funnel)
                goes_on = len(before) < len(stages) and list(stages[: len(before)]) == before
                whole.setdefault(link.found.uri, stages if goes_on else before)
    return {step.manifest.uri: funnel(whole[step.manifest.uri])[: len(step.manifest.funnel)] for step in steps}


def _is_oldest(step: Step) -> bool:
    """Whether nothing that it was made from is there."""
    return all(link.found is None for link in step.row_links)


def _told(step: Step, rows: Sequence[FunnelRow]) -> dict[str, Any]:
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
        # of stages whose manifests are not there any more, the counts are left
        "before": [dataclasses.asdict(row) for row in rows[:-1]] if step.row_links and _is_oldest(step) else [],
    }


def changed(stage: Stage, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not this curate's defaults, with dotted names."""
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
    """Return what the oldest manifest of a line says of the files it was made from."""
    known = scan.inputs.get("sources")
    folders = None if known is None else sum(uri.endswith("/") for uri in known)
    return {
        "scan": scan.uri,
        "roots": list(scan.roots),
        "tars": None if known is None or folders is None else len(known) - folders,
        "folders": folders,
        "left_out": dict(scan.broken_sources),
    }
