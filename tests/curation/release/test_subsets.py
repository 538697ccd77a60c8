"""Nested subsets, and patterns for the first tars."""

import fnmatch
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.release.subsets import first_patterns, nested, parse_sizes, size_name

samples = st.lists(st.integers(1, 50), max_size=40)


@given(samples=samples, sizes=st.lists(st.integers(1, 500), max_size=5))
def test_a_subset_has_the_fewest_tars_that_suffice_and_contains_the_smaller_ones(samples, sizes):
    found = nested(samples, sizes)
    assert [each.size for each in found] == sorted(each.size for each in found)
    for each in found:
        assert each.samples == sum(samples[: each.tars]) >= each.size
        assert sum(samples[: each.tars - 1]) < each.size
        assert each.tars < len(samples)
    for smaller, larger in itertools.pairwise(found):
        assert smaller.tars <= larger.tars
    left_out = set(sizes) - {each.size for each in found}
    assert all(size > sum(samples[:-1]) for size in left_out)


@given(st.data())
def test_patterns_match_exactly_the_first_tars(data):
    total = data.draw(st.integers(1, 1500))
    count = data.draw(st.integers(1, total))
    names = [f"{number:05d}.tar" for number in range(total)]
    patterns = first_patterns(names, count)
    assert [name for name in names if any(fnmatch.fnmatchcase(name, each) for each in patterns)] == names[:count]
    assert len(patterns) <= 5


def test_a_thousand_tars_need_few_patterns():
    names = [f"{number:05d}.tar" for number in range(1000)]
    assert first_patterns(names, 137) == ["000[0-9][0-9].tar", "001[0-2][0-9].tar", "0013[0-6].tar"]
    assert first_patterns(names, 1000) == ["*.tar"]


def test_tars_with_other_names_are_listed():
    names = ["00000-aa.tar", "00001.tar"]
    assert first_patterns(names, 1) == ["00000-aa.tar"]
    assert first_patterns(names, 2) == names


def test_sizes_are_read_as_people_write_them():
    assert parse_sizes("10M, 1M,100k,7") == (7, 100_000, 1_000_000, 10_000_000)
    assert [size_name(size) for size in parse_sizes("7,1k,1500,2M,1G")] == ["7", "1k", "1500", "2M", "1G"]


@pytest.mark.parametrize("text", ["", "0", "M", "1m", "1.5M", "-1", "1,,2"])
def test_other_sizes_are_refused(text):
    with pytest.raises(ValueError, match="no number of samples such as"):
        parse_sizes(text)
