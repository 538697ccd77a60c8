"""Counts of finished units, which workers add to and the driver shows."""

import functools
from typing import Protocol

from manifests.format.receipts import Receipt

Done = tuple[int, int, int]
"""Finished units, their images, and those of the images that are not ok."""
NOTHING_DONE: Done = (0, 0, 0)
SETTLED = "settled"
"""The fact of a receipt with how many rows the unit has settled, if that is not how many it has written."""


class DoneCounter(Protocol):
    """A sum that workers add to and the driver reads, such as an accumulator of Spark."""

    @property
    def value(self) -> Done:
        """The sum of all that was added."""
        ...

    def add(self, term: Done, /) -> None:
        """Add to the sum."""
        ...


class LocalCounter:
    """A counter for a driver that does the units itself, in its threads."""

    def __init__(self) -> None:
        self._added: list[Done] = []  # threads may append to a list at the same time

    @property
    def value(self) -> Done:
        """The sum of all that was added."""
        return functools.reduce(add_done, self._added, NOTHING_DONE)

    def add(self, term: Done, /) -> None:
        """Add to the sum."""
        self._added.append(term)


def done_of(receipt: Receipt) -> Done:
    """Return what a finished unit adds to the count."""
    statuses = receipt.counts.get("status", {})
    return (
        1,
        receipt.facts.get(SETTLED, receipt.rows),
        sum(rows for status, rows in statuses.items() if status != "ok"),
    )


def add_done(a: Done, b: Done) -> Done:
    """Return the sum of two counts."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
