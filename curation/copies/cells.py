"""Cells divide a search for near neighbours into parts that fit one machine.

A cell is the Voronoi region around a centroid. Every fingerprint or vector is indexed in its nearest cell, and
queried in its `probes` nearest cells. A pair is missed only if each of the two is outside the nearest cells of the
other. With as many probes as cells no pair is missed. `neighbours` and `cosine_search` search inside a
cell.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.pictures.vectors import byte_rows

BITS = 256
BYTES = BITS // 8
TRAINING_PER_CELL = 2_048
MAX_TRAINING_BYTES = 1 << 28  # as float32
OVERFULL = 2.0  # a cell with more than this many times its share of the sample is split
MAX_SPLITS = 32  # rounds of splitting
DISTINCT_BITS = 32  # how many bits of a common centre each half of a cell flips
MAX_HALF = 0.9  # the largest share of a cell that a half may have

Fingerprints = npt.NDArray[np.uint8]


def as_matrix(column: pa.Array | pa.ChunkedArray) -> Fingerprints:
    """Return a binary column of 32-byte fingerprints as uint8, shape (rows, 32).

    Raises pyarrow.ArrowInvalid for another length; nulls are not allowed.
    """
    return byte_rows(column, BYTES)


def cell_count(rows: int, row_bytes: int, cell_bytes: int) -> int:
    """Return how many cells `rows` of `row_bytes` each need, at about `cell_bytes` in each."""
    return max(1, -(-rows * row_bytes // cell_bytes))


def training_rows(cells: int, dimensions: int) -> int:
    """Return how many rows of `dimensions` numbers the centroids of `cells` cells are trained on."""
    return min(cells * TRAINING_PER_CELL, MAX_TRAINING_BYTES // (4 * dimensions))


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
    """The cells of one search.

    `centroids`: those of the cells, none for one cell. `probes`: in how many cells each row is queried.
    """

    centroids: Sequence[bytes]
    probes: int

    def __len__(self) -> int:
        return max(1, len(self.centroids))

    @staticmethod
    @abstractmethod
    def matrix(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
        """Return a binary column as the matrix that `assign` takes."""

    @staticmethod
    @abstractmethod
    def dimensions(row_bytes: int) -> int:
        """Return how many numbers a row of so many bytes has."""

    @staticmethod
    @abstractmethod
    def means(matrix: npt.NDArray[Any], cells: int) -> Sequence[bytes]:
        """Return `cells` centroids of the rows, by k-means."""

    @classmethod
    def halves(cls, members: npt.NDArray[Any]) -> Sequence[Sequence[bytes]]:
        """Return pairs of centroids that may divide a cell with these rows in two, the best first."""
        return [cls.means(members, 2)]

    @abstractmethod
    def nearest(self, matrix: npt.NDArray[Any], cells: int) -> npt.NDArray[np.int64]:
        """Return the `cells` nearest cells of each row, nearest first, shape (rows, cells)."""

    def assign(self, matrix: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the cells in which each row is queried, nearest first, shape (rows, min(probes, cells))."""
        if len(self) == 1 or len(matrix) == 0:
            return np.zeros((len(matrix), min(self.probes, len(self))), np.int64)
        faiss.omp_set_num_threads(1)
        return self.nearest(matrix, min(self.probes, len(self)))

    @classmethod
    def train(cls, sample: npt.NDArray[Any], cells: int, probes: int) -> Self:
        """Return about `cells` cells, among which the rows of `sample` are divided evenly.

        The centroids are found by k-means. A cell with more than OVERFULL times its share is split in two, as long as
        that makes it smaller.
        """
        cells = min(cells, len(sample))
        if cells <= 1:
            return cls(centroids=(), probes=probes)
        centroids = list(cls.means(sample, cells))
        unsplittable: set[bytes] = set()
        for _ in range(MAX_SPLITS):
            centroids = list(dict.fromkeys(centroids))
            homes = cls(centroids=centroids, probes=1).assign(sample)[:, 0]
            sizes = np.bincount(homes, minlength=len(centroids))
            too_large = np.flatnonzero(sizes > OVERFULL * len(sample) / cells)
            overfull = [n for n in too_large if centroids[n] not in unsplittable]
            if not overfull:
                break
            for n in overfull:
                halves = cls._even_halves(sample[homes == n])
                if halves:
                    centroids[n] = halves[0]
                    centroids.append(halves[1])
                else:
                    unsplittable.add(centroids[n])
        distinct = tuple(dict.fromkeys(centroids))
        return cls(centroids=distinct if len(distinct) > 1 else (), probes=probes)

    @classmethod
    def _even_halves(cls, members: npt.NDArray[Any]) -> Sequence[bytes]:
        """Return the centroids of two halves of a cell, or none if one half would be about as large as the cell."""
        for halves in cls.halves(members):
            homes = cls(centroids=halves, probes=1).assign(members)[:, 0]
            if np.bincount(homes).max() <= MAX_HALF * len(members):
                return halves
        return ()


@dataclass(frozen=True, kw_only=True)
class BitCells(Cells):
    """Cells of the Hamming space of fingerprints, with centroids of 32 bytes: means of bits, rounded back to bits."""

    matrix = staticmethod(as_matrix)

    @staticmethod
    def dimensions(row_bytes: int) -> int:
        """See Cells."""
        return row_bytes * 8

    @staticmethod
    def means(matrix: Fingerprints, cells: int) -> Sequence[bytes]:
        """See Cells."""
        return _packed(_bit_means(matrix, cells) >= 0.5)

    @classmethod
    def halves(cls, members: Fingerprints) -> Sequence[Sequence[bytes]]:
        """See Cells.

        Both means may round to one common centre. So in the second pair each centroid is that centre, without the
        bits in which its mean differs most from it.
        """
        means = _bit_means(members, 2)
        centre = np.unpackbits(members, axis=1).mean(axis=0) >= 0.5
        order = np.argsort((means[0] - means[1]) * np.where(centre, -1, 1), kind="stable")
        distinct = np.repeat(centre[None], 2, axis=0)
        distinct[0, order[-DISTINCT_BITS:]] ^= True
        distinct[1, order[:DISTINCT_BITS]] ^= True
        return _packed(means >= 0.5), _packed(distinct)

    def nearest(self, matrix: Fingerprints, cells: int) -> npt.NDArray[np.int64]:
        """See Cells."""
        index = faiss.IndexBinaryFlat(BITS)
        index.add(np.frombuffer(b"".join(self.centroids), np.uint8).reshape(-1, BYTES))
        return np.asarray(index.search(matrix, cells)[1], np.int64)


def _bit_means(fingerprints: Fingerprints, cells: int) -> npt.NDArray[np.float32]:
    return kmeans(np.unpackbits(fingerprints, axis=1).astype(np.float32), cells)


def _packed(bits: npt.NDArray[np.bool_]) -> Sequence[bytes]:
    return [bytes(row) for row in np.packbits(bits, axis=1)]
