"""Makes a release of shards."""

from typing import Any

from curation.release.about import read_about
from curation.release.subsets import parse_sizes
from jobs.commands.shared import has_summary, reporter
from jobs.operations.purge import require_shards
from jobs.operations.release import Data, Request, make, plan
from jobs.operations.release_place import alone, make_room, open_release, require_room
from jobs.show.release import print_plan, print_release
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import open_manifest
from manifests.sql.engine import DuckEngine


def release(shards: str, output: str, *, dry_run: bool, as_json: bool, **flags: Any) -> None:
    """Write the release of `shards`, or with `dry_run` print what it would be."""
    request = _request(shards, output, flags)
    require_room(request.output, may_replace=flags["force"] or dry_run)
    say = reporter(as_json=as_json).say
    with DuckEngine(memory_bytes=flags["memory"], temp_folder=flags["temp_dir"]) as engine:
        if dry_run:
            print_plan(plan(request, engine), request.output, as_json=as_json)
            return
        say(f"release: {request.manifest.rows:,} rows of {request.manifest.uri}")
        with alone(request.output):
            make_room(request.output)
            made, document = make(request, engine)
    if has_summary(as_json=as_json):
        print_release(made, document, request.output, took_down=request.took_down, as_json=as_json)


def _request(shards: str, output: str, flags: dict[str, Any]) -> Request:
    """Return what is asked for. Raises InputError when it cannot be, before anything is written."""
    manifest, target = open_manifest(shards), storage.absolute(output)
    require_shards(manifest)
    data = Data(flags["data"])
    if data is Data.LINK and not (storage.is_local(manifest.uri) and storage.is_local(target)):
        raise InputError("--data link: shards and release must both be on this machine; use --data copy")
    try:
        sizes = parse_sizes(flags["subsets"])
    except ValueError as e:
        raise InputError(f"--subsets: {e}") from e
    previous = storage.absolute(flags["previous"]) if flags["previous"] else None
    if previous == target:
        raise InputError(f"--previous {previous}: the release that would be replaced; write to another folder")
    request = Request(
        manifest=manifest,
        output=target,
        about=read_about(storage.absolute(flags["about"]) if flags["about"] else None),
        data=data,
        base_url=flags["base_url"],
        sizes=sizes,
        gallery=flags["gallery"],
        json_rows=flags["json_rows"],
        salt=flags["salt"],
        previous=open_release(previous) if previous else None,
        wants_patch=not flags["no_patch"],
    )
    _ = request.prefix  # refused now, not after an hour of work
    return request
