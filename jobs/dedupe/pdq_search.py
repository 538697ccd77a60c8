"""Near pairs of fingerprints, searched cell by cell, a Spark task a cell.

Rows of a fingerprint and two flags are all that is shuffled, and a cell is read as it streams in: never as one table.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from curation.config import DedupeConfig
from curation.copies import cells, neighbours
from jobs.dedupe import partitions
from jobs.spark import frames

_PAIRS = "a binary, b binary, distance int"


def near_pairs(prints: DataFrame, config: DedupeConfig) -> DataFrame:
    """Return (`a`, `b`, `distance`) of near copies among the distinct fingerprints `prints` (`node`, `is_text`).

    a < b, each pair once, within the limit. They are some of all such pairs, which keep together what hangs together;
    which ones depends on the fingerprints as a set. Searching is costly: keep what is read twice.
    """
    prints = prints.select("node", "is_text").localCheckpoint()
    trained = partitions.train_on(prints, "node", per_cell=config.fingerprints_per_cell, probes=config.probes)
    search = _CellSearch(
        neighbours.Nearness(max_distance=config.max_distance, max_text_distance=config.max_text_distance)
    )
    pairs = frames.map_batches(partitions.place(prints, "node", trained), search, _PAIRS)
    return pairs if len(trained) == 1 else pairs.distinct()


@dataclass(frozen=True)
class _CellSearch:
    nearness: neighbours.Nearness

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the near pairs among the fingerprints of one cell."""
        prints, is_home, is_text = [], [], []
        for batch in batches:
            prints.append(cells.as_matrix(batch.column("node")))
            is_home.append(batch.column("is_home").to_numpy(zero_copy_only=False))
            is_text.append(batch.column("is_text").to_numpy(zero_copy_only=False))
        if not prints:
            return
        columns = np.concatenate(prints), np.concatenate(is_home), np.concatenate(is_text)
        prints.clear()
        cell = neighbours.make_cell(*columns, self.nearness)
        del columns
        yield from neighbours.pairs_in_cell(cell)
