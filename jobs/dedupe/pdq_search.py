"""Find near PDQ fingerprints, cell by cell.

Only the fingerprint and two flags of a row are shuffled, and a cell is never in memory as an Arrow table.
"""

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from curation.config import DedupeConfig
from curation.copies import cells, neighbours
from jobs.dedupe.cell_partitions import CellSearch, Run, run_lazily, search_cells, train_on


def near_pairs(fingerprints: DataFrame, config: DedupeConfig, run: Run = run_lazily) -> DataFrame:
    """Return (`a`, `b`, `distance`) of near ones among the distinct `fingerprints` (`node`, `is_text`).

    a < b, each pair once, within the distance limits of `config`. Not all such pairs are returned, but enough to give
    the same connected components. Which ones depends on the set of fingerprints only, which are read three times.
    `run` searches the cells. That is expensive: run it once if the result is read twice.
    """
    fingerprints = fingerprints.select("node", "is_text")
    trained = train_on(fingerprints, "node", cells.BitCells, config)
    search = CellSearch(read=_columns, find=functools.partial(_pairs_in_cell, nearness=_nearness(config)))
    return search_cells(fingerprints, "node", trained, search, neighbours.PAIRS, run)


def near_pairs_in_memory(fingerprints: pa.Table, config: DedupeConfig) -> pa.Table:
    """Return the same of `fingerprints` that fit one cell."""
    if not len(fingerprints):
        return neighbours.PAIRS.empty_table()
    everywhere = pa.array(np.ones(len(fingerprints), np.bool_))
    rows = fingerprints.append_column("is_home", everywhere).combine_chunks()
    found = _pairs_in_cell([_columns(batch) for batch in rows.to_batches()], nearness=_nearness(config))
    return pa.Table.from_batches(found, neighbours.PAIRS)


def _nearness(config: DedupeConfig) -> neighbours.Nearness:
    return neighbours.Nearness(max_distance=config.max_distance, max_text_distance=config.max_text_distance)


_Columns = tuple[cells.Fingerprints, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def _columns(batch: pa.RecordBatch) -> _Columns:
    """Return the fingerprints, `is_home` and `is_text` of a batch."""
    flags = (batch.column(name).to_numpy(zero_copy_only=False) for name in ("is_home", "is_text"))
    return cells.as_matrix(batch.column("node")), *flags


def _pairs_in_cell(collected: list[_Columns], *, nearness: neighbours.Nearness) -> Iterator[pa.RecordBatch]:
    fingerprints, is_home, is_text = (np.concatenate(columns) for columns in zip(*collected, strict=True))
    collected.clear()  # a cell can be large, and is sorted next
    cell = neighbours.make_cell(fingerprints, is_home, is_text, nearness)
    del fingerprints, is_home, is_text
    yield from neighbours.pairs_in_cell(cell)
