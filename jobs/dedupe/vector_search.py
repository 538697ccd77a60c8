"""Find pairs of embeddings with a high cosine, cell by cell."""

import functools
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame

from curation.config import DedupeConfig
from curation.copies.cosine_search import VectorCells, cosine_pairs_in_cell
from curation.pictures.vectors import unpack
from jobs.dedupe.cell_partitions import CellSearch, Run, run_lazily, search_cells, train_on, whole_batch

PAIRS = pa.schema([("a", pa.binary()), ("b", pa.binary()), ("cosine", pa.float32())])


def cosine_pairs(vectors: DataFrame, config: DedupeConfig, run: Run = run_lazily) -> DataFrame:
    """Return (`a`, `b`, `cosine`; a < b) of vectors with a cosine of at least `min_cosine`, each pair once.

    `vectors` has one row (`node`, `embedding`) for each node. A vector is paired with a few of the vectors near it,
    see `cosine_pairs_in_cell`. The result does not depend on partitions. `run` searches the cells.
    """
    cells = train_on(vectors, "embedding", VectorCells, config)
    search = CellSearch(read=whole_batch, find=functools.partial(_pairs_in_cell, min_cosine=config.min_cosine))
    return search_cells(vectors, "embedding", cells, search, PAIRS, run)


def _pairs_in_cell(batches: list[pa.RecordBatch], *, min_cosine: float) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches(batches)
    pairs = cosine_pairs_in_cell(
        table.column("node").combine_chunks(),
        unpack(table.column("embedding")),
        table.column("is_home").to_numpy(),
        min_cosine,
    )
    yield from pairs.to_batches()
