"""Makes the pages of a report, and serves them to a browser on this machine."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import click

from curation.pages.pair_marks import svg_path
from curation.pages.site import LINKS, Labelled, ReportOptions, Step, make_report
from curation.pictures.bounded import DecoderFailed
from curation.pictures.decode import DEFAULT_LIMITS
from curation.sources.originals import fetch
from curation.text.draw import unit_boxes
from jobs.commands.audit import FILLED, read_audit, read_labels_of
from jobs.commands.shared import has_summary, note, reporter
from jobs.operations.page_server import serve
from jobs.operations.report_folder import report_folder
from jobs.show.basics import human_bytes, print_json, settings_line
from jobs.show.history import changed
from manifests import storage
from manifests.errors import BrokenSource, InputError
from manifests.format.lineage import find_shards, lineage
from manifests.format.schema import Stage
from manifests.format.store import Manifest, is_committed, open_manifest

_STAGES = ("chosen", "scored", "deduped", "scan")


def report(manifest: str, output: str | None, serving: bool, port: int, **flags: Any) -> None:
    """Write the pages of a report on a manifest, and serve them if asked to."""
    opened = open_manifest(_manifest_in(manifest))
    folder = report_folder(output or "report", "-o", [path for path, _ in LINKS], force=flags["force"])
    progress = reporter(as_json=flags["as_json"])
    options = ReportOptions(
        pictures=flags["pictures"],
        salt=flags["salt"],
        steps=_steps(opened),
        labelled=_labelled(flags["audit"], opened),
        find_boxes=functools.partial(_boxes, opened) if flags["boxes"] else None,
        say=progress.say,
    )
    made = make_report(opened, folder, options)
    if has_summary(as_json=flags["as_json"]):
        if flags["as_json"]:
            print_json({"index": made.index, "pages": made.pages, "pictures": made.pictures, "missing": made.missing})
        else:
            missing = f", {made.missing:,} cannot be shown" if made.missing else ""
            size = human_bytes(made.size_bytes)
            click.echo(f"{made.index}: {made.pages} pages, {made.pictures:,} pictures, {size}{missing}")
    if serving:
        serve(folder, port, say=note)


def _manifest_in(uri: str) -> str:
    """Return `uri` if a manifest is there, else that of the last stage before shards in the output of a run."""
    place = storage.absolute(uri)
    if not is_committed(place):
        for stage in _STAGES:
            if is_committed(storage.join(place, stage)):
                return storage.join(place, stage)
    return uri


def _steps(manifest: Manifest) -> list[Step]:
    found = [step.manifest for step in reversed(lineage(manifest))]
    return [
        Step(
            made_by=each.made_by,
            created=each.created,
            rows=each.rows,
            digest=each.digest,
            settings=settings_line(each.operation_settings if each.derivation else changed(each.stage, each.config)),
            core_seconds=each.cost.get("core_seconds"),
            worker_bytes=each.cost.get("peak_worker_memory_bytes") or 0,
        )
        for each in found
    ]


def _boxes(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return key → SVG path around the text in the picture of each of `rows`; none where that cannot be found."""
    from jobs.operations.explain_pictures import BoxFinder  # noqa: PLC0415 - loads models

    finder = BoxFinder(lineage(manifest), DEFAULT_LIMITS)
    shards = find_shards(manifest) if manifest.stage is Stage.SHARD else None
    found: dict[str, str] = {}
    for row, (data, _) in zip(rows, fetch(rows, shards_uri=shards), strict=True):
        if data is not None:
            with contextlib.suppress(BrokenSource, DecoderFailed):
                rgb, boxes = finder.find(data, row.get("text_step"))
                found[row["key"]] = svg_path(unit_boxes(boxes, *rgb.shape[:2]))
    return found


def _labelled(audit: str | None, manifest: Manifest) -> Labelled | None:
    """Return the labels in an audit's folder, None without one. Raises InputError unless they are of `manifest`."""
    if audit is None:
        return None
    folder = storage.absolute(audit)
    made = read_audit(folder)
    if made.digest != manifest.digest:
        raise InputError(
            f"--audit {audit}: drawn from {made.uri} (digest {made.digest[:16]}…), not from {manifest.uri} "
            f"({manifest.digest[:16]}…); give an audit of this manifest"
        )
    return Labelled(audit=made, labels=read_labels_of(made, storage.join(folder, FILLED)))
