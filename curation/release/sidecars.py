"""Licence and attribution, where the json that came with a picture names them. It is read from the tars by range."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curation.sources.byte_ranges import ByteRange, in_groups, read_ranges
from curation.sources.sidecars import MAX_SIDECAR_BYTES, parse_json
from manifests import storage
from manifests.draw.sampling import hash_sql
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine

LICENCES = ("license", "licence", "license_url", "license_name", "licence_url", "rights", "usage_terms")
ATTRIBUTIONS = ("attribution", "author", "creator", "artist", "photographer", "credit", "copyright", "rights_holder")
MAX_CHARS = 300
SCHEMA = pa.schema([("key", pa.string()), ("license", pa.string()), ("attribution", pa.string())])
_PLACES = ("key", "shard", "shard_json_offset", "shard_json_size")


def facts_in(data: bytes) -> tuple[str | None, str | None]:
    """Return the licence and the attribution that a json sidecar names, in the first of their fields that has a text.

    Names of fields are compared without regard to case. White space is joined, and texts are cut after MAX_CHARS.
    """
    found, _ = parse_json(data)
    if not found:
        return None, None
    fields = {name.lower().replace("-", "_"): value for name, value in reversed(found.items())}
    return _first(fields, LICENCES), _first(fields, ATTRIBUTIONS)


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    texts = (fields.get(name) for name in names)
    return next((text for each in texts if isinstance(each, str) and (text := _short(each))), None)


def _short(text: str) -> str:
    joined = " ".join(text[: 8 * MAX_CHARS].split())
    return joined if len(joined) <= MAX_CHARS else joined[: MAX_CHARS - 1] + "…"


def read_sidecars(engine: DuckEngine, manifest: Manifest, rows: int, salt: str) -> pa.Table:
    """Return SCHEMA for the samples whose json names a licence or an attribution.

    The json of `rows` samples is read, or of all if there are not more: those whose keys have the smallest hashes
    with `salt`. Raises BrokenSource when a tar is missing or too short.
    """
    known = set(manifest.schema.names)
    if not rows or not known.issuperset(_PLACES):
        return SCHEMA.empty_table()
    engine.view("json_places", manifest, {name: name for name in _PLACES}, where="shard_json_size IS NOT NULL")
    drawn = "SELECT * FROM json_places"
    if rows < manifest.rows:
        drawn += f" ORDER BY {hash_sql(salt)}, key LIMIT {rows}"
    engine.keep("json_drawn", f"SELECT {', '.join(_PLACES)} FROM ({drawn}) ORDER BY part, row")
    tables = [_read(manifest, table.to_pylist()) for table in engine.stream("SELECT * FROM json_drawn")]
    return pa.concat_tables([SCHEMA.empty_table(), *tables])


def _read(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    small = [row for row in rows if row["shard_json_size"] <= MAX_SIDECAR_BYTES]
    found = [
        {"key": row["key"], "license": facts[0], "attribution": facts[1]}
        for row, data in zip(small, _contents(manifest, small), strict=True)
        if any(facts := facts_in(data))
    ]
    return pa.Table.from_pylist(found, schema=SCHEMA)


def _contents(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    ranges = [
        ByteRange(
            uri=storage.join(manifest.shards_uri, row["shard"]),
            offset=row["shard_json_offset"],
            size_bytes=row["shard_json_size"],
        )
        for row in rows
    ]
    for group in in_groups(range(len(ranges)), [each.size_bytes for each in ranges]):
        yield from read_ranges([ranges[place] for place in group])
