"""States: small, of all ranks together, and refused by another feed; and how positions are dealt out to ranks."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.feed.state import Ranks, State
from manifests.errors import InputError

STATE = State(epoch=3, position=1234, seed=7, order="windowed:64", manifest="0" * 64, selection="1" * 32)


def test_a_state_is_small():
    assert len(json.dumps(STATE.as_json())) < 1000


def test_a_state_moves_only_the_epoch_and_the_position():
    fresh = State(epoch=0, position=0, seed=7, order="windowed:64", manifest="0" * 64, selection="1" * 32)
    assert fresh.moved_to(json.loads(json.dumps(STATE.as_json()))) == STATE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 8}, "seed was 8, is 7"),
        ({"order": "shuffled"}, "order was 'shuffled', is 'windowed:64'"),
        ({"manifest": "2" * 64}, "of another feed"),
        ({"selection": "2" * 32}, "of another feed"),
        ({"version": 2}, "version was 2, is 1"),
        ({"position": -1}, "cannot be below 0"),
        ({"position": "1"}, "position missing or of another type"),
        ({"epoch": True}, "epoch missing or of another type"),
        ({"seed": None}, "seed missing or of another type"),
    ],
)
def test_other_states_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        STATE.moved_to(STATE.as_json() | change)


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 100), st.data())
def test_all_ranks_together_get_every_position_once(world, batch, size, data):
    position = data.draw(st.integers(0, size))
    ranks = [Ranks(rank=rank, world=world, batch_size=batch, remainder="mask") for rank in range(world)]
    starts = range(position, position + ranks[0].steps(size, position) * ranks[0].stride, ranks[0].stride)
    dealt = np.concatenate([np.zeros(0, int), *(each.positions(start) for start in starts for each in ranks)])
    assert [p for p in sorted(dealt) if p < size] == list(range(position, size))
    assert len(dealt) - (size - position) < ranks[0].stride


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 100), st.data())
def test_drop_leaves_out_less_than_a_step(world, batch, size, data):
    position = data.draw(st.integers(0, size))
    ranks = Ranks(rank=0, world=world, batch_size=batch, remainder="drop")
    fed = ranks.steps(size, position) * ranks.stride
    assert 0 <= size - position - fed < ranks.stride


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 2}, "choose a rank from 0 to 1"),
        ({"rank": -1}, "choose a rank from 0 to 1"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"remainder": "wrap"}, "'wrap' is none of mask, pad, drop"),
    ],
)
def test_wrong_ranks_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Ranks(**{"rank": 0, "world": 2, "batch_size": 4, "remainder": "mask", **change})
