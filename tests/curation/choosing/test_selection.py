"""The radix selection takes exactly the rows that sorting takes, for any batches, and smaller ones are nested."""

import functools
import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.choosing.conditions import Rules
from curation.choosing.rules import DROP_TARGET
from curation.choosing.selection import (
    HASH_DIGITS,
    NOTHING,
    SCORE_STEPS,
    Cutoff,
    Selection,
    histogram,
    is_settled,
    narrow,
    order_digits,
)
from curation.choosing.verdicts import Chooser, count_places, kept_bytes, keys_at
from curation.sources.keys import keyed_hash64
from manifests.format.schema import Stage, schema

few_scores = st.sampled_from([None, 0.0, 0.25, 0.2500004, 0.2500006, 0.7, 1.0])
scores = few_scores | st.floats(0, 1)
scored = st.dictionaries(st.text("abcXYZ019_-", min_size=1, max_size=6), scores, max_size=30)
salts = st.sampled_from(["curate", "", "x" * 100])


def settle(batches, wanted):
    """Return the selection of `wanted` rows as the choose stage finds it: count, narrow, count again."""
    cut = Cutoff(remaining=wanted)
    while True:
        counts = Counter()
        for _, places in batches:
            table = histogram(places, cut.digits)
            counts.update(dict(zip(table.column("digit").to_pylist(), table.column("rows").to_pylist(), strict=True)))
        if not cut.digits and counts.total() <= wanted:
            return Selection()
        cut, bucket_rows = narrow(cut, counts)
        if is_settled(cut, bucket_rows):
            break
    if cut.remaining == bucket_rows:
        return Selection(digits=cut.digits)
    tied = sorted(
        key
        for keys, places in batches
        for key, place in zip(keys, places, strict=True)
        if tuple(place[: len(cut.digits)].tolist()) == cut.digits
    )
    return Selection(digits=cut.digits, last_key=tied[cut.remaining - 1])


def batches_of(rows, salt, cuts=()):
    """Return (keys, places) of each batch of the rows, cut at `cuts`."""
    edges = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    pieces = [rows[a:b] for a, b in itertools.pairwise(edges)]
    return [
        ([k for k, _ in piece], order_digits([k for k, _ in piece], [s for _, s in piece], salt)) for piece in pieces
    ]


def taken(batches, selection):
    return [k for keys, places in batches for k, t in zip(keys, selection.takes(places, keys), strict=True) if t]


def sorted_best(rows, salt, wanted):
    """The oracle: sort by score in millionths, best first, then by keyed hash, then by key."""

    def order(row):
        key, score = row
        return -round((score or 0.0) * SCORE_STEPS), keyed_hash64(salt, key), key

    return {key for key, _ in sorted(rows, key=order)[:wanted]}


@given(scored, salts, st.integers(1, 35), st.lists(st.integers(0, 30), max_size=4))
def test_it_takes_what_sorting_takes(rows, salt, wanted, cuts):
    batches = batches_of(list(rows.items()), salt, cuts)
    found = taken(batches, settle(batches, wanted))
    assert len(found) == len(set(found)) == min(wanted, len(rows))
    assert set(found) == sorted_best(rows.items(), salt, wanted)


@given(scored, salts, st.integers(1, 35), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows, salt, wanted, random):
    listed = list(rows.items())
    shuffled = random.sample(listed, len(listed))
    first, second = batches_of(listed, salt), batches_of(shuffled, salt, (3, 9))
    assert set(taken(first, settle(first, wanted))) == set(taken(second, settle(second, wanted)))


@given(scored, st.integers(1, 35), st.integers(1, 35))
def test_a_smaller_selection_is_in_a_larger(rows, a, b):
    batches = batches_of(list(rows.items()), "curate")
    small, large = (set(taken(batches, settle(batches, n))) for n in sorted((a, b)))
    assert small <= large


@given(scored, scored, st.integers(1, 35))
def test_new_rows_only_push_out_by_rank(rows, more, wanted):
    """New data never changes the order of old data: what stays of it is its own best."""
    both = {**more, **rows}
    batches = batches_of(list(both.items()), "curate")
    stayed = set(taken(batches, settle(batches, wanted))) & set(rows)
    assert stayed == sorted_best(rows.items(), "curate", len(stayed))


def test_thousands_of_ties_are_split_exactly():
    rows = [(f"k{n}", 0.5 if n % 3 else 0.9) for n in range(6_000)]
    batches = batches_of(rows, "curate", (100, 4_000))
    for wanted in (1, 1_999, 2_000, 2_001, 3_333, 5_999, 6_000, 7_000):
        found = taken(batches, settle(batches, wanted))
        assert len(found) == min(wanted, 6_000)
        assert set(found) == sorted_best(rows, "curate", wanted)
    assert settle(batches, 2_000).digits == (100_000,)  # the whole bucket: one pass
    assert settle(batches, 6_000) == Selection()


def test_another_salt_splits_ties_differently():
    rows = [(f"k{n}", 0.5) for n in range(200)]
    one, other = (set(taken(b, settle(b, 100))) for b in (batches_of(rows, "a"), batches_of(rows, "b")))
    assert len(one) == len(other) == 100
    assert 20 < len(one & other) < 80


# --- rows that differ only by their keys ---------------------------------------------------------


