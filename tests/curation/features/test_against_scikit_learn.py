"""k-NN, the linear probe and the alignment against scikit-learn, and the laws that they keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from curation.features import nearest as searching
from curation.features.alignment import mutual_knn
from curation.features.knn import knn_classify
from curation.features.nearest import nearest, unit
from curation.features.probe import PENALTIES, choose_probe, fit_probe

NAMES = np.array(["bar", "line", "pie"])
SWAPS = 2  # so many neighbours may be others where cosines differ by less than the rounding of float32
seeds = st.integers(0, 2**32 - 1)


def clouds(seed: int, rows: int = 120, dimensions: int = 8, spread: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """Return features, (rows, dimensions), in three clouds that overlap, and their labels."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(rows) % 3)
    centres = np.random.default_rng(7).normal(size=(3, dimensions))
    return centres[codes] + spread * rng.normal(size=(rows, dimensions)), NAMES[codes]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_BLOCK_BYTES", 7 * 4 * 120)


# --- nearest neighbours


@given(seeds)
def test_neighbours_are_as_near_as_those_of_a_brute_force_search(seed: int):
    base, queries = unit(clouds(seed)[0]), unit(clouds(seed + 1, rows=31)[0])
    search = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(base)
    blocks = list(nearest(queries, base, 5))
    rows, cosines = (np.concatenate(each) for each in zip(*blocks, strict=True))
    assert np.allclose(cosines, 1 - search.kneighbors(queries)[0], atol=1e-6)
    assert np.allclose(cosines, np.einsum("qd,qkd->qk", queries, base[rows]), atol=1e-6)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_do_not_matter():
    base = unit(clouds(0)[0])
    blocks = list(nearest(base, base, 4, excludes_itself=True))
    assert [len(rows) for rows, _ in blocks] == [7] * 17 + [1]
    together = np.concatenate([rows for rows, _ in blocks])
    assert not (together == np.arange(120)[:, np.newaxis]).any()
    wanted = (
        NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute")
        .fit(base)
        .kneighbors(return_distance=False)
    )
    assert np.array_equal(together, wanted)


def test_of_equal_rows_the_earlier_ones_are_neighbours():
    base = unit(np.ones((9, 2)))
    ((rows, cosines),) = nearest(base, base, 3, excludes_itself=True)
    assert rows[0].tolist() == [1, 2, 3]
    assert rows[2].tolist() == [0, 1, 3]
    assert np.allclose(cosines, 1)


# --- k-NN


@given(seeds)
def test_votes_are_those_of_scikit_learn(seed: int):
    features, labels = clouds(seed)
    queries, _ = clouds(seed + 1)
    judge = KNeighborsClassifier(
        n_neighbors=20, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    wanted = judge.fit(features, labels).predict(queries)
    assert (knn_classify(features, labels, queries) != wanted).sum() <= SWAPS


def test_one_neighbour_gives_every_row_its_own_label():
    features, labels = clouds(0)
    assert np.array_equal(knn_classify(features * 9, labels, features, k=1), labels)


def test_small_temperatures_do_not_overflow():
    features, labels = clouds(0)
    found = knn_classify(features, labels, features, k=20, temperature=1e-6)
    assert np.array_equal(found, labels), "the row itself decides"


def test_the_type_of_labels_is_kept():
    features, labels = clouds(0)
    codes = np.searchsorted(NAMES, labels) + 10
    assert np.array_equal(
        NAMES[knn_classify(features, codes, features) - 10], knn_classify(features, labels, features)
    )


# --- the probe


@given(seeds, st.sampled_from([1.0, 1e-1, 1e-2, 1e-3]))
def test_a_probe_is_scikit_learns(seed: int, penalty: float):
    features, labels = clouds(seed)
    probe = fit_probe(features, labels, penalty)
    judge = LogisticRegression(C=1 / (len(features) * penalty), tol=1e-8, max_iter=5000).fit(features, labels)
    assert probe.is_converged
    assert probe.classes.tolist() == judge.classes_.tolist()
    assert np.allclose(probe.probabilities(features), judge.predict_proba(features), atol=1e-4)
    assert np.allclose(probe.weights, judge.coef_.T, atol=1e-3 / penalty**0.5)


def test_a_probe_of_two_classes_is_scikit_learns():
    features, labels = clouds(0)
    features, labels = features[labels != "pie"], labels[labels != "pie"]
    probe = fit_probe(features, labels, 0.01)
    # scikit-learn has one vector for two classes, whose penalty counts twice
    judge = LogisticRegression(C=2 / (len(features) * 0.01), tol=1e-8, max_iter=5000).fit(features, labels)
    assert np.allclose(probe.probabilities(features), judge.predict_proba(features), atol=1e-4)


def test_the_penalty_is_that_of_the_best_validation_accuracy():
    features, labels = clouds(0, spread=2.0)
    others, named = clouds(1, spread=2.0)
    right = {penalty: (fit_probe(features, labels, penalty).predict(others) == named).sum() for penalty in PENALTIES}
    chosen = choose_probe(features, labels, others, named)
    assert chosen.penalty == max(right, key=lambda penalty: (right[penalty], penalty))
    together = fit_probe(np.concatenate([features, others]), np.concatenate([labels, named]), chosen.penalty)
    assert np.allclose(chosen.probabilities(features), together.probabilities(features), atol=1e-4)


def test_the_same_input_gives_the_same_probe():
    features, labels = clouds(0)
    first, second = (choose_probe(features[:80], labels[:80], features[80:], labels[80:]) for _ in range(2))
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()


# --- alignment


def brute_force(first: np.ndarray, second: np.ndarray, k: int) -> float:
    """Return the alignment as the paper defines it, with scikit-learn's search."""
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute")
    one, other = (search.fit(each).kneighbors(return_distance=False) for each in (first, second))
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(one, other, strict=True)]))


