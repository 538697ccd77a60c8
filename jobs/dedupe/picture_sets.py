"""The manifests that one deduplication compares: its parent, reference sets, and existing deduplicated manifests."""

from collections.abc import Mapping

import pyarrow.compute as pc

from curation.config import DedupeConfig
from curation.pictures import local_features
from jobs.dedupe.pictures import EXISTING, PARENT, REFERENCE, PictureSet, has_pixels
from manifests import storage
from manifests.errors import InputError
from manifests.format.receipts import WORK
from manifests.format.schema import Stage
from manifests.format.store import Manifest, is_committed, open_manifest

ROLES: Mapping[int, str] = {REFERENCE: "reference", EXISTING: "against"}


def picture_sets(config: DedupeConfig, parent: Manifest) -> list[PictureSet]:
    """Return the parent, then the reference sets by name, then the existing manifests by digest.

    Raises ManifestError when one is missing or unfinished. Raises InputError when one is of a wrong stage, or its
    scan did not measure what the configured kinds of copies need.
    """
    sets = [PictureSet(manifest=parent, origin=PARENT), *_references(config), *_existing(config)]
    for each in sets:
        _require_measures(each.manifest, config)
    return sets


def _references(config: DedupeConfig) -> list[PictureSet]:
    found = []
    for name, uri in sorted(config.references.items()):
        where = storage.absolute(uri)
        if not is_committed(where) and not storage.list_names(storage.join(where, WORK)):
            raise InputError(
                f"{uri}: no manifest here, and a reference set is given by the manifest of its scan. If these are "
                f"its images or tars, scan them first: curate scan {uri} -o {name}-scan; then --reference "
                f"{name}={name}-scan"
            )
        found.append(PictureSet(manifest=open_manifest(where), origin=REFERENCE, name=name))
    return found


def _existing(config: DedupeConfig) -> list[PictureSet]:
    """Return the existing manifests, ordered by digest, each once."""
    found = {}
    for uri in config.against:
        manifest = open_manifest(uri)
        if manifest.stage is Stage.SCAN:
            raise InputError(f"{uri}: not deduplicated yet; run `curate dedupe {uri} -o …` and name its output")
        found[manifest.digest] = manifest
    return [PictureSet(manifest=each, origin=EXISTING, name=digest[:16]) for digest, each in sorted(found.items())]


def _require_measures(manifest: Manifest, config: DedupeConfig) -> None:
    """Raise InputError when the scan behind `manifest` did not measure what the configured kinds need."""
    if config.fingerprint == "embedding":
        if manifest.stage is Stage.SCAN and not manifest.config.get("embedding"):
            raise InputError(
                f"{manifest.uri}: has no embeddings to compare; scan again with scan.embedding.model set, "
                "into another output, or leave dedupe.fingerprint at pdq"
            )
        return
    needed = {"local_points", "pixels"} if config.needs_local_features else {"pixels"}
    lacking = sorted(needed - set(manifest.schema.names))
    if lacking:
        raise InputError(f"{manifest.uri}: no column {', '.join(lacking)}; scan it again with this version")
    if config.needs_local_features and not _has_local_features(manifest):
        kinds = ", ".join(sorted(set(config.copies) - {"exact", "mild"}))
        raise InputError(
            f"{manifest.uri}: scanned without local features, which {kinds} need; scan it again with the same "
            "dedupe.copies, or set dedupe.copies=[exact,mild]"
        )
    recorded = manifest.software.get("local_features")
    if config.needs_local_features and recorded not in (None, local_features.version()):
        raise InputError(
            f"{manifest.uri}: its local features are those of another version of curate and do not compare with "
            "those of this one; scan it again, or set dedupe.copies=[exact,mild]"
        )


def _has_local_features(manifest: Manifest) -> bool:
    """Return whether the scan of `manifest` measured local features. For later stages, only its rows show it."""
    if manifest.stage is Stage.SCAN:
        return manifest.config.get("local_features") is not False
    pictures = 0
    for part in manifest.parts:
        table = manifest.read_part(part, ["local_points", "status"])
        if table.column("local_points").null_count < len(table):
            return True
        pictures += pc.sum(has_pixels(table)).as_py() or 0
    return pictures == 0
