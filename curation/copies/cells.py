"""Near copies are searched cell by cell.

A cell is a Voronoi region of the Hamming space around a centroid. Every fingerprint is indexed in its nearest cell
and asked in its `probes` nearest, so a pair is missed only when each lies outside the other's nearest cells. With as
many probes as cells none is missed. What happens inside a cell: `curation.copies.neighbours`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

BITS = 256
BYTES = BITS // 8
TRAINING_PER_CELL = 2_048
MAX_TRAINING = 1 << 18
OVERFULL = 2.0  # times its share of the sample, from where a cell is split
MAX_SPLITS = 32  # how often in a row
LEANING = 32  # bits in which each part of a cell around one centre is told apart
WORTHWHILE = 0.9  # the most that a half of a cell may hold of it

Fingerprints = npt.NDArray[np.uint8]


def as_matrix(column: pa.Array | pa.ChunkedArray) -> Fingerprints:
    """Return a binary column of 32-byte fingerprints as uint8, shape (rows, 32). No nulls allowed."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    matrices = [np.zeros((0, BYTES), np.uint8)]
    for chunk in chunks:
        fixed = chunk.cast(pa.binary(BYTES))
        data = np.frombuffer(fixed.buffers()[1] or b"", np.uint8)
        matrices.append(data[fixed.offset * BYTES : (fixed.offset + len(fixed)) * BYTES].reshape(-1, BYTES))
    return np.concatenate(matrices)


def cell_count(fingerprints: int, per_cell: int) -> int:
    """Return how many cells hold `fingerprints` at about `per_cell` each."""
    return max(1, -(-fingerprints // per_cell))


def train_centroids(sample: Fingerprints, cells: int, *, seed: int = 0) -> Fingerprints:
    """Return `cells` centroids, shape (cells, 32), by k-means on the bits of `sample`, rounded back to bits.

    One thread and a fixed seed: the same sample gives the same centroids anywhere.
    """
    return np.packbits(_means(sample, cells, seed=seed) >= 0.5, axis=1)


def _means(sample: Fingerprints, cells: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    faiss.omp_set_num_threads(1)
    kmeans = faiss.Kmeans(
        BITS,
        cells,
        niter=10,
        seed=seed,
        verbose=False,
        min_points_per_centroid=1,
        max_points_per_centroid=max(len(sample), 1),
    )
    kmeans.train(np.unpackbits(sample, axis=1).astype(np.float32))
    return np.asarray(kmeans.centroids, np.float32)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The regions fingerprints are searched in: packed centroids, shape (cells, 32)."""

    centroids: bytes
    probes: int

    def __len__(self) -> int:
        return len(self.centroids) // BYTES

    def assign(self, fingerprints: Fingerprints) -> npt.NDArray[np.int64]:
        """Return the nearest cells of each fingerprint, nearest first, shape (rows, min(probes, cells))."""
        if len(self) <= 1:
            return np.zeros((len(fingerprints), 1), np.int64)
        faiss.omp_set_num_threads(1)
        index = faiss.IndexBinaryFlat(BITS)
        index.add(np.frombuffer(self.centroids, np.uint8).reshape(-1, BYTES))
        _, cells = index.search(fingerprints, min(self.probes, len(self)))
        return np.asarray(cells, np.int64)


ONE_CELL = Cells(centroids=bytes(BYTES), probes=1)


def train_cells(sample: Fingerprints, cells: int, probes: int) -> Cells:
    """Return about `cells` cells that share `sample` out evenly.

    A cell that holds more than OVERFULL times its share is split in two, for as long as that makes it smaller.
    """
    centroids = [bytes(row) for row in train_centroids(sample, cells)]
    whole: set[bytes] = set()
    for _ in range(MAX_SPLITS):
        centroids = list(dict.fromkeys(centroids))
        homes = Cells(centroids=b"".join(centroids), probes=1).assign(sample)[:, 0]
        held = np.bincount(homes, minlength=len(centroids))
        overfull = [n for n in np.flatnonzero(held > OVERFULL * len(sample) / cells) if centroids[n] not in whole]
        if not overfull:
            break
        for n in overfull:
            halves = _halves(sample[homes == n])
            if halves:
                centroids[n] = halves[0]
                centroids.append(halves[1])
            else:
                whole.add(centroids[n])
    centroids = list(dict.fromkeys(centroids))
    return Cells(centroids=b"".join(centroids), probes=probes) if len(centroids) > 1 else ONE_CELL


def _halves(members: Fingerprints) -> Sequence[bytes]:
    """Return the centroids of two parts of a cell, or nothing when one of them is about as large as the whole."""
    means = _means(members, 2)
    # Around one centre both means round to that centre. What tells them apart is where they lean away from it.
    centre = np.unpackbits(members, axis=1).mean(axis=0) >= 0.5
    leaning = np.argsort((means[0] - means[1]) * np.where(centre, -1, 1), kind="stable")
    apart = np.repeat(centre[None], 2, axis=0)
    apart[0, leaning[-LEANING:]] ^= True
    apart[1, leaning[:LEANING]] ^= True
    for bits in (means >= 0.5, apart):
        halves = [bytes(row) for row in np.packbits(bits, axis=1)]
        homes = Cells(centroids=b"".join(halves), probes=1).assign(members)[:, 0]
        if np.bincount(homes).max() <= WORTHWHILE * len(members):
            return halves
    return ()


def distances_between(a: Fingerprints, b: Fingerprints) -> npt.NDArray[np.int64]:
    """Return the Hamming distance of each row of `a` to the same row of `b`."""
    distances: npt.NDArray[np.int64] = np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int64)
    return distances
