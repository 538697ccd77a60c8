"""Manifests of any size with the columns of a real one, for measurements: made from row numbers, twice the same.

Rows are those that `choose` leaves, or with `is_scored` those that it reads: URLs, captions and hashes that do not
compress better than real ones. Embeddings are null. So are local features, as with `copies: [exact, mild]`;
`has_local` adds them, as default settings measure them: some 550 bytes that do not compress. An edited manifest lacks
2 % of the rows, has 2 % others instead, and another score and verdict in 1 %, spread over all parts.
"""

import multiprocessing
import os
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from curation.config_choose import ChooseConfig
from manifests import storage
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Provenance, is_committed, lanes_of, open_manifest

ROWS_PER_PART = 250_000
ROOTS = ("file:///corpus",)
_WORDS = ["chart", "table", "report", "annual", "sales", "price", "menu", "street", "photo", "dog", "blue"]
_EXPRESSIONS = {
    "key": "md5('key' || i)",
    "source": "'file:///corpus/' || lpad((i // 10000)::VARCHAR, 8, '0') || '.tar'",
    "member": "lpad(i::VARCHAR, 9, '0') || '.jpg'",
    "offset": "(i % 10000) * 61440 + 512",
    "size": "8000 + h % 50000",
    "caption_offset": "(i % 10000) * 61440 + 59904",
    "caption_size": "40 + h % 60",
    "json_offset": "(i % 10000) * 61440 + 60928",
    "json_size": "300 + h % 200",
    "sha256": "sha256('bytes' || i)",
    "status": "CASE WHEN h % 100 < 3 THEN 'undecodable' ELSE 'ok' END",
    "error": "CASE WHEN h % 100 < 3 THEN 'cannot identify image file' END",
    "format": "CASE WHEN h % 10 < 8 THEN 'JPEG' WHEN h % 10 = 8 THEN 'PNG' ELSE 'WEBP' END",
    "mode": "'RGB'",
    "width": "200 + h % 1800",
    "height": "200 + (h // 7) % 1400",
    "frames": "1",
    "orientation": "1",
    "url": "'https://host' || (h % 40000) || '.example/images/' || substr(md5('url' || i), 1, 16) || '.jpg'",
    "caption": " || ' ' || ".join(f"$words[1 + (h >> {4 * n}) % {len(_WORDS)}]" for n in range(9)) + " || ' ' || i",
    "pdq": "unhex(sha256('pdq' || i))",
    "pdq_quality": "h % 101",
    "text_presence": "(h % 1000003) / 1000003",
    "text_density": "(h % 999983) / 999983",
    "cluster_id": "md5('key' || (i - CASE WHEN h % 13 = 0 THEN i % 7 ELSE 0 END))",
    "duplicate_of": "CASE WHEN h % 13 = 0 AND i % 7 > 0 THEN md5('key' || (i - i % 7)) END",
    "duplicate_kind": "CASE WHEN h % 13 = 0 AND i % 7 > 0 THEN 'mild' END",
    "text_boxes": "h % 60",
    "text_area_fraction": "(h % 10007) / 20014",
    "text_lines": "h % 8",
    "text_chars": "h % 300",
    "text_confidence": "0.5 + (h % 5003) / 10006",
    "text_score": "(((h + 500009 * edited) % 1000003) / 1000003)",
    "text_step": "['density', 'detect_small', 'detect_large', 'read'][1 + h % 4]",
    "text_engine": "'rapidocr 3.10 PP-OCRv6 small'",
    "text_class": "CASE WHEN text_score >= 0.9 THEN 'heavy' WHEN text_score >= 0.5 THEN 'light' ELSE 'none' END",
    "keep": "text_score >= 0.9 AND duplicate_of IS NULL",
    "drop_reason": "CASE WHEN keep THEN NULL WHEN duplicate_of IS NULL THEN 'not_heavy' ELSE 'duplicate:mild' END",
}


