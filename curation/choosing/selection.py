"""Select the best N rows exactly and in bounded memory, by a radix selection over a total order.

Rows are ordered by `text_score` (best first, in millionths), then by a keyed hash of `key`, then by `key`. A pass
over the rows counts them by the next digit of that order, and the digit of the N-th row narrows the search. Ordinary
data needs two passes, and no data needs more than five.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.sources.keys import keyed_hash64

SCORE_STEPS = 1_000_000
HASH_DIGIT_BITS = 16
HASH_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Cutoff:
    """The first digits of the last selected row, as far as they are known: that of the score, then of the hash."""

    digits: tuple[int, ...] = ()
    remaining: int = 0
    """How many of the rows with these digits are selected."""


def score_digits(scores: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return the first digit of each row's place in the order, (rows,), from its `text_score`; null is 0."""
    values = pc.fill_null(scores, 0.0).to_numpy(zero_copy_only=False) if len(scores) else np.empty(0)
    return SCORE_STEPS - np.rint(np.clip(values, 0, 1) * SCORE_STEPS).astype(np.int64)


def with_hashes(places: npt.NDArray[np.int64], keys: Sequence[str], salt: str) -> npt.NDArray[np.int64]:
    """Return all digits of each row's place in the order, shape (rows, 5): one of the score, four of the hash.

    `places`: the first digits, as from `score_digits`.
    """
    digits = np.empty((len(keys), 1 + HASH_DIGITS), np.int64)
    digits[:, 0] = places
    hashes = np.fromiter((keyed_hash64(salt, k) for k in keys), np.uint64, len(keys))
    for digit in range(HASH_DIGITS):
        shift = np.uint64(64 - HASH_DIGIT_BITS * (digit + 1))
        digits[:, 1 + digit] = ((hashes >> shift) & np.uint64(0xFFFF)).astype(np.int64)
    return digits


def order_digits(keys: Sequence[str], scores: Sequence[float | None], salt: str) -> npt.NDArray[np.int64]:
    """Return the digits of each row's place in the order, shape (rows, 5), from its key and `text_score`."""
    return with_hashes(score_digits(pa.array(scores, pa.float64())), keys, salt)


def histogram(places: npt.NDArray[np.int64], prefix: Sequence[int]) -> pa.Table:
    """Return a table (digit, rows): how many rows with the first digits `prefix` have which next digit.

    `places`: digits as from `order_digits`.
    """
    inside = places[(places[:, : len(prefix)] == np.array(prefix, np.int64)).all(axis=1)]
    digits, counts = np.unique(inside[:, len(prefix)], return_counts=True)
    return pa.table({"digit": digits.astype(np.int64), "rows": counts.astype(np.int64)})


def narrow(cutoff: Cutoff, counts: Mapping[int, int]) -> tuple[Cutoff, int]:
    """Return the cutoff with one more digit, and how many rows have its digits.

    `counts`: how many rows with the digits of `cutoff` have which next digit. Raises ValueError when they are fewer
    than `cutoff.remaining`.
    """
    left = cutoff.remaining
    for digit in sorted(counts):
        if left <= counts[digit]:
            return Cutoff(digits=(*cutoff.digits, digit), remaining=left), counts[digit]
        left -= counts[digit]
    raise ValueError(f"{cutoff.remaining} rows wanted of {sum(counts.values())}")


def is_settled(cutoff: Cutoff, bucket_rows: int) -> bool:
    """Return whether all `bucket_rows` rows with the digits are selected, or only their keys differ."""
    return cutoff.remaining == bucket_rows or len(cutoff.digits) == 1 + HASH_DIGITS


@dataclass(frozen=True, kw_only=True)
class Selection:
    """All rows up to `digits` in the order. `digits` None selects every row.

    `last_key`: of several rows with exactly these digits, the last selected one.
    """

    digits: tuple[int, ...] | None = None
    last_key: str | None = None

    def takes(self, places: npt.NDArray[np.int64], keys: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which rows are selected, (rows,), from their `order_digits` and keys."""
        if self.digits is None:
            return np.ones(len(keys), np.bool_)
        taken = np.zeros(len(keys), np.bool_)
        tied = np.ones(len(keys), np.bool_)
        for position, digit in enumerate(self.digits):
            taken |= tied & (places[:, position] < digit)
            tied &= places[:, position] == digit
        if self.last_key is None:
            return taken | tied
        for row in np.flatnonzero(tied).tolist():
            taken[row] = keys[row] <= self.last_key
        return taken


NOTHING = Selection(digits=(-1,))