@given(seeds, st.integers(1, 20))
def test_alignment_is_that_of_a_brute_force_search(seed: int, k: int):
    first, second = clouds(seed)[0], clouds(seed)[0] @ np.random.default_rng(1).normal(size=(8, 30))
    assert mutual_knn(first, second, k=k).score == pytest.approx(brute_force(first, second, k), abs=SWAPS / (120 * k))


@given(seeds)
def test_alignment_is_symmetric_and_sees_only_directions(seed: int):
    first, second = clouds(seed)[0], clouds(seed + 1)[0]
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))[0]
    assert mutual_knn(first, second).score == mutual_knn(second, first).score
    for same in (first * np.linspace(1, 9, 120)[:, np.newaxis], first @ turn):
        assert mutual_knn(first, same).score > 0.99, "rounding may exchange neighbours"


def test_features_without_relation_score_about_chance():
    rng = np.random.default_rng(0)
    found = mutual_knn(rng.normal(size=(800, 16)), rng.normal(size=(800, 16)))
    assert found.chance == 10 / 799
    assert found.score == pytest.approx(found.chance, abs=4 * found.shares.std() / 800**0.5)
    assert found.score == found.shares.mean()


# --- what is refused


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f, n: knn_classify(f, n, f[:, :3]), "3 and 8 dimensions"),
        (lambda f, n: knn_classify(f, n, f, k=121), "choose 1 to 120"),
        (lambda f, n: knn_classify(f, n[:3], f), "one label for each"),
        (lambda f, n: knn_classify(f, n, f, temperature=0), "more than 0"),
        (lambda f, n: knn_classify(f.ravel(), n, f), r"give \(rows, dimensions\)"),
        (lambda f, n: knn_classify(f * np.nan, n, f), "NaN"),
        (lambda f, n: fit_probe(f, n, 0), "more than 0"),
        (lambda f, n: fit_probe(f, n[:3], 1), "a label for each row"),
        (lambda f, n: fit_probe(f, np.zeros(120), 1), "at least two"),
        (lambda f, n: fit_probe(f * np.inf, n, 1), "NaN"),
        (lambda f, n: choose_probe(f[:4], ["a", "b", "a", "b"], f, n), "split again"),
        (lambda f, n: mutual_knn(f, f[:-1]), "same pictures"),
        (lambda f, n: mutual_knn(f, f, k=120), "choose 1 to 119"),
    ],
)
def test_what_does_not_fit_is_refused(call, said: str):
    with pytest.raises(ValueError, match=said):
        call(*clouds(0))
