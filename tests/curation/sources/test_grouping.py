"""Every source is in one unit, units have about the same size, and what is added changes only the units around it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.sources.folders import FolderFile, state_of
from curation.sources.grouping import (
    LEAST_FILE_BYTES,
    LEAST_UNIT_BYTES,
    MAX_UNITS,
    Slice,
    fitting_unit_bytes,
    group_sources,
)
from curation.sources.members import group_of
from curation.sources.sources import Source

MIB = 1 << 20
MOST_CHANGED = 6
"""Units that one added file may change. More than 3 are seen once in some thousand trials."""


def tar(name: str, size_bytes: int) -> Source:
    return Source(
        uri=f"file:///data/{name}", root="file:///data/", name=name, size_bytes=size_bytes, etag=f"{size_bytes}"
    )


def folder(name: str, files: dict[str, int]) -> Source:
    ordered = sorted(files.items(), key=lambda item: (group_of(item[0]), item[0]))
    listed = tuple(FolderFile(path=path, size_bytes=size, etag=f"{size}") for path, size in ordered)
    return Source(
        uri=f"file:///data/{name}/",
        root="file:///data/",
        name=f"{name}/",
        size_bytes=sum(files.values()),
        etag=state_of(listed),
        files=listed,
    )


def contents(units) -> list[list[tuple[str, str, int]]]:
    """Return (source, file, bytes) of all that each unit reads."""
    return [
        [
            (each.source.uri, file.path if file else "", file.size_bytes if file else each.source.size_bytes)
            for each in unit
            for file in (each.files or [None])
        ]
        for unit in units
    ]


def counted(unit) -> int:
    return sum(max(size, LEAST_FILE_BYTES) for _, _, size in unit)


sizes = st.integers(0, 3 * MIB) | st.integers(0, 100 * MIB)
paths = st.builds(
    "{}{:02}.{}".format, st.sampled_from(["", "d/"]), st.integers(0, 60), st.sampled_from(["jpg", "txt"])
)
tars = st.dictionaries(st.integers(0, 9999).map("{:04}.tar".format), sizes, max_size=60)
folders = st.dictionaries(
    st.sampled_from("abc"), st.dictionaries(paths, st.integers(0, 3 * MIB), min_size=1, max_size=60), max_size=2
)
inputs = st.builds(
    lambda tars, folders: sorted(
        [tar(*each) for each in tars.items()] + [folder(*each) for each in folders.items()],
        key=lambda source: source.name,
    ),
    tars,
    folders,
)


@given(inputs, st.integers(1, 40 * MIB))
def test_all_is_read_once_in_order_and_in_units_of_about_the_same_size(sources, unit_bytes):
    units = contents(group_sources(sources, unit_bytes))
    read = list(itertools.chain.from_iterable(units))
    assert read == list(itertools.chain.from_iterable(contents([[Slice(source=s, files=s.files)] for s in sources])))
    samples = [{(source, group_of(path)) for source, path, _ in unit} for unit in units]
    assert sum(map(len, samples)) == len(set().union(*samples)), "no sample is split"
    unit_bytes = fitting_unit_bytes(unit_bytes, counted(read))
    for unit in units:
        in_one = [counted(list(some)) for _, some in itertools.groupby(unit, key=lambda f: (f[0], group_of(f[1])))]
        assert sum(in_one) <= max(2 * unit_bytes, max(in_one) + unit_bytes)
        assert 2 * counted(unit) >= unit_bytes or len(units) == 1


@given(st.integers(64, 300), st.integers(MIB, 100 * MIB))
def test_a_small_input_has_units_for_many_cores(tars, size_bytes):
    units = group_sources([tar(f"{i}.tar", size_bytes) for i in range(tars)], 1 << 30)
    assert 16 < len(units) <= 128


def test_eight_small_tars_are_eight_units():
    assert len(group_sources([tar(f"{i}.tar", 10 * MIB) for i in range(8)], 1 << 30)) == 8


def test_many_tars_are_at_most_so_many_units():
    many = group_sources([tar(f"{i:06}.tar", 1_000_000_000) for i in range(200_000)], 1 << 30)
    assert MAX_UNITS / 4 < len(many) <= MAX_UNITS
    few = group_sources([tar(f"{i:06}.tar", 1_000_000_000) for i in range(10_000)], 1 << 30)
    assert 5_000 < len(few) < 10_000, "below the limit, units have the size that is set"


@given(inputs, st.integers(LEAST_UNIT_BYTES, 40 * MIB), st.integers(0, 9999), sizes)
def test_an_added_tar_changes_few_units(sources, unit_bytes, number, size_bytes):
    added = tar(f"{number:04}-new.tar", size_bytes)
    more = sorted([*sources, added], key=lambda source: source.name)
    assert_few_differ(sources, more, unit_bytes)


@given(inputs.filter(lambda found: any(s.is_folder for s in found)), paths, st.integers(1, 3 * MIB))
def test_an_added_or_changed_loose_file_changes_few_units(sources, path, size_bytes):
    place = next(i for i, s in enumerate(sources) if s.is_folder)
    old = sources[place]
    files = {**{file.path: file.size_bytes for file in old.files}, path: size_bytes}
    more = [*sources[:place], folder(old.name[:-1], files), *sources[place + 1 :]]
    assert_few_differ(sources, more, 3 * MIB)


def assert_few_differ(sources, more, unit_bytes):
    """Check how many units differ if the size of units stays the same, which it does unless the total doubles."""
    one, two = (
        counted(itertools.chain.from_iterable(contents(group_sources(s, unit_bytes)))) for s in (sources, more)
    )
    if fitting_unit_bytes(unit_bytes, one) != fitting_unit_bytes(unit_bytes, two):
        return
    before, after = (set(map(tuple, contents(group_sources(s, unit_bytes)))) for s in (sources, more))
    assert len(after - before) <= MOST_CHANGED
    assert len(before - after) <= MOST_CHANGED


def test_most_units_stay_when_many_tars_are_added():
    rng = np.random.default_rng(0)
    old = [tar(f"{i:05}.tar", int(size)) for i, size in enumerate(rng.integers(1, 400 << 20, 3000))]
    new = [tar(f"{i:05}-new.tar", 200 << 20) for i in rng.choice(3000, 10, replace=False)]
    grown = sorted([*old, *new], key=lambda source: source.name)
    before, after = (set(map(tuple, contents(group_sources(s, 1 << 30)))) for s in (old, grown))
    assert len(after - before) <= 3 * len(new)
    assert len(before) > 300


@pytest.mark.parametrize("sources", [[], [tar("a.tar", 0)], [folder("a", {"1.jpg": 0})]])
def test_little_is_one_unit_and_nothing_is_none(sources):
    assert len(group_sources(sources, 1 << 30)) == len(sources)
