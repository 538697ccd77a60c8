"""Local features: they show that two pictures are copies even if one was cropped, mirrored, turned or written on.

The strongest 64 SIFT keypoints (Lowe, IJCV 60:2, 2004) of a small grey version are stored: a code of 64 bits each,
made of its square-rooted descriptor (RootSIFT: Arandjelović and Zisserman, CVPR 2012), with place, size and direction
in 4 bytes. In copies, many of them agree on one shift, rotation and scale (weak geometric consistency: Jégou, Douze
and Schmid, ECCV 2008). This check takes a fifth of a millisecond and needs no pixels.

Mirroring a picture permutes the numbers of a SIFT descriptor. Half of a keypoint's code does not change then, and the
other half is inverted.

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
MIN_KEYPOINTS = 6  # with fewer, no copy could be confirmed
MAX_POINTS = 64
CODEBOOK = "local_codebook.npz"

POINT = np.dtype([("code", "<u8"), ("x", "u1"), ("y", "u1"), ("size", "u1"), ("angle", "u1")])
"""A keypoint as stored: x and y in 64ths of the root of the picture's area, log2 of the size, degrees / 360 · 256."""

MIRRORED = np.array([(3 - r) * 32 + c * 8 + (8 - way) % 8 for r in range(4) for c in range(4) for way in range(8)])
"""Where each number of a descriptor goes when the picture is mirrored: 4 rows of 4 columns of 8 directions."""

INVERTED = np.uint64(0xFFFFFFFF)  # the bits of a code that mirroring inverts
MAX_CODE_DISTANCE = 18
MAX_SHIFT, MAX_TURN_RADIANS, MAX_SCALE_OCTAVES = 0.08, 0.35, 0.7

_PLACE_STEPS, _SIZE_STEPS, _SMALLEST_OCTAVE = 64, 24, -8

_RULES = 2  # to increase when the code below changes a bit

Roots = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LocalFeatures:
    """`points`: up to MAX_POINTS keypoints, each as POINT, strongest first."""

    points: bytes


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """The constants that codes are computed with, float32.

    `even_mean` (128,) and `even` (128, 32) are applied to the sum of a descriptor and its mirror image, and `odd`
    (128, 32) to their difference.
    """

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
        return Codebook(**{name: stored[name].astype(np.float32) for name in stored.files})


def version() -> str:
    """Return what the codes depend on besides the pixels and OpenCV, whose version the scan records itself."""
    short_hash = hashlib.sha256(resources.files("curation.pictures").joinpath(CODEBOOK).read_bytes()).hexdigest()[:8]
    return f"rules={_RULES} area={AREA_PIXELS} points={MAX_POINTS} codebook={short_hash}"


def local_features(rgb: Rgb) -> LocalFeatures | None:
    """Return the local features of `rgb`, (height, width, 3) uint8, or None if it is too plain to have any."""
    grey = shrink_to_area(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)), AREA_PIXELS)
    keypoints, descriptors = cv2.SIFT.create(MAX_POINTS).detectAndCompute(grey, None)
    if descriptors is None or len(keypoints) < MIN_KEYPOINTS:
        return None
    # Of equally strong ones, OpenCV returns more than asked for.
    strongest = np.argsort([-each.response for each in keypoints], kind="stable")[:MAX_POINTS]
    their_codes = codes(root_sift(descriptors[strongest]), codebook())
    return LocalFeatures(points=_packed([keypoints[i] for i in strongest], their_codes, grey.size**0.5).tobytes())


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
    a, b = a[matched], b[nearest[matched]]
    agree = consistent_matches(a, b, np.array(is_mirrored))
    most = agree[int(agree.sum(axis=1).argmax())] if len(matched) else slice(0)
    places, others = (np.stack([each["x"], each["y"]], axis=1)[most] / _PLACE_STEPS for each in (a, b))
    return places * (-1 if is_mirrored else 1, 1), others


def consistent_matches(a: NDArray[np.void], b: NDArray[np.void], is_mirrored: Mask) -> Mask:
    """Return which matches of keypoints agree on a transformation between two pictures, shape (..., N, N).

    `a` and `b`, POINT of shape (..., N), are matched one by one, `b` mirrored where `is_mirrored`, which broadcasts
    to (..., N). Each match alone gives a transformation; each row tests that of one match on the points of all.
    """
    ax, ay, a_octave, a_angle = _geometry(a)
    bx, by, b_octave, b_angle = _geometry(b)
    ax, a_angle = np.where(is_mirrored, -ax, ax), np.where(is_mirrored, np.pi - a_angle, a_angle)
    octaves, turns = b_octave - a_octave, b_angle - a_angle
    along, across = np.cos(turns) * 2**octaves, np.sin(turns) * 2**octaves
    shift_x, shift_y = bx - (along * ax - across * ay), by - (across * ax + along * ay)
    ax, ay, bx, by = (each[..., None, :] for each in (ax, ay, bx, by))
    off_x = along[..., None] * ax - across[..., None] * ay + shift_x[..., None] - bx
    off_y = across[..., None] * ax + along[..., None] * ay + shift_y[..., None] - by
    turned = np.abs((turns[..., None] - turns[..., None, :] + np.pi) % (2 * np.pi) - np.pi)
    return np.asarray(
        (np.hypot(off_x, off_y) < MAX_SHIFT)
        & (turned < MAX_TURN_RADIANS)
        & (np.abs(octaves[..., None] - octaves[..., None, :]) < MAX_SCALE_OCTAVES)
    )


def _geometry(points: NDArray[np.void]) -> tuple[NDArray[np.float64], ...]:
    """Return x and y in roots of the area, log2 of the size and the direction in radians."""
    return (
        points["x"] / _PLACE_STEPS,
        points["y"] / _PLACE_STEPS,
        points["size"] / _SIZE_STEPS,
        points["angle"] * (2 * np.pi / 256),
    )
