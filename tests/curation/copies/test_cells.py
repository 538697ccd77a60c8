"""Near pairs: inside a cell connected components are kept, and over many cells nearly all pairs are found."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curation.config import DedupeConfig
from curation.copies import neighbours
from curation.copies.cells import (
    BYTES,
    MAX_TRAINING_BYTES,
    OVERFULL,
    TRAINING_PER_CELL,
    BitCells,
    as_matrix,
    cell_count,
    training_rows,
)
from curation.copies.neighbours import NEAREST, PAIRS, WINDOW, Nearness, make_cell, pairs_in_cell

seeds = st.integers(0, 2**32 - 1)
DEFAULT = Nearness(max_distance=31, max_text_distance=24)
ONE_CELL = BitCells(centroids=(), probes=1)
SORTED = -1  # the largest cell that is searched exhaustively: none


def random_fingerprints(rng, count):
    return rng.integers(0, 256, (count, BYTES), dtype=np.uint8)


def rows_of(fingerprints):
    return [bytes(row) for row in fingerprints]


def flipped(rng, fingerprints, bits):
    """Return copies, each with as many other bits as `bits` says."""
    places = np.argsort(rng.random((len(fingerprints), 256)), axis=1)
    flips = np.zeros((len(fingerprints), 256), np.uint8)
    np.put_along_axis(flips, places, (np.arange(256) < np.asarray(bits)[:, None]).astype(np.uint8), axis=1)
    return fingerprints ^ np.packbits(flips, axis=1)


def dense(rng, count, bits=10):
    """Return different fingerprints, each up to `bits` from one centre."""
    centre = np.repeat(random_fingerprints(rng, 1), count, axis=0)
    return np.unique(flipped(rng, centre, rng.integers(0, bits + 1, count)), axis=0)


def families(rng, count):
    """Return different fingerprints of a few families of near copies, so that distances of every size occur."""
    bases = random_fingerprints(rng, 3)
    return np.unique(flipped(rng, bases[rng.integers(0, 3, count)], rng.integers(0, 40, count)), axis=0)


def brute_force(fingerprints, is_home, is_text, nearness):
    """The oracle: every pair of different fingerprints of which one is at home here."""
    found = set()
    for i, a in enumerate(fingerprints):
        for j, b in enumerate(fingerprints):
            distance = int(np.unpackbits(a ^ b).sum())
            limit = nearness.max_text_distance if is_text[i] and is_text[j] else nearness.max_distance
            if is_home[j] and 0 < distance <= limit:
                found.add((min(a.tobytes(), b.tobytes()), max(a.tobytes(), b.tobytes()), distance))
    return sorted(found)


def every_pair(fingerprints, is_home=None, is_text=None, nearness=DEFAULT):
    """The same as a set, for more of them."""
    home = np.ones(len(fingerprints), np.bool_) if is_home is None else is_home
    text = np.zeros(len(fingerprints), np.bool_) if is_text is None else is_text
    distance = np.bitwise_count(fingerprints[:, None] ^ fingerprints[None]).sum(axis=2, dtype=np.int64)
    limit = np.where(text[:, None] & text[None], nearness.max_text_distance, nearness.max_distance)
    near = (distance <= limit) & (distance > 0) & (home[:, None] | home[None])
    rows = [bytes(row) for row in fingerprints]
    return {
        (min(rows[i], rows[j]), max(rows[i], rows[j]), int(distance[i, j]))
        for i, j in zip(*np.nonzero(near), strict=True)
    }


def listed(table):
    return list(zip(*(table.column(n).to_pylist() for n in ("a", "b", "distance")), strict=True))


def search(fingerprints, is_home=None, is_text=None, nearness=DEFAULT, exhaustive=neighbours.EXHAUSTIVE):
    """Return the pairs of one cell; by default all are at home, and none is text."""
    home = np.ones(len(fingerprints), np.bool_) if is_home is None else is_home
    text = np.zeros(len(fingerprints), np.bool_) if is_text is None else is_text
    batches = pairs_in_cell(make_cell(fingerprints, home, text, nearness), exhaustive=exhaustive)
    return pa.Table.from_batches(batches, PAIRS)


def components(pairs):
    """Return the connected components of (a, b, distance) as sets of nodes."""
    nodes = sorted({node for a, b, _ in pairs for node in (a, b)})
    number = {node: n for n, node in enumerate(nodes)}
    rows, columns = [number[a] for a, _, _ in pairs], [number[b] for _, b, _ in pairs]
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(nodes), len(nodes)))
    labels = connected_components(graph, directed=False)[1] if nodes else np.zeros(0, int)
    return {frozenset(n for n, label in zip(nodes, labels, strict=True) if label == one) for one in set(labels)}


# --- one cell ------------------------------------------------------------------------------------


@given(seeds, st.integers(0, NEAREST + 1), st.integers(0, 64), st.integers(0, 64))
@settings(max_examples=60, deadline=None)
def test_few_neighbours_are_all_kept(seed, count, max_distance, max_text_distance):
    """With at most NEAREST neighbours, all pairs of brute force are found; also by sorting, if one window has all."""
    rng = np.random.default_rng(seed)
    fingerprints = families(rng, count)
    is_home, is_text = rng.random(len(fingerprints)) < 0.7, rng.random(len(fingerprints)) < 0.5
    nearness = Nearness(max_distance=max_distance, max_text_distance=max_text_distance)
    wanted = brute_force(fingerprints, is_home, is_text, nearness)
    found = search(fingerprints, is_home, is_text, nearness)
    assert sorted(listed(found)) == wanted
    if count <= WINDOW + 1:
        assert search(fingerprints, is_home, is_text, nearness, SORTED).equals(found)


@given(seeds, st.integers(20, 150), st.integers(20, 64))
@settings(max_examples=40, deadline=None)
def test_connected_components_are_kept(seed, count, max_distance):
    """Without exception in the exhaustive search, where bridges between components are kept."""
    rng = np.random.default_rng(seed)
    fingerprints = families(rng, count)
    is_home, is_text = rng.random(len(fingerprints)) < 0.7, rng.random(len(fingerprints)) < 0.5
    nearness = Nearness(max_distance=max_distance, max_text_distance=24)
    found = listed(search(fingerprints, is_home, is_text, nearness))
    wanted = every_pair(fingerprints, is_home, is_text, nearness)
    assert set(found) <= wanted
    assert components(found) == components(wanted)


def test_each_keeps_its_nearest_and_its_smallest_neighbour():
    rng = np.random.default_rng(10)
    fingerprints = families(rng, 200)
    found, by_query = set(listed(search(fingerprints))), {}
    for a, b, distance in every_pair(fingerprints):
        by_query.setdefault(a, []).append((distance, b))
        by_query.setdefault(b, []).append((distance, a))
    for node, near in by_query.items():
        for distance, other in [*sorted(near)[:NEAREST], min(near, key=lambda each: each[1])]:
            assert (min(node, other), max(node, other), distance) in found


def test_a_bridge_between_two_dense_families_is_kept():
    """Two families of 300 that one pair connects. Its members have many nearer and smaller neighbours."""
    left = np.zeros((300, 256), np.uint8)
    left[np.arange(300), np.arange(300) % 100] = 1
    left[100:200, 100] = left[200:, 101] = 1
    right = left.copy()
    right[:, 150:180] = 1
    left, right = np.packbits(left, axis=1), np.packbits(right, axis=1)
    wanted = every_pair(np.concatenate([left, right]), nearness=Nearness(max_distance=30, max_text_distance=0))
    found = search(np.concatenate([left, right]), nearness=Nearness(max_distance=30, max_text_distance=0))
    assert len(components(listed(found))) == len(components(wanted)) == 1
    assert found.num_rows < len(wanted) / 5


@pytest.mark.parametrize("exhaustive", [50_000, SORTED])
def test_pairs_do_not_depend_on_the_order(exhaustive, monkeypatch):
    rng = np.random.default_rng(11)
    some = families(rng, 500), dense(rng, 500), random_fingerprints(rng, 500)
    fingerprints = np.unique(np.concatenate(some), axis=0)
    count = len(fingerprints)
    is_home, is_text = rng.random(count) < 0.7, rng.random(count) < 0.5
    first = search(fingerprints, is_home, is_text, exhaustive=exhaustive)
    assert first.num_rows
    for pending in (100, 10_000):
        monkeypatch.setattr(neighbours, "PENDING", pending)  # however often the pairs are pruned
        order = rng.permutation(count)
        again = search(fingerprints[order], is_home[order], is_text[order], exhaustive=exhaustive)
        assert components(listed(again)) == components(listed(first))
        assert pending < 10_000 or again.equals(first)


@pytest.mark.slow
@pytest.mark.parametrize("exhaustive", [50_000, SORTED])
def test_a_dense_family_is_one_component_of_few_pairs(exhaustive):
    """5,000 or 20,000 fingerprints, all near each other, have millions of pairs."""
    fingerprints = dense(np.random.default_rng(12), 5_000 if exhaustive > 0 else 20_000)
    found = search(fingerprints, exhaustive=exhaustive)
    assert found.num_rows <= (NEAREST + 2) * len(fingerprints)
    (component,) = components(listed(found))
    assert len(component) == len(fingerprints)


def test_sorting_finds_nearly_all_planted_copies(monkeypatch):
    rng = np.random.default_rng(13)
    monkeypatch.setattr(neighbours, "ROWS_AT_ONCE", 10_007)  # so that pairs also cross chunks
    base = random_fingerprints(rng, 60_000)
    copies = flipped(rng, base[:4_000], np.arange(4_000) % 31 + 1)
    both = np.concatenate([base, copies])
    is_home = rng.random(len(both)) < 0.6
    found = listed(search(both, is_home, exhaustive=SORTED))
    wanted = [
        (*sorted((base[n].tobytes(), copies[n].tobytes())), n % 31 + 1)
        for n in range(4_000)
        if is_home[n] or is_home[60_000 + n]
    ]
    assert len(set(found) & set(wanted)) >= 0.99 * len(wanted)
    assert set(found) <= set(wanted), "no pair beyond the limit, and none away from home"


def test_the_limit_is_within():
    base = np.zeros((1, BYTES), np.uint8)
    others = flipped(np.random.default_rng(1), np.repeat(base, 4, axis=0), [30, 31, 32, 256])
    for exhaustive in (50_000, SORTED):
        is_home = np.array([True, False, False, False, False])
        found = listed(search(np.concatenate([base, others]), is_home, exhaustive=exhaustive))
        assert sorted(distance for _, _, distance in found) == [30, 31]


@pytest.mark.parametrize(
    ("distance", "texts", "is_near"),
    [
        (24, (True, True), True),
        (25, (True, True), False),
        (25, (True, False), True),
        (31, (False, False), True),
        (32, (False, True), False),
    ],
)
def test_two_pages_of_text_must_be_nearer(distance, texts, is_near):
    defaults = DedupeConfig()
    nearness = Nearness(max_distance=defaults.max_distance, max_text_distance=defaults.max_text_distance)
    base = random_fingerprints(np.random.default_rng(2), 1)
    pair = np.concatenate([base, flipped(np.random.default_rng(3), base, [distance])])
    for exhaustive in (50_000, SORTED):
        found = search(pair, is_text=np.array(texts), nearness=nearness, exhaustive=exhaustive)
        assert found.num_rows == is_near


@pytest.mark.parametrize("exhaustive", [50_000, SORTED])
def test_no_fingerprints_and_no_pairs(exhaustive):
    some = random_fingerprints(np.random.default_rng(5), 3)
    for fingerprints in (some[:0], some[:1], some):
        assert search(fingerprints, exhaustive=exhaustive).num_rows == 0
    assert search(flipped(np.random.default_rng(5), some, [3, 3, 3]), np.zeros(3, np.bool_)).num_rows == 0


# --- cells ---------------------------------------------------------------------------------------


def pairs_over_cells(fingerprints, cells):
    """Return the pairs of all cells, searched as in the dedupe stage."""
    nearest = cells.assign(fingerprints)
    found = set()
    for cell in np.unique(nearest):
        mine = np.flatnonzero((nearest == cell).any(axis=1))
        is_home = nearest[mine, 0] == cell
        found |= set(listed(search(fingerprints[mine], is_home)))
    return found


@pytest.fixture(scope="module")
def planted():
    """5,000 random fingerprints and 500 copies of some, up to 20 bits away."""
    rng = np.random.default_rng(6)
    base = random_fingerprints(rng, 5_000)
    copies = flipped(rng, base[:500], rng.integers(1, 21, 500))
    return base, copies


@pytest.mark.parametrize(("count", "probes", "least"), [(2, 3, 1.0), (4, 3, 0.99), (16, 4, 0.95)])
def test_several_cells_find_nearly_all_planted_copies(planted, count, probes, least):
    base, copies = planted
    both = np.concatenate([base, copies])
    sample = both[np.random.default_rng(7).permutation(len(both))[: count * TRAINING_PER_CELL]]
    cells = BitCells.train(sample, count, probes)
    assert len(cells) >= count
    assert cells == BitCells.train(sample, count, probes)
    found = {(a, b) for a, b, _ in pairs_over_cells(both, cells)}
    wanted = [tuple(sorted((a.tobytes(), b.tobytes()))) for a, b in zip(base, copies, strict=False)]
    assert sum(pair in found for pair in wanted) >= least * len(wanted)


def test_an_overfull_cell_is_split():
    """Three families, the largest of 20,000 of 26,000 at 20 to 60 bits from its centre: no cell keeps it whole."""
    rng = np.random.default_rng(14)
    large = flipped(rng, np.repeat(random_fingerprints(rng, 1), 20_000, axis=0), rng.integers(20, 61, 20_000))
    small = [
        flipped(rng, np.repeat(random_fingerprints(rng, 1), 2_000, axis=0), rng.integers(0, 9, 2_000))
        for _ in range(3)
    ]
    sample = np.concatenate([large, *small])
    cells = BitCells.train(sample, 8, probes=1)
    sizes = np.bincount(cells.assign(sample)[:, 0])
    assert sizes.max() <= OVERFULL * len(sample) / 8
    assert cells == BitCells.train(sample, 8, probes=1)


def test_cells_of_equal_fingerprints_are_not_split_for_ever():
    rng = np.random.default_rng(15)
    same = np.repeat(random_fingerprints(rng, 1), 1_000, axis=0)
    assert len(BitCells.train(same, 4, probes=2)) == 1
    assert len(BitCells.train(np.concatenate([same, random_fingerprints(rng, 40)]), 4, probes=2)) <= 8


def test_as_many_probes_as_cells_are_exhaustive(planted):
    base, copies = planted
    some = np.concatenate([base[:300], copies[:300]])
    cells = BitCells(centroids=rows_of(base[-5:]), probes=5)
    exhaustive = {(a, b) for a, b, _ in pairs_over_cells(some, ONE_CELL)}
    assert {(a, b) for a, b, _ in pairs_over_cells(some, cells)} == exhaustive
    assert len(exhaustive) == 300


def test_assignment_depends_on_the_fingerprint_alone(planted):
    base, _ = planted
    cells = BitCells(centroids=rows_of(base[:12]), probes=4)
    assigned = cells.assign(base)
    assert assigned.shape == (5_000, 4)
    order = np.random.default_rng(8).permutation(5_000)
    assert np.array_equal(cells.assign(base[order]), assigned[order])
    assert np.array_equal(cells.assign(base[:1]), assigned[:1])
    assert all(len(set(row)) == 4 for row in assigned[:100].tolist())
    distance = np.array([np.unpackbits(base[:1] ^ c).sum() for c in base[:12]])
    assert sorted(distance)[:4] == [distance[c] for c in assigned[0]]


def test_fewer_cells_than_probes(planted):
    base, _ = planted
    assert BitCells(centroids=rows_of(base[:3]), probes=4).assign(base[:7]).shape == (7, 3)


def test_cell_count():
    assert [cell_count(n, 8, 80) for n in (0, 1, 10, 11, 25)] == [1, 1, 1, 2, 3]
    default = DedupeConfig().cell_bytes
    assert [cell_count(n, BYTES, default) for n in (2_500_000, 2_500_001)] == [1, 2]
    assert cell_count(78_126, 2 * 512, default) == 2, "vectors of 512 numbers"


def test_training_is_bounded():
    assert training_rows(3, 512) == 3 * TRAINING_PER_CELL
    assert training_rows(10**6, 512) * 512 * 4 == MAX_TRAINING_BYTES


def test_as_matrix():
    rows = [bytes(range(32)), bytes(32)]
    assert as_matrix(pa.array(rows, pa.binary(32))).tolist() == [list(r) for r in rows]
    chunked = pa.chunked_array([pa.array(rows[:1]), pa.array(rows[1:])])
    assert as_matrix(chunked).tolist() == [list(r) for r in rows]
    assert as_matrix(pa.array([b"", *rows, rows[0]][1:], pa.binary())[1:3]).tolist() == [list(rows[1]), list(rows[0])]
    assert (
        as_matrix(pa.array([], pa.binary(32))).shape == as_matrix(pa.chunked_array([], pa.binary())).shape == (0, 32)
    )
    with pytest.raises(pa.ArrowInvalid):
        as_matrix(pa.array([bytes(31)], pa.binary()))
