"""Local features: they show that two pictures are copies even if one was cropped, mirrored, turned or written on.

SIFT keypoints (Lowe, IJCV 60:2, 2004) with square-rooted descriptors (RootSIFT: Arandjelović and Zisserman, CVPR
2012) are measured on a small grey version. Two things are stored:

- 256 bits of the whole picture: descriptors summed into a VLAD (Jégou et al., CVPR 2010), projected by PCA, rotated
  at random and reduced to signs. Similar pictures have similar bits, which are searched like PDQ fingerprints.
- the strongest 64 keypoints: a code of 64 bits each, with place, size and direction in 4 bytes. In copies, many of
  them agree on one shift, rotation and scale (weak geometric consistency: Jégou, Douze and Schmid, ECCV 2008). This
  check takes a fifth of a millisecond and needs no pixels.

Mirroring a picture permutes the numbers of a SIFT descriptor. The VLAD sums descriptors and their mirror images, so
that its bits do not change; half of a keypoint's code does not change either, and the other half is inverted.

The codebook, local_codebook.npz, is made by scripts/local_features.py, where its data are named.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.geometry import shrink_to_area
from filters.protocol import Rgb

AREA_PIXELS = 160 * 160
MAX_KEYPOINTS = 160
MIN_KEYPOINTS = 6  # with fewer, no copy could be confirmed
MAX_POINTS = 64
BYTES = 32
CODEBOOK = "local_codebook.npz"

POINT = np.dtype([("code", "<u8"), ("x", "u1"), ("y", "u1"), ("size", "u1"), ("angle", "u1")])
"""A keypoint as stored: x and y in 64ths of the root of the picture's area, log2 of the size, degrees / 360 · 256."""

MIRRORED = np.array([(3 - r) * 32 + c * 8 + (8 - way) % 8 for r in range(4) for c in range(4) for way in range(8)])
"""Where each number of a descriptor goes when the picture is mirrored: 4 rows of 4 columns of 8 directions."""

INVERTED = np.uint64(0xFFFFFFFF)  # the bits of a code that mirroring inverts
MAX_CODE_DISTANCE = 18
MAX_SHIFT, MAX_TURN_RADIANS, MAX_SCALE_OCTAVES = 0.08, 0.35, 0.7

_PLACE_STEPS, _SIZE_STEPS, _SMALLEST_OCTAVE = 64, 24, -8

_RULES = 1  # to increase when the code below changes a bit

Roots = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class LocalFeatures:
    """`bits`: 32 bytes of the whole picture; `points`: up to MAX_POINTS keypoints, each as POINT, strongest first."""

    bits: bytes
    points: bytes


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """The constants that the bits and codes are computed with, float32.

    For the VLAD: `centroids` (K, 128), `mean` (K · 128,) and `projection` (K · 128, 256). For a keypoint's code:
    `even_mean` (128,) and `even` (128, 32), applied to the sum of a descriptor and its mirror image, and `odd`
    (128, 32), applied to their difference.
    """

    centroids: Roots
    mean: Roots
    projection: Roots
    even_mean: Roots
    even: Roots
    odd: Roots


@lru_cache(maxsize=1)
def codebook() -> Codebook:
    """Return the codebook of this package."""
    with (
        resources.files("curation.pictures").joinpath(CODEBOOK).open("rb") as f,
        np.load(f, allow_pickle=False) as stored,
    ):
        arrays = {name: stored[name].astype(np.float32) for name in stored.files}
    arrays["projection"] *= arrays.pop("scale")
    return Codebook(**arrays)


def version() -> str:
    """Return what the bits depend on besides the pixels and OpenCV, whose version the scan records itself."""
    short_hash = hashlib.sha256(resources.files("curation.pictures").joinpath(CODEBOOK).read_bytes()).hexdigest()[:8]
    return f"rules={_RULES} area={AREA_PIXELS} keypoints={MAX_KEYPOINTS} points={MAX_POINTS} codebook={short_hash}"


def local_features(rgb: Rgb) -> LocalFeatures | None:
    """Return the local features of `rgb`, (height, width, 3) uint8, or None if it is too plain to have any."""
    grey = shrink_to_area(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)), AREA_PIXELS)
    keypoints, descriptors = cv2.SIFT.create(MAX_KEYPOINTS).detectAndCompute(grey, None)
    if descriptors is None or len(keypoints) < MIN_KEYPOINTS:
        return None
    roots = root_sift(descriptors)
    book = codebook()
    bits = np.packbits((vlad(roots, book.centroids) - book.mean) @ book.projection > 0)
    strongest = np.argsort([-each.response for each in keypoints], kind="stable")[:MAX_POINTS]
    points = _packed([keypoints[i] for i in strongest], codes(roots[strongest], book), float(np.sqrt(grey.size)))
    return LocalFeatures(bits=bits.tobytes(), points=points.tobytes())


def _packed(keypoints: Sequence[cv2.KeyPoint], their_codes: NDArray[np.uint64], side: float) -> NDArray[np.void]:
    """Return keypoints as POINT; `side` is the root of the picture's area in pixels."""
    measured = np.array([(*each.pt, each.size, each.angle) for each in keypoints])
    points = np.empty(len(keypoints), POINT)
    points["code"] = their_codes
    points["x"], points["y"] = np.minimum(255, np.rint(measured[:, :2] / side * _PLACE_STEPS)).T
    octaves = np.log2(measured[:, 2] / side) - _SMALLEST_OCTAVE
    points["size"] = np.clip(np.rint(octaves * _SIZE_STEPS), 0, 255)
    points["angle"] = np.rint(measured[:, 3] / 360 * 256) % 256
    return points


