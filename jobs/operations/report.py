"""What a report shows beside the rows of its manifest: the lineage, and the text that an engine finds again."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from curation.pages.pair_marks import svg_path
from curation.pages.site import Step
from curation.pictures.bounded import DecoderFailed
from curation.pictures.decode import DEFAULT_LIMITS
from curation.sources.originals import fetch
from curation.text.draw import unit_boxes
from jobs.show.basics import settings_line
from jobs.show.history import changed
from manifests.errors import BrokenSource
from manifests.format.lineage import find_shards, lineage
from manifests.format.schema import Stage
from manifests.format.store import Manifest


def steps_of(manifest: Manifest) -> list[Step]:
    """Return the lineage of `manifest`, the oldest first, as a report lists it."""
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


def find_boxes(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
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
