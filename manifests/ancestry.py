"""The manifests that another's rows came from, as far as they are still there."""

from collections.abc import Iterator
from dataclasses import dataclass

from manifests.errors import CurateError
from manifests.schema import Stage
from manifests.store import Manifest, Parent, open_manifest

LEFT_BY = {
    "sample": "not drawn",
    "select": "not selected",
    "patch": "removed by a patch",
    "merge": "not in the merge",
}
MAX_ANCESTORS = 12


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A manifest further up the line.

    `left_by` says how a row of it that was not dropped got lost on the way down; `is_kept_only` whether only rows
    with `keep` went on.
    """

    manifest: Manifest
    left_by: str
    is_kept_only: bool


def ancestors(manifest: Manifest, notes: list[str]) -> Iterator[Ancestor]:
    """Yield the manifests that the rows of `manifest` came from, nearest first; adds to `notes` what is not there.

    Reference sets and manifests that were only checked against are left out.
    """
    line = [(parent, *_step(manifest, "lost", is_kept_only=False)) for parent in row_parents(manifest)]
    seen: set[str] = set()
    while line and len(seen) < MAX_ANCESTORS:
        parent, left_by, is_kept_only = line.pop(0)
        if parent.digest in seen:
            continue
        seen.add(parent.digest)
        found = _open(parent, notes)
        if found is not None:
            yield Ancestor(manifest=found, left_by=left_by, is_kept_only=is_kept_only)
            line += [(above, *_step(found, left_by, is_kept_only=is_kept_only)) for above in row_parents(found)]


def row_parents(manifest: Manifest) -> list[Parent]:
    """Return the parents that rows were taken from."""
    others = {digest for name, digest in manifest.inputs.items() if not name.startswith("parent")}
    return [parent for parent in manifest.parents if parent.digest not in others]


def _step(child: Manifest, left_by: str, *, is_kept_only: bool) -> tuple[str, bool]:
    """Return `left_by` and `is_kept_only` of the parents of `child`."""
    operation = child.derivation.get("operation")
    return (
        LEFT_BY.get(str(operation), left_by) if operation else left_by,
        is_kept_only or (child.stage is Stage.SHARD and not operation),
    )


def _open(parent: Parent, notes: list[str]) -> Manifest | None:
    try:
        found = open_manifest(parent.uri)
    except (CurateError, OSError):
        notes.append(f"{parent.uri}: not there any more; some reasons are unknown")
        return None
    if found.digest != parent.digest:
        notes.append(f"{parent.uri}: made again since; some reasons are unknown")
        return None
    return found
