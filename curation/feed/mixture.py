"""How often each row of one or more manifests is fed: by weights of rows, and by shares of manifests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.feed.index import WEIGHT, Index
from curation.feed.kept import MappedArray, kept_array
from curation.feed.order import Weights, ends_of, slots_of
from manifests.errors import InputError
from manifests.format.digest import settings_hash


def check_shares(shares: Sequence[float], manifests: int) -> None:
    """Raise InputError unless there is a share above 0 for each of `manifests` manifests."""
    if len(shares) != manifests:
        raise InputError(f"shares: {len(shares)} for {manifests} manifests; give one for each")
    if not all(0 < share < float("inf") for share in shares):
        raise InputError(f"shares: {list(shares)}; each must be above 0")


def weights_of(
    index: Index, *, shares: Sequence[float] | None, is_weighted: bool, seed: int, cache: Path, name: str
) -> Weights | None:
    """Return how often each row of `index` is fed, or None if each one is fed once.

    With `shares`, manifest i gets the share shares[i] / sum(shares) of an epoch, which has as many samples as all
    manifests together. The sums are kept in the folder `cache`, under `name`. Raises InputError when all weights of a
    manifest are 0.
    """
    if shares is None and not is_weighted:
        return None
    name = f"weights-{settings_hash(name, shares)}"
    ends: MappedArray = kept_array(cache, name, lambda: ends_of(_weights(index, shares, is_weighted)))
    return Weights(ends, slots_of(ends.values), seed)


def _weights(index: Index, shares: Sequence[float] | None, is_weighted: bool) -> NDArray[np.float64]:
    each = [
        rows.column(WEIGHT).to_numpy().astype(np.float64) if is_weighted else np.ones(rows.num_rows)
        for rows in index.tables
    ]
    if shares is None:
        return np.concatenate(each)
    totals = [float(weights.sum()) for weights in each]
    if 0 in totals:
        raise InputError(f"weight: all rows of manifest number {totals.index(0) + 1} have the weight 0")
    size, parts = sum(totals), sum(shares)
    scaled = [w * (share / parts * size / total) for w, share, total in zip(each, shares, totals, strict=True)]
    return np.concatenate(scaled)
