"""Takes samples out of shards: by a manifest that lacks them, or by a patch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
import pyarrow as pa

from curation.shards.purge_patch import Patch
from jobs.commands.shared import has_summary, note, reporter
from jobs.operations.cut_tars import cut_tars
from jobs.operations.engine_choice import EngineChoice, storage_options
from jobs.operations.engines import engines
from jobs.operations.purge import Purge, apply_patch, find_gone, make_patch, require_shards
from jobs.show import takedown as show
from jobs.units.lease import require_free, work_uri
from jobs.units.output_place import require_file, require_folder
from manifests import storage
from manifests.format.store import Manifest, is_committed, open_manifest
from manifests.sql.engine import Engine
from manifests.sql.lookup import rows_at


def purge(shards: str, output: str | None, as_json: bool, **flags: Any) -> None:
    """Take samples out of shards, and print what went from where."""
    _require_that_options_fit(output, flags)
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    place = storage.absolute(shards)
    target = place if output is None else storage.absolute(output)
    require_folder(target)
    if flags["patch_file"] is not None and not is_committed(place):
        _cut_tars(place, target, flags, as_json=as_json)
        return
    opened = open_manifest(place)
    require_shards(opened)
    progress = reporter(as_json=as_json)
    with engines(choice, progress) as engine:
        if flags["dry_run"]:
            require_free(work_uri(target))
        against = None if flags["against"] is None else open_manifest(flags["against"])
        read = [opened, *([] if against is None else [against])]
        patch, samples = _patch(engine(read), opened, against, flags, is_in_place=output is None)
        made = None
        if not flags["dry_run"]:
            wanted = Purge(shards=opened, patch=patch, output=target, options=options, against=against)
            made = apply_patch(wanted, lambda: engine(read), progress, restart=flags["restart"])
            if flags["patch_out"] is not None:
                _write_patch(flags["patch_out"], replace(patch, digest_after=made.digest))
    if has_summary(as_json=as_json) or made is None:
        show.print_purge(_answer(patch, samples, target, made), as_json=as_json)


def _require_that_options_fit(output: str | None, flags: Mapping[str, Any]) -> None:
    if (flags["against"] is None) == (flags["patch_file"] is None):
        raise click.UsageError("give --against MANIFEST, or --apply FILE")
    if (output is None) == (not flags["in_place"]):
        raise click.UsageError("give -o URI, or --in-place")
    if flags["patch_out"] is not None:
        if flags["patch_file"] is not None:
            raise click.UsageError("--patch writes what --against finds; a patch that is applied is there already")
        require_file(storage.absolute(flags["patch_out"]))


def _patch(
    engine: Engine, shards: Manifest, against: Manifest | None, flags: Mapping[str, Any], *, is_in_place: bool
) -> tuple[Patch, Sequence[Mapping[str, Any]]]:
    """Return what goes, and the samples by name: none for a patch from elsewhere, which names none."""
    if against is None:
        return Patch.read(storage.absolute(flags["patch_file"])), []
    gone = find_gone(engine, shards, against)
    patch = make_patch(engine, shards, gone, against.taken_down, renaming=is_in_place)
    return patch, list(_samples(shards, gone))


def _samples(shards: Manifest, gone: Mapping[int, Sequence[int]]) -> Iterator[Mapping[str, Any]]:
    """Yield the key of each sample that goes, its shard, and the bytes of its image."""
    pairs = [(part, row) for part, rows in gone.items() for row in rows]
    parts, rows = pa.array([part for part, _ in pairs], pa.int32()), pa.array([row for _, row in pairs], pa.int64())
    for table in rows_at(shards, pa.table({"part": parts, "row": rows}), ["key", "shard", "shard_size"]):
        for row in table.to_pylist():
            yield {"key": row["key"], "shard": row["shard"], "image_bytes": row["shard_size"]}


def _answer(patch: Patch, samples: Sequence[Mapping[str, Any]], target: str, made: Manifest | None) -> dict[str, Any]:
    return {
        "uri": target,
        "digest_before": patch.digest_before,
        "digest": None if made is None else made.digest,
        "rows": None if made is None else made.rows,
        "samples": sum(each.samples for each in patch.shards),
        "removed_bytes": sum(each.cuts.removed_bytes for each in patch.shards),
        "shards": [
            {
                "shard": each.before.name,
                "now": each.after.name,
                "samples": each.samples,
                "removed_bytes": each.cuts.removed_bytes,
                "bytes": each.after.bytes,
                "sha256_before": each.before.sha256,
                "sha256": each.after.sha256,
            }
            for each in patch.shards
        ],
        "removed": samples,
    }


def _write_patch(given: str, patch: Patch) -> None:
    uri = storage.absolute(given)
    with storage.write_atomically(uri) as f:
        f.write(patch.to_json())
    note(f"purge: a patch for others is at {uri}")


def _cut_tars(place: str, target: str, flags: Mapping[str, Any], *, as_json: bool) -> None:
    """Apply a patch to tars that have no manifest beside them."""
    patch = Patch.read(storage.absolute(flags["patch_file"]))
    done = None if flags["dry_run"] else cut_tars(place, target, patch)
    answer = {**_answer(patch, [], target, None), "tars": done}
    show.print_purge(answer, as_json=as_json)
