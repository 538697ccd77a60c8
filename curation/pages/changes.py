"""The page of a diff: what entered, left or changed between two manifests, in pictures, by reason."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.pages.picks import SHOWN, with_source_name
from curation.pages.pictures import Small, make_pictures
from curation.pages.site import DEFAULT_PICTURES, Frame, Made, as_typed, cleaned, write_pages
from curation.pages.tiles import tiles
from curation.pages.workers import Workers
from curation.sources.originals import needed_columns
from manifests import storage
from manifests.compare.diff_set import DiffSet
from manifests.format.lineage import find_shards
from manifests.format.schema import Stage
from manifests.format.store import Manifest
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import DEFAULT_MEMORY_BYTES, connect, sql_text
from manifests.sql.opaque_files import OpaqueFiles, duckdb_name

_TITLES: Mapping[str, tuple[str, str]] = {
    "entered": ("Entered", "They are in the second and were not in the first, or were dropped there."),
    "left": ("Left", "They were in the first and are not in the second, or are dropped there."),
    "stayed": ("Changed, still in", "Both keep them; what is recorded of them differs."),
    "out": ("Changed, still out", "Neither keeps them; what is recorded of them differs."),
}
MAX_REASONS = 30


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of one `kind` (a key of _TITLES) with one reason, and some of them."""

    kind: str
    reason: str
    count: int
    rows: Sequence[Mapping[str, Any]]


def make_diff_report(
    a: Manifest, b: Manifest, found: DiffSet, folder: str, *, sentence: str, pictures: int = DEFAULT_PICTURES
) -> Made:
    """Write the page of the diff `found` from `a` to `b` to `folder`. `sentence`: the diff in one line.

    A picture is read from where the second manifest has it, or the first, if it is only there.
    """
    groups = _groups(a, b, found, pictures)
    smalls: dict[str, Small] = {}
    with Workers() as workers:
        for side, each in (("a", a), ("b", b)):
            mine = [row for group in groups for row in group.rows if row["_side"] == side]
            shards = find_shards(each) if each.stage is Stage.SHARD else None
            smalls |= make_pictures(mine, folder, shards_uri=shards, workers=workers)
    kinds = [
        {
            "kind": kind,
            "title": title,
            "explained": explained,
            "count": sum(group.count for group in groups if group.kind == kind),
            "groups": [
                {"reason": group.reason, "count": group.count, "tiles": tiles(group.rows, smalls)}
                for group in groups
                if group.kind == kind
            ][:MAX_REASONS],
        }
        for kind, (title, explained) in _TITLES.items()
    ]
    kept = [each.counts.get("keep", {}).get("true") for each in (a, b)]
    frame = Frame(title=f"{_name(a)} → {_name(b)}", links=(("index.html", "Diff"),), uri=b.uri, digest=b.digest)
    values = {
        "sentence": sentence,
        "kinds": kinds,
        "sides": [("first", a, as_typed(a.uri)), ("second", b, as_typed(b.uri))],
        "kept": kept,
    }
    pages = {"index.html": ("diff.html", values)}
    write_pages(frame, pages, folder)
    return cleaned(folder, pages, smalls)


def _name(manifest: Manifest) -> str:
    return "/".join(manifest.uri.rstrip("/").split("/")[-2:])


def _groups(a: Manifest, b: Manifest, found: DiffSet, pictures: int) -> list[Group]:
    if not found.parts:
        return []
    names = [storage.join(found.uri, part.name) for part in found.parts]
    sizes = [int(storage.entries(found.uri)[part.name]["size"]) for part in found.parts]
    files = ", ".join(sql_text(duckdb_name(name, size)) for name, size in zip(names, sizes, strict=True))
    source = f"read_parquet([{files}], union_by_name=false, hive_partitioning=false)"
    reason = (
        "coalesce(CASE kind WHEN 'entered' THEN was_dropped WHEN 'left' THEN is_dropped END, reason, 'other columns')"
    )
    inner = (
        f"SELECT *, {_is_in('before', a)} AS was_in, {_is_in('after', b)} AS is_in, "
        f"{_drop_reason('before', a)} AS was_dropped, {_drop_reason('after', b)} AS is_dropped FROM {source}"
    )
    kind = (
        "CASE WHEN is_in AND NOT was_in THEN 'entered' WHEN was_in AND NOT is_in THEN 'left' "
        "WHEN is_in THEN 'stayed' ELSE 'out' END"
    )
    classed = f"SELECT *, {reason} AS why FROM (SELECT *, {kind} AS kind FROM ({inner}))"
    with (
        tempfile.TemporaryDirectory(prefix="curate-") as spill,
        duckdb_errors(found.uri),
        connect(memory_bytes=DEFAULT_MEMORY_BYTES, threads=2, spill=spill) as db,
    ):
        db.register_filesystem(OpaqueFiles())
        counted = db.sql(
            f"SELECT kind, why, count(*) AS n FROM ({classed}) GROUP BY kind, why ORDER BY n DESC, why"
        ).to_arrow_table()
        ranked = db.sql(
            f"SELECT kind, why, before, after FROM ({classed}) QUALIFY row_number() OVER "
            f"(PARTITION BY kind, why ORDER BY md5(key), key) <= {pictures} "
            f"ORDER BY kind, why, md5(key), key"
        ).to_arrow_table()
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in ranked.to_pylist():
        rows.setdefault((row["kind"], row["why"]), []).append(_shown(row, a, b))
    return [
        Group(kind=row["kind"], reason=row["why"], count=int(row["n"]), rows=rows[row["kind"], row["why"]])
        for row in counted.to_pylist()
    ]


def _is_in(side: str, manifest: Manifest) -> str:
    is_there = f"{side}.key IS NOT NULL"
    return f"({is_there} AND {side}.keep)" if "keep" in manifest.schema.names else f"({is_there})"


def _drop_reason(side: str, manifest: Manifest) -> str:
    return f"{side}.drop_reason" if "drop_reason" in manifest.schema.names else "NULL::VARCHAR"


def _shown(row: Mapping[str, Any], a: Manifest, b: Manifest) -> dict[str, Any]:
    """Return the row of a diff as a gallery shows it, with the manifest it is from as `_side`."""
    is_after = row["after"] is not None and row["after"]["key"] is not None
    values, manifest = (row["after"], b) if is_after else (row["before"], a)
    names = [name for name in (*SHOWN, *needed_columns(manifest.schema.names, from_shards=True)) if name in values]
    row = with_source_name({name: values[name] for name in names}, manifest)
    return {**row, "_side": "b" if is_after else "a"}