def make(
    folder: Path,
    rows: int,
    *,
    edited: bool = False,
    has_local: bool = False,
    is_scored: bool = False,
    rows_per_part: int = ROWS_PER_PART,
) -> Manifest:
    """Return the manifest of `rows` rows below `folder`, made now unless an earlier run left it there."""
    size = f"{rows}" if rows_per_part == ROWS_PER_PART else f"{rows}-by-{rows_per_part}"
    uri = str(
        folder
        / f"{'edited' if edited else 'plain'}{'-local' if has_local else ''}{'-scored' if is_scored else ''}-{size}"
    )
    if is_committed(uri):
        return open_manifest(uri)
    jobs = [
        (uri, place, first, min(rows, first + rows_per_part), rows, edited, has_local, is_scored)
        for place, first in enumerate(range(0, rows, rows_per_part))
    ]
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        receipts = pool.starmap(_write, jobs)
    about = Provenance(
        stage=Stage.SCORE if is_scored else Stage.CHOOSE,
        config={} if is_scored else ChooseConfig(min_heavy_score=0.9, min_light_score=0.5).model_dump(mode="json"),
        software={},
        inputs={},
        parents=[],
        roots=ROOTS,
        funnel=[],
    )
    return commit(uri, receipts, about, created="2026-01-01T00:00:00+00:00")


def _write(uri: str, place: int, first: int, end: int, rows: int, *how: bool) -> Receipt:
    name = f"part-{place:05d}"
    edited, has_local, is_scored = how
    table = _rows(first, end, rows, edited)
    if has_local:
        table = _with_local(table, place)
    if is_scored:
        table = table.select(schema(Stage.SCORE).names)
    made = write_part(
        storage.join(storage.absolute(uri), f"{name}.parquet"), table.to_batches(), table.schema, roots=ROOTS
    )
    return Receipt(
        unit=name,
        fingerprint="",
        part=f"{name}.parquet",
        rows=made.rows,
        size_bytes=made.size_bytes,
        sha256=made.sha256,
        lanes=lanes_of(made.lanes.tolist()),
        counts=made.counts,
    )


def _rows(first: int, end: int, rows: int, edited: bool) -> pa.Table:
    """Return one part. Of 100 consecutive rows an edited one lacks two and has another verdict in one."""
    numbers = f"SELECT i, 0 AS edited FROM range({first}, {end}) t(i)"
    if edited:
        numbers = f"""
            SELECT i, (i % 100 = 50)::INT AS edited FROM range({first}, {end}) t(i) WHERE i % 100 NOT IN (20, 70)
            UNION ALL SELECT {rows} + i, 0 FROM range({first}, {end}) t(i) WHERE i % 50 = 20
        """
    columns = ", ".join(f"{sql} AS {name}" for name, sql in _EXPRESSIONS.items())
    query = f"SELECT {columns} FROM (SELECT i, edited, (hash(i) // 4)::BIGINT AS h FROM ({numbers}) ORDER BY i)"
    with tempfile.TemporaryDirectory() as spill, duckdb.connect(config={"threads": 1}) as db:
        db.execute(f"SET temp_directory = '{spill}'; SET enable_progress_bar = false")
        made = db.sql(query, params={"words": _WORDS}).to_arrow_table()
    wanted = schema(Stage.CHOOSE)
    for field in wanted:
        if field.name not in made.schema.names:
            made = made.append_column(field.name, pa.nulls(made.num_rows, field.type))
    return made.select(wanted.names).cast(wanted)


def _with_local(table: pa.Table, place: int) -> pa.Table:
    """Return the table with local features of 20 to 64 keypoints, random ones."""
    rows = table.num_rows
    random = np.random.default_rng(place)
    points = 12 * random.integers(20, 65, rows)
    ends = np.concatenate([[0], np.cumsum(points)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(random.bytes(int(ends[-1])))]
    values = pa.BinaryArray.from_buffers(pa.binary(), rows, buffers)
    column = table.schema.get_field_index("local_points")
    return table.set_column(column, table.schema.field(column), values)
