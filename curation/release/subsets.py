"""Nested subsets: the first tars, which have the first samples of the shuffle, whose order is a hash of the keys.

So each is a random sample of the whole, and each smaller one is contained in each larger one.
"""

import bisect
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

_SIZE = re.compile(r"(\d{1,12})(k|M|G)?", re.ASCII)
_UNITS = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9}
DEFAULT_SIZES = (10**6, 10**7, 10**8)


@dataclass(frozen=True, kw_only=True)
class Subset:
    """The first `tars` tars: the fewest that have at least `size` samples. They have `samples`."""

    size: int
    tars: int
    samples: int

    @property
    def name(self) -> str:
        """Its size as people write it, such as 1M."""
        return size_name(self.size)


def size_name(size: int) -> str:
    """Return a number of samples as people write it: 1000000 is 1M."""
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes in a text such as `1M,10M,100M`, ascending. Raises ValueError when it is none."""
    sizes = []
    for each in text.split(","):
        found = _SIZE.fullmatch(each.strip())
        if found is None or not int(found[1]):
            raise ValueError(f"{each.strip()!r}: no number of samples such as 5000, 10k or 1M")
        sizes.append(int(found[1]) * _UNITS[found[2]])
    return tuple(sorted(set(sizes)))


def nested(samples: Sequence[int], sizes: Sequence[int]) -> list[Subset]:
    """Return the subsets of `sizes`, ascending, of tars that have `samples` each; none that is the whole."""
    totals = list(itertools.accumulate(samples))
    subsets = []
    for size in sorted(sizes):
        tars = bisect.bisect_left(totals, size) + 1
        if tars < len(samples):
            subsets.append(Subset(size=size, tars=tars, samples=totals[tars - 1]))
    return subsets


def first_patterns(names: Sequence[str], count: int) -> list[str]:
    """Return the fewest globs that match the first `count` of `names`, tars that are numbered 00000.tar and so on.

    The names themselves where they are not numbered so. 137 of 1,000 tars are `000[0-9][0-9].tar`,
    `001[0-2][0-9].tar` and `0013[0-6].tar`.
    """
    width = len(names[0].removesuffix(".tar")) if names else 0
    if any(name != f"{number:0{width}d}.tar" for number, name in enumerate(names)):
        return list(names[:count])
    if count == len(names):
        return ["*.tar"]
    digits = f"{count:0{width}d}"
    patterns = []
    for place, digit in enumerate(map(int, digits)):
        if digit:
            own = "0" if digit == 1 else f"[0-{digit - 1}]"
            patterns.append(f"{digits[:place]}{own}{'[0-9]' * (width - place - 1)}.tar")
    return patterns
