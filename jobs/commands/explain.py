"""Explains why an image is a copy, of which image, and what else is in its cluster."""

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from curation.copies.describe import describe_evidence
from curation.copies.representative import why_it_represents
from jobs.show import answers
from manifests.errors import CurateError, InputError
from manifests.format.parquet_files import open_parquet
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest

PLACE = ("key", "source", "member", "status", "width", "height", "size")
FOUND = ("cluster_id", "duplicate_of", "duplicate_kind", "duplicate_evidence", "reference")
MAX_CHOICES = 5


def explain(manifest: str, key: str, limit: int, as_json: bool) -> None:
    """Print the cluster of `key`, its representative and why, and the evidence for each copy."""
    opened = open_manifest(manifest)
    if opened.stage is Stage.SCAN:
        raise InputError(
            f"{manifest}: a manifest of stage scan, before copies are searched; run `curate dedupe {manifest} -o …` "
            "and explain its output"
        )
    answers.print_cluster(_cluster(opened, key, limit), as_json=as_json)


def _cluster(manifest: Manifest, key: str, limit: int) -> dict[str, Any]:
    """Return the row of `key`, its representative, and the members of its cluster by key, `limit` at most."""
    row = _row(manifest, key)
    members = _read(manifest, "cluster_id", row["cluster_id"])
    for each in members:
        each["found"] = describe_evidence(each["duplicate_evidence"])
    members.sort(key=lambda each: (each["duplicate_of"] is not None, each["key"]))
    # The representative can be in a reference set or in an older manifest.
    inside = [each for each in members if each["duplicate_of"] is None]
    if inside:
        others = [each for each in members if each["duplicate_of"] is not None]
        representative, why = inside[0], why_it_represents(inside[0], others)
    else:
        representative, why = _outside(manifest, row)
    return {
        "row": next(each for each in members if each["key"] == row["key"]),
        "representative": representative,
        "why": why,
        "count": len(members),
        "members": members[:limit],
    }


def _row(manifest: Manifest, key: str) -> dict[str, Any]:
    """Return the row of `key`, or of the only key that starts with it."""
    found = _read(manifest, "key", key)
    if not found and key:
        found = _read(manifest, "key", key, is_prefix=True)
    if not found:
        raise InputError(
            f"{manifest.uri}: no key is or starts with {key!r}; `curate show {manifest.uri} --rows 20` prints some, "
            "and the column `key` contains all of them"
        )
    if len(found) > 1:
        shown = ", ".join(each["key"] for each in found)
        raise InputError(f"{manifest.uri}: {key!r} is the start of several keys ({shown} …); give more characters")
    return found[0]


def _read(manifest: Manifest, column: str, value: str, *, is_prefix: bool = False) -> list[dict[str, Any]]:
    """Return the rows whose `column` is `value`; or a few of those that start with it."""
    names = [name for name in (*PLACE, *FOUND) if name in set(manifest.schema.names)]
    is_wanted = pc.starts_with if is_prefix else pc.equal
    found: list[dict[str, Any]] = []
    for part in manifest.parts:
        with open_parquet(manifest.part_uri(part), part.size_bytes) as reader:
            for number in range(len(reader.group_rows)):
                wanted = is_wanted(reader.read_group(number, [column]).column(column), value)
                if pc.any(wanted).as_py():
                    found += reader.read_group(number, names).filter(wanted).to_pylist()
        if is_prefix and len(found) >= MAX_CHOICES:
            return found[:MAX_CHOICES]
    return found


def _outside(manifest: Manifest, row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the representative of `row` in another manifest, its key alone if that cannot be read, and why."""
    name = row["reference"]
    why = f"it is in the reference set {name}" if name else "it was in a manifest that this one was checked against"
    for uri in _others(manifest, f"reference:{name}" if name else "against:"):
        try:
            found = _read(open_manifest(uri), "key", row["duplicate_of"])
        except (CurateError, OSError):
            continue  # moved since; its key is known nevertheless
        if found:
            return {**found[0], "manifest": uri}, why
    return {"key": row["duplicate_of"]}, f"{why}, which is no longer where it was"


def _others(manifest: Manifest, role: str) -> list[str]:
    """Return where the sets of this role were when `manifest` was deduplicated."""
    try:
        while manifest.stage is not Stage.DEDUPE:
            manifest = open_manifest(manifest.parents[0].uri)
    except (CurateError, OSError):
        return []
    digests = {
        digest
        for name, digest in manifest.inputs.items()
        if name == role or (role == "against:" and name.startswith(role))
    }
    return [parent.uri for parent in manifest.parents if parent.digest in digests]
