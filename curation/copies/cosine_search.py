"""Pictures that look alike to a network: which vectors have a cosine of at least so much, cell by cell with faiss.

Cells are regions around centroids, as in `curation.copies.cells`: a vector is indexed in its nearest cell and
searched in its `probes` nearest. This is SemDeDup's search inside k-means clusters (Abbas et al. 2023,
arXiv:2303.09540), made exact: vectors are rounded to multiples of 2^-11, so that every product and every partial
sum of a cosine is a multiple of 2^-22 that float32 holds. No order of adding, batch or processor then changes a
cosine.
"""

from dataclasses import dataclass

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.pictures.vectors import Stored

VERSION = "1"
GRID = 2.0**-11
NEIGHBOURS = 16
"""Most pairs of one asked vector: the nearest; one more is that with the first node of all that are near."""
QUERIES_AT_ONCE = 256
FIRST_AT_ONCE = 1024
ROWS_AT_ONCE = 8192
TRAINING_PER_CELL = 64
MAX_TRAINING_BYTES = 1 << 27

Vectors = NDArray[np.float32]
"""(rows, dimensions), each of about length 1, rounded to GRID."""


def rounded(stored: Stored) -> Vectors:
    """Return vectors as they are compared: of length 1, rounded to multiples of GRID.

    That moves a cosine by about 0.0002.
    """
    found = np.empty(stored.shape, np.float32)
    for first in range(0, len(stored), ROWS_AT_ONCE):
        vectors = stored[first : first + ROWS_AT_ONCE].astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        found[first : first + ROWS_AT_ONCE] = np.rint(vectors / np.where(lengths > 0, lengths, 1) / GRID) * GRID
    return found


def training_rows(cells: int, dimensions: int) -> int:
    """Return how many vectors the centroids of `cells` are trained on."""
    return min(cells * TRAINING_PER_CELL, MAX_TRAINING_BYTES // (dimensions * 4))  # float32


def train_centroids(sample: Stored, cells: int, *, seed: int = 0) -> Stored:
    """Return `cells` centroids, shape (cells, dimensions), by k-means on the sphere.

    One thread and a fixed seed: the same sample in the same order gives the same centroids.
    """
    faiss.omp_set_num_threads(1)
    kmeans = faiss.Kmeans(
        sample.shape[1], cells, niter=10, seed=seed, spherical=True, verbose=False, min_points_per_centroid=1
    )
    kmeans.train(rounded(sample))
    return np.asarray(kmeans.centroids).astype(np.float16)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The regions vectors are searched in: stored centroids, shape (cells, dimensions)."""

    centroids: bytes
    count: int
    probes: int

    def assign(self, stored: Stored) -> NDArray[np.int64]:
        """Return the nearest cells of each vector, nearest first, shape (rows, min(probes, cells))."""
        if self.count <= 1 or len(stored) == 0:
            return np.zeros((len(stored), min(1, self.count)), np.int64)
        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatIP(stored.shape[1])
        index.add(rounded(np.frombuffer(self.centroids, np.float16).reshape(self.count, -1)))
        _, cells = index.search(rounded(stored), min(self.probes, self.count))
        return np.asarray(cells, np.int64)


def cosine_pairs_in_cell(nodes: pa.Array, stored: Stored, is_home: NDArray[np.bool_], min_cosine: float) -> pa.Table:
    """Return pairs (`a`, `b`, `cosine`; a < b as bytes) of one cell's vectors, each once, by (a, b).

    `nodes` names the vectors, `is_home` marks those indexed here; all are asked. A vector is paired with its
    NEIGHBOURS nearest and with the one that comes first by node, among those whose cosine is at least `min_cosine`:
    so equal pictures make pairs in proportion to their number, and hang together. The answer depends on the vectors
    as a set.
    """
    order = pc.sort_indices(nodes).to_numpy()  # from here on rows are known by their rank among the nodes
    nodes, stored, home = nodes.take(pa.array(order)), stored[order], np.flatnonzero(is_home[order])
    indexed = rounded(stored[home])
    found = [
        _pairs_of(indexed, home, first, rounded(stored[first : first + QUERIES_AT_ONCE]), min_cosine)
        for first in range(0, len(stored) if len(home) else 0, QUERIES_AT_ONCE)
    ]
    asked, near, cosines = (np.concatenate(each) for each in zip(*found, strict=True)) if found else _NOTHING
    low, high = np.minimum(asked, near), np.maximum(asked, near)
    _, once = np.unique(low * len(nodes) + high, return_index=True)
    return pa.table(
        {
            "a": nodes.take(pa.array(low[once])).cast(pa.binary()),
            "b": nodes.take(pa.array(high[once])).cast(pa.binary()),
            "cosine": pa.array(np.minimum(cosines[once], 1), pa.float32()),
        }
    )


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
_NOTHING: _Found = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def _pairs_of(indexed: Vectors, home: NDArray[np.int64], first: int, asked: Vectors, least: float) -> _Found:
    """Return (asked row, indexed row, cosine) of the pairs of some asked vectors, the rows from `first` on."""
    faiss.omp_set_num_threads(1)
    askers = first + np.arange(len(asked))
    most = min(NEIGHBOURS + 1, len(indexed))  # one of them may be the asker
    cosines, labels = faiss.knn(asked, indexed, most, metric=faiss.METRIC_INNER_PRODUCT)
    near = home[labels]
    is_pair = (cosines > _just_below(least)) & (near != askers[:, None])
    is_pair &= np.cumsum(is_pair, axis=1) <= NEIGHBOURS
    rows, places = np.nonzero(is_pair)
    crowded = np.flatnonzero(is_pair.sum(axis=1) == NEIGHBOURS)
    firsts = _firsts(indexed, home, askers[crowded], asked[crowded], least)
    return (
        np.concatenate([askers[rows], firsts[0]]),
        np.concatenate([near[rows, places], firsts[1]]),
        np.concatenate([cosines[rows, places], firsts[2]]),
    )


def _firsts(
    indexed: Vectors, home: NDArray[np.int64], askers: NDArray[np.int64], asked: Vectors, least: float
) -> _Found:
    """Return the pairs of asked vectors with the first indexed one that is near, looked for from the first on."""
    found = [_NOTHING]
    for start in range(0, len(indexed), FIRST_AT_ONCE):
        if not len(askers):
            break
        rows = home[start : start + FIRST_AT_ONCE]
        cosines = asked @ indexed[start : start + FIRST_AT_ONCE].T
        is_pair = (cosines > _just_below(least)) & (rows != askers[:, None])
        has, place = is_pair.any(axis=1), is_pair.argmax(axis=1)
        found.append((askers[has], rows[place[has]], cosines[has, place[has]]))
        askers, asked = askers[~has], asked[~has]
    asker, near, cosine = (np.concatenate(each) for each in zip(*found, strict=True))
    return asker, near, cosine


def _just_below(least: float) -> np.float32:
    """Return what every cosine of at least `least` is above, and no other: cosines are multiples of GRID²."""
    return np.float32((np.ceil(least / GRID**2) - 0.5) * GRID**2)
