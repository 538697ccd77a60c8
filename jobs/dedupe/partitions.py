"""Fingerprints placed in cells, a Spark partition a cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.cells import MAX_TRAINING, ONE_CELL, TRAINING_PER_CELL, Cells, as_matrix, cell_count, train_cells
from jobs.spark import frames

_HASHES = 1 << 30


def train_on(prints: DataFrame, column: str, *, per_cell: int, probes: int) -> Cells:
    """Return cells for the 32-byte fingerprints in `column` of `prints`, each to hold about `per_cell` of them.

    They are trained on a sample that is bounded, give or take chance, and the same whatever the partitions: chosen by
    hash, then put in order.
    """
    total = prints.count()
    wanted = cell_count(total, per_cell)
    if wanted == 1:
        return ONE_CELL
    wanted_rows = min(wanted * TRAINING_PER_CELL, MAX_TRAINING)
    chosen = F.pmod(F.xxhash64(column), F.lit(_HASHES)) < min(_HASHES, round(_HASHES * wanted_rows / total))
    sample = as_matrix(prints.where(chosen).select(column).toArrow().column(column))
    if len(sample) == 0:
        return ONE_CELL
    return train_cells(sample[np.lexsort(sample.T[::-1])], min(wanted, len(sample)), probes)


def place(prints: DataFrame, column: str, cells: Cells) -> DataFrame:
    """Return the rows of `prints` in each cell where they are asked, a partition a cell; `is_home` in the nearest."""
    columns = ", ".join(f"`{name}` {kind}" for name, kind in prints.dtypes)
    placer = _Placer(cells=cells, column=column, columns=prints.columns)
    placed = frames.map_batches(prints, placer, f"{columns}, cell int, is_home boolean")
    return placed.repartitionById(max(1, len(cells)), "cell").drop("cell")


@dataclass(frozen=True, kw_only=True)
class _Placer:
    cells: Cells
    column: str
    columns: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            nearest = self.cells.assign(as_matrix(batch.column(self.column)))
            for place in range(nearest.shape[1]):
                columns = {name: batch.column(name) for name in self.columns}
                columns["cell"] = pa.array(nearest[:, place], pa.int32())
                columns["is_home"] = pa.array(np.full(batch.num_rows, place == 0))
                yield pa.RecordBatch.from_pydict(columns)
