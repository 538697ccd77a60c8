"""Where a training stands in the feed: one small state for all ranks and workers together."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from curation.feed.permutation import Numbers
from manifests.errors import InputError

STATE_VERSION = 1
REMAINDERS = ("mask", "pad", "drop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """What was fed: `epoch` epochs completely, and of the next one the first `position` positions.

    `seed`, `order`, `manifest` (digest of the rows) and `selection` (hash of where, weight and shares, and of how the
    rows are stored) decide which sample stands at a position.
    """

    epoch: int
    position: int
    seed: int
    order: str
    manifest: str
    selection: str

    def as_json(self) -> dict[str, Any]:
        """Return the state as a mapping of texts and numbers, below 1 KB as JSON."""
        return {"version": STATE_VERSION, **dataclasses.asdict(self)}

    def moved_to(self, saved: Mapping[str, Any]) -> "State":
        """Return this state at the epoch and position of `saved`, what `as_json` returned.

        Raises InputError if it is no such state, or one of other samples or of another order.
        """
        mine = self.as_json()
        if wrong := [n for n in mine if not isinstance(saved.get(n), type(mine[n])) or isinstance(saved[n], bool)]:
            raise InputError(f"state: {', '.join(wrong)} missing or of another type; pass what state_dict() returned")
        if different := [n for n in mine if n not in ("epoch", "position") and saved[n] != mine[n]]:
            told = "; ".join(f"{n} was {saved[n]!r}, is {mine[n]!r}" for n in different)
            raise InputError(f"state: of another feed: {told}; make the feed as it was, or begin without a state")
        if min(saved["epoch"], saved["position"]) < 0:
            raise InputError("state: epoch and position cannot be below 0; pass what state_dict() returned")
        return dataclasses.replace(self, epoch=saved["epoch"], position=saved["position"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """How the positions of an epoch are dealt out: each step, every one of `world` ranks gets `batch_size` of them.

    `remainder` says what becomes of the last step, if too few positions are left for it. mask and pad fill it from
    the beginning of the epoch; with mask these samples are marked as not to be counted. drop leaves it out. So all
    ranks get the same number of batches, each of the same size.
    """

    rank: int
    world: int
    batch_size: int
    remainder: str

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise InputError(f"rank: {self.rank} of {self.world}; choose a rank from 0 to {self.world - 1}")
        if self.batch_size < 1:
            raise InputError(f"batch_size: {self.batch_size}; choose at least 1")
        if self.remainder not in REMAINDERS:
            raise InputError(f"remainder: {self.remainder!r} is none of {', '.join(REMAINDERS)}")

    @property
    def stride(self) -> int:
        """Positions of a step, over all ranks."""
        return self.world * self.batch_size

    def steps(self, size: int, position: int = 0) -> int:
        """Return how many steps an epoch of `size` positions has after the first `position` of them."""
        left = max(0, size - position)
        return left // self.stride if self.remainder == "drop" else -(-left // self.stride)

    def positions(self, start: int) -> Numbers:
        """Return the positions of this rank's batch in the step that begins at `start`, int64 of shape (batch_size,).

        In the last step of an epoch, some may be beyond its end.
        """
        first = start + self.rank * self.batch_size
        return np.arange(first, first + self.batch_size, dtype=np.int64)
