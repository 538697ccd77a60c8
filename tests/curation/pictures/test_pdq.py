"""Laws of `curation.pictures.pdq`: copies stay close, unrelated images do not, and any size has a fingerprint."""

import io

import numpy as np
import pdqhash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.pictures.pdq import (
    PDQ_MATCH_DISTANCE,
    PDQ_MIN_QUALITY,
    PDQ_VERSION,
    hamming,
    pdq,
)


def synthetic(height: int, width: int) -> np.ndarray:
    """Return a picture with slopes, rings and edges, by integer arithmetic alone."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    u, v = x * 1000 // width, y * 1000 // height
    red = u * 255 // 1000
    green = ((u - 620) ** 2 + (v - 340) ** 2) // 1200 % 256
    blue = (v * 160 // 1000 + ((u // 230 + v // 310) % 2) * 90) % 256
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def photo(seed: int, height: int = 384, width: int = 512) -> np.ndarray:
    """Return clouds: noise of several scales, coarse stronger than fine, as in photographs."""
    noise = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (4, 8, 16, 32, 64):
        coarse = noise.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth, dtype=float) / cells
    return np.clip((total - total.min()) * 255 / np.ptp(total), 0, 255).astype(np.uint8)


def through_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(rgb: np.ndarray, factor: float) -> np.ndarray:
    size = (round(rgb.shape[1] * factor), round(rgb.shape[0] * factor))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


MILD = {
    "jpeg quality 30": lambda rgb: through_jpeg(rgb, 30),
    "half size": lambda rgb: resized(rgb, 0.5),
    "triple size, shrunk before hashing": lambda rgb: resized(rgb, 3),
    "brighter": lambda rgb: np.clip(rgb.astype(int) + 20, 0, 255).astype(np.uint8),
    "grey": lambda rgb: np.asarray(Image.fromarray(rgb).convert("L").convert("RGB")),
}


@pytest.mark.parametrize("change", MILD)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mild_changes_stay_within_the_match_distance(change, seed):
    original, changed = pdq(photo(seed)), pdq(MILD[change](photo(seed)))
    assert original.quality >= PDQ_MIN_QUALITY
    assert hamming(original.bits, changed.bits) <= PDQ_MATCH_DISTANCE


def test_different_pictures_are_far_apart():
    prints = [pdq(photo(seed)).bits for seed in range(8)]
    assert min(hamming(a, b) for i, a in enumerate(prints) for b in prints[:i]) > 2 * PDQ_MATCH_DISTANCE


def test_the_hash_has_not_drifted():
    fingerprint = pdq(synthetic(384, 512))
    expected = (
        "50ecbf5380acfc7303dcf02b1f5c0087d5fa0e0d07e2007c7f833ff02ff4f803",
        100,
    )
    assert (fingerprint.bits.hex(), fingerprint.quality) == expected, (
        f"{PDQ_VERSION} hashes differently. If pdqhash was upgraded, manifests already record its "
        "version: note it in docs/adr and update this vector. If our code changed, increase _RULES first."
    )


def test_bits_are_packed_as_pdq_prints_them():
    vector, _ = pdqhash.compute(photo(1))
    assert pdq(photo(1)).bits.hex() == f"{int(''.join(map(str, vector)), 2):064x}"


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 9000), (9000, 1), (4, 4), (5, 5), (63, 65), (40, 5000), (2000, 2000)]
)
def test_any_size_has_a_fingerprint(height, width):
    fingerprint = pdq(synthetic(height, width))
    assert len(fingerprint.bits) * 8 == 256
    assert 0 <= fingerprint.quality <= 100
    assert fingerprint.quality == 0 or min(height, width) >= 5


def test_a_long_banner_keeps_its_content():
    assert pdq(np.hstack([photo(seed, 64, 64) for seed in range(100)])).quality >= PDQ_MIN_QUALITY


def test_a_plain_picture_has_no_quality():
    assert pdq(np.full((100, 100, 3), 200, np.uint8)).quality == 0


def test_the_layout_of_the_array_does_not_matter():
    rgb = photo(4)
    for view in (np.asfortranarray(rgb), np.pad(rgb, ((3, 3), (5, 5), (0, 0)))[3:-3, 5:-5]):
        assert pdq(view) == pdq(rgb)
    frozen = rgb.copy()
    frozen.flags.writeable = False
    assert pdq(frozen) == pdq(rgb)


@pytest.mark.parametrize(
    "wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)),
              np.zeros((0, 8, 3), np.uint8)],
)  # fmt: skip
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match="pass uint8"):
        pdq(wrong)


BITS = st.binary(min_size=32, max_size=32)


@given(BITS, BITS, BITS)
def test_hamming_is_a_metric(a, b, c):
    assert hamming(a, a) == 0
    assert hamming(a, b) == hamming(b, a) <= 256
    assert hamming(a, c) <= hamming(a, b) + hamming(b, c)
    assert hamming(a, b) == sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))


def test_hamming_refuses_different_lengths():
    with pytest.raises(ValueError, match="31 and 32 bytes"):
        hamming(bytes(31), bytes(32))
