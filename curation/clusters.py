"""Near copies: which fingerprints lie within a distance, searched cell by cell with faiss.

A cell is a Voronoi region of the Hamming space around a centroid. Every fingerprint is indexed in its nearest cell
and asked in its `probes` nearest, so a pair is missed only when each lies outside the other's nearest cells. With
one cell the search is exhaustive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

BITS = 256
BYTES = BITS // 8
QUERIES_AT_ONCE = 256
TRAINING_PER_CELL = 64
MAX_TRAINING = 1 << 18

Fingerprints = npt.NDArray[np.uint8]


def as_matrix(column: pa.Array | pa.ChunkedArray) -> Fingerprints:
    """Return a binary column of 32-byte fingerprints as uint8, shape (rows, 32). No nulls allowed."""
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(-1, BYTES).copy()


def cell_count(fingerprints: int, per_cell: int) -> int:
    """Return how many cells hold `fingerprints` at about `per_cell` each."""
    return max(1, -(-fingerprints // per_cell))


def train_centroids(sample: Fingerprints, cells: int, *, seed: int = 0) -> Fingerprints:
    """Return `cells` centroids, shape (cells, 32), by k-means on the bits of `sample`, rounded back to bits.

    One thread and a fixed seed: the same sample gives the same centroids anywhere.
    """
    faiss.omp_set_num_threads(1)
    points = np.unpackbits(sample, axis=1).astype(np.float32)
    kmeans = faiss.Kmeans(BITS, cells, niter=10, seed=seed, verbose=False, min_points_per_centroid=1)
    kmeans.train(points)
    return np.packbits(np.asarray(kmeans.centroids) >= 0.5, axis=1)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The regions fingerprints are searched in: packed centroids, shape (cells, 32)."""

    centroids: bytes
    probes: int

    def assign(self, fingerprints: Fingerprints) -> npt.NDArray[np.int64]:
        """Return the nearest cells of each fingerprint, nearest first, shape (rows, min(probes, cells))."""
        centroids = np.frombuffer(self.centroids, np.uint8).reshape(-1, BYTES)
        if len(centroids) <= 1:
            return np.zeros((len(fingerprints), 1), np.int64)
        faiss.omp_set_num_threads(1)
        index = faiss.IndexBinaryFlat(BITS)
        index.add(centroids)
        _, cells = index.search(fingerprints, min(self.probes, len(centroids)))
        return np.asarray(cells, np.int64)


def near_pairs(
    indexed: Fingerprints, asked: Fingerprints, max_distance: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return (asked row, indexed row, distance) of every pair within `max_distance` bits, exhaustively."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(indexed)
    askers: list[npt.NDArray[np.int64]] = []
    found: list[npt.NDArray[np.int64]] = []
    distances: list[npt.NDArray[np.int32]] = []
    for first in range(0, len(asked), QUERIES_AT_ONCE):
        chunk = np.ascontiguousarray(asked[first : first + QUERIES_AT_ONCE])
        limits, near, labels = index.range_search(chunk, max_distance + 1)  # faiss returns distances below the radius
        askers.append(first + np.repeat(np.arange(len(chunk)), np.diff(limits.astype(np.int64))))
        found.append(np.asarray(labels, np.int64))
        distances.append(np.asarray(near, np.int32))
    if not askers:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing.astype(np.int32)
    return np.concatenate(askers), np.concatenate(found), np.concatenate(distances)


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """How many bits two fingerprints of copies may differ in: fewer between two pictures full of text.

    Pages and charts share layouts: what tells them apart is finer than PDQ sees.
    """

    max_distance: int
    max_text_distance: int


def pairs_in_cell(
    fingerprints: Fingerprints,
    is_home: npt.NDArray[np.bool_],
    is_text: npt.NDArray[np.bool_],
    nearness: Nearness,
) -> pa.Table:
    """Return the pairs (`a`, `b`, `distance`; a < b as bytes) found in one cell, each once.

    `is_home` marks the fingerprints indexed here; all are asked. `is_text` marks pictures full of text.
    """
    home = np.flatnonzero(is_home)
    widest = max(nearness.max_distance, nearness.max_text_distance)
    asker, label, distance = near_pairs(np.ascontiguousarray(fingerprints[home]), fingerprints, widest)
    both_text = is_text[asker] & is_text[home[label]]
    near = distance <= np.where(both_text, nearness.max_text_distance, nearness.max_distance)
    asker, label, distance = asker[near], label[near], distance[near]
    texts = [row.tobytes() for row in fingerprints]
    first = [texts[i] for i in asker]
    second = [texts[j] for j in home[label]]
    pairs = {(min(a, b), max(a, b), int(d)) for a, b, d in zip(first, second, distance, strict=True) if a != b}
    return _pairs_table(sorted(pairs))


def _pairs_table(pairs: Sequence[tuple[bytes, bytes, int]]) -> pa.Table:
    columns = list(zip(*pairs, strict=True)) if pairs else [(), (), ()]
    return pa.table(
        {
            "a": pa.array(columns[0], pa.binary()),
            "b": pa.array(columns[1], pa.binary()),
            "distance": pa.array(columns[2], pa.int32()),
        }
    )


def distances_between(a: Fingerprints, b: Fingerprints) -> npt.NDArray[np.int64]:
    """Return the Hamming distance of each row of `a` to the same row of `b`."""
    distances: npt.NDArray[np.int64] = np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int64)
    return distances
