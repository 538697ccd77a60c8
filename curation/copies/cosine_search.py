"""Find pairs of embeddings with at least a given cosine, cell by cell, with faiss.

This is SemDeDup's search inside k-means clusters (Abbas et al. 2023, arXiv:2303.09540), made exact: vectors are
rounded to multiples of 2^-11, so that every product and every partial sum of a cosine is a multiple of 2^-22, which
float32 represents exactly. A cosine then does not depend on the order of additions, the batch or the processor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.copies.cells import Cells, kmeans
from curation.pictures.vectors import STORED, Stored, pack, unpack

VERSION = "2"
GRID = 2.0**-11
NEIGHBOURS = 16
"""How many nearest vectors a query is paired with, beside the first by node of all that are near."""
QUERIES_AT_ONCE = 2048
INDEXED_AT_ONCE = 8192
FIRST_AT_ONCE = 1024
ROWS_AT_ONCE = 1024

Vectors = NDArray[np.float32]
"""(rows, dimensions), each about of length 1, rounded to GRID."""


def rounded(stored: Stored) -> Vectors:
    """Return `stored`, (rows, dimensions), scaled to length 1 and rounded to multiples of GRID, as float32.

    The rounding changes a cosine by about 0.0002.
    """
    found = np.empty(stored.shape, np.float32)
    for first in range(0, len(stored), ROWS_AT_ONCE):
        vectors = stored[first : first + ROWS_AT_ONCE].astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        found[first : first + ROWS_AT_ONCE] = np.rint(vectors / np.where(lengths > 0, lengths, 1) / GRID) * GRID
    return found


@dataclass(frozen=True, kw_only=True)
class VectorCells(Cells):
    """Cells of the unit sphere of vectors, with centroids as float16: means of vectors, scaled to length 1."""

    matrix = staticmethod(unpack)

    @staticmethod
    def dimensions(row_bytes: int) -> int:
        """See Cells."""
        return row_bytes // STORED.itemsize

    @staticmethod
    def means(matrix: Stored, cells: int) -> Sequence[bytes]:
        """See Cells."""
        return [pack(mean) for mean in kmeans(rounded(matrix), cells, is_spherical=True)]

    def nearest(self, matrix: Stored, cells: int) -> NDArray[np.int64]:
        """See Cells."""
        index = faiss.IndexFlatIP(matrix.shape[1])
        index.add(rounded(np.frombuffer(b"".join(self.centroids), STORED).reshape(-1, matrix.shape[1])))
        return np.asarray(index.search(rounded(matrix), cells)[1], np.int64)


def cosine_pairs_in_cell(
    nodes: pa.Array, stored: Sequence[Stored], is_home: NDArray[np.bool_], min_cosine: float
) -> pa.Table:
    """Return pairs (`a`, `b`, `cosine`; a < b as bytes) of one cell's vectors, each once, ordered by (a, b).

    `nodes` names the vectors, (rows,). `stored` has them in that order, in any number of matrices, so that they need
    not be copied into one. `is_home`, (rows,), marks the vectors that are indexed here; all are queried. Among the
    vectors with a cosine of at least `min_cosine`, each is paired with its NEIGHBOURS nearest and with the first by
    node. So the pairs of equal images grow in proportion to their number, and connect them all. The result depends on
    the set of vectors, not on their order.
    """
    order = pc.sort_indices(nodes).to_numpy()
    rank = np.argsort(order)
    home = order[is_home[order]]
    indexed, ranks = _indexed(stored, home), rank[home]
    found, row = [_NOTHING], 0
    for vectors in stored if len(home) else ():
        for first in range(0, len(vectors), QUERIES_AT_ONCE):
            asked = rounded(vectors[first : first + QUERIES_AT_ONCE])
            found.append(_pairs_of(indexed, ranks, rank[row : row + len(asked)], asked, min_cosine))
            row += len(asked)
    queries, near, cosines = (np.concatenate(each) for each in zip(*found, strict=True))
    low, high = np.minimum(queries, near), np.maximum(queries, near)
    _, once = np.unique(low * len(nodes) + high, return_index=True)
    return pa.table(
        {
            "a": nodes.take(pa.array(order[low[once]])).cast(pa.binary()),
            "b": nodes.take(pa.array(order[high[once]])).cast(pa.binary()),
            "cosine": pa.array(np.minimum(cosines[once], 1), pa.float32()),
        }
    )


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
_NOTHING: _Found = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def _indexed(stored: Sequence[Stored], home: NDArray[np.int64]) -> Stored:
    """Return the rows `home` of `stored`, rounded. Multiples of GRID up to 1 are exact in float16."""
    found = np.empty((len(home), stored[0].shape[1] if stored else 0), STORED)
    place = np.full(sum(map(len, stored)), -1)
    place[home] = np.arange(len(home))
    row = 0
    for vectors in stored:
        here = place[row : row + len(vectors)]
        found[here[here >= 0]] = rounded(vectors[here >= 0])
        row += len(vectors)
    return found


def _pairs_of(
    indexed: Stored, home: NDArray[np.int64], queries: NDArray[np.int64], vectors: Vectors, least: float
) -> _Found:
    """Return (query, indexed, cosine) of the pairs of `vectors`. `home` and `queries` are the ranks of the nodes."""
    most = min(NEIGHBOURS + 1, len(indexed))  # one of them may be the query itself
    cosines, labels = _nearest(indexed, vectors, most)
    near = home[labels]
    is_pair = (cosines > _just_below(least)) & (near != queries[:, None])
    is_pair &= np.cumsum(is_pair, axis=1) <= NEIGHBOURS
    rows, places = np.nonzero(is_pair)
    crowded = np.flatnonzero(is_pair.sum(axis=1) == NEIGHBOURS)
    firsts = _firsts(indexed, home, queries[crowded], vectors[crowded], least)
    return (
        np.concatenate([queries[rows], firsts[0]]),
        np.concatenate([near[rows, places], firsts[1]]),
        np.concatenate([cosines[rows, places], firsts[2]]),
    )


def _nearest(indexed: Stored, vectors: Vectors, most: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Return the cosines and rows of the `most` nearest indexed vectors of each, (rows, most), the nearest first."""
    faiss.omp_set_num_threads(1)
    nearest = faiss.ResultHeap(len(vectors), most, keep_max=True)
    for start in range(0, len(indexed), INDEXED_AT_ONCE):
        some = indexed[start : start + INDEXED_AT_ONCE].astype(np.float32)
        cosines, labels = faiss.knn(vectors, some, min(most, len(some)), metric=faiss.METRIC_INNER_PRODUCT)
        nearest.add_result(cosines, labels + start)
    nearest.finalize()
    return nearest.D, nearest.I


def _firsts(
    indexed: Stored, home: NDArray[np.int64], queries: NDArray[np.int64], vectors: Vectors, least: float
) -> _Found:
    """Return the pair of each query with the first indexed vector that is near, searched in order of node."""
    found = [_NOTHING]
    for start in range(0, len(indexed), FIRST_AT_ONCE):
        if not len(queries):
            break
        rows = home[start : start + FIRST_AT_ONCE]
        cosines = vectors @ indexed[start : start + FIRST_AT_ONCE].astype(np.float32).T
        is_pair = (cosines > _just_below(least)) & (rows != queries[:, None])
        has, place = is_pair.any(axis=1), is_pair.argmax(axis=1)
        found.append((queries[has], rows[place[has]], cosines[has, place[has]]))
        queries, vectors = queries[~has], vectors[~has]
    query, near, cosine = (np.concatenate(each) for each in zip(*found, strict=True))
    return query, near, cosine


def _just_below(least: float) -> np.float32:
    """Return a number between `least` and the next smaller possible cosine; cosines are multiples of GRID²."""
    return np.float32((np.ceil(least / GRID**2) - 0.5) * GRID**2)
