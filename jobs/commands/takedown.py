"""Takes samples down: finds what goes with them, shows it, and makes the manifest without."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from curation.takedown.deny_list import DenyList
from curation.takedown.requested import Lists
from jobs.commands.shared import has_summary, note, reporter
from jobs.operations.engine_choice import EngineChoice, storage_options
from jobs.operations.engines import engines
from jobs.operations.rewrite import rewrite
from jobs.operations.takedown import Found, find, request_of
from jobs.operations.takedown_report import write_report
from jobs.show import takedown as show
from jobs.units.lease import require_free, work_uri
from jobs.units.output_place import require_file, require_folder
from manifests import storage
from manifests.format.store import Manifest, open_manifest
from manifests.sql.lookup import rows_at

EXIT_UNMATCHED = 1
LISTS = ("keys", "urls", "sha256", "pdq", "near_image", "hashes")


def takedown(manifest: str, output: str, max_distance: int, as_json: bool, **flags: Any) -> None:
    """Make the manifest without what must go. Exits with 1 when an entry of a list matches no row."""
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    source, target = open_manifest(manifest), storage.absolute(output)
    report = _file(flags["report"])
    asked = Lists(**{name: flags[name] for name in LISTS}).read(max_distance)
    require_folder(target)
    progress = reporter(as_json=as_json)
    with engines(choice, progress) as engine:
        if flags["dry_run"]:
            require_free(work_uri(target))
        found = find(engine([source]), source, asked, max_distance)
        rows = list(_removed_rows(source, found))
        if report is not None:
            write_report(report, source, found)
            note(f"takedown: pictures of what goes are in {report}")
        made = None
        if not flags["dry_run"]:
            request = request_of(source, found, max_distance, target, options)
            made = rewrite(request, lambda: engine([source]), progress, restart=flags["restart"])
            if flags["list_folder"] is not None:
                for uri in DenyList.of(found.taken_down).write(storage.absolute(flags["list_folder"])):
                    note(f"takedown: hashes at {uri}")
    if has_summary(as_json=as_json) or made is None:
        answer = _answer(source, found, rows)
        answer |= {"uri": target, "digest": None} if made is None else {"uri": made.uri, "digest": made.digest}
        show.print_takedown(answer, as_json=as_json)
    for sentence in [*(each.sentence for each in found.unmatched), *found.notes]:
        click.echo(f"curate: takedown: {sentence}", err=True)
    if found.unmatched and not flags["allow_unmatched"]:
        raise click.exceptions.Exit(EXIT_UNMATCHED)


def _answer(source: Manifest, found: Found, removed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is printed about what was found."""
    return {
        "rows": source.rows - len(removed),
        "rows_before": source.rows,
        "removed": removed,
        "counts": found.counts,
        "hashes": len(found.taken_down),
        "unhashed": found.unhashed,
        "unmatched": [dataclasses.asdict(each) for each in found.unmatched],
        "notes": found.notes,
    }


def _file(given: str | None) -> str | None:
    if given is None:
        return None
    uri = storage.absolute(given)
    require_file(uri)
    return uri


def _removed_rows(source: Manifest, found: Found) -> Iterator[Mapping[str, Any]]:
    """Yield the key of each row that goes, and why, in the manifest's order."""
    places = found.places
    keys = (key for table in rows_at(source, places, ["key"]) for key in table.column("key").to_pylist())
    for key, part, row in zip(keys, places.column("part").to_pylist(), places.column("row").to_pylist(), strict=True):
        yield {"key": key, "why": str(found.gone[part][row])}
