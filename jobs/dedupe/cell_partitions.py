"""Search for pairs cell by cell: rows go to the cells where they are queried, and a Spark task searches each cell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.cells import (
    MAX_TRAINING,
    ONE_CELL,
    TRAINING_PER_CELL,
    BitCells,
    Cells,
    as_matrix,
    cell_count,
    train_bit_cells,
)
from jobs.spark import frames
from jobs.spark.steps import UNIT, Making, Shown, Steps

_HASHES = 1 << 30


def train_on(fingerprints: DataFrame, column: str, *, per_cell: int, probes: int) -> BitCells:
    """Return cells of about `per_cell` rows each for the 32-byte fingerprints in `column`.

    They are trained on a sample that is chosen by hash and then sorted, so that it does not depend on partitions. Its
    expected size is bounded.
    """
    total = fingerprints.count()
    wanted = cell_count(total, per_cell)
    if wanted == 1:
        return ONE_CELL
    wanted_rows = min(wanted * TRAINING_PER_CELL, MAX_TRAINING)
    chosen = F.pmod(F.xxhash64(column), F.lit(_HASHES)) < min(_HASHES, round(_HASHES * wanted_rows / total))
    sample = as_matrix(fingerprints.where(chosen).select(column).toArrow().column(column))
    if len(sample) == 0:
        return ONE_CELL
    return train_bit_cells(sample[np.lexsort(sample.T[::-1])], min(wanted, len(sample)), probes)


@dataclass(frozen=True, kw_only=True)
class CellSearch:
    """Reads the rows of one cell and finds the pairs among them.

    `read` returns what the search needs of a batch. `find` gets what was read, which is never empty, and
    yields pairs.
    """

    read: Callable[[pa.RecordBatch], Any]
    find: Callable[[list[Any]], Iterable[pa.RecordBatch]]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the pairs among the rows of one cell."""
        found = [self.read(batch) for batch in batches if batch.num_rows]
        if found:
            yield from self.find(found)


def whole_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return `batch`: the `read` of a search that needs all of it."""
    return batch


Run = Callable[[DataFrame, int, frames.MapBatches, pa.Schema], DataFrame]
"""Returns what a function yields for the rows of each unit, given rows with the number of their unit in the column
UNIT, how many units there are, the function, and the schema of what it yields."""


def run_lazily(placed: DataFrame, units: int, function: frames.MapBatches, schema: pa.Schema) -> DataFrame:
    """Run nothing yet: whoever reads the result runs it, each time."""
    one_each = placed.repartitionById(max(1, units), UNIT).drop(UNIT)
    return frames.map_batches(one_each, function, frames.ddl(schema))


@dataclass(frozen=True, kw_only=True)
class RunOnce:
    """Runs units as a step, so that a cell that was searched is never searched again, and shows how many are done."""

    steps: Steps
    name: str

    def __call__(self, placed: DataFrame, units: int, function: frames.MapBatches, schema: pa.Schema) -> DataFrame:
        """See Run."""
        shown = Shown(name=self.name, noun="cells")
        making = Making(name=self.name, schema=schema, units=max(1, units), function=function, shown=shown)
        return self.steps.make(placed, making).frame()


def search_cells(
    rows: DataFrame, column: str, cells: Cells, search: CellSearch, pairs: pa.Schema, run: Run = run_lazily
) -> DataFrame:
    """Return what `search` finds in each of `cells` among `rows`, with the columns of `pairs`.

    A row is in each cell where the value in `column` is queried. The column `is_home` is added: whether that is its
    nearest cell, in which it is indexed. `run` searches the cells, each as a unit.
    """
    columns = ", ".join(f"`{name}` {kind}" for name, kind in rows.dtypes)
    placer = _Placer(cells=cells, column=column, columns=rows.columns)
    placed = frames.map_batches(rows, placer, f"{columns}, {UNIT} int, is_home boolean")
    return run(placed, len(cells), search, pairs)


@dataclass(frozen=True, kw_only=True)
class _Placer:
    cells: Cells
    column: str
    columns: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            nearest = self.cells.assign(self.cells.matrix(batch.column(self.column)))
            for place in range(nearest.shape[1]):
                columns = {name: batch.column(name) for name in self.columns}
                columns[UNIT] = pa.array(nearest[:, place], pa.int32())
                columns["is_home"] = pa.array(np.full(batch.num_rows, place == 0))
                yield pa.RecordBatch.from_pydict(columns)
