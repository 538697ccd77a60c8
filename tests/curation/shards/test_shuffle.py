"""The statistic of the shuffle: exact moments over all orders, and sums over tars in any order."""

import itertools
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.shards.shuffle import shuffle_facts, shuffle_statistic
from manifests.format.receipts import add_counts


def facts_of(tars):
    return add_counts({"facts": shuffle_facts(tar)} for tar in tars)["facts"]


def divided(sources, sizes):
    """Return the sources in tars of these sizes, the rest in one more."""
    left, tars = list(sources), []
    for size in sizes:
        tars.append(left[:size])
        left = left[size:]
    return [*tars, left]


@pytest.mark.parametrize(
    ("sources", "sizes"), [("aabbc", []), ("aaabbb", [3]), ("abcdef", [2, 2]), ("aaaab", [1]), ("abcabca", [4, 1])]
)
def test_mean_and_deviation_are_those_of_all_orders(sources, sizes):
    found = [facts_of(divided(order, sizes))["shuffle_distance"] for order in itertools.permutations(sources)]
    result = shuffle_statistic(facts_of(divided(sources, sizes)), len(sources))
    mean = statistics.fmean(found)
    assert result["distance"] == pytest.approx(facts_of(divided(sources, sizes))["shuffle_distance"] / mean, abs=1e-6)
    assert result["deviation"] == pytest.approx(statistics.pstdev(found) / mean, abs=1e-6)


def test_one_source_in_each_tar_is_no_shuffle_and_a_random_order_is_one():
    tars = [[f"{n}.tar"] * 100 for n in range(40)]
    assert shuffle_statistic(facts_of(tars), 4000)["distance"] == 0
    samples = [source for tar in tars for source in tar]
    random.Random(0).shuffle(samples)
    mixed = shuffle_statistic(facts_of(divided(samples, [100] * 39)), 4000)
    assert mixed["deviation"] == pytest.approx(0.016, abs=0.004)
    assert abs(mixed["distance"] - 1) < 4 * mixed["deviation"]


@pytest.mark.parametrize("sources", ["", "a", "abc", "aaaaaa"])
def test_without_anything_to_compare_there_is_no_statistic(sources):
    assert shuffle_statistic(shuffle_facts(list(sources)), len(sources)) == {}
    assert shuffle_statistic({}, 10) == {}


@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from(["a", "b\udcff", "c"]), max_size=6), max_size=6), st.randoms())
def test_the_order_of_tars_does_not_matter(tars, random_):
    count = sum(map(len, tars))
    mixed = list(tars)
    random_.shuffle(mixed)
    assert not tars or shuffle_statistic(facts_of(tars), count) == shuffle_statistic(facts_of(mixed), count)
