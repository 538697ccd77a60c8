"""Compare two images of which one shows the other obliquely, like a photograph of a print.

No affine map lays such images over each other. A homography is fitted by RANSAC to the matches of fresh keypoints,
the finer image is drawn as the coarser one shows it, and what only one of them shows is painted alike in both. They
are then compared like any other pair.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import (
    CONFIDENCE,
    REPROJECTION_PIXELS,
    TO_UNIT,
    Alignment,
    Matrix,
    is_plausible,
    matched_keypoints,
    mirrored,
)
from curation.copies.kinds import Evidence
from curation.copies.rendering import Rendering
from filters.protocol import Rgb

MIN_INLIERS, MIN_INLIER_RATIO = 12, 1.3  # to those of an affine map: a homography bends to a few more anyway
ROUNDS = 300  # enough where half of the matches agree
MAX_FORESHORTENING = 4.0  # how much smaller the far end may be than the near one
MIN_BEND = 0.015  # of a side: with less, an affine map is near enough
MIN_SHARE = 0.15  # of the frame
EDGE_PIXELS = 3
PROBES = (np.arange(32) + 0.5) / 32
CORNERS = np.array([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])


@dataclass(frozen=True, kw_only=True)
class Oblique:
    """Two images in one frame, and how they came there.

    `first`, `second`: of the same size, painted alike where only one shows anything. `matrix`: the homography (3, 3)
    from the first image, mirrored before if `is_mirrored`, to the second, in units of their widths and heights.
    `share_first`, `share_second`: how much of each image the other covers. `inliers`: keypoints that agree with it.
    """

    first: Rendering
    second: Rendering
    is_mirrored: bool
    matrix: Matrix
    share_first: float
    share_second: float
    inliers: int

    @property
    def whole(self) -> Alignment:
        """The map between `first` and `second`, which changes nothing."""
        return Alignment(is_mirrored=False, matrix=np.eye(3)[:2], inliers=None)

    def described(self, evidence: Evidence, shape: tuple[int, ...], to_shape: tuple[int, ...]) -> Evidence:
        """Return the evidence of `first` and `second` as that of the images, of two shapes, with the nearest map."""
        x, y = (each.ravel() for each in np.meshgrid(PROBES, PROBES))
        points = np.stack([x, y, np.ones_like(x)], axis=1)
        to = _mapped(points, self.matrix)
        shown = ((to > 0) & (to < 1)).all(axis=1)
        nearest = np.linalg.lstsq(points[shown], to[shown], rcond=None)[0].T
        turned = np.diag(to_shape[1::-1]) @ nearest[:, :2] @ np.diag([1 / shape[1], 1 / shape[0]])
        return replace(
            evidence,
            is_mirrored=self.is_mirrored,
            matrix=tuple(round(float(value), 4) for value in nearest.ravel()),
            turn_degrees=round(float(np.degrees(np.arctan2(turned[1, 0], turned[0, 0]))), 1),
            share_first=round(self.share_first, 3),
            share_second=round(self.share_second, 3),
            inliers=self.inliers,
        )


def oblique_views(first: Rendering, second: Rendering, affine: Sequence[Alignment]) -> Iterator[Oblique]:
    """Yield both images in one frame, under each homography that fresh keypoints agree on, unmirrored first.

    `affine`: the affine maps of the same keypoints, of which some agree on each.
    """
    most = {each.is_mirrored: each.inliers or 0 for each in affine}
    for is_mirrored, source, target in matched_keypoints(first, second):
        least = max(MIN_INLIERS, MIN_INLIER_RATIO * most.get(is_mirrored, len(source)))
        if len(source) < least:
            continue
        matrix, inliers = cv2.findHomography(
            source, target, cv2.RANSAC, REPROJECTION_PIXELS, maxIters=ROUNDS, confidence=CONFIDENCE
        )
        if matrix is None or inliers.sum() < least:
            continue
        unit = _in_units(second.coarse.shape) @ matrix @ np.linalg.inv(_in_units(first.coarse.shape))
        if _is_view(unit) and _bends(unit):
            found = _in_one_frame(first, second, unit, is_mirrored=is_mirrored, inliers=int(inliers.sum()))
            if found is not None:
                yield found


def _in_units(shape: tuple[int, ...]) -> Matrix:
    """Return the matrix (3, 3) from pixels of an image of `shape` to units of its width and height."""
    return np.asarray(np.diag([1 / shape[1], 1 / shape[0], 1]) @ TO_UNIT)


def _is_view(unit: Matrix) -> bool:
    """Return whether a homography may be a view of a picture: all is before the camera, and little far away."""
    depths = [CORNERS @ each[2] for each in (unit, np.linalg.inv(unit))]
    depths = [each * np.sign(each[0]) for each in depths]
    is_in_front = all(each.min() > 0 and each.max() < MAX_FORESHORTENING * each.min() for each in depths)
    return is_in_front and float(np.linalg.det(unit / unit[2, 2])) > 0 and is_plausible(unit / unit[2, 2])


def _bends(unit: Matrix) -> bool:
    """Return whether a homography moves corners elsewhere than the nearest affine map does."""
    to = _mapped(CORNERS, unit)
    nearest = np.linalg.lstsq(CORNERS, to, rcond=None)[0]
    return bool(np.hypot(*(CORNERS @ nearest - to).T).max() > MIN_BEND)


def _mapped(points: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
    """Return where a homography maps `points` (N, 3), as (N, 2)."""
    moved = points @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:])


def _in_one_frame(
    first: Rendering, second: Rendering, unit: Matrix, *, is_mirrored: bool, inliers: int
) -> Oblique | None:
    x, y = (each.ravel() for each in np.meshgrid(PROBES, PROBES))
    points = np.stack([x, y, np.ones_like(x)], axis=1)
    there, back = (_mapped(points, each) for each in (unit, np.linalg.inv(unit)))
    share_first, share_second = (float(((each > 0) & (each < 1)).all(axis=1).mean()) for each in (there, back))
    if min(share_first, share_second) < MIN_SHARE:
        return None
    # The frame is that of the image that shows the scene smaller: no detail is interpolated.
    is_first_finer = first.fine.size * share_first > second.fine.size * share_second

    def framed(one: Rgb, other: Rgb) -> tuple[Rgb, Rgb]:
        one = mirrored(one, is_mirrored)
        if is_first_finer:
            return _drawn(one, other, unit)
        drawn, one = _drawn(other, one, np.linalg.inv(unit))
        return one, drawn

    fine = framed(first.rgb, second.rgb)
    sharp = functools.cache(lambda: framed(first.sharp(), second.sharp()))
    return Oblique(
        first=Rendering(fine[0], read_sharp=lambda: sharp()[0]),
        second=Rendering(fine[1], read_sharp=lambda: sharp()[1]),
        is_mirrored=is_mirrored,
        matrix=unit,
        share_first=share_first,
        share_second=share_second,
        inliers=inliers,
    )


def _drawn(rgb: Rgb, frame: Rgb, unit: Matrix) -> tuple[Rgb, Rgb]:
    """Return `rgb` as it is in the `frame`, and that, both painted alike where only one shows anything."""
    matrix = np.linalg.inv(_in_units(frame.shape)) @ unit @ _in_units(rgb.shape)
    scale = float(np.sqrt(abs(np.linalg.det(matrix / matrix[2, 2]))))
    source = cv2.GaussianBlur(rgb, (0, 0), 0.5 * float(np.sqrt(1 / scale**2 - 1))) if scale < 0.9 else rgb
    size = frame.shape[1::-1]
    inside = np.zeros(rgb.shape[:2], np.uint8)
    inside[EDGE_PIXELS:-EDGE_PIXELS, EDGE_PIXELS:-EDGE_PIXELS] = 1
    shown = cv2.warpPerspective(inside, matrix, size, flags=cv2.INTER_NEAREST) > 0
    drawn = cv2.warpPerspective(source, matrix, size, flags=cv2.INTER_LINEAR)
    paint = frame[shown].mean(axis=0).astype(np.uint8) if shown.any() else np.zeros(3, np.uint8)
    painted = [np.where(shown[..., None], each, paint) for each in (drawn, frame)]
    return painted[0], painted[1]
