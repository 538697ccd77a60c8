"""Rows of chosen parts with all columns, in the order of the manifest."""

import tempfile
from collections.abc import Iterator, Sequence

import pyarrow as pa

from manifests.format.integrity import require_intact
from manifests.format.store import Manifest
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import connect, from_parts, quoted

MEMORY_BYTES = 1 << 30
BATCH_ROWS = 16_384


def read_rows(
    manifest: Manifest, places: Sequence[int], *, where: str = "true", picks: pa.Table | None = None, threads: int = 1
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the parts at `places`, in order of part and row, with the manifest's schema.

    `places` are positions in `manifest.parts`. Only rows for which `where` (a DuckDB expression) is true are yielded,
    and of those only the ones named in `picks` (columns `part` and `row`), if given. Raises ManifestError when the
    sha256 of a part, which is computed first, is not the committed one.
    """
    require_intact(manifest, places, is_hashed=True)
    names = ", ".join(f"p.{quoted(name)}" for name in manifest.schema.names)
    with (
        tempfile.TemporaryDirectory(prefix="curate-") as spill,
        duckdb_errors(manifest.uri, is_streamed=True),
        connect(memory_bytes=MEMORY_BYTES, threads=threads, spill=spill) as db,
    ):
        query = f"SELECT {names} FROM {from_parts(db, manifest, places)} AS p"
        if picks is not None:
            position = {place: i for i, place in enumerate(places)}
            index = pa.array([position[part] for part in picks.column("part").to_pylist()], pa.int32())
            db.register("picks", pa.table({"i": index, "r": picks.column("row")}))
            query += " JOIN picks ON p.file_index = picks.i AND p.file_row_number = picks.r"
        reader = db.sql(f"{query} WHERE {where} ORDER BY p.file_index, p.file_row_number").to_arrow_reader(BATCH_ROWS)
        for batch in reader:
            yield from pa.Table.from_batches([batch]).cast(manifest.schema).to_batches()
