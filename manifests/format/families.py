"""Manifests that belong together: those of a pipeline, and the shards beside what they were made from."""

from collections.abc import Mapping, Sequence

from manifests import storage
from manifests.errors import ManifestError
from manifests.format.receipts import WORK
from manifests.format.schema import Stage
from manifests.format.store import Manifest, is_committed, open_manifest

STAGE_FOLDERS: Mapping[Stage, str] = {
    Stage.SCAN: "scan",
    Stage.DEDUPE: "deduped",
    Stage.SCORE: "scored",
    Stage.CHOOSE: "chosen",
    Stage.SHARD: "shards",
}
"""The folder of each stage below the output of a pipeline."""
MAX_FOLDERS = 1000
_ORDER = list(Stage)


def manifests_in(uri: str) -> dict[str, Manifest | None]:
    """Return folder name → the committed manifest in it, for the folders of the folder at `uri`, by stage, then name.

    The value is None for an unfinished one. At most MAX_FOLDERS folders are looked into. Manifests of a later curate,
    or that are damaged, are left out.
    """
    found: dict[str, Manifest | None] = {}
    for name in sorted(storage.entries(uri, with_folders=True))[:MAX_FOLDERS]:
        place = storage.join(uri, name)
        try:
            if is_committed(place):
                found[name] = open_manifest(place)
            elif storage.list_names(storage.join(place, WORK)):
                found[name] = None
        except (ManifestError, NotADirectoryError):
            continue
    return dict(sorted(found.items(), key=lambda each: (_rank(*each), each[0])))


def _rank(name: str, manifest: Manifest | None) -> int:
    """Return the number of a manifest's stage; of an unfinished one that of the stage whose folder it is."""
    if manifest is not None:
        return _ORDER.index(manifest.stage)
    return next((n for n, stage in enumerate(_ORDER) if STAGE_FOLDERS[stage] == name), len(_ORDER))


def youngest_in(uri: str, stages: Sequence[Stage] = tuple(Stage)) -> Manifest:
    """Return the manifest at `uri`, or the last one, of these `stages`, of the pipeline whose output it is.

    Raises ManifestError when there is neither, or when the pipeline made several choices.
    """
    place = storage.absolute(uri)
    committed = (
        {} if is_committed(place) else {n: each for n, each in manifests_in(place).items() if each is not None}
    )
    for stage in sorted(stages, key=_ORDER.index, reverse=True):
        names = [name for name in committed if _is_folder_of(stage, name)]
        if len(names) > 1:
            raise ManifestError(f"{place}: several choices, {', '.join(names)}; name one, as in {place}/{names[0]}")
        if names:
            return open_manifest(storage.join(place, names[0]))
    return open_manifest(uri)


def _is_folder_of(stage: Stage, name: str) -> bool:
    """Return whether a pipeline commits this stage to such a folder: `shards`, or `shards-x` of a choice x."""
    return name == STAGE_FOLDERS[stage] or name.startswith(f"{STAGE_FOLDERS[stage]}-")


def shards_of(manifest: Manifest) -> Manifest | None:
    """Return the shards beside `manifest` that were made from it; None if there are none."""
    folder, _, name = manifest.uri.rstrip("/").rpartition("/")
    choice = name.removeprefix(STAGE_FOLDERS[Stage.CHOOSE]) if _is_folder_of(Stage.CHOOSE, name) else ""
    beside = storage.join(folder, STAGE_FOLDERS[Stage.SHARD] + choice)
    try:
        found = open_manifest(beside) if is_committed(beside) else None
    except ManifestError:
        return None
    is_of_it = found is not None and any(parent.digest == manifest.digest for parent in found.parents)
    return found if is_of_it else None
