"""A cache gives the bytes of the object, whatever processes, kills, disks and others do to its folder."""

import contextlib
import copy
import fcntl
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.feed import cache as cache_module
from curation.feed import cached_blocks
from curation.feed.cache import RangeCache, Version
from curation.feed.cached_blocks import BLOCK_BYTES, LOCK_FILE, RECORD_BYTES
from curation.sources.byte_ranges import ByteRange, try_ranges
from manifests.errors import InputError
from tests.conftest import TOP
from tests.support import cache_reader
from tests.support.cache_reader import LIMIT, SEGMENT_BLOCKS, SIZES, content, make_objects, read_at_random, versions


@pytest.fixture(scope="module", autouse=True)
def small():
    """Objects in memory, and segments that they fill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_blocks, "SEGMENT_BLOCKS", SEGMENT_BLOCKS)
        make_objects()
        yield
    for uri in SIZES:
        fsspec.filesystem("memory").rm_file(uri)


def part(uri: str, offset: int, size_bytes: int) -> ByteRange:
    return ByteRange(uri=uri, offset=offset, size_bytes=size_bytes)


def expected(wanted, edition=0):
    return [content(each.uri, edition)[each.offset : each.offset + each.size_bytes] for each in wanted]


def segments(folder: Path) -> list[Path]:
    """Return the files of a cache, the one used last at the end."""
    found = [path for path in folder.iterdir() if path.name != LOCK_FILE]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def used_bytes(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in segments(folder))


# --- the bytes are right

RANGES = st.lists(
    st.builds(
        part, st.sampled_from(sorted(SIZES)), st.integers(0, 23 * BLOCK_BYTES), st.integers(0, 3 * BLOCK_BYTES)
    ),
    max_size=6,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 2), RANGES),
        st.tuples(st.just("fetch whole"), st.integers(0, 2), st.sampled_from(sorted(SIZES))),
        st.tuples(st.just("send"), st.integers(0, 2), st.none()),
        st.tuples(st.sampled_from(["garble", "cut", "lose"]), st.integers(0, 20), st.integers(0, 4 * RECORD_BYTES)),
    ),
    max_size=12,
)


@settings(max_examples=200)
@given(STEPS, st.sampled_from([0, RECORD_BYTES, LIMIT, 100 * RECORD_BYTES]))
def test_whatever_happens_to_the_folder_a_read_gives_the_bytes_of_the_object(tmp_path_factory, steps, max_bytes):
    folder = tmp_path_factory.mktemp("cache")
    caches = [RangeCache(str(folder), max_bytes) for _ in range(3)]
    for what, which, argument in steps:
        if what == "read":
            assert caches[which].read(argument) == expected(argument)
        elif what == "fetch whole":
            with contextlib.suppress(InputError):  # it may be too large
                caches[which].fetch_whole([argument])
        elif what == "send":
            caches[which] = copy.deepcopy(caches[which])
        elif files := segments(folder):
            damage(files[which % len(files)], what, argument)
        # Another byte in a hole is beyond what the cache counts.
        assert used_bytes(folder) <= max_bytes or "garble" in [each[0] for each in steps]


def damage(path: Path, how: str, place: int) -> None:
    """Change a byte of a file, cut it off there, or remove it."""
    data = path.read_bytes()
    if how == "lose":
        path.unlink()
    elif how == "cut":
        os.truncate(path, min(place, len(data)))
    elif place < len(data):
        with path.open("r+b") as f:
            os.pwrite(f.fileno(), bytes([data[place] ^ 1]), place)


def test_blocks_that_are_garbled_or_cut_off_are_fetched_again(tmp_path):
    cache = RangeCache(str(tmp_path), LIMIT)
    wanted = [part("memory://tars/b", 5, 2 * BLOCK_BYTES)]
    assert cache.read(wanted) == expected(wanted)
    path = segments(tmp_path)[0]
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:100], b"", bytes(len(whole)), b"x" * len(whole), whole[::-1]):
        path.write_bytes(damaged)
        assert cache.read(wanted) == expected(wanted)
        assert path.read_bytes() == whole, "kept again"


def test_a_segment_under_the_name_of_another_is_not_taken_for_it(tmp_path):
    cache = RangeCache(str(tmp_path), LIMIT)
    cache.fetch_whole(["memory://tars/b"])
    b = segments(tmp_path)[0]
    wanted = [part("memory://tars/a", 0, 100), part("memory://tars/a", SEGMENT_BLOCKS * BLOCK_BYTES, 100)]
    cache.read(wanted)
    others = [path for path in segments(tmp_path) if path != b]
    first, second = sorted(others, key=lambda path: path.name)
    second.write_bytes(first.read_bytes())
    first.write_bytes(b.read_bytes())
    assert cache.read(wanted) == expected(wanted)


def test_an_answer_is_that_of_reading_without_a_cache(tmp_path):
    local = tmp_path / "local"
    local.write_bytes(b"0123456789")
    wanted = [
        *(
            part("memory://tars/c", *each)
            for each in [(0, 11), (3, 4), (3, 0), (8, 100), (11, 5), (1 << 50, 1 << 60)]
        ),
        *(part("memory://tars/gone", *each) for each in [(0, 5), (3, 0)]),
        *(part(f"file://{local}", *each) for each in [(0, 10), (8, 10), (20, 1)]),
        part(f"file://{tmp_path}/gone", 0, 1),
    ]
    cache = RangeCache(str(tmp_path / "cache"), LIMIT)
    for _ in range(2):
        for found, without in zip(cache.read(wanted), try_ranges(wanted), strict=True):
            assert found == without or (isinstance(found, FileNotFoundError) and type(found) is type(without))
    assert len(segments(tmp_path / "cache")) == 1, "local files are not kept"
    with pytest.raises(FileNotFoundError):
        known = {"memory://tars/gone": Version(size_bytes=5, identity="")}
        RangeCache(str(tmp_path / "cache"), LIMIT, known).fetch_whole(["memory://tars/gone"])
    cache.fetch_whole(["memory://tars/gone"])
    cache.fetch_whole([f"file://{local}"])


def test_a_file_that_is_shorter_than_its_version_says_ends_where_it_ends(tmp_path):
    uri = "memory://tars/b"
    longer = {uri: Version(size_bytes=SIZES[uri] + 5 * BLOCK_BYTES, identity="longer")}
    cache = RangeCache(str(tmp_path), LIMIT, longer)
    wanted = [part(uri, SIZES[uri] - 10, 3 * BLOCK_BYTES), part(uri, 0, 20), part(uri, SIZES[uri] + BLOCK_BYTES, 9)]
    for _ in range(2):
        assert cache.read(wanted) == expected(wanted)


# --- the object changes


@pytest.fixture
def replaced():
    """The URI of an object that was replaced."""
    uri = "memory://tars/b"
    fsspec.filesystem("memory").pipe_file(uri, content(uri, 1))
    yield uri
    fsspec.filesystem("memory").pipe_file(uri, content(uri))


def test_another_version_of_an_object_is_not_answered_from_the_first(tmp_path, replaced):
    wanted = [part(replaced, 10, BLOCK_BYTES)]
    assert RangeCache(str(tmp_path), LIMIT, versions(1)).read(wanted) == expected(wanted, 1)
    fsspec.filesystem("memory").pipe_file(replaced, content(replaced))
    assert RangeCache(str(tmp_path), LIMIT, versions(1)).read(wanted) == expected(wanted, 1)
    assert RangeCache(str(tmp_path), LIMIT, versions()).read(wanted) == expected(wanted)


# --- the bound


def test_segments_that_were_not_used_for_longest_go_and_files_of_others_stay(tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"x" * LIMIT)
    cache = RangeCache(str(tmp_path), 3 * RECORD_BYTES)
    starts = [number * SEGMENT_BLOCKS * BLOCK_BYTES for number in range(4)]
    kept = []
    for age, start in enumerate(starts[:3]):
        before = set(tmp_path.iterdir())
        cache.read([part("memory://tars/a", start, 10)])
        kept += set(tmp_path.iterdir()) - before
        os.utime(kept[-1], (1000 + age, 1000 + age))
    cache.read([part("memory://tars/a", starts[0], 10)])  # used again
    cache.read([part("memory://tars/a", starts[3], 10)])
    assert [path.exists() for path in kept] == [True, False, True]
    assert (tmp_path / "notes.txt").exists()


def test_what_is_larger_than_the_cache_does_not_empty_it(tmp_path):
    cache = RangeCache(str(tmp_path), 3 * RECORD_BYTES)
    cache.read([part("memory://tars/c", 0, 11)])
    before = segments(tmp_path)
    wanted = [part("memory://tars/a", 0, 4 * BLOCK_BYTES)]
    assert cache.read(wanted) == expected(wanted)
    assert segments(tmp_path) == before


def test_who_has_a_segment_open_reads_on_when_it_goes(tmp_path):
    cache = RangeCache(str(tmp_path), 4 * RECORD_BYTES)
    cache.read([part("memory://tars/b", 0, 100)])
    with segments(tmp_path)[0].open("rb") as f:
        cache.fetch_whole(["memory://tars/b"])
        cache.read([part("memory://tars/a", 0, 4 * BLOCK_BYTES)])
        assert not Path(f.name).exists()
        assert content("memory://tars/b")[:100] in f.read()


def test_a_smaller_limit_holds_from_the_start(tmp_path):
    RangeCache(str(tmp_path), LIMIT).read([part("memory://tars/a", 0, 8 * BLOCK_BYTES)])
    RangeCache(str(tmp_path), 3 * RECORD_BYTES)
    assert used_bytes(tmp_path) <= 3 * RECORD_BYTES


@pytest.mark.parametrize("count", [b"", b"\xff" * 8, b"none"])
def test_a_count_that_is_damaged_is_counted_again(tmp_path, count):
    cache = RangeCache(str(tmp_path), LIMIT)
    (tmp_path / LOCK_FILE).write_bytes(count)
    wanted = [part("memory://tars/a", 0, SIZES["memory://tars/a"])]
    RangeCache(str(tmp_path), LIMIT)
    for _ in range(3):
        assert cache.read(wanted) == expected(wanted)
        assert used_bytes(tmp_path) <= LIMIT


# --- processes


@pytest.mark.slow
@pytest.mark.parametrize(("how", "processes"), [("fork", 8), ("spawn", 3)])
def test_processes_share_a_small_cache(tmp_path, how, processes):
    cache = RangeCache(str(tmp_path), LIMIT, versions())
    with multiprocessing.get_context(how).Pool(processes) as pool:
        assert all(pool.starmap(read_at_random, [(cache, seed) for seed in range(processes)]))
    assert used_bytes(tmp_path) <= LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("written", [0, 3, 8, 11, 5000, RECORD_BYTES + 5, 3 * RECORD_BYTES, LIMIT + 4097])
def test_a_process_killed_while_it_writes_harms_nobody(tmp_path, written):
    line = [sys.executable, "-m", cache_reader.__name__, str(tmp_path), str(written)]
    killed = subprocess.run(line, cwd=TOP, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read_at_random(RangeCache(str(tmp_path), LIMIT, versions()), 1), "no lock is left, and no wrong block"
    assert used_bytes(tmp_path) <= LIMIT


@contextlib.contextmanager
def held(path: Path):
    """Hold the lock of a file, as a process does that was stopped."""
    with path.open("a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def test_no_reader_waits_for_a_lock_without_end(tmp_path, monkeypatch):
    for name in ("_READ_WAIT_SECONDS", "_WHOLE_WAIT_SECONDS"):
        monkeypatch.setattr(cache_module, name, 0.01)
    monkeypatch.setattr(cached_blocks, "_WAIT_SECONDS", 0.01)
    uri = "memory://tars/b"
    cache, wanted = RangeCache(str(tmp_path), LIMIT), [part(uri, 0, SIZES[uri])]
    with held(tmp_path / LOCK_FILE):
        assert RangeCache(str(tmp_path), LIMIT).read(wanted) == expected(wanted)
        cache.fetch_whole([uri])
        assert used_bytes(tmp_path) == 0, "nothing is kept meanwhile"
    with held(segments(tmp_path)[0]):
        cache.fetch_whole([uri])
    assert used_bytes(tmp_path) == 3 * RECORD_BYTES


# --- the disk


def test_a_full_disk_is_reported_once_and_reading_goes_on(tmp_path, caplog):
    cache = RangeCache(str(tmp_path), LIMIT)
    wanted = [part("memory://tars/a", 0, 2 * BLOCK_BYTES), part("memory://tars/b", 0, SIZES["memory://tars/b"])]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with caplog.at_level(logging.WARNING):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (RECORD_BYTES + 100, limits[1]))
            found = [cache.read(wanted) for _ in range(3)]
            cache.fetch_whole(["memory://tars/b"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert found == [expected(wanted)] * 3
    assert len(caplog.records) == 1
    assert str(tmp_path) in caplog.messages[0]
    assert cache.read(wanted) == expected(wanted)
    assert used_bytes(tmp_path) == 5 * RECORD_BYTES, "it keeps again"


def test_a_folder_that_is_removed_is_reported_once_and_reading_goes_on(tmp_path, caplog):
    cache, wanted = RangeCache(str(tmp_path / "cache"), LIMIT), [part("memory://tars/a", 0, 100)]
    (tmp_path / "cache" / LOCK_FILE).unlink()
    (tmp_path / "cache").rmdir()
    with caplog.at_level(logging.WARNING):
        assert [cache.read(wanted) for _ in range(2)] == [expected(wanted)] * 2
        cache.fetch_whole(["memory://tars/b"])
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("folder", "max_bytes", "said"),
    [
        ("file/cache", LIMIT, "no cache in .*file/cache: .*not a folder"),
        ("s3://bucket/cache", LIMIT, "name a local folder"),
        ("cache", -1, "-1 bytes"),
    ],
)
def test_a_folder_that_cannot_be_one_is_refused(tmp_path, monkeypatch, folder, max_bytes, said):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(InputError, match=said):
        RangeCache(folder, max_bytes)


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    cache = RangeCache(str(tmp_path / "cache"), LIMIT)
    wanted = [part("memory://tars/b", 0, 100)]
    cache.read(wanted)
    path = segments(tmp_path / "cache")[0]
    path.unlink()
    path.symlink_to(victim)
    assert cache.read(wanted) == expected(wanted)
    assert victim.read_bytes() == b"mine"
