"""Find maps from one image to another, under which both may show the same.

The cheapest come first: the eight ways to turn and mirror a whole image; a similarity that the keypoints stored by
the scan agree on; and an affine map that RANSAC fits to fresh RootSIFT keypoints, which match if they are mutually
nearest and pass Lowe's ratio test (IJCV 60:2, 2004). Keypoints are also matched mirrored, for which no descriptor
needs to be computed again. `curation.copies.registration` makes each map exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.rendering import Grey, Rendering
from curation.pictures.local_features import MIRRORED, Roots, agreeing_points

MAX_RATIO = 0.8
MIN_MATCHES, MIN_INLIERS = 6, 8
REPROJECTION_PIXELS, ROUNDS, CONFIDENCE = 4.0, 1000, 0.995
REWEIGHTINGS = 4
MIN_AREA_RATIO = 0.02
THUMB_PIXELS, MIN_THUMB_CORRELATION = 32, 0.8
TO_UNIT = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # pixel coordinates count from pixel centres

Matrix = NDArray[Any]
"""float64, (2, 3) or (3, 3)."""

Shapes = tuple[tuple[int, ...], tuple[int, ...]]
"""Of the first image and of the second."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A map from one image to another, in pixels of their `coarse` grey versions.

    `matrix` (2, 3) maps the first image, mirrored before if `is_mirrored`. `inliers`: how many keypoints agree with
    the map, or None for one of the eight maps of whole images. `is_rough`: by stored keypoints, some pixels off;
    `error_pixels`: by how many, on average, they are off themselves.
    """

    is_mirrored: bool
    matrix: Matrix
    inliers: int | None
    is_rough: bool = False
    error_pixels: float = 0.0


def whole_map(first: Rendering, second: Rendering) -> Alignment | None:
    """Return the best of the eight maps of whole images, or None if the images correlate under none of them."""
    a, b = first.thumb, second.thumb
    ways = [(is_mirrored, turns) for is_mirrored in (False, True) for turns in range(4)]
    likeness = [float((np.rot90(a[:, ::-1] if m else a, t) * b).sum()) for m, t in ways]
    best = int(np.argmax(likeness))
    if likeness[best] < MIN_THUMB_CORRELATION:
        return None
    (height, width), (to_height, to_width) = first.coarse.shape, second.coarse.shape
    is_mirrored, turns = ways[best]
    corners = np.array([[0, 0], [to_width, 0], [to_width, to_height], [0, to_height]], np.float32)
    # np.rot90 turns anticlockwise: the first corner moves to the last, and so on.
    target = np.roll(corners, turns, axis=0)[[0, 1, 3]]
    source = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    matrix = cv2.getAffineTransform(source - 0.5, target - np.float32(0.5))
    return Alignment(is_mirrored=is_mirrored, matrix=np.asarray(matrix, np.float64), inliers=None)


def stored_maps(first: Rendering, second: Rendering) -> list[Alignment]:
    """Return the similarities that the stored keypoints of both images agree on, the most likely first."""
    found = []
    sides = [float(np.sqrt(each.coarse.size)) for each in (first, second)]
    for is_mirrored in (False, True):
        places, to_places = agreeing_points(first.points, second.points, is_mirrored=is_mirrored)
        if len(places) < 2:
            continue
        source, target = places * sides[0], to_places * sides[1]
        if is_mirrored:
            source[:, 0] += first.coarse.shape[1] - 1
        matrix = _similarity(source, target)
        if is_plausible(matrix):
            errors = np.hypot(*(source @ matrix[:, :2].T + matrix[:, 2] - target).T)
            found.append(
                Alignment(
                    is_mirrored=is_mirrored,
                    matrix=matrix,
                    inliers=len(places),
                    is_rough=True,
                    error_pixels=float(np.sqrt((errors**2).mean())),
                )
            )
    return sorted(found, key=lambda each: -(each.inliers or 0))


def _similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> Matrix:
    """Return the shift, rotation and scale (2, 3) that map points (N, 2) best onto others, by weighted squares."""
    a, b = source @ [1, 1j], target @ [1, 1j]  # as complex numbers, such a map is turn · a + shift
    weights = np.ones(len(a))
    for _ in range(REWEIGHTINGS):
        weights /= weights.sum()
        off = a - weights @ a
        turn = ((weights * off.conj()) @ b) / max(float(weights @ abs(off) ** 2), 1e-9)
        shift = weights @ b - turn * (weights @ a)
        errors = abs(turn * a + shift - b)
        weights = 1 / (1 + (errors / REPROJECTION_PIXELS) ** 2)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def matched_keypoints(
    first: Rendering, second: Rendering
) -> Iterator[tuple[bool, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield whether `first` is mirrored before, and the places of fresh keypoints that match, (N, 2) each."""
    (places, roots), (to_places, to_roots) = first.keypoints, second.keypoints
    if min(len(places), len(to_places)) < MIN_MATCHES:
        return
    for is_mirrored in (False, True):
        here, there = _matches(roots[:, MIRRORED] if is_mirrored else roots, to_roots)
        if len(here) < MIN_MATCHES:
            continue
        source = places[here]
        if is_mirrored:
            source[:, 0] = first.coarse.shape[1] - 1 - source[:, 0]
        yield is_mirrored, source, to_places[there]


