"""Find pairs of embeddings with a high cosine, cell by cell."""

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from curation.config import DedupeConfig
from curation.copies.cosine_search import VectorCells, cosine_pairs_in_cell
from curation.pictures.vectors import Stored, unpack
from jobs.dedupe.cell_partitions import CellSearch, Run, run_lazily, search_cells, train_on

PAIRS = pa.schema([("a", pa.binary()), ("b", pa.binary()), ("cosine", pa.float32())])


def cosine_pairs(vectors: DataFrame, config: DedupeConfig, run: Run = run_lazily) -> DataFrame:
    """Return (`a`, `b`, `cosine`; a < b) of vectors with a cosine of at least `min_cosine`, each pair once.

    `vectors` has one row (`node`, `embedding`) for each node. A vector is paired with a few of the vectors near it,
    see `cosine_pairs_in_cell`. The result does not depend on partitions. `run` searches the cells.
    """
    cells = train_on(vectors, "embedding", VectorCells, config)
    search = CellSearch(read=_columns, find=functools.partial(_pairs_in_cell, min_cosine=config.min_cosine))
    return search_cells(vectors, "embedding", cells, search, PAIRS, run)


_Columns = tuple[pa.Array, Stored, npt.NDArray[np.bool_]]


def _columns(batch: pa.RecordBatch) -> _Columns:
    """Return copies of the nodes, the vectors, and which are at home, so that nothing else of a batch stays."""
    nodes = batch.column("node").take(pa.array(np.arange(batch.num_rows)))
    return nodes, unpack(batch.column("embedding")), batch.column("is_home").to_numpy(zero_copy_only=False)


def _pairs_in_cell(columns: list[_Columns], *, min_cosine: float) -> Iterator[pa.RecordBatch]:
    nodes, stored, is_home = zip(*columns, strict=True)
    yield from cosine_pairs_in_cell(pa.concat_arrays(nodes), stored, np.concatenate(is_home), min_cosine).to_batches()
