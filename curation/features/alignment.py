"""How alike two networks see the same pictures: mutual nearest neighbours.

The measure of Huh, Cheung, Wang and Isola, "The Platonic Representation Hypothesis" (ICML 2024, arXiv:2405.07987):
the share of a picture's k nearest neighbours in one set of features that are also among its k nearest in the other,
averaged over all pictures. It compares orders alone, so the sets may have different dimensions and scales.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.features.nearest import nearest, unit

NEIGHBOURS = 10


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How much two sets of features agree.

    `score` is the mean of `shares`, in [0, 1]. `chance` is what features without any relation would score:
    k / (rows - 1). `shares` is (rows,): the shared part of each row's neighbours, to resample for an interval.
    """

    score: float
    chance: float
    shares: NDArray[np.float64]


def mutual_knn(first: ArrayLike, second: ArrayLike, *, k: int = NEIGHBOURS) -> Alignment:
    """Return the mutual k-nearest-neighbour alignment of two sets of features of the same pictures.

    Args:
        first, second: (rows, dimensions) each, with the same picture in the same row; dimensions may differ.
        k: how many neighbours by cosine are compared; a row is not its own neighbour.

    Raises ValueError when the sets have different numbers of rows, or not more than `k`.
    """
    one, other = unit(first), unit(second)
    if len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} rows; give features of the same pictures in the same order")
    shares = [
        (mine[:, :, np.newaxis] == theirs[:, np.newaxis, :]).any(axis=2).mean(axis=1)
        for (mine, _), (theirs, _) in zip(
            nearest(one, one, k, excludes_itself=True), nearest(other, other, k, excludes_itself=True), strict=True
        )
    ]
    together = np.concatenate(shares)
    return Alignment(score=float(together.mean()), chance=k / (len(one) - 1), shares=together)
