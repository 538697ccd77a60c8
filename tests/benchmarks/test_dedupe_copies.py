"""The figures of benchmarks.dedupe.augly_copies, and the pictures of benchmarks.dedupe.variants."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from benchmarks.dedupe.augly_copies import (
    distances,
    has_augly,
    largest_distance,
    make_copy,
    micro_average_precision,
    of_distances,
    of_proven,
    transforms,
)
from benchmarks.dedupe.photographs import drawn_photographs
from benchmarks.dedupe.variants import copied, variants


def test_micro_average_precision():
    right = np.array([True, False, True, False])
    assert micro_average_precision(np.array([4, 3, 2, 1]), right, 2) == pytest.approx((1 + 2 / 3) / 2)
    assert micro_average_precision(np.array([4, 3, 2, 1]), right, 4) == pytest.approx((1 + 2 / 3) / 4)
    assert micro_average_precision(np.array([1, 1, 1, 1]), right, 2) == pytest.approx(0.5)  # a tie has no order
    assert micro_average_precision(np.array([]), np.array([], bool), 3) == 0


def test_distances_are_those_of_bits_and_leave_out_what_is_laid_over():
    first, second = (
        [(b"\xff\x00", 100), (b"\x0f\x0f", 100)],
        [(b"\xff\x01", 100), (b"\x00\x0f", 100), (b"\xff\xff", 100)],
    )
    assert distances(first, second).tolist() == [[1, 16, 8], [7, 4, 16]]


def test_the_operating_point_is_the_largest_distance_of_enough_precision():
    far = {"a": np.array([[2, 40], [40, 9]], np.uint16), "b": np.array([[3, 8], [40, 30]], np.uint16)}
    assert largest_distance(far, 0.999) == 7
    assert largest_distance(far, 0.8) == 39
    found = of_distances(far)
    assert found["recall"] == {"a": 0.5, "b": 0.5}
    assert 0 < found["micro_ap"] < 1


def test_proven_pairs_of_other_photographs_are_false():
    found = of_proven({"blur": [(0, 0, 1.0), (1, 1, 0.9), (1, 3, 0.5)], "crop": []}, 2)
    assert found["recall"] == {"blur": 1.0, "crop": 0.0}
    assert found["precision"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["micro_ap"] == 0.5


@pytest.mark.skipif(not has_augly(), reason="AugLy is of the extra peers")
def test_every_transform_makes_the_same_copy_again():
    first, second = drawn_photographs(2)
    for name, transform in transforms().items():
        copy = make_copy(transform, 0, first, second)
        assert copy == make_copy(transform, 0, first, second), name
        assert min(Image.open(io.BytesIO(copy)).size) > 100, name
        assert copy != first


def test_variants_are_reproducible_and_differ():
    made, again = (list(variants(np.random.default_rng(1), 6)) for _ in range(2))
    assert len(made) == 6
    assert all(np.array_equal(one, other) for one, other in zip(made, again, strict=True))
    assert not any(np.array_equal(one, other) for one, other in itertools.pairwise(made))
    for manner in range(4):
        copy = copied(np.random.default_rng(3), made[0], manner)
        assert copy.ndim == 3
        assert 0.4 < copy.shape[0] / made[0].shape[0] < 1.4