@given(st.lists(st.text("ab0", min_size=1, max_size=4), min_size=1, max_size=12, unique=True), st.data())
@settings(max_examples=50)
def test_equal_hashes_are_split_by_key(keys, data):
    wanted = data.draw(st.integers(1, len(keys)))
    same = np.tile(np.array([[500_000, 1, 2, 3, 4]], np.int64), (len(keys), 1))
    middle = len(keys) // 2
    batches = [(keys[:middle], same[:middle]), (keys[middle:], same[middle:])]
    selection = settle(batches, wanted)
    assert set(taken(batches, selection)) == set(sorted(keys)[:wanted])
    if wanted < len(keys):
        assert selection == Selection(digits=(500_000, 1, 2, 3, 4), last_key=sorted(keys)[wanted - 1])


@given(st.data())
@settings(max_examples=50)
def test_collisions_in_any_leading_digits(data):
    keys = data.draw(st.lists(st.text("ab0", min_size=1, max_size=4), min_size=1, max_size=20, unique=True))
    digit = st.integers(0, 1)
    places = np.array([data.draw(st.lists(digit, min_size=5, max_size=5)) for _ in keys], np.int64)
    wanted = data.draw(st.integers(1, len(keys)))
    ordered = sorted(zip(places.tolist(), keys, strict=True))
    batches = [(keys, places)]
    assert set(taken(batches, settle(batches, wanted))) == {key for _, key in ordered[:wanted]}


def test_last_key_is_in_and_later_keys_are_out():
    places = np.array([[5, 1], [5, 1], [5, 1], [5, 0], [4, 9], [6, 0]], np.int64)
    keys = ["b", "a", "c", "z", "z", "a"]
    found = Selection(digits=(5, 1), last_key="b").takes(places, keys)
    assert found.tolist() == [True, True, False, True, True, False]


# --- the pieces ----------------------------------------------------------------------------------


@given(scored, salts)
def test_ranks_are_the_order_as_digits(rows, salt):
    places = order_digits(list(rows), list(rows.values()), salt)
    assert places.shape == (len(rows), 1 + HASH_DIGITS)
    for (key, score), place in zip(rows.items(), places.tolist(), strict=True):
        assert place[0] == SCORE_STEPS - round((score or 0.0) * SCORE_STEPS)
        assert functools.reduce(lambda number, d: number << 16 | d, place[1:]) == keyed_hash64(salt, key)


def test_scores_outside_their_range_are_at_its_ends():
    assert order_digits(["a"] * 5, [2.0, 1.0, 0.0, -1.0, None], "s")[:, 0].tolist() == [0, 0, *[SCORE_STEPS] * 3]


def test_narrow_refuses_more_than_there_is():
    with pytest.raises(ValueError, match="4 rows wanted of 3"):
        narrow(Cutoff(remaining=4), {1: 2, 9: 1})


def test_everything_and_nothing():
    keys, places = batches_of([("a", 1.0), ("b", None)], "s")[0]
    assert Selection().takes(places, keys).tolist() == [True, True]
    assert NOTHING.takes(places, keys).tolist() == [False, False]
    assert Selection().takes(places[:0], []).tolist() == []


# --- on tables, as the choose stage does ----------------------------------------------------------


def table_of(rows):
    """Scored rows; every key that ends in x is a duplicate, so that it does not meet the rules."""
    return pa.Table.from_pylist(
        [
            {
                "key": key,
                "source": "file:///0.tar",
                "member": f"{key}.jpg",
                "size": 10,
                "status": "ok",
                "cluster_id": key,
                "duplicate_of": "y" if key.endswith("x") else None,
                "duplicate_kind": "exact" if key.endswith("x") else None,
                "text_score": score,
            }
            for key, score in rows
        ],
        schema(Stage.SCORE),
    )


@given(st.dictionaries(st.text("abx", min_size=1, max_size=4), few_scores, min_size=1, max_size=25), st.data())
@settings(max_examples=40, deadline=None)
def test_chosen_rows_are_the_best_of_those_that_meet_the_rules(rows, data):
    wanted, middle = data.draw(st.integers(1, 25)), data.draw(st.integers(0, len(rows)))
    listed, rules = list(rows.items()), Rules(least_class="all")
    tables = [table_of(listed[:middle]), table_of(listed[middle:])]
    passing = [(k, s) for k, s in listed if not k.endswith("x")]
    cut, counted = Cutoff(remaining=wanted), Counter()
    for table in tables:
        found = count_places(table, rules=rules, salt="s", prefix=cut.digits)
        counted.update(dict(zip(found["digit"].to_pylist(), found["rows"].to_pylist(), strict=True)))
    assert counted.total() == len(passing)
    selection = settle(batches_of(passing, "s"), wanted)
    chosen = pa.concat_tables(Chooser(rules, selection, "s")(table) for table in tables)
    kept = {k for k, keep in zip(chosen["key"].to_pylist(), chosen["keep"].to_pylist(), strict=True) if keep}
    assert kept == sorted_best(passing, "s", wanted)
    assert sum(kept_bytes(Chooser(rules, selection, "s")(t))["kept_image_bytes"] for t in tables) == 10 * len(kept)
    reasons = Counter(chosen["drop_reason"].to_pylist())
    assert reasons["duplicate:exact"] == len(rows) - len(passing)
    assert reasons[DROP_TARGET] == len(passing) - len(kept)
    if selection.digits is not None:
        tied = [
            k for t in tables for k in keys_at(t, rules=rules, salt="s", digits=selection.digits)["key"].to_pylist()
        ]
        places = dict(zip([k for k, _ in passing], batches_of(passing, "s")[0][1].tolist(), strict=True))
        depth = len(selection.digits)
        assert sorted(tied) == sorted(k for k, p in places.items() if tuple(p[:depth]) == selection.digits)
