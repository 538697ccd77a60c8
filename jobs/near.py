"""Near pairs of fingerprints, searched cell by cell, a Spark task a cell.

Rows of a fingerprint and two flags are all that is shuffled, and a cell is read as it streams in: never as one table.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation import clusters, neighbours
from curation.config import DedupeConfig
from jobs.units import prepare_worker

_HASHES = 1 << 30
_PLACED = "node binary, is_text boolean, cell int, is_home boolean"
_PAIRS = "a binary, b binary, distance int"


def near_pairs(prints: DataFrame, config: DedupeConfig) -> DataFrame:
    """Return (`a`, `b`, `distance`) of near copies among the distinct fingerprints `prints` (`node`, `is_text`).

    a < b, each pair once, within the limit. They are some of all such pairs, which keep together what hangs together;
    which ones depends on the fingerprints as a set. Searching is costly: keep what is read twice.
    """
    prints = prints.select("node", "is_text").localCheckpoint()
    cells = _cells(prints, config)
    search = _CellSearch(
        neighbours.Nearness(max_distance=config.max_distance, max_text_distance=config.max_text_distance)
    )
    placed = prints.mapInArrow(_Placer(cells), _PLACED).repartitionById(len(cells), "cell")
    pairs = placed.select("node", "is_text", "is_home").mapInArrow(search, _PAIRS)
    return pairs if len(cells) == 1 else pairs.distinct()


def _cells(prints: DataFrame, config: DedupeConfig) -> clusters.Cells:
    total = prints.count()
    wanted = clusters.cell_count(total, config.fingerprints_per_cell)
    if wanted == 1:
        return clusters.ONE_CELL
    wanted_rows = min(wanted * clusters.TRAINING_PER_CELL, clusters.MAX_TRAINING)
    # Bounded, give or take chance, and the same whatever the partitions: chosen by hash, then put in order.
    chosen = F.pmod(F.xxhash64("node"), F.lit(_HASHES)) < min(_HASHES, round(_HASHES * wanted_rows / total))
    sample = clusters.as_matrix(prints.where(chosen).select("node").toArrow().column("node"))
    if len(sample) == 0:
        return clusters.ONE_CELL
    return clusters.train_cells(sample[np.lexsort(sample.T[::-1])], min(wanted, len(sample)), config.probes)


@dataclass(frozen=True)
class _Placer:
    cells: clusters.Cells

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            nearest = self.cells.assign(clusters.as_matrix(batch.column("node")))
            for place in range(nearest.shape[1]):
                yield pa.RecordBatch.from_pydict(
                    {
                        "node": batch.column("node"),
                        "is_text": batch.column("is_text"),
                        "cell": pa.array(nearest[:, place], pa.int32()),
                        "is_home": pa.array(np.full(batch.num_rows, place == 0)),
                    }
                )


@dataclass(frozen=True)
class _CellSearch:
    nearness: neighbours.Nearness

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the near pairs among the fingerprints of one cell."""
        prepare_worker({})
        prints, is_home, is_text = [], [], []
        for batch in batches:
            prints.append(clusters.as_matrix(batch.column("node")))
            is_home.append(batch.column("is_home").to_numpy(zero_copy_only=False))
            is_text.append(batch.column("is_text").to_numpy(zero_copy_only=False))
        if not prints:
            return
        columns = np.concatenate(prints), np.concatenate(is_home), np.concatenate(is_text)
        prints.clear()
        cell = neighbours.make_cell(*columns, self.nearness)
        del columns
        yield from neighbours.pairs_in_cell(cell)
