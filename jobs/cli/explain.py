"""`curate explain`: why a row is a copy, of what, and what else is."""

from collections.abc import Mapping
from typing import Any

import click

from jobs.cli.options import examples, storage_option
from manifests import storage
from manifests.errors import CurateError, InputError
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest

PLACE = ("key", "source", "member", "status", "width", "height", "size")
FOUND = ("cluster_id", "duplicate_of", "duplicate_kind", "duplicate_evidence", "reference")
MAX_CHOICES = 5


@click.command(
    epilog=examples(
        "curate explain out/deduped 0b5c7d61e2",
        "curate explain s3://bucket/chosen 0b5c7d61e2 --limit 100",
        "curate explain out/deduped 0b5c7d61e2 --json",
    )
)
@click.argument("manifest")
@click.argument("key")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Members to print.")
@storage_option
@click.option("--json", "as_json", is_flag=True, help="Print the row, its representative and its cluster as JSON.")
def explain(manifest: str, key: str, limit: int, as_json: bool) -> None:
    """Print the cluster of KEY, its representative and why, and what was found of each copy.

    MANIFEST is that of dedupe or of a later stage; the first characters of KEY do if no other key starts with them.
    """
    from jobs.show import answers  # noqa: PLC0415

    opened = open_manifest(manifest)
    if opened.stage is Stage.SCAN:
        raise InputError(
            f"{manifest}: a manifest of stage scan, which knows no copies; run `curate dedupe {manifest} -o …` and "
            "explain its output"
        )
    answers.print_cluster(_cluster(opened, key, limit), as_json=as_json)


def _cluster(manifest: Manifest, key: str, limit: int) -> dict[str, Any]:
    """Return the row of `key`, its representative, and the members of its cluster by key, `limit` at most."""
    from curation.copies.explain import in_words, why_it_represents  # noqa: PLC0415

    row = _row(manifest, key)
    members = _read(manifest, "cluster_id", row["cluster_id"])
    for each in members:
        each["found"] = in_words(each["duplicate_evidence"])
    members.sort(key=lambda each: (each["duplicate_of"] is not None, each["key"]))
    # A cluster of references or of an older manifest has its representative there.
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
            "and the column `key` holds them all"
        )
    if len(found) > 1:
        shown = ", ".join(each["key"] for each in found)
        raise InputError(f"{manifest.uri}: {key!r} starts several keys ({shown} …); give more of it")
    return found[0]


def _read(manifest: Manifest, column: str, value: str, *, is_prefix: bool = False) -> list[dict[str, Any]]:
    """Return the rows whose `column` is `value`; or a few of those that start with it."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - takes a while to import

    names = [name for name in (*PLACE, *FOUND) if name in set(manifest.schema.names)]
    within = [(column, ">=", value), (column, "<", value + "\U0010ffff")] if is_prefix else [(column, "==", value)]
    found: list[dict[str, Any]] = []
    for part in manifest.parts:
        with storage.open_input(manifest.part_uri(part)) as f:
            found += pq.read_table(f, columns=names, filters=within).to_pylist()
        if is_prefix and len(found) >= MAX_CHOICES:
            return found[:MAX_CHOICES]
    return found


def _outside(manifest: Manifest, row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the representative of `row` that lies in another manifest, as far as that can be read, and why it is."""
    name = row["reference"]
    told = f"it is in the reference set {name}" if name else "it was in a manifest that this one was checked against"
    for uri in _others(manifest, f"reference:{name}" if name else "against:"):
        try:
            found = _read(open_manifest(uri), "key", row["duplicate_of"])
        except (CurateError, OSError):
            continue  # moved since; its key is known all the same
        if found:
            return {**found[0], "manifest": uri}, told
    return {"key": row["duplicate_of"]}, f"{told}, which is not where it was"


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
