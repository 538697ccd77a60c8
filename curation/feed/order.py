"""Which row stands at a position of an epoch: computed from the position, the seed and the epoch, never stored.

An epoch has `size` positions. A *slot* is a place in the stored order: row 0 has the first slots, the last row the
last. Without weights each row has one slot.
"""

import functools
import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curation.feed.kept import MappedArray
from curation.feed.permutation import Numbers, Permutation
from curation.sources.keys import keyed_hash64
from manifests.errors import InputError

DEFAULT_WINDOW = 64
MAX_WEIGHTED = 1 << 31
WEIGHT_ONE = 1 << 20
"""Weights are whole multiples of a 2^20th, so that sums are exact on every machine."""


class Order(Protocol):
    """The slots of an epoch in the order in which they are fed."""

    @property
    def size(self) -> int:
        """Slots of an epoch."""

    @property
    def name(self) -> str:
        """What distinguishes it from other orders of the same rows."""

    def slots(self, epoch: int, positions: Numbers) -> Numbers:
        """Return the slots at `positions`, int64 of shape (n,), each from 0 to `size` - 1."""


@dataclass(frozen=True)
class Stored:
    """The order of the manifest."""

    size: int
    name = "stored"

    def slots(self, epoch: int, positions: Numbers) -> Numbers:
        """See Order."""
        return positions


@dataclass(frozen=True)
class Shuffled:
    """A random permutation of all slots, another one each epoch."""

    size: int
    seed: int
    name = "shuffled"

    def slots(self, epoch: int, positions: Numbers) -> Numbers:
        """See Order."""
        return _permutation(self.size, f"{self.seed}/{epoch}")(positions)


@dataclass(frozen=True)
class Windowed:
    """Windows of consecutive slots in random order, so that slow storage is read in long pieces.

    Where windows begin is shifted by a random number each epoch, modulo `size`: which samples share a window changes.
    The slots that are left over, fewer than a window, come last.
    """

    size: int
    seed: int
    window: int

    @property
    def name(self) -> str:
        """See Order."""
        return f"windowed:{self.window}"

    def slots(self, epoch: int, positions: Numbers) -> Numbers:
        """See Order."""
        whole = self.size // self.window
        shift = keyed_hash64(f"{self.seed}/{epoch}", "shift") % max(1, self.size)
        window, inside = np.divmod(positions, self.window)
        is_whole = window < whole
        window[is_whole] = _permutation(whole, f"{self.seed}/{epoch}")(window[is_whole])
        return (window * self.window + inside + shift) % self.size


@functools.lru_cache(maxsize=8)
def _permutation(size: int, key: str) -> Permutation:
    return Permutation(size, key)


def order_of(text: str, size: int, seed: int) -> Order:
    """Return the order named `text`: shuffled, windowed, windowed:SAMPLES or stored. Raises InputError for others."""
    if text == "shuffled":
        return Shuffled(size, seed)
    if text == "stored":
        return Stored(size)
    if found := re.fullmatch(r"windowed(?::(\d{1,9}))?", text):
        window = int(found[1] or DEFAULT_WINDOW)
        if window > 0:
            return Windowed(size, seed, window)
    raise InputError(f"order: {text!r} is none; choose shuffled, windowed, windowed:SAMPLES or stored")


@dataclass(frozen=True)
class Weights:
    """How often each row comes in an epoch: its weight on average, and rounded down or up in each single epoch.

    This is systematic sampling (Madow and Madow, 1944): slots stand at equal distances on the line of all weights,
    from a random beginning that changes with the epoch. Whole weights are exact in each epoch. `ends` has the sums of
    the weights up to and with each row, int64 of shape (rows,), in 2^20ths; `slots` is how many an epoch has.
    """

    ends: MappedArray
    slots: int
    seed: int

    def rows(self, epoch: int, slots: Numbers) -> Numbers:
        """Return the row of each of `slots`, int64 of shape (n,)."""
        ends = self.ends.values
        total = int(ends[-1])
        start = keyed_hash64(f"{self.seed}/{epoch}", "weights") * total >> 64
        step, rest = divmod(total, self.slots)
        points = slots * step + (slots * rest + start) // self.slots
        return np.searchsorted(ends, points, side="right").astype(np.int64)


def ends_of(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return `ends` of Weights from the weights of all rows, each finite and not below 0."""
    return np.cumsum(np.rint(weights * WEIGHT_ONE).astype(np.int64))


def slots_of(ends: NDArray[np.int64]) -> int:
    """Return how many slots an epoch of weighted rows has: the sum of the weights, rounded.

    Raises InputError if there are none, or too many to compute with.
    """
    slots = round(int(ends[-1]) / WEIGHT_ONE) if len(ends) else 0
    if not 0 < slots <= MAX_WEIGHTED:
        raise InputError(f"weight: the weights add up to {slots:,} samples an epoch; choose 1 to {MAX_WEIGHTED:,}")
    return slots
