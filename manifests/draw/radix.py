"""The step of a radix selection, which finds the n-th of any number of rows in bounded memory.

Rows are counted by the next digit of their place in a total order. The digit of the n-th row narrows the search to
the rows with this digit.
"""

from collections.abc import Mapping
from typing import TypeVar

Digit = TypeVar("Digit", int, str)


def digit_of_last(counts: Mapping[Digit, int], wanted: int) -> tuple[Digit, int]:
    """Return the digit of the last of `wanted` rows, and how many rows with this digit are wanted.

    `counts` are the rows by digit; the smallest digits come first. Raises ValueError when there are fewer rows.
    """
    left = wanted
    for digit in sorted(counts):
        if left <= counts[digit]:
            return digit, left
        left -= counts[digit]
    raise ValueError(f"{wanted} rows wanted of {sum(counts.values())}")
