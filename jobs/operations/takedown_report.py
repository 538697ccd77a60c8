"""The page that shows what a takedown removes, with pictures."""

from collections.abc import Iterator

import pyarrow as pa

from curation.sources.originals import fetch, needed_columns
from curation.takedown.contact_sheet import Removed, contact_sheet
from jobs.operations.takedown import Found
from manifests import storage
from manifests.format.schema import Stage
from manifests.format.store import Manifest
from manifests.sql.lookup import rows_at

MAX_PICTURES = 500
_SHOWN_OF_ROW = ("key", "url", "caption")


def write_report(uri: str, source: Manifest, found: Found) -> None:
    """Write the page of the first MAX_PICTURES rows that go from `source` to the file at `uri`."""
    places = found.places.slice(0, MAX_PICTURES)
    title = f"curate takedown: {source.uri}"
    removed = _pictures(source, found, places)
    with storage.write_atomically(uri) as sink:
        for piece in contact_sheet(title, removed, shown=places.num_rows, count=found.places.num_rows):
            sink.write(piece.encode("utf-8", "backslashreplace"))


def _pictures(source: Manifest, found: Found, places: pa.Table) -> Iterator[Removed]:
    is_sharded = source.stage is Stage.SHARD
    columns = needed_columns(source.schema.names, from_shards=is_sharded)
    wanted = list(dict.fromkeys([*columns, *_SHOWN_OF_ROW]))
    at = zip(places.column("part").to_pylist(), places.column("row").to_pylist(), strict=True)
    for table in rows_at(source, places, wanted):
        rows = table.to_pylist()
        pictures = fetch(rows, shards_uri=source.shards_uri if is_sharded else None)
        for row, (data, problem) in zip(rows, pictures, strict=True):
            part, place = next(at)
            yield Removed(row=row, why=str(found.gone[part][place]), data=data, problem=problem)
