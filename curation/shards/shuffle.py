"""How well samples are shuffled: the distance between the sources of neighbours, against a random order.

Each source gets a number from 0 to 255, a hash of its name below its root. Of neighbours in a tar, the squares of the
differences of these numbers are added up. If all samples were put into a random order, this sum would have a mean and
a standard deviation that only depend on the numbers of all samples: their power sums. So the tars are summed up one
by one, whatever their number. A sum over squares of successive differences is that of von Neumann (Distribution of
the ratio of the mean square successive difference to the variance, 1941); its moments over permutations are those of
Wald and Wolfowitz (An exact test for randomness in the non-parametric case based on serial correlation, 1943), here
for several rows of neighbours.
"""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

NUMBERS = 256
_PREFIX = "shuffle_"


def shuffle_facts(sources: Sequence[str]) -> dict[str, int]:
    """Return the sums for one tar, whose samples are of `sources`, names below their roots, in the order of the tar.

    `shuffle_pairs` are its pairs of neighbours, `shuffle_inner` its samples with two neighbours, `shuffle_distance`
    the sum of the squared distances, and `shuffle_sum_1` to `shuffle_sum_4` the power sums of its numbers. Facts of
    several tars add up.
    """
    number = {name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] for name in set(sources)}
    numbers = [number[name] for name in sources]
    facts = {
        "pairs": max(0, len(numbers) - 1),
        "inner": max(0, len(numbers) - 2),
        "distance": sum((a - b) ** 2 for a, b in itertools.pairwise(numbers)),
        **{f"sum_{power}": sum(each**power for each in numbers) for power in range(1, 5)},
    }
    return {f"{_PREFIX}{name}": value for name, value in facts.items()}


def shuffle_statistic(facts: Mapping[str, int], samples: int) -> dict[str, float]:
    """Return the statistic of a data set of `samples` samples from the sums of all its tars.

    `distance` is the mean squared distance between the sources of neighbours, divided by its mean over all orders: 1
    in a random order, 0 if every tar is of one source. `deviation` is its standard deviation over all orders. Both
    are rounded to six decimals. Empty if there is nothing to compare: of one source, or fewer than four samples.
    """
    if samples < 4 or f"{_PREFIX}pairs" not in facts:
        return {}
    pairs, inner, distance = (facts[f"{_PREFIX}{name}"] for name in ("pairs", "inner", "distance"))
    second, fourth = _central_sums(samples, [facts[f"{_PREFIX}sum_{power}"] for power in range(1, 5)])
    mean = pairs * 2 * second / (samples - 1)
    if not mean:
        return {}
    variance = _mean_square(samples, pairs, inner, second, fourth) - mean**2
    deviation = math.sqrt(max(Fraction(0), variance)) / mean
    return {"distance": round(float(distance / mean), 6), "deviation": round(float(deviation), 6)}


def _central_sums(count: int, sums: Sequence[int]) -> tuple[Fraction, Fraction]:
    """Return the sums of the squares and of the fourth powers of `count` numbers around their mean."""
    one, two, three, four = sums
    mean = Fraction(one, count)
    return two - mean * one, four - 4 * mean * three + 6 * mean**2 * two - 3 * mean**3 * one


def _mean_square(n: int, pairs: int, inner: int, second: Fraction, fourth: Fraction) -> Fraction:
    """Return the mean, over all orders of n numbers, of the square of the sum of squared distances.

    It is a sum over two pairs of neighbours, which are the same, have one sample in common, or none. The means of
    products of two, three and four different numbers follow from the power sums, as their own sum is 0.
    """
    two, three, four = n * (n - 1), n * (n - 1) * (n - 2), n * (n - 1) * (n - 2) * (n - 3)
    aabb, aaab = (second**2 - fourth) / two, -fourth / two
    aabc, abcd = (2 * fourth - second**2) / three, (3 * second**2 - 6 * fourth) / four
    same = 2 * fourth / n - 8 * aaab + 6 * aabb
    touching = fourth / n - 4 * aaab + 3 * aabb
    apart = 4 * aabb - 8 * aabc + 4 * abcd
    return pairs * same + 2 * inner * touching + (pairs**2 - pairs - 2 * inner) * apart
