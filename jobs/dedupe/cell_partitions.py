"""Search for pairs cell by cell: rows go to the cells where they are queried, and a Spark task searches each cell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig
from curation.copies.cells import Cells, cell_count, training_rows
from jobs.spark import frames
from jobs.spark.steps import UNIT, Making, Shown, Steps

_HASHES = 1 << 30

AnyCells = TypeVar("AnyCells", bound=Cells)


def train_on(rows: DataFrame, column: str, kind: type[AnyCells], config: DedupeConfig) -> AnyCells:
    """Return the cells in which the fingerprints or vectors in `column` are searched, of `cell_bytes` each, about.

    They are trained on a sample that is chosen by a hash of `node` and then sorted, so that it does not depend on
    partitions. Its expected size is bounded.
    """
    total, row_bytes = rows.agg(F.count("*"), F.coalesce(F.max(F.octet_length(column)), F.lit(1))).first() or (0, 1)
    wanted = cell_count(total, row_bytes, config.cell_bytes)
    if wanted == 1:
        return kind(centroids=(), probes=config.probes)
    share = training_rows(wanted, kind.dimensions(row_bytes)) / total
    chosen = F.pmod(F.xxhash64("node"), F.lit(_HASHES)) < min(_HASHES, round(_HASHES * share))
    sample = rows.where(chosen).select("node", F.col(column).alias("sampled")).toArrow().sort_by("node")
    return kind.train(kind.matrix(sample.column("sampled")), wanted, config.probes)


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
    """Return each pair that `search` finds in any of `cells` among `rows` once, with the columns of `pairs`.

    A row is in each cell where the value in `column` is queried. The column `is_home` is added: whether that is its
    nearest cell, in which it is indexed. `run` searches the cells, each as a unit.
    """
    columns = ", ".join(f"`{name}` {kind}" for name, kind in rows.dtypes)
    placer = _Placer(cells=cells, column=column, columns=rows.columns)
    placed = frames.map_batches(rows, placer, f"{columns}, {UNIT} int, is_home boolean")
    found = run(placed, len(cells), search, pairs)
    return found if len(cells) == 1 else found.distinct()


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