def root_sift(descriptors: NDArray[Any]) -> Roots:
    """Return RootSIFT, (N, 128), of SIFT descriptors of that shape: unit vectors."""
    shares = descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.sqrt(shares), np.float32)


def vlad(roots: Roots, centroids: Roots) -> Roots:
    """Return the VLAD of descriptors (N, 128) and their mirror images over `centroids` (K, 128): shape (K · 128,)."""
    return _one_vlad(roots, centroids) + _one_vlad(roots[:, MIRRORED], centroids)


def _one_vlad(roots: Roots, centroids: Roots) -> Roots:
    nearest = (2 * roots @ centroids.T - (centroids**2).sum(axis=1)).argmax(axis=1)
    belongs = (nearest[:, None] == np.arange(len(centroids))).astype(np.float32)
    summed = belongs.T @ (roots - centroids[nearest])
    summed /= np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-6)
    flat = summed.ravel()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-6), np.float32)


def codes(roots: Roots, book: Codebook) -> NDArray[np.uint64]:
    """Return the codes (N,) of descriptors (N, 128); those of the mirrored picture are `codes ^ INVERTED`."""
    mirrored = roots[:, MIRRORED]
    even = (roots + mirrored - book.even_mean) @ book.even > 0
    odd = (roots - mirrored) @ book.odd > 0
    packed = np.packbits(np.concatenate([even, odd], axis=1), axis=1)
    return packed.view(">u8").astype(np.uint64).ravel()


def consistent_points(first: bytes, second: bytes) -> int:
    """Return how many keypoints of two pictures agree on one shift, rotation and scale, mirrored or not.

    `first` and `second` are `LocalFeatures.points`.
    """
    a, b = np.frombuffer(first, POINT), np.frombuffer(second, POINT)
    if len(a) == 0 or len(b) == 0:
        return 0
    return max(_consistent(a, b, is_mirrored=is_mirrored) for is_mirrored in (False, True))


def agreeing_points(
    first: bytes, second: bytes, *, is_mirrored: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the places (N, 2) of the most keypoints of two pictures that agree on one shift, rotation and scale.

    `first` and `second` are `LocalFeatures.points`. Places are x and y in roots of each picture's area; with
    `is_mirrored`, x of the first picture is negated.
    """
    a, b = np.frombuffer(first, POINT), np.frombuffer(second, POINT)
    if len(a) == 0 or len(b) == 0:
        return np.zeros((0, 2)), np.zeros((0, 2))
    return _agreeing(a, b, is_mirrored=is_mirrored)


def _consistent(a: NDArray[np.void], b: NDArray[np.void], *, is_mirrored: bool) -> int:
    return len(_agreeing(a, b, is_mirrored=is_mirrored)[0])


def _agreeing(
    a: NDArray[np.void], b: NDArray[np.void], *, is_mirrored: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    queries = a["code"] ^ INVERTED if is_mirrored else a["code"]
    distances = np.bitwise_count(queries[:, None] ^ b["code"][None, :])
    nearest, back = distances.argmin(axis=1), distances.argmin(axis=0)
    rows = np.arange(len(a))
    matched = np.flatnonzero((back[nearest] == rows) & (distances[rows, nearest] <= MAX_CODE_DISTANCE))
    ax, ay, a_octave, a_angle = _geometry(a[matched])
    bx, by, b_octave, b_angle = _geometry(b[nearest[matched]])
    if is_mirrored:
        ax, a_angle = -ax, np.pi - a_angle
    # Each match alone gives a transformation between the pictures; it is tested on the points of all other matches.
    octaves, turns = b_octave - a_octave, b_angle - a_angle
    along, across = np.cos(turns) * 2**octaves, np.sin(turns) * 2**octaves
    shift_x, shift_y = bx - (along * ax - across * ay), by - (across * ax + along * ay)
    off_x = along[:, None] * ax - across[:, None] * ay + shift_x[:, None] - bx
    off_y = across[:, None] * ax + along[:, None] * ay + shift_y[:, None] - by
    turned = np.abs((turns[:, None] - turns + np.pi) % (2 * np.pi) - np.pi)
    agree = (
        (np.hypot(off_x, off_y) < MAX_SHIFT)
        & (turned < MAX_TURN_RADIANS)
        & (np.abs(octaves[:, None] - octaves) < MAX_SCALE_OCTAVES)
    )
    most = agree[int(agree.sum(axis=1).argmax())] if len(matched) else slice(0)
    return np.stack([ax, ay], axis=1)[most], np.stack([bx, by], axis=1)[most]


def _geometry(points: NDArray[np.void]) -> tuple[NDArray[np.float64], ...]:
    """Return x and y in roots of the area, log2 of the size and the direction in radians."""
    return (
        points["x"] / _PLACE_STEPS,
        points["y"] / _PLACE_STEPS,
        points["size"] / _SIZE_STEPS,
        points["angle"] * (2 * np.pi / 256),
    )
