"""The manifests that the rows of a manifest came from, as far as they still exist."""

from collections.abc import Iterator
from dataclasses import dataclass

from manifests.format.lineage import LinkState, lineage
from manifests.format.schema import Stage
from manifests.format.store import Manifest

LEFT_BY = {
    "sample": "not drawn",
    "select": "not selected",
    "patch": "removed by a patch",
    "merge": "not in the merge",
    "takedown": "taken down",
    "purge": "purged",
}
_UNKNOWN = {LinkState.GONE: "not there any more", LinkState.CHANGED: "made again since"}


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A manifest that rows came from.

    `left_by` describes how rows of it that were not dropped were lost later, such as "not drawn". `is_kept_only` is
    true if only rows with `keep` were passed on.
    """

    manifest: Manifest
    left_by: str
    is_kept_only: bool


def ancestors(manifest: Manifest, notes: list[str]) -> Iterator[Ancestor]:
    """Yield the manifests that the rows of `manifest` came from, nearest first.

    A sentence for each one that no longer exists is appended to `notes`. Reference sets, and manifests that dedupe
    only compared with, are left out.
    """
    steps = {step.manifest.uri: step for step in lineage(manifest)}
    line = [(steps[manifest.uri], "lost", False)]
    seen = {manifest.digest}
    while line:
        step, left_by, is_kept_only = line.pop(0)
        left_by, is_kept_only = _step(step.manifest, left_by, is_kept_only=is_kept_only)
        for link in step.row_links:
            if link.found is None:
                notes.append(f"{link.recorded.uri}: {_UNKNOWN[link.state]}; some reasons are unknown")
            elif link.found.digest not in seen:
                seen.add(link.found.digest)
                yield Ancestor(manifest=link.found, left_by=left_by, is_kept_only=is_kept_only)
                line.append((steps[link.found.uri], left_by, is_kept_only))


def _step(child: Manifest, left_by: str, *, is_kept_only: bool) -> tuple[str, bool]:
    """Return `left_by` and `is_kept_only` for the manifest that `child` was made from."""
    operation = child.derivation.get("operation")
    return (
        LEFT_BY.get(str(operation), left_by) if operation else left_by,
        is_kept_only or (child.stage is Stage.SHARD and not operation),
    )
