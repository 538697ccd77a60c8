"""The best N rows of any number, exactly, in bounded memory: a radix selection over a total order.

Rows are ordered by `text_score` (best first, in millionths), then by a keyed hash of `key`, then by `key`. A pass
over the rows counts them by the next digits of that order; the digit in which the N-th row lies narrows the search.
Two passes settle ordinary data; five settle any.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.sources.keys import keyed_hash64

SCORE_STEPS = 1_000_000
HASH_DIGIT_BITS = 16
HASH_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The last place that is kept in the total order; everything up to and including it is in.

    `level` 0 knows nothing yet; 1 knows the score digit; 2 to 5 also that many minus one hash digits.
    """

    digits: tuple[int, ...] = ()
    remaining: int = 0
    """How many rows of the last digit's bucket are still to be taken."""


def ranks(keys: Sequence[str], scores: Sequence[float | None], salt: str) -> npt.NDArray[np.int64]:
    """Return the digits of each row's place, shape (rows, 5): the score's, then four of the keyed hash."""
    places = np.empty((len(keys), 1 + HASH_DIGITS), np.int64)
    values = np.array([0.0 if s is None else s for s in scores], np.float64)
    places[:, 0] = SCORE_STEPS - np.rint(np.clip(values, 0, 1) * SCORE_STEPS).astype(np.int64)
    hashes = np.fromiter((keyed_hash64(salt, k) for k in keys), np.uint64, len(keys))
    for digit in range(HASH_DIGITS):
        shift = np.uint64(64 - HASH_DIGIT_BITS * (digit + 1))
        places[:, 1 + digit] = ((hashes >> shift) & np.uint64(0xFFFF)).astype(np.int64)
    return places


def histogram(places: npt.NDArray[np.int64], prefix: Sequence[int]) -> pa.Table:
    """Return (digit, rows) of the rows whose first digits are `prefix`, by their next digit."""
    inside = places[(places[:, : len(prefix)] == np.array(prefix, np.int64)).all(axis=1)]
    digits, counts = np.unique(inside[:, len(prefix)], return_counts=True)
    return pa.table({"digit": digits.astype(np.int64), "rows": counts.astype(np.int64)})


def narrow(cut: Cut, counts: Mapping[int, int]) -> tuple[Cut, int]:
    """Return the cut one digit further, and how many rows that digit's bucket holds.

    `counts` are the rows by next digit inside the cut's bucket; they must be at least `cut.remaining`.
    """
    left = cut.remaining
    for digit in sorted(counts):
        if left <= counts[digit]:
            return Cut(digits=(*cut.digits, digit), remaining=left), counts[digit]
        left -= counts[digit]
    raise ValueError(f"{cut.remaining} rows wanted of {sum(counts.values())}")


def is_settled(cut: Cut, bucket_rows: int) -> bool:
    """Whether the whole last bucket is taken, or it cannot be split further except by key."""
    return cut.remaining == bucket_rows or len(cut.digits) == 1 + HASH_DIGITS


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A settled cut; `last_key` is set when rows with the same hash have to be split by key.

    None for `digits` takes everything.
    """

    digits: tuple[int, ...] | None = None
    last_key: str | None = None

    def takes(self, places: npt.NDArray[np.int64], keys: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which rows are in."""
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
