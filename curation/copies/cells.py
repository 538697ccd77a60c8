"""Cells divide a search for near neighbours into parts that fit one machine.

A cell is the Voronoi region around a centroid. Every fingerprint or vector is indexed in its nearest cell, and
queried in its `probes` nearest cells. A pair is missed only if each of the two is outside the nearest cells of the
other. With as many probes as cells no pair is missed. `neighbours` and `cosine_search` search inside a
cell.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

BITS = 256
BYTES = BITS // 8
TRAINING_PER_CELL = 2_048
MAX_TRAINING = 1 << 18
OVERFULL = 2.0  # a cell with more than this many times its share of the sample is split
MAX_SPLITS = 32  # rounds of splitting
DISTINCT_BITS = 32  # how many bits of a common centre each half of a cell flips
MAX_HALF = 0.9  # the largest share of a cell that a half may have

Fingerprints = npt.NDArray[np.uint8]


def as_matrix(column: pa.Array | pa.ChunkedArray) -> Fingerprints:
    """Return a binary column of 32-byte fingerprints as uint8, shape (rows, 32).

    Raises pyarrow.ArrowInvalid for another length; nulls are not allowed.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    matrices = [np.zeros((0, BYTES), np.uint8)]
    for chunk in chunks:
        fixed = chunk.cast(pa.binary(BYTES))
        data = np.frombuffer(fixed.buffers()[1] or b"", np.uint8)
        matrices.append(data[fixed.offset * BYTES : (fixed.offset + len(fixed)) * BYTES].reshape(-1, BYTES))
    return np.concatenate(matrices)


def cell_count(rows: int, per_cell: int) -> int:
    """Return how many cells `rows` need at about `per_cell` each."""
    return max(1, -(-rows // per_cell))


def kmeans(vectors: npt.NDArray[np.float32], cells: int, *, is_spherical: bool = False) -> npt.NDArray[np.float32]:
    """Return `cells` means of `vectors`, (rows, dimensions), as float32, shape (cells, dimensions).

    One thread and a fixed seed: the same vectors in the same order give the same means on any machine.
    """
    faiss.omp_set_num_threads(1)
    found = faiss.Kmeans(
        vectors.shape[1],
        cells,
        niter=10,
        seed=0,
        spherical=is_spherical,
        verbose=False,
        min_points_per_centroid=1,
        max_points_per_centroid=max(len(vectors), 1),
    )
    found.train(vectors)
    return np.asarray(found.centroids, np.float32)


@dataclass(frozen=True, kw_only=True)
class Cells(ABC):
    """The cells of one search: the `centroids` as bytes, and in how many cells each row is queried (`probes`)."""

    centroids: bytes
    probes: int

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of cells."""

    @staticmethod
    @abstractmethod
    def matrix(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
        """Return a binary column as the matrix that `assign` takes."""

    @abstractmethod
    def nearest(self, matrix: npt.NDArray[Any], cells: int) -> npt.NDArray[np.int64]:
        """Return the `cells` nearest cells of each row, nearest first, shape (rows, cells)."""

    def assign(self, matrix: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the cells in which each row is queried, nearest first, shape (rows, min(probes, cells))."""
        if len(self) <= 1 or len(matrix) == 0:
            return np.zeros((len(matrix), min(self.probes, max(len(self), 1))), np.int64)
        faiss.omp_set_num_threads(1)
        return self.nearest(matrix, min(self.probes, len(self)))


@dataclass(frozen=True, kw_only=True)
class BitCells(Cells):
    """Cells of the Hamming space of fingerprints: uint8 centroids, shape (cells, 32)."""

    def __len__(self) -> int:
        return len(self.centroids) // BYTES

    matrix = staticmethod(as_matrix)

    def nearest(self, matrix: Fingerprints, cells: int) -> npt.NDArray[np.int64]:
        """See Cells."""
        index = faiss.IndexBinaryFlat(BITS)
        index.add(np.frombuffer(self.centroids, np.uint8).reshape(-1, BYTES))
        return np.asarray(index.search(matrix, cells)[1], np.int64)


ONE_CELL = BitCells(centroids=bytes(BYTES), probes=1)


def train_bit_cells(sample: Fingerprints, cells: int, probes: int) -> BitCells:
    """Return about `cells` cells, among which `sample`, (rows, 32), is divided evenly.

    The centroids are found by k-means on the bits and rounded back to bits. A cell with more than OVERFULL times its
    share is split in two, as long as that makes it smaller.
    """
    centroids = [bytes(row) for row in np.packbits(_bit_means(sample, cells) >= 0.5, axis=1)]
    unsplittable: set[bytes] = set()
    for _ in range(MAX_SPLITS):
        centroids = list(dict.fromkeys(centroids))
        homes = BitCells(centroids=b"".join(centroids), probes=1).assign(sample)[:, 0]
        sizes = np.bincount(homes, minlength=len(centroids))
        too_large = np.flatnonzero(sizes > OVERFULL * len(sample) / cells)
        overfull = [n for n in too_large if centroids[n] not in unsplittable]
        if not overfull:
            break
        for n in overfull:
            halves = _halves(sample[homes == n])
            if halves:
                centroids[n] = halves[0]
                centroids.append(halves[1])
            else:
                unsplittable.add(centroids[n])
    centroids = list(dict.fromkeys(centroids))
    return BitCells(centroids=b"".join(centroids), probes=probes) if len(centroids) > 1 else ONE_CELL


def _bit_means(sample: Fingerprints, cells: int) -> npt.NDArray[np.float32]:
    return kmeans(np.unpackbits(sample, axis=1).astype(np.float32), cells)


def _halves(members: Fingerprints) -> Sequence[bytes]:
    """Return the centroids of two halves of a cell, or none if one half would be about as large as the cell."""
    means = _bit_means(members, 2)
    # Both means may round to one common centre. Then each half flips the bits in which its mean differs most from it.
    centre = np.unpackbits(members, axis=1).mean(axis=0) >= 0.5
    order = np.argsort((means[0] - means[1]) * np.where(centre, -1, 1), kind="stable")
    distinct = np.repeat(centre[None], 2, axis=0)
    distinct[0, order[-DISTINCT_BITS:]] ^= True
    distinct[1, order[:DISTINCT_BITS]] ^= True
    for bits in (means >= 0.5, distinct):
        halves = [bytes(row) for row in np.packbits(bits, axis=1)]
        homes = BitCells(centroids=b"".join(halves), probes=1).assign(members)[:, 0]
        if np.bincount(homes).max() <= MAX_HALF * len(members):
            return halves
    return ()
