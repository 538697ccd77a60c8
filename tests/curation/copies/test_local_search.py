"""Pairs by keypoints: copies are found among strangers, however rows are divided, and crowds stay cheap."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curation.copies import local_search
from curation.copies.local_search import (
    ENTRIES,
    ENTRY_ORDER,
    MATCH_ORDER,
    MATCHES,
    NEAREST,
    PAIRS,
    TABLES,
    WORD_SHIFT,
    entries_of,
    matches_in,
    pairs_in,
    places_of,
)
from curation.pictures.local_features import INVERTED, POINT

POINTS = 40


def random_points(rng, pictures, points=POINTS):
    """Return keypoints of random pictures as POINT, shape (pictures, points), in the middle of their ranges."""
    found = np.empty((pictures, points), POINT)
    found["code"] = rng.integers(0, 1 << 64, found.shape, dtype=np.uint64)
    for name in ("x", "y", "size", "angle"):
        found[name] = rng.integers(20, 200, found.shape)
    return found


def copied(rng, points, *, bits=4, kept=14, is_mirrored=False):
    """Return copies: `kept` keypoints of each picture, a few bits other in each code, moved, and perhaps mirrored."""
    copy = points.copy()
    for _ in range(bits):
        copy["code"] ^= np.uint64(1) << rng.integers(0, 64, copy.shape, dtype=np.uint64)
    if is_mirrored:
        copy["code"] ^= INVERTED
        copy["x"] = 220 - copy["x"]
        copy["angle"] = (128 - copy["angle"].astype(int)) % 256
    copy["x"] += 5
    copy[:, kept:] = random_points(rng, len(points), points.shape[1] - kept)
    return copy


def sorted_by(table, order):
    return table.sort_by([(name, "ascending") for name in order])


def matches_of(points, batch=1 << 16, numbers=None):
    numbers = np.arange(len(points)) if numbers is None else numbers
    entries = entries_of(numbers, points.ravel(), np.full(len(points), points.shape[1]))
    batches = matches_in(sorted_by(entries, ENTRY_ORDER).to_batches(max_chunksize=batch))
    return sorted_by(pa.Table.from_batches(batches, MATCHES), MATCH_ORDER)


def pairs_of(matches, batch=1 << 16):
    pairs = pa.Table.from_batches(pairs_in(matches.to_batches(max_chunksize=batch)), PAIRS).to_pydict()
    found = list(zip(pairs["a"], pairs["b"], strict=True))
    assert len(set(found)) == len(found), "each pair once"
    return set(found)


@pytest.fixture(scope="module")
def planted():
    """1,000 random pictures, then copies of the first 300, the last 100 of these mirrored."""
    rng = np.random.default_rng(0)
    base = random_points(rng, 1_000)
    return np.concatenate([base, copied(rng, base[:200]), copied(rng, base[200:300], is_mirrored=True)])


def test_a_mirrored_code_is_at_the_same_place():
    codes = np.random.default_rng(1).integers(0, 1 << 64, 1_000, dtype=np.uint64)
    assert np.array_equal(places_of(codes), places_of(codes ^ INVERTED))
    assert len(np.unique(places_of(codes))) == 1_000 * TABLES, "and others are elsewhere"


def test_copies_are_found_among_strangers(planted):
    found = pairs_of(matches_of(planted))
    wanted = {(n, 1_000 + n) for n in range(300)}
    assert len(found & wanted) >= 0.99 * len(wanted)
    assert len(found - wanted) <= 3


@pytest.mark.parametrize(("batch", "rows"), [(7, 100), (1_000, 1 << 17), (1 << 16, 33)])
def test_pairs_do_not_depend_on_batches_or_order(planted, batch, rows, monkeypatch):
    some = planted[np.r_[:60, 1_000:1_060]]
    wanted = matches_of(some)
    monkeypatch.setattr(local_search, "ROWS_AT_ONCE", rows)
    order = np.random.default_rng(batch).permutation(len(some))
    found = matches_of(some[order], batch, order)
    assert found.equals(wanted)
    assert pairs_of(found, batch) == pairs_of(wanted)


@pytest.mark.parametrize("tasks", [1, 3, 50])
def test_pairs_do_not_depend_on_how_words_and_pairs_are_divided(planted, tasks):
    entries = entries_of(np.arange(len(planted)), planted.ravel(), np.full(len(planted), POINTS))
    entries = sorted_by(entries, ENTRY_ORDER)
    task = (entries.column("place").to_numpy() >> WORD_SHIFT) * 2654435761 % tasks
    divided = [matches_in(entries.filter(pa.array(task == n)).to_batches()) for n in range(tasks)]
    matches = pa.concat_tables([pa.Table.from_batches(each, MATCHES) for each in divided])
    assert sorted_by(matches, MATCH_ORDER).equals(matches_of(planted))
    task = (matches.column("a").to_numpy() * 31 + matches.column("b").to_numpy()) % tasks
    found = [pairs_of(sorted_by(matches.filter(pa.array(task == n)), MATCH_ORDER)) for n in range(tasks)]
    assert set().union(*found) == pairs_of(matches_of(planted))


def test_a_picture_that_is_read_twice_counts_once(planted):
    some = planted[np.r_[:60, 1_000:1_060]]
    numbers = np.arange(len(some))
    twice = matches_of(np.concatenate([some, some]), numbers=np.concatenate([numbers, numbers]))
    assert twice.equals(matches_of(some))


def test_a_mark_on_every_picture_neither_costs_more_nor_hides_copies(planted):
    marked = planted.copy()
    marked[:, -6:] = random_points(np.random.default_rng(2), 1, 6)
    plain, found = matches_of(planted), matches_of(marked)
    assert found.num_rows <= NEAREST * TABLES * marked.size
    pairs = pairs_of(found)
    assert len(pairs) <= 2 * NEAREST * TABLES * len(marked), "not every picture with every other"
    wanted = {(n, 1_000 + n) for n in range(300)}
    assert len(pairs & wanted) >= len(pairs_of(plain) & wanted) - 3


def test_a_crowd_of_copies_is_one_component_of_few_pairs():
    rng = np.random.default_rng(3)
    one = random_points(rng, 1)
    crowd = np.concatenate([np.repeat(one, 3_000, axis=0), copied(rng, np.repeat(one, 500, axis=0), bits=1)])
    pairs = np.array(sorted(pairs_of(matches_of(crowd))))
    assert len(pairs) <= 2 * local_search.WINDOW * TABLES * len(crowd)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(crowd), len(crowd)))
    assert connected_components(graph, directed=False)[0] == 1


def test_few_or_no_points():
    none = np.empty((0, POINTS), POINT)
    assert matches_of(none).num_rows == 0
    assert pairs_of(matches_of(none)) == set()
    assert pairs_of(matches_of(random_points(np.random.default_rng(4), 1))) == set()
    assert entries_of(np.arange(2), none.ravel(), np.zeros(2, np.int64)).schema == ENTRIES
