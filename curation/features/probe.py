"""A linear probe: multinomial logistic regression on features that stay as they are.

Trained with L-BFGS and an L2 penalty chosen on a validation split, as CLIP's probes are (Radford et al., 2021,
arXiv:2103.00020, appendix A.3). All sums are in float64 and start from 0, so the same input gives the same probe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from curation.sources.keys import keyed_hash64

PENALTIES = tuple(float(10**exponent) for exponent in np.arange(-6.0, 2.5, 0.5))
MAX_STEPS, TOLERANCE = 1000, 1e-6


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A fitted probe. `weights` is (dimensions, classes), `bias` (classes,), `classes` (classes,), in order.

    `penalty` is the L2 penalty that it was fitted with; `is_converged` whether L-BFGS reached its tolerance.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    classes: NDArray[np.generic]
    penalty: float
    is_converged: bool

    def probabilities(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each class for each row of `features`, (rows, dimensions): (rows, classes)."""
        found: NDArray[np.float64] = softmax(np.asarray(features, np.float64) @ self.weights + self.bias, axis=1)
        return found

    def predict(self, features: ArrayLike) -> NDArray[np.generic]:
        """Return the most probable class of each row of `features`, (rows, dimensions): (rows,)."""
        found: NDArray[np.generic] = self.classes[self.probabilities(features).argmax(axis=1)]
        return found


def fit_probe(features: ArrayLike, labels: ArrayLike, penalty: float, *, start: Probe | None = None) -> Probe:
    """Return the probe with the least mean cross-entropy + penalty / 2 × the sum of squared weights.

    Args:
        features: (rows, dimensions).
        labels: (rows,), of at least two classes.
        penalty: of the weights, above 0; the bias has none. scikit-learn's C is 1 / (rows × penalty).
        start: a probe of the same classes to start from, which saves steps.

    Raises ValueError when shapes do not fit, for one class, and for features that are not finite.
    """
    rows = np.asarray(features, np.float64)
    named = np.asarray(labels)
    if rows.ndim != 2 or named.shape != (len(rows),):
        raise ValueError(f"features of shape {rows.shape}, labels of shape {named.shape}; give a label for each row")
    if not np.isfinite(rows).all():
        raise ValueError("features contain NaN or infinity; leave such rows out")
    if not penalty > 0:
        raise ValueError(
            f"penalty={penalty}: choose more than 0; without one, separable classes have no best weights"
        )
    classes, codes = np.unique(named, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"{len(classes)} class; a probe tells at least two apart")
    shape = (rows.shape[1] + 1, len(classes))
    wanted = np.zeros((len(rows), len(classes)))
    wanted[np.arange(len(rows)), codes] = 1

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = flat.reshape(shape)[:-1], flat.reshape(shape)[-1]
        logs = log_softmax(rows @ weights + bias, axis=1)
        value = -logs[np.arange(len(rows)), codes].mean() + penalty / 2 * np.square(weights).sum()
        errors = (np.exp(logs) - wanted) / len(rows)
        slope = np.vstack([rows.T @ errors + penalty * weights, errors.sum(axis=0)])
        return float(value), slope.ravel()

    at = np.zeros(shape) if start is None else np.vstack([start.weights, start.bias])
    options = {"maxiter": MAX_STEPS, "maxfun": 2 * MAX_STEPS, "gtol": TOLERANCE, "ftol": 1e-14}
    found = minimize(loss, at.ravel(), jac=True, method="L-BFGS-B", options=options)
    best = found.x.reshape(shape)
    return Probe(
        weights=best[:-1], bias=best[-1], classes=classes, penalty=float(penalty), is_converged=bool(found.success)
    )


def choose_probe(
    features: ArrayLike,
    labels: ArrayLike,
    validation_features: ArrayLike,
    validation_labels: ArrayLike,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> Probe:
    """Return the probe with the penalty that is right most often on the validation rows, fitted to all rows.

    Of penalties that are right equally often, the largest. The validation rows must not be those that the probe is
    tested on afterwards.

    Args:
        features, labels: rows to fit to, as of `fit_probe`.
        validation_features, validation_labels: other rows, of the same classes.
        penalties: to choose from.

    Raises ValueError as `fit_probe` does, and when the validation rows have a class that the others lack.
    """
    named, others = np.asarray(labels), np.asarray(validation_labels)
    if unknown := np.setdiff1d(others, named).tolist():
        raise ValueError(f"validation rows of class {unknown[0]!r}, of which there are none to fit to; split again")
    tried: list[tuple[int, Probe]] = []
    for penalty in sorted(penalties, reverse=True):  # strong ones converge at once, and lead to the weaker ones
        probe = fit_probe(features, named, penalty, start=tried[-1][1] if tried else None)
        tried.append((int((probe.predict(validation_features) == others).sum()), probe))
    best = max(tried, key=lambda each: (each[0], each[1].penalty))[1]
    together = np.concatenate([np.asarray(features, np.float64), np.asarray(validation_features, np.float64)])
    return fit_probe(together, np.concatenate([named, others]), best.penalty, start=best)


def held_out(keys: Sequence[str], fraction: float, *, salt: str = "held out") -> NDArray[np.bool_]:
    """Return which rows to hold out for validation or a test: (rows,), about `fraction` of them True.

    A keyed hash of the key decides, so a row stays where it is when others come or go. Another `salt` holds out
    others. Raises ValueError when `fraction` is no share.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction}: not a share, 0 to 1")
    return np.array([keyed_hash64(salt, key) < fraction * 2**64 for key in keys], bool)
