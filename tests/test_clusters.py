"""Near pairs: exactly those within the distance inside a cell, and nearly all of them over many cells."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.clusters import (
    BYTES,
    TRAINING_PER_CELL,
    Cells,
    Nearness,
    as_matrix,
    cell_count,
    distances_between,
    near_pairs,
    pairs_in_cell,
    train_centroids,
)
from curation.config import DedupeConfig

seeds = st.integers(0, 2**32 - 1)


def random_prints(rng, count):
    return rng.integers(0, 256, (count, BYTES), dtype=np.uint8)


def flipped(rng, fingerprints, bits):
    """Return copies, each with as many other bits as `bits` says."""
    unpacked = np.unpackbits(fingerprints, axis=1)
    for row, count in enumerate(bits):
        unpacked[row, rng.choice(256, count, replace=False)] ^= 1
    return np.packbits(unpacked, axis=1)


def families(rng, count):
    """Return fingerprints of a few families of near copies, so that distances of every size occur."""
    bases = random_prints(rng, 3)
    return flipped(rng, bases[rng.integers(0, 3, count)], rng.integers(0, 40, count))


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


def listed(table):
    return list(zip(*(table.column(n).to_pylist() for n in ("a", "b", "distance")), strict=True))


@given(seeds, st.integers(0, 30), st.integers(0, 64), st.integers(0, 64))
@settings(max_examples=60, deadline=None)
def test_pairs_in_a_cell_are_those_of_brute_force(seed, count, max_distance, max_text_distance):
    rng = np.random.default_rng(seed)
    fingerprints, is_home, is_text = families(rng, count), rng.random(count) < 0.7, rng.random(count) < 0.5
    nearness = Nearness(max_distance=max_distance, max_text_distance=max_text_distance)
    found = pairs_in_cell(fingerprints, is_home, is_text, nearness)
    assert listed(found) == brute_force(fingerprints, is_home, is_text, nearness)
    assert found.schema.types == [pa.binary(), pa.binary(), pa.int32()]


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_pairs_do_not_depend_on_the_order(seed):
    rng = np.random.default_rng(seed)
    fingerprints, order = families(rng, 20), rng.permutation(20)
    is_home, is_text = rng.random(20) < 0.7, rng.random(20) < 0.5
    nearness = Nearness(max_distance=31, max_text_distance=10)
    first = pairs_in_cell(fingerprints, is_home, is_text, nearness)
    assert first.equals(pairs_in_cell(fingerprints[order], is_home[order], is_text[order], nearness))


def test_the_limit_is_within():
    base = np.zeros((1, BYTES), np.uint8)
    rng = np.random.default_rng(1)
    others = flipped(rng, np.repeat(base, 4, axis=0), [30, 31, 32, 256])
    asked, indexed, distances = near_pairs(others, base, 31)
    found = sorted(zip(asked.tolist(), indexed.tolist(), distances.tolist(), strict=True))
    assert found == [(0, 0, 30), (0, 1, 31)]


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
    base = random_prints(np.random.default_rng(2), 1)
    pair = np.concatenate([base, flipped(np.random.default_rng(3), base, [distance])])
    found = pairs_in_cell(pair, np.array([True, True]), np.array(texts), nearness)
    assert found.num_rows == is_near


def test_many_questions_are_asked_in_chunks():
    rng = np.random.default_rng(4)
    base = random_prints(rng, 700)
    copies = flipped(rng, base, rng.integers(1, 21, 700))
    asked, indexed, distances = near_pairs(base, copies, 20)
    assert sorted(zip(asked.tolist(), indexed.tolist(), strict=True)) == [(n, n) for n in range(700)]
    assert (distances[np.argsort(asked)] == distances_between(base, copies)).all()


def test_nothing_to_ask_and_nothing_to_find():
    none = np.zeros((0, BYTES), np.uint8)
    some = random_prints(np.random.default_rng(5), 3)
    for indexed, asked in ((none, none), (some, none), (none, some)):
        assert [len(found) for found in near_pairs(indexed, asked, 31)] == [0, 0, 0]
    nearness = Nearness(max_distance=31, max_text_distance=24)
    away = np.zeros(3, np.bool_)
    assert pairs_in_cell(some, away, away, nearness).num_rows == 0


# --- cells ---------------------------------------------------------------------------------------


@given(seeds, st.integers(0, 40))
@settings(max_examples=15, deadline=None)
def test_one_cell_is_exhaustive(seed, count):
    rng = np.random.default_rng(seed)
    fingerprints = families(rng, count)
    home = Cells(centroids=bytes(BYTES), probes=1).assign(fingerprints)
    assert home.tolist() == [[0]] * count
    nearness = Nearness(max_distance=31, max_text_distance=31)
    everywhere, nowhere = np.ones(count, np.bool_), np.zeros(count, np.bool_)
    found = pairs_in_cell(fingerprints, home[:, 0] == 0, nowhere, nearness)
    assert listed(found) == brute_force(fingerprints, everywhere, nowhere, nearness)


def pairs_over_cells(fingerprints, cells):
    """Return the pairs that all cells find, as the dedupe stage searches them."""
    nearest = cells.assign(fingerprints)
    nearness = Nearness(max_distance=31, max_text_distance=31)
    found = set()
    for cell in np.unique(nearest):
        mine = np.flatnonzero((nearest == cell).any(axis=1))
        is_home = nearest[mine, 0] == cell
        found |= set(listed(pairs_in_cell(fingerprints[mine], is_home, np.zeros(len(mine), np.bool_), nearness)))
    return found


@pytest.fixture(scope="module")
def planted():
    """5,000 random fingerprints and 500 copies of some, up to 20 bits away."""
    rng = np.random.default_rng(6)
    base = random_prints(rng, 5_000)
    copies = flipped(rng, base[:500], rng.integers(1, 21, 500))
    return base, copies


@pytest.mark.parametrize("count", [2, 6, 16])
def test_several_cells_find_nearly_all_planted_copies(planted, count):
    base, copies = planted
    both = np.concatenate([base, copies])
    sample = both[np.random.default_rng(7).permutation(len(both))[: count * TRAINING_PER_CELL]]
    centroids = train_centroids(sample, count)
    assert centroids.shape == (count, BYTES)
    assert np.array_equal(centroids, train_centroids(sample, count))
    cells = Cells(centroids=centroids.tobytes(), probes=DedupeConfig().probes)
    found = {(a, b) for a, b, _ in pairs_over_cells(both, cells)}
    wanted = [tuple(sorted((a.tobytes(), b.tobytes()))) for a, b in zip(base, copies, strict=False)]
    assert sum(pair in found for pair in wanted) >= 0.95 * len(wanted)


def test_as_many_probes_as_cells_are_exhaustive(planted):
    base, copies = planted
    some = np.concatenate([base[:300], copies[:300]])
    cells = Cells(centroids=base[-5:].tobytes(), probes=5)
    exhaustive = {(a, b) for a, b, _ in pairs_over_cells(some, Cells(centroids=bytes(BYTES), probes=1))}
    assert {(a, b) for a, b, _ in pairs_over_cells(some, cells)} == exhaustive
    assert len(exhaustive) == 300


def test_assignment_depends_on_the_fingerprint_alone(planted):
    base, _ = planted
    cells = Cells(centroids=base[:12].tobytes(), probes=4)
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
    assert Cells(centroids=base[:3].tobytes(), probes=4).assign(base[:7]).shape == (7, 3)


def test_cell_count():
    assert [cell_count(n, 10) for n in (0, 1, 10, 11, 25)] == [1, 1, 1, 2, 3]


def test_as_matrix():
    rows = [bytes(range(32)), bytes(32)]
    assert as_matrix(pa.array(rows, pa.binary(32))).tolist() == [list(r) for r in rows]
    chunked = pa.chunked_array([pa.array(rows[:1]), pa.array(rows[1:])])
    assert as_matrix(chunked).tolist() == [list(r) for r in rows]
    assert as_matrix(pa.array([], pa.binary(32))).shape == (0, 32)
