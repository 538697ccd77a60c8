"""Local features: mirroring hardly changes them, copies agree in keypoints, unrelated images do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.config import DedupeConfig
from curation.pictures.local_features import (
    INVERTED,
    MAX_POINTS,
    MIRRORED,
    POINT,
    codebook,
    codes,
    consistent_points,
    local_features,
    root_sift,
)
from examples.corpus.charts import bar_chart
from examples.corpus.documents import code, letter
from examples.corpus.photographs import city, landscape, person, still_life
from tests.support.copying import COPIES, paint
from tests.support.pictures import noise

PAINTERS = (letter, code, bar_chart, landscape, city, person, still_life)
MIN_POINTS = DedupeConfig().min_points


@pytest.fixture(scope="module")
def pictures():
    return {painter.__name__: paint(painter) for painter in PAINTERS}


def descriptors(seed: int, rows: int = 50) -> np.ndarray:
    return root_sift(np.random.default_rng(seed).integers(0, 256, (rows, 128)).astype(np.float32))


@given(st.integers(0, 1_000))
@settings(max_examples=20, deadline=None)
def test_mirroring_inverts_half_of_a_keypoint_code_(seed):
    roots = descriptors(seed)
    assert np.array_equal(MIRRORED[MIRRORED], np.arange(128)), "mirrored twice is as before"
    assert np.array_equal(codes(roots[:, MIRRORED], codebook()), codes(roots, codebook()) ^ INVERTED)


@pytest.mark.parametrize("done", ["jpeg", "half", "crop 75", "crop 50", "mirror", "turn 90", "turn 5"])
def test_keypoints_of_copies_agree(pictures, done):
    for name, rgb in pictures.items():
        copy = local_features(COPIES[done][1](rgb))
        assert consistent_points(copy.points, local_features(rgb).points) >= MIN_POINTS, name


def test_keypoints_of_unrelated_images_hardly_ever_agree(pictures):
    """Two printed pages may agree in a few keypoints; their pixels are compared later."""
    features = [local_features(rgb).points for rgb in pictures.values()]
    counts = [consistent_points(first, second) for n, first in enumerate(features) for second in features[:n]]
    assert sum(count >= MIN_POINTS for count in counts) <= len(counts) / 10
    assert max(counts) < 2 * MIN_POINTS
    assert [consistent_points(each, each) for each in features] == [len(each) // POINT.itemsize for each in features]
    assert consistent_points(b"", features[0]) == consistent_points(features[0], b"") == 0


def test_features_have_fixed_sizes_and_are_repeatable(pictures):
    for rgb in pictures.values():
        found = local_features(rgb)
        assert found == local_features(rgb.copy())
        assert 0 < len(found.points) <= MAX_POINTS * POINT.itemsize
        assert len(found.points) % POINT.itemsize == 0


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_plain_picture_has_none(value):
    assert local_features(np.full((300, 400, 3), value, np.uint8)) is None
    ramp = np.linspace(0, value, 400).astype(np.uint8)
    assert local_features(np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (300, 400, 3)))) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 5000), (5000, 3), (1, 20_000), (60, 2400), (31, 33)])
def test_any_picture_size_is_accepted(shape):
    found = local_features(noise(*shape))
    assert found is None or len(found.points) % POINT.itemsize == 0
