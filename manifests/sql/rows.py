"""Whole rows of chosen parts, in their order."""

import tempfile
from collections.abc import Iterator, Sequence

import pyarrow as pa

from manifests.format.integrity import require_intact
from manifests.format.store import Manifest
from manifests.sql.engine import connect, from_parts, quoted, told_plainly

MEMORY_BYTES = 1 << 30
BATCH_ROWS = 16_384


def read_rows(
    manifest: Manifest, places: Sequence[int], *, where: str = "true", picks: pa.Table | None = None, threads: int = 1
) -> Iterator[pa.RecordBatch]:
    """Yield rows of the parts at `places`, by part and by position in it, as the manifest's schema has them.

    Rows for which `where` (a DuckDB expression) is true, and of `picks` (`part`, `row`) those that are in it. Every
    part is hashed first: ManifestError is raised when one is not what was committed.
    """
    require_intact(manifest, places, is_hashed=True)
    names = ", ".join(f"p.{quoted(name)}" for name in manifest.schema.names)
    with (
        tempfile.TemporaryDirectory(prefix="curate-") as spill,
        told_plainly(manifest.uri, is_streamed=True),
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