def keypoint_maps(first: Rendering, second: Rendering) -> Iterator[Alignment]:
    """Yield the affine maps that fresh keypoints agree on, unmirrored first."""
    for is_mirrored, source, target in matched_keypoints(first, second):
        matrix, inliers = cv2.estimateAffine2D(
            source,
            target,
            method=cv2.RANSAC,
            ransacReprojThreshold=REPROJECTION_PIXELS,
            maxIters=ROUNDS,
            confidence=CONFIDENCE,
        )
        if matrix is None or inliers.sum() < MIN_INLIERS or not is_plausible(matrix):
            continue
        ratio = float(np.linalg.det(matrix[:, :2]))
        if ratio < 0:  # the map itself mirrors
            flip = np.array([[-1, 0, first.coarse.shape[1] - 1], [0, 1, 0], [0, 0, 1]])
            matrix = matrix @ flip
        is_flipped = is_mirrored ^ (ratio < 0)
        yield Alignment(is_mirrored=is_flipped, matrix=np.asarray(matrix, float), inliers=int(inliers.sum()))


def _matches(roots: Roots, others: Roots) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of `roots` and of `others` that match: mutually nearest, and much nearer than the next one."""
    likeness = roots @ others.T
    rows = np.arange(len(roots))
    nearest, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    best = likeness[rows, nearest].copy()
    likeness[rows, nearest] = -1
    next_best = likeness.max(axis=1)
    is_far_nearer = 2 - 2 * best < MAX_RATIO**2 * (2 - 2 * next_best)  # squared distances of unit vectors
    matched = np.flatnonzero(is_far_nearer & (back[nearest] == rows))
    return matched, nearest[matched]


def is_plausible(matrix: Matrix) -> bool:
    """Return whether neither image is a tiny part of the other under `matrix` (2, 3)."""
    return MIN_AREA_RATIO < area_ratio(matrix) < 1 / MIN_AREA_RATIO


def area_ratio(matrix: Matrix) -> float:
    """Return how many times larger an area becomes under `matrix` (2, 3)."""
    return abs(float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]))


def square(matrix: Matrix) -> Matrix:
    """Return an affine matrix (2, 3) as (3, 3)."""
    return np.vstack([matrix, [0, 0, 1]])


def enlargement(to: tuple[int, ...], of: tuple[int, ...]) -> Matrix:
    """Return the matrix (3, 3) from pixels of an image of shape `of` to those of its enlargement of shape `to`."""
    across, down = to[1] / of[1], to[0] / of[0]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def between_sizes(matrix: Matrix, of: Shapes, to: Shapes) -> Matrix:
    """Return `matrix` (2, 3), a map between two images in the shapes `of`, for both images in the shapes `to`."""
    return np.asarray((enlargement(to[1], of[1]) @ square(matrix) @ enlargement(of[0], to[0]))[:2])


def mirrored(picture: Grey, is_mirrored: bool) -> Grey:
    """Return `picture` mirrored left to right, or as it is."""
    return np.ascontiguousarray(picture[:, ::-1]) if is_mirrored else picture
