"""How many rows to draw from each stratum. A larger total never means fewer rows from a stratum."""

import heapq
from collections.abc import Mapping
from fractions import Fraction

_SCALE = 1 << 64


def proportional(rows: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many of `count` rows to draw from each stratum, in proportion to its `rows`.

    `count` must be at most the sum of `rows`. The method is Webster's (Sainte-Laguë's): the s-th row of a stratum has
    the priority rows / (2s - 1). With it, no number shrinks when `count` grows, as may happen with largest remainders
    (Balinski and Young, Fair Representation, 1982).
    """

    def given(inverse: int) -> dict[str, int]:
        return {name: min(n, (n * inverse // _SCALE + 1) // 2) for name, n in rows.items()}

    low, high = 0, 4 * _SCALE  # of the inverse of the lowest priority that is drawn; `low` gives at most `count`
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(given(middle).values()) <= count else (low, middle)
    seats = given(low)
    queue = [(-Fraction(n, 2 * seats[name] + 1), name) for name, n in rows.items() if seats[name] < n]
    heapq.heapify(queue)
    for _ in range(count - sum(seats.values())):
        _, name = heapq.heappop(queue)
        seats[name] += 1
        if seats[name] < rows[name]:
            heapq.heappush(queue, (-Fraction(rows[name], 2 * seats[name] + 1), name))
    return seats


def equal(rows: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many of `count` rows to draw from each stratum: equally many, or all rows of smaller ones.

    The remainder goes to the first strata by name. `count` must be at most the sum of `rows`.
    """
    low, high = 0, count + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(min(n, middle) for n in rows.values()) <= count else (low, middle)
    seats = {name: min(n, low) for name, n in rows.items()}
    left = count - sum(seats.values())
    for name in sorted(name for name, n in rows.items() if n > low)[:left]:
        seats[name] += 1
    return seats
