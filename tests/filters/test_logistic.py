"""Probabilities and log-odds: each is the inverse of the other, for scalars as for arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.logistic import MAX_LOG_ODDS, logit, logits, sigmoid, sigmoids, weighted_probability

probabilities = st.floats(0, 1)


@given(probabilities)
def test_sigmoid_is_the_inverse_of_logit(probability: float):
    clipped = min(max(probability, 1e-4), 1 - 1e-4)
    assert sigmoid(logit(probability, least=1e-4)) == pytest.approx(clipped, abs=1e-12)


@given(st.lists(probabilities, max_size=20))
def test_arrays_give_what_scalars_give(values: list[float]):
    found = logits(values, least=1e-6)
    assert found.shape == (len(values),)
    assert found.tolist() == pytest.approx([logit(value, least=1e-6) for value in values], abs=1e-12)
    assert sigmoids(found).tolist() == pytest.approx([sigmoid(value) for value in found.tolist()], abs=1e-12)


def test_the_extremes_have_finite_log_odds_and_probabilities():
    assert logit(0, least=1e-6) == pytest.approx(-logit(1, least=1e-6))
    assert sigmoids(np.array([-1e9, 1e9], np.float32)).tolist() == pytest.approx([0, 1], abs=1e-12)
    assert weighted_probability({"bias": 0, "x": 1}, {"x": 1e9}, decimals=6) == 1.0
    assert weighted_probability({"bias": -MAX_LOG_ODDS - 1}, {"unused": 1.0}, decimals=6) == 0.0


def test_features_without_a_weight_do_not_count():
    found = weighted_probability({"bias": -1.0, "a": 2.0}, {"a": 0.5, "b": 100.0}, decimals=6)
    assert found == 0.5
