"""Exact nearest neighbours by cosine, a block of queries at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vectors = NDArray[np.float32]
"""(rows, dimensions), each of length 1."""

_BLOCK_BYTES = 64 << 20


def unit(features: ArrayLike) -> Vectors:
    """Return `features`, (rows, dimensions), scaled to length 1; rows of zeros stay zeros.

    Raises ValueError for another shape, and for numbers that are not finite.
    """
    rows = np.asarray(features, np.float32)
    if rows.ndim != 2:
        raise ValueError(f"features of shape {rows.shape}; give (rows, dimensions)")
    if not np.isfinite(rows).all():
        raise ValueError("features contain NaN or infinity; leave such rows out")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Vectors = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled


def nearest(
    queries: Vectors, base: Vectors, k: int, *, excludes_itself: bool = False
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Yield, for blocks of `queries` in order, their `k` rows of `base` with the largest cosine, best first.

    With `excludes_itself`, queries are the rows of `base`, and none is its own neighbour. Of equal cosines the
    earlier row comes first. Memory: 64 MB and one block, whatever the number of queries.

    Returns:
        Pairs of (block, k) row numbers and (block, k) cosines.

    Raises ValueError when `base` has fewer than `k` candidates, or other dimensions.
    """
    candidates = len(base) - excludes_itself
    if not 1 <= k <= candidates:
        raise ValueError(f"k={k}: there are {candidates} rows to choose from; choose 1 to {max(candidates, 1)}")
    if queries.shape[1] != base.shape[1]:
        raise ValueError(f"{queries.shape[1]} and {base.shape[1]} dimensions; compare features of one model")
    block = max(1, _BLOCK_BYTES // (4 * len(base)))
    for start in range(0, len(queries), block):
        cosines = queries[start : start + block] @ base.T
        if excludes_itself:
            mine = np.arange(len(cosines))
            cosines[mine, start + mine] = -np.inf
        yield _largest(cosines, k)


def _largest(cosines: NDArray[np.float32], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the columns of the `k` largest values of each row, and the values; of equal ones, earlier columns."""
    least = np.partition(cosines, -k, axis=1)[:, -k]
    rows = np.empty((len(cosines), k), np.intp)
    for place, (row, bound) in enumerate(zip(cosines, least, strict=True)):
        found = np.flatnonzero(row >= bound)  # more than k where several have the bound
        rows[place] = found[np.argsort(-row[found], kind="stable")[:k]]
    return rows, np.take_along_axis(cosines, rows, axis=1)
