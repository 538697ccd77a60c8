"""Logistic regression: probabilities, their log-odds, and the probability that weights give to features.

Scalars go through `math` and arrays through numpy, which may differ in the last bit, so a stored number must always
come from the same one of the two.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_LOG_ODDS = 30.0  # what is beyond has probability 0 or 1 in all decimals that are stored


def sigmoid(log_odds: float) -> float:
    """Return the probability of `log_odds`."""
    return 1 / (1 + math.exp(-log_odds))


def sigmoids(log_odds: NDArray[Any]) -> NDArray[Any]:
    """Return the probability of each of `log_odds`, clipped to MAX_LOG_ODDS: an array of the same shape and type."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS))), dtype=log_odds.dtype)


def logit(probability: float, *, least: float) -> float:
    """Return the log-odds of `probability`, clipped to [`least`, 1 - `least`]: 0 and 1 have none."""
    bounded = min(max(probability, least), 1 - least)
    return math.log(bounded / (1 - bounded))


def logits(probabilities: ArrayLike, *, least: float) -> NDArray[np.float64]:
    """Return the log-odds of each of `probabilities`, clipped likewise: float64, of the same shape."""
    bounded = np.clip(np.asarray(probabilities, np.float64), least, 1 - least)
    return np.log(bounded / (1 - bounded))


def weighted_log_odds(weights: Mapping[str, float], features: Mapping[str, float]) -> float:
    """Return the log-odds that `weights`, a `bias` and one for each name that counts, give to `features`."""
    return weights["bias"] + sum(weight * features[name] for name, weight in weights.items() if name != "bias")


def rounded_probability(log_odds: float, *, decimals: int) -> float:
    """Return the probability of `log_odds`, clipped to MAX_LOG_ODDS, rounded."""
    return round(sigmoid(max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, log_odds))), decimals)


def weighted_probability(weights: Mapping[str, float], features: Mapping[str, float], *, decimals: int) -> float:
    """Return the probability that `weights` give to `features`, as `weighted_log_odds` takes them, rounded."""
    return rounded_probability(weighted_log_odds(weights, features), decimals=decimals)
