"""Find pairs of embeddings with a high cosine, cell by cell."""

import functools
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig
from curation.copies import cosine_search
from curation.copies.cells import cell_count
from curation.pictures.vectors import STORED, unpack
from jobs.dedupe.cell_partitions import CellSearch, Run, run_lazily, search_cells, whole_batch

PAIRS = pa.schema([("a", pa.binary()), ("b", pa.binary()), ("cosine", pa.float32())])


def cosine_pairs(vectors: DataFrame, config: DedupeConfig, run: Run = run_lazily) -> DataFrame:
    """Return (`a`, `b`, `cosine`; a < b) of vectors with a cosine of at least `min_cosine`, each pair once.

    `vectors` has one row (`node`, `embedding`) for each node. A vector is paired with a few of the vectors near it,
    see `cosine_pairs_in_cell`. The result does not depend on partitions. `run` searches the cells.
    """
    search = CellSearch(read=whole_batch, find=functools.partial(_pairs_in_cell, min_cosine=config.min_cosine))
    pairs = search_cells(vectors, "embedding", _train_cells(vectors, config), search, PAIRS, run)
    return pairs.dropDuplicates(["a", "b"])


def _train_cells(vectors: DataFrame, config: DedupeConfig) -> cosine_search.VectorCells:
    total = vectors.count()
    wanted = cell_count(total, config.pictures_per_cell)
    one = vectors.select("embedding").first()
    if wanted == 1 or one is None:
        return cosine_search.ONE_CELL
    rows = cosine_search.training_rows(wanted, len(one["embedding"]) // STORED.itemsize)
    # The smallest hashes: a bounded sample that does not depend on partitions. Only nodes are sorted, not vectors.
    chosen = vectors.select("node").orderBy(F.xxhash64("node"), "node").limit(rows)
    sample = vectors.join(F.broadcast(chosen), "node", "left_semi").select("node", "embedding").toArrow()
    sample = sample.sort_by("node")
    return cosine_search.train_vector_cells(
        unpack(sample.column("embedding")), min(wanted, len(sample)), config.probes
    )


def _pairs_in_cell(batches: list[pa.RecordBatch], *, min_cosine: float) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches(batches)
    pairs = cosine_search.cosine_pairs_in_cell(
        table.column("node").combine_chunks(),
        unpack(table.column("embedding")),
        table.column("is_home").to_numpy(),
        min_cosine,
    )
    yield from pairs.to_batches()
