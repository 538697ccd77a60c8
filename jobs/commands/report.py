"""Makes the pages of a report, and serves them to a browser on this machine."""

import dataclasses
import functools
from typing import Any

import click

from curation.pages.site import LINKS, ReportOptions, make_report
from curation.pages.text import Labelled
from curation.trust.audit import LABELS
from curation.trust.audit_labels import stratum_weights
from curation.trust.labels import label_rows, read_labels
from jobs.commands.audit import FILLED, read_audit, read_labels_of
from jobs.commands.shared import has_summary, note, reporter
from jobs.operations.page_server import serve
from jobs.operations.report import find_boxes, steps_of
from jobs.operations.report_folder import report_folder
from jobs.show.basics import human_bytes, print_json
from manifests import storage
from manifests.errors import InputError
from manifests.format.families import youngest_in
from manifests.format.schema import Stage
from manifests.format.store import Manifest, read_batches

WITH_ALL_ROWS = tuple(stage for stage in Stage if stage is not Stage.SHARD)


def report(manifest: str, output: str | None, serving: bool, port: int, **flags: Any) -> None:
    """Write the pages of a report on a manifest, and serve them if asked to."""
    opened = youngest_in(manifest, WITH_ALL_ROWS)
    folder = report_folder(output or "report", "-o", [path for path, _ in LINKS], force=flags["force"])
    progress = reporter(as_json=flags["as_json"])
    options = ReportOptions(
        pictures=flags["pictures"],
        salt=flags["salt"],
        steps=steps_of(opened),
        labelled=_labelled(flags["audit"], flags["labels"], opened),
        find_boxes=functools.partial(find_boxes, opened) if flags["boxes"] else None,
        say=progress.say,
    )
    made = make_report(opened, folder, options)
    if has_summary(as_json=flags["as_json"]):
        if flags["as_json"]:
            print_json(dataclasses.asdict(made))
        else:
            missing = f", {made.missing:,} cannot be shown" if made.missing else ""
            size = human_bytes(made.size_bytes)
            click.echo(f"{made.index}: {made.pages} pages, {made.pictures:,} pictures, {size}{missing}")
    if serving:
        serve(folder, port, say=note)


def _labelled(audit: str | None, labels: str | None, manifest: Manifest) -> Labelled | None:
    """Return the labels in an audit's folder, with the weights of its strata, or those of a file; None without.

    Raises InputError unless they are of `manifest`.
    """
    if audit is not None and labels is not None:
        raise InputError("--audit and --labels: give one of them; an audit's labels count by its strata")
    if labels is not None:
        batches = (
            batch
            for part in manifest.parts
            for batch in read_batches(
                manifest.part_uri(part), ("key", "source", "member"), rows=part.rows, size_bytes=part.size_bytes
            )
        )
        found = label_rows(batches, read_labels(storage.absolute(labels)))
        return Labelled(
            labels=dict(zip(*(found.column(n).to_pylist() for n in ("key", "label")), strict=True)), weights={}
        )
    if audit is None:
        return None
    folder = storage.absolute(audit)
    made = read_audit(folder)
    if made.digest != manifest.digest:
        raise InputError(
            f"--audit {audit}: drawn from {made.uri} (digest {made.digest[:16]}…), not from {manifest.uri} "
            f"({manifest.digest[:16]}…); give an audit of this manifest"
        )
    given = read_labels_of(made, storage.join(folder, FILLED))
    labelled = [key for key, label in given.items() if label in LABELS]
    return Labelled(labels=given, weights=stratum_weights(made, labelled).by_key)
