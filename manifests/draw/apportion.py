"""How many rows to draw from each stratum: whole numbers that add up, and never fewer when more are drawn in all."""

import heapq
from collections.abc import Mapping
from fractions import Fraction

_SCALE = 1 << 64


def proportional(rows: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many of `count` rows each stratum gives, in proportion to its `rows`.

    The method is Webster's (Sainte-Laguë's): a stratum's s-th row comes before another's when rows / (2s - 1) is
    larger. So the numbers only grow with `count`, which those of largest remainders do not (Balinski and Young, Fair
    Representation, 1982). `count` must be at most the sum of `rows`.
    """

    def given(inverse: int) -> dict[str, int]:
        return {name: min(n, (n * inverse // _SCALE + 1) // 2) for name, n in rows.items()}

    low, high = 0, 4 * _SCALE  # the inverse of the quotient that is still served; low serves at most `count`
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
    """Return how many of `count` rows each stratum gives: as many as the others, as far as it has them.

    What is left over goes to the first strata by name. `count` must be at most the sum of `rows`.
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
