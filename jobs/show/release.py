"""What `curate release` prints."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from curation.release.datasheet import answered
from curation.release.release import Planned, Release
from curation.release.subsets import Subset
from curation.release.versions import Changes
from jobs.show.basics import human_bytes, print_json, visible


def print_plan(found: Planned, uri: str, *, as_json: bool) -> None:
    """Print what a release would be."""
    rows, size = (sum(getattr(tar, name) for tar in found.tars) for name in ("samples", "size_bytes"))
    if as_json:
        print_json(
            {
                "uri": uri,
                "version": str(found.version),
                "rows": rows,
                "tars": len(found.tars),
                "bytes": size,
                "first_tar": found.prefix + found.tars[0].name if found.tars else None,
                "changes": found.changes and dataclasses.asdict(found.changes),
                "subsets": [{"name": each.name, **dataclasses.asdict(each)} for each in found.subsets],
            }
        )
        return
    _print_changes(found.changes)
    _print_subsets(found.subsets)
    print(f"release: would be version {found.version} of {rows:,} samples in {len(found.tars):,} tars, ", end="")
    print(f"{human_bytes(size)}, at {visible(uri)}; nothing was written")


def print_release(made: Release, document: Mapping[str, Any], uri: str, *, took_down: bool, as_json: bool) -> None:
    """Print what was released, what is open, and where it is. `took_down`: pictures were, since the previous one."""
    if as_json:
        print_json({"uri": uri, **document})
        return
    _print_changes(made.changes)
    if took_down:
        print("patch: none, since it would have the URLs and captions of what was taken down")
    _print_subsets(made.subsets)
    totals = made.totals
    print(f"domains: {totals.domains:,}, of {totals.counts['domain']:,} of {totals.images:,} images")
    if made.json_read:
        print(f"licences: {totals.counts['license']:,} named in the json of {made.json_read:,} samples")
    open_ones = sum(each.is_open for each in answered(made))
    print(f"datasheet: {open_ones} questions are open; DATASHEET.md names them, --about answers them")
    if made.about.license is None:
        print("license: not decided; --about has `license: …`")
    print(
        f"release: {made.about.name} {made.version}, {totals.images:,} samples in {len(made.tars):,} tars, ", end=""
    )
    print(f"{human_bytes(made.tar_bytes)}, at {visible(uri)}\ndigest: {made.manifest.digest}")


def _print_changes(changes: Changes | None) -> None:
    if changes is None:
        return
    parts = [f"{changes.removed:,} removed", f"{changes.added:,} added"]
    parts += [f"{changes.repacked:,} packed differently"] if changes.repacked is not None else []
    parts += [f"{count:,} with another {visible(name)}" for name, count in sorted(changes.changed.items())]
    parts += [f"new column {visible(name)}" for name in changes.new_columns]
    parts += [f"lost column {visible(name)}" for name in changes.lost_columns]
    print(f"changes: {changes.bump}: {', '.join(parts)}")


def _print_subsets(subsets: Sequence[Subset]) -> None:
    for each in subsets:
        print(f"subset: {each.name}, {each.samples:,} samples in the first {each.tars:,} tars")
