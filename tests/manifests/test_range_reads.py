"""Ranges that are read together are those that were asked for, whatever is joined; a file reads as its bytes do."""

import io

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import range_reads
from manifests.range_reads import Range, RangeFile, Tails, fetch

CONTENT = {"/a": bytes(range(256)) * 4, "/b": b"0123456789" * 30}
RANGES = st.lists(st.tuples(st.sampled_from(sorted(CONTENT)), st.integers(0, 1100), st.integers(0, 400)), max_size=12)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Limits that such small files reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_reads, "MAX_GAP_BYTES", 20)
        patch.setattr(range_reads, "MAX_REQUEST_BYTES", 300)
        patch.setattr(range_reads, "TAIL_BYTES", 64)
        yield


@pytest.fixture(scope="module")
def fs():
    """A file system with CONTENT."""
    made = fsspec.filesystem("memory")
    for path, content in CONTENT.items():
        made.pipe_file(path, content)
    yield made
    for path in CONTENT:
        made.rm_file(path)


@given(RANGES)
def test_each_range_has_its_bytes(fs, ranges):
    wanted = [Range(path=path, start=start, end=start + size) for path, start, size in ranges]
    expected = [CONTENT[each.path][each.start : each.end] for each in wanted]
    assert fetch("memory://a", fs, wanted) == expected


@given(RANGES)
def test_what_is_asked_for_covers_every_range_once(ranges):
    wanted = [Range(path=path, start=start, end=start + size) for path, start, size in ranges]
    joined = list(range_reads.joined(wanted))
    assert sorted(place for _, places in joined for place in places) == [
        place for place, each in enumerate(wanted) if each.start < each.end
    ]
    for whole, places in joined:
        assert all(
            whole.path == wanted[place].path and whole.start <= wanted[place].start and wanted[place].end <= whole.end
            for place in places
        )
    asked, needed = (sum(each.end - each.start for each in some) for some in ([w for w, _ in joined], wanted))
    assert asked <= needed + range_reads.MAX_GAP_BYTES * len(wanted)


def test_a_missing_file_is_the_answer_for_its_ranges_alone(fs):
    there, gone = Range(path="/a", start=1, end=3), Range(path="/gone", start=1, end=3)
    found = fetch("memory://a", fs, [gone, there])
    assert isinstance(found[0], FileNotFoundError)
    assert found[1] == b"\1\2"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 500)),
        st.tuples(st.just("seek"), st.integers(0, 1200)),
        st.tuples(st.just("seek from the end"), st.integers(-1024, 0)),
        st.tuples(st.just("hold"), st.lists(st.tuples(st.integers(0, 900), st.integers(1, 100)), max_size=4)),
    ),
    max_size=20,
)


@given(STEPS, st.booleans())
def test_a_file_reads_as_its_bytes(fs, steps, is_indexed):
    content = CONTENT["/a"]
    file = RangeFile("memory://a", fs, "/a", size_bytes=len(content), tails=Tails() if is_indexed else None)
    plain = io.BytesIO(content)
    for what, argument in steps:
        if what == "read":
            assert file.read(argument) == plain.read(argument)
        elif what == "seek":
            assert file.seek(argument) == plain.seek(argument)
        elif what == "hold":
            file.hold([(start, min(len(content), start + size)) for start, size in argument])
        else:
            assert file.seek(argument, io.SEEK_END) == plain.seek(argument, io.SEEK_END)
        assert file.tell() == plain.tell()


def test_only_the_ends_of_the_last_files_are_kept():
    tails = Tails()
    for number in range(range_reads.KEPT_TAILS + 10):
        tails.keep(f"/{number}", b"x")
    assert tails.get("/0") is None
    assert tails.get(f"/{range_reads.KEPT_TAILS + 9}") == b"x"
