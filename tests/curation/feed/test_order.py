"""Orders: permutations computed for each position alone, different each epoch, and weights that come out right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from curation.feed.kept import MappedArray
from curation.feed.order import Weights, ends_of, order_of, slots_of
from curation.feed.permutation import Permutation
from manifests.errors import InputError

SIZES = st.integers(1, 3000)
ORDERS = st.sampled_from(["shuffled", "windowed", "windowed:1", "windowed:7", "windowed:5000", "stored"])


@given(SIZES, st.text(max_size=5))
def test_a_permutation_has_every_number_once(size, key):
    assert sorted(Permutation(size, key)(np.arange(size))) == list(range(size))


@given(st.integers(1, 1 << 62), st.text(max_size=5), st.lists(st.floats(0, 1, exclude_max=True), min_size=1))
def test_each_position_is_computed_alone(size, key, places):
    permutation = Permutation(size, key)
    positions = np.array([int(place * size) for place in places], np.int64)
    together = permutation(positions)
    assert [int(permutation(positions[i : i + 1])[0]) for i in range(len(positions))] == together.tolist()
    assert (together >= 0).all() and (together < size).all()


@pytest.mark.parametrize("size", [5, 24, 100, 1000])
def test_all_places_are_equally_likely(size):
    """Where position 0 goes, and how far apart neighbours come, over many keys, against uniform numbers."""
    found = np.array([Permutation(size, f"key {n}")(np.array([0, 1])) for n in range(4000)])
    assert stats.chisquare(np.bincount(found[:, 0], minlength=size)).pvalue > 1e-4
    apart = (found[:, 1] - found[:, 0]) % size
    assert stats.chisquare(np.bincount(apart, minlength=size)[1:]).pvalue > 1e-4


def test_positions_outside_are_refused():
    for positions in ([-1], [10], [3, 10]):
        with pytest.raises(IndexError):
            Permutation(10, "key")(np.array(positions))


def test_a_permutation_stays_the_same_with_later_versions():
    assert Permutation(10, "0/0")(np.arange(10)).tolist() == [4, 5, 2, 8, 0, 7, 3, 1, 9, 6]


@given(SIZES, ORDERS, st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_has_every_slot_once(size, text, seed, epoch):
    order = order_of(text, size, seed)
    assert sorted(order.slots(epoch, np.arange(size))) == list(range(size))


@given(SIZES, ORDERS, st.data())
def test_a_few_positions_are_as_in_the_whole_epoch(size, text, data):
    order = order_of(text, size, 3)
    some = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1)), np.int64)
    assert (order.slots(1, some) == order.slots(1, np.arange(size))[some]).all()


def test_epochs_and_seeds_have_other_orders():
    orders = [order_of(text, 500, seed) for text in ("shuffled", "windowed:5") for seed in (0, 1)]
    found = {tuple(order.slots(epoch, np.arange(500))) for order in orders for epoch in (0, 1)}
    assert len(found) == 8


def test_windows_are_runs_of_consecutive_slots():
    slots = order_of("windowed:10", 1003, 0).slots(0, np.arange(1003))
    for start in range(0, 1000, 10):
        assert (np.diff(slots[start : start + 10]) % 1003 == 1).all()


def test_windows_begin_elsewhere_each_epoch():
    order = order_of("windowed:100", 1000, 0)
    first = [int(order.slots(epoch, np.arange(100))[0]) % 100 for epoch in range(10)]
    assert len(set(first)) > 5


@pytest.mark.parametrize("text", ["", "random", "windowed:0", "windowed:-1", "windowed:x", "Shuffled"])
def test_other_orders_are_refused(text):
    with pytest.raises(InputError, match="choose shuffled, windowed"):
        order_of(text, 10, 0)


def weights(tmp_path, values, seed=0):
    path = tmp_path / "ends.npy"
    np.save(path, ends_of(np.array(values, np.float64)))
    ends = MappedArray(str(path))
    return Weights(ends, slots_of(ends.values), seed)


def test_whole_weights_are_exact_in_each_epoch(tmp_path):
    values = [3, 0, 1, 1, 2, 0, 0, 5] * 50
    found = weights(tmp_path, values)
    for epoch in range(5):
        assert np.bincount(found.rows(epoch, np.arange(found.slots)), minlength=len(values)).tolist() == values


@given(st.lists(st.floats(0, 9), min_size=1, max_size=200).filter(lambda each: sum(each) >= 1), st.integers(0, 9))
def test_weights_are_rounded_down_or_up(tmp_path_factory, values, epoch):
    found = weights(tmp_path_factory.mktemp("weights"), values)
    counts = np.bincount(found.rows(epoch, np.arange(found.slots)), minlength=len(values))
    expected = np.array(values) * found.slots / sum(values)
    assert counts.sum() == found.slots
    assert (np.abs(counts - expected) < 1 + 1e-3).all()


def test_weights_are_right_on_average(tmp_path):
    values = [0.25, 1.5, 0.01, 2.75] * 25
    found = weights(tmp_path, values)
    epochs = 400
    counts = sum(np.bincount(found.rows(e, np.arange(found.slots)), minlength=100) for e in range(epochs))
    assert np.abs(counts / epochs * sum(values) / found.slots - values).max() < 0.1


def test_weights_that_add_up_to_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="choose 1 to"):
        weights(tmp_path, [0.1, 0.2])
