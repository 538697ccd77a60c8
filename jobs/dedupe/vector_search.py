"""Pairs of pictures that look alike to a network, over any number of vectors: placed in cells, compared in each."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig
from curation.copies import cosine_search
from curation.copies.cells import cell_count
from curation.pictures.vectors import STORED, unpack
from jobs.spark import frames


def semantic_pairs(vectors: DataFrame, config: DedupeConfig) -> DataFrame:
    """Return (`a`, `b`, `cosine`; a < b) of vectors whose cosine is at least `min_cosine`, each pair once.

    `vectors` is (`node`, `embedding`), a row a node. Each is paired with few of those near it, as
    `cosine_pairs_in_cell` says; the answer does not depend on partitions.
    """
    cells = _cells(vectors, config)
    placed = frames.map_batches(vectors, _Placer(cells), "node binary, embedding binary, cell int, is_home boolean")
    search = _CellSearch(config.min_cosine)
    pairs = frames.map_groups(placed, "cell", search.pairs, "a binary, b binary, cosine float")
    return pairs.dropDuplicates(["a", "b"])


def _cells(vectors: DataFrame, config: DedupeConfig) -> cosine_search.Cells:
    total = vectors.count()
    wanted = cell_count(total, config.pictures_per_cell)
    one = vectors.select("embedding").first()
    if wanted == 1 or one is None:
        return cosine_search.Cells(centroids=b"", count=1, probes=1)
    rows = cosine_search.training_rows(wanted, len(one["embedding"]) // STORED.itemsize)
    # Bounded, and the same whatever the partitions: the smallest hashes. Only nodes are sorted, not their vectors.
    chosen = vectors.select("node").orderBy(F.xxhash64("node"), "node").limit(rows)
    sample = vectors.join(F.broadcast(chosen), "node", "left_semi").select("node", "embedding").toArrow()
    sample = sample.sort_by("node")
    count = min(wanted, len(sample))
    centroids = cosine_search.train_centroids(unpack(sample.column("embedding")), count)
    return cosine_search.Cells(centroids=centroids.tobytes(), count=count, probes=config.probes)


@dataclass(frozen=True)
class _Placer:
    cells: cosine_search.Cells

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            nearest = self.cells.assign(unpack(batch.column("embedding")))
            for place in range(nearest.shape[1]):
                yield pa.RecordBatch.from_pydict(
                    {
                        "node": batch.column("node"),
                        "embedding": batch.column("embedding"),
                        "cell": pa.array(nearest[:, place], pa.int32()),
                        "is_home": pa.array([place == 0] * batch.num_rows, pa.bool_()),
                    }
                )


@dataclass(frozen=True)
class _CellSearch:
    min_cosine: float

    def pairs(self, table: pa.Table) -> pa.Table:
        """Return the pairs among the vectors of one cell."""
        return cosine_search.cosine_pairs_in_cell(
            table.column("node").combine_chunks(),
            unpack(table.column("embedding")),
            table.column("is_home").to_numpy(),
            self.min_cosine,
        )
