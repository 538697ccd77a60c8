"""Takes samples down and out of shards from Python."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from curation.shards.purge_patch import Patch
from curation.takedown.requested import Lists
from jobs.api.errors import naming_arguments, translated
from jobs.api.manifest import Manifest, committed_of, configure
from jobs.api.operations import Source, opened_engine
from jobs.api.stages import OnProgress, Storage
from jobs.operations.purge import Purge, apply_patch, find_gone, make_patch, require_shards
from jobs.operations.rewrite import rewrite
from jobs.operations.takedown import find, request_of
from jobs.operations.takedown_report import write_report
from jobs.units.progress import Reporter
from manifests import storage as storing
from manifests.errors import InputError
from manifests.exchange.key_lists import KeyList, keys_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Values = str | Sequence[Any] | None
"""The URI of a list, or the values themselves."""
_log = logging.getLogger(__name__)


def takedown(
    manifest: Source,
    output: str,
    *,
    keys: Values = None,
    urls: Values = None,
    sha256: Values = None,
    pdq: Values = None,
    near_image: Sequence[str] = (),
    hashes: Sequence[str] = (),
    max_distance: int = 31,
    report: str | None = None,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
) -> Manifest:
    """Remove what must go from `manifest`, with its copies, and return the manifest at `output`.

    It keeps the hashes of what went, so that merges, scans and the feed leave it out from now on.

    Args:
        keys, urls, sha256, pdq: lists of what must go: values, or the URI of a text, CSV, Parquet or .npy file.
        near_image: pictures, or folders of them, whose copies must go.
        hashes: manifests or lists of hashes of what was taken down elsewhere.
        max_distance: bits in which the PDQ of a copy may differ, 0 to 31.
        report: where to write an HTML page with pictures of what goes.
        spark, storage, progress, restart: see `curate.run`.

    Raises InputError when no list is given, or one cannot be read. Entries that match no row are logged as warnings.
    """
    configure(storage)
    with naming_arguments(), translated(), opened_engine(spark, storage) as engine:
        source = committed_of(manifest)
        if not 0 <= max_distance <= 31:
            raise InputError(f"max_distance: {max_distance}; between 0 and 31 bits are searched")
        given = {"keys": keys, "urls": urls, "sha256": sha256, "pdq": pdq}
        lists = Lists(
            **{name: _listed(values) for name, values in given.items()},
            near_image=tuple(near_image),
            hashes=tuple(hashes),
        )
        found = find(engine([source]), source, lists.read(max_distance), max_distance)
        for sentence in [*(each.sentence for each in found.unmatched), *found.notes]:
            _log.warning("takedown: %s", sentence)
        if report is not None:
            write_report(storing.absolute(report), source, found)
        request = request_of(source, found, max_distance, storing.absolute(output), storage or {})
        made = rewrite(request, lambda: engine([source]), _reporter(progress), restart=restart)
    return Manifest(made, storage_options=storage)


def purge(
    shards: Source,
    output: str | None = None,
    *,
    against: Source | None = None,
    apply: str | None = None,
    in_place: bool = False,
    patch: str | None = None,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
) -> Manifest:
    """Take samples out of the tars of `shards`, and return the manifest of the shards without them.

    Only tars that have one are written again; in them, all other samples keep their bytes and their order.

    Args:
        output: where the shards without them are written, unless `in_place`.
        against: a manifest; samples go that it lacks or took down.
        apply: a patch that another call wrote, instead.
        in_place: replace the shards: a reader has the old ones or the new ones, or finds that a tar is missing.
        patch: where to write a patch for others who have a copy of the shards.
        spark, storage, progress, restart: see `curate.run`.

    Raises InputError when the arguments do not fit each other or the shards, and BrokenSource when a tar is not the
    one that was committed.
    """
    configure(storage)
    if (
        (against is None) == (apply is None)
        or (output is None) != in_place
        or (patch is not None and apply is not None)
    ):
        raise InputError("purge: give against or apply, and output or in_place; patch goes with against")
    with naming_arguments(), translated(), opened_engine(spark, storage) as engine:
        opened = committed_of(shards)
        require_shards(opened)
        other = None if against is None else committed_of(against)
        if other is None:
            wanted = Patch.read(storing.absolute(str(apply)))
        else:
            started = engine([opened, other])
            gone = find_gone(started, opened, other)
            wanted = make_patch(started, opened, gone, other.taken_down, renaming=in_place)
        target = opened.uri if output is None else storing.absolute(output)
        work = Purge(shards=opened, patch=wanted, output=target, options=storage or {}, against=other)
        made = apply_patch(work, lambda: engine([opened]), _reporter(progress), restart=restart)
        if patch is not None:
            storing.write_bytes(storing.absolute(patch), replace(wanted, digest_after=made.digest).to_json())
    return Manifest(made, storage_options=storage)


def _listed(values: Values) -> tuple[str | KeyList, ...]:
    if values is None:
        return ()
    return (values,) if isinstance(values, str) else (keys_of(values),)


def _reporter(progress: OnProgress) -> Reporter:
    return Reporter(quiet=progress is not True, on_progress=progress if callable(progress) else None)
