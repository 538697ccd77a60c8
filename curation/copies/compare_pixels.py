"""Whether one picture is a copy of another, by their pixels: a map between them is found, and every patch compared.

Maps come from two places: the eight ways to turn and mirror a whole picture, and an affine map fitted by RANSAC to
RootSIFT keypoints that match by Lowe's ratio (IJCV 60:2, 2004) and mutually, tried mirrored, too, for which a SIFT
descriptor need not be measured again. Keypoints alone would merge pages set in one typeface and charts drawn by one
program. So the patches decide: both pictures are laid over each other and each patch's normalised cross-correlation
is taken, first at 320 × 320 pixels in all, then, unless the pictures are photographs that agree nearly everywhere, at
640 × 640, where the labels of a chart are legible, with room for three pixels of misfit.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.kinds import MIN_PATCHES, Evidence
from curation.pictures.decode import DecodeLimits, decode
from curation.pictures.local_features import MIRRORED, Roots, root_sift
from filters.geometry import shrink_to_area
from filters.protocol import Rgb

COARSE_AREA_PIXELS = 320 * 320
FINE_AREA_PIXELS = 640 * 640
MAX_KEYPOINTS = 500
MAX_RATIO = 0.8
MIN_MATCHES, MIN_INLIERS = 6, 8
REPROJECTION_PIXELS, ROUNDS, CONFIDENCE = 4.0, 1000, 0.995
MIN_AREA_RATIO = 0.02
THUMB_PIXELS, MIN_THUMB_CORRELATION = 32, 0.8

PATCH_PIXELS, MISFIT_PIXELS = 16, 3
MIN_VARIANCE = 25.0  # grey levels squared: a patch that is flatter in both pictures says nothing
MIN_COVERED = 0.98  # of a patch, by both pictures
WORTH_A_CLOSER_LOOK = 0.45  # of the coarse patches that agree
COARSE_CORRELATION, FINE_CORRELATION = 0.6, 0.75
MAX_CONTRAST_CHANGE = 1.2  # log of a patch's variance ratio, beyond that of the whole picture
WORTH_TONING, TONED_DIFFERING, TONED_SHARE = 0.04, 0.02, 0.9
PHOTO_TEXTURE, PHOTO_AGREEMENT = 0.85, 0.97  # a photograph: nearly no flat patch; then the coarse look suffices

_TRANSPARENT = ("RGBA", "LA", "PA", "P", "La", "RGBa")
_TO_UNIT = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # pixels are counted at their centres
_PROBES = (np.arange(64) + 0.5) / 64
VERSION = "2"

Matrix = NDArray[Any]  # float64, (2, 3) or (3, 3)
Grey = NDArray[Any]  # float32, (height, width)


class Look:
    """A picture as it is compared: at most FINE_AREA_PIXELS of it, smaller greys and keypoints when first needed."""

    def __init__(self, rgb: Rgb) -> None:
        self.rgb = shrink_to_area(rgb, FINE_AREA_PIXELS)

    @functools.cached_property
    def fine(self) -> Grey:
        """Grey, float32 (height, width)."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), np.float32)

    @functools.cached_property
    def coarse(self) -> NDArray[np.uint8]:
        """Grey at COARSE_AREA_PIXELS, uint8 (height, width)."""
        return np.asarray(cv2.cvtColor(shrink_to_area(self.rgb, COARSE_AREA_PIXELS), cv2.COLOR_RGB2GRAY), np.uint8)

    @functools.cached_property
    def keypoints(self) -> tuple[NDArray[np.float32], Roots]:
        """Places (N, 2) in pixels of `coarse`, and RootSIFT descriptors (N, 128)."""
        found, descriptors = cv2.SIFT.create(MAX_KEYPOINTS).detectAndCompute(self.coarse, None)
        if descriptors is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
        return np.array([each.pt for each in found], np.float32).reshape(-1, 2), root_sift(descriptors)


def looks(data: bytes, limits: DecodeLimits) -> list[Look]:
    """Return a picture's looks from its stored bytes: one, or two of a transparent one, on white and opaque.

    Whoever copied it may have been blind to transparency. Returns nothing for what cannot be decoded.
    """
    decoded = decode(data, limits, enough_pixels=FINE_AREA_PIXELS)
    if decoded.rgb is None:
        return []
    found = [Look(decoded.rgb)]
    if decoded.mode in _TRANSPARENT:
        opaque = decode(data, limits, enough_pixels=FINE_AREA_PIXELS, is_opaque=True).rgb
        if opaque is not None and not np.array_equal(opaque, decoded.rgb):
            found.append(Look(opaque))
    return found


@dataclass(frozen=True, kw_only=True)
class _Map:
    """`matrix` (2, 3): pixels of the first picture's coarse grey, mirrored if `is_mirrored`, to the second's."""

    is_mirrored: bool
    matrix: Matrix
    inliers: int | None


def compare(first: Sequence[Look], second: Sequence[Look]) -> Evidence | None:
    """Return the best evidence that any look of `first` shows what any of `second` does, None if there is none."""
    found = [each for a in first for b in second if (each := _compare(a, b)) is not None]
    return max(found, key=lambda each: (-each.differing, each.patches), default=None)


def _compare(first: Look, second: Look) -> Evidence | None:
    best: tuple[float, int, _Map, _Patches] | None = None
    for each in _maps(first, second):
        patches = _coarse_patches(first, second, each)
        if patches is None or patches.compared < MIN_PATCHES:
            continue
        agreement = 1 - float(patches.differs[patches.textured].mean())
        if best is None or (agreement, patches.compared) > best[:2]:
            best = agreement, patches.compared, each, patches
        if agreement >= PHOTO_AGREEMENT:
            break
    if best is None or best[0] < WORTH_A_CLOSER_LOOK:
        return None
    agreement, _, found, patches = best
    if agreement < PHOTO_AGREEMENT or patches.texture < PHOTO_TEXTURE:
        closer = _fine_patches(first, second, found)
        if closer is None or closer.compared < MIN_PATCHES:
            return None
        patches = closer
    evidence = _evidence(first, second, found, patches)
    is_whole = min(evidence.share_first, evidence.share_second) >= TONED_SHARE
    if is_whole and evidence.differing > WORTH_TONING:
        return _toned_evidence(first, second, found) or evidence
    return evidence


def _toned_evidence(first: Look, second: Look, found: _Map) -> Evidence | None:
    """Return the evidence with either picture given the tones of the other, if next to nothing differs then."""
    for toned in ("over", "under"):
        patches = _fine_patches(first, second, found, toned=toned)
        if patches is not None and patches.compared >= MIN_PATCHES:
            evidence = _evidence(first, second, found, patches)
            if evidence.differing <= TONED_DIFFERING:
                return evidence
    return None


# --- maps between two pictures


def _maps(first: Look, second: Look) -> list[_Map]:
    whole = _whole_map(first, second)
    return ([whole] if whole else []) + _keypoint_maps(first, second)


def _whole_map(first: Look, second: Look) -> _Map | None:
    """Return the likeliest of the eight ways to lay the first picture over the second, if it is likely at all."""
    a, b = _thumb(first.coarse), _thumb(second.coarse)
    ways = [(is_mirrored, turns) for is_mirrored in (False, True) for turns in range(4)]
    likeness = [float((np.rot90(a[:, ::-1] if m else a, t) * b).sum()) for m, t in ways]
    best = int(np.argmax(likeness))
    if likeness[best] < MIN_THUMB_CORRELATION:
        return None
    (height, width), (to_height, to_width) = first.coarse.shape, second.coarse.shape
    is_mirrored, turns = ways[best]
    corners = np.array([[0, 0], [to_width, 0], [to_width, to_height], [0, to_height]], np.float32)
    # np.rot90 turns anticlockwise: the first corner goes to the last, and so on.
    target = np.roll(corners, turns, axis=0)[[0, 1, 3]]
    source = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    matrix = cv2.getAffineTransform(source - 0.5, target - np.float32(0.5))
    return _Map(is_mirrored=is_mirrored, matrix=np.asarray(matrix, np.float64), inliers=None)


def _thumb(grey: NDArray[np.uint8]) -> Grey:
    small = cv2.resize(grey, (THUMB_PIXELS, THUMB_PIXELS), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-3))


def _keypoint_maps(first: Look, second: Look) -> list[_Map]:
    found = []
    (places, roots), (to_places, to_roots) = first.keypoints, second.keypoints
    if min(len(places), len(to_places)) < MIN_MATCHES:
        return []
    for is_mirrored in (False, True):
        here, there = _matches(roots[:, MIRRORED] if is_mirrored else roots, to_roots)
        if len(here) < MIN_MATCHES:
            continue
        source = places[here]
        if is_mirrored:
            source[:, 0] = first.coarse.shape[1] - 1 - source[:, 0]
        matrix, inliers = cv2.estimateAffine2D(
            source,
            to_places[there],
            method=cv2.RANSAC,
            ransacReprojThreshold=REPROJECTION_PIXELS,
            maxIters=ROUNDS,
            confidence=CONFIDENCE,
        )
        if matrix is None or inliers.sum() < MIN_INLIERS:
            continue
        ratio = float(np.linalg.det(matrix[:, :2]))
        if not MIN_AREA_RATIO < abs(ratio) < 1 / MIN_AREA_RATIO:
            continue
        if ratio < 0:  # it mirrors again
            flip = np.array([[-1, 0, first.coarse.shape[1] - 1], [0, 1, 0], [0, 0, 1]])
            matrix = matrix @ flip
        is_flipped = is_mirrored ^ (ratio < 0)
        found.append(_Map(is_mirrored=is_flipped, matrix=np.asarray(matrix, float), inliers=int(inliers.sum())))
    return sorted(found, key=lambda each: -(each.inliers or 0))


def _matches(roots: Roots, others: Roots) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of `roots` and of `others` that match: mutually nearest, and far nearer than the next."""
    likeness = roots @ others.T
    rows = np.arange(len(roots))
    nearest, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    best = likeness[rows, nearest].copy()
    likeness[rows, nearest] = -1
    next_best = likeness.max(axis=1)
    is_far_nearer = 2 - 2 * best < MAX_RATIO**2 * (2 - 2 * next_best)  # squared distances of unit vectors
    matched = np.flatnonzero(is_far_nearer & (back[nearest] == rows))
    return matched, nearest[matched]


# --- two pictures laid over each other


@dataclass(frozen=True, kw_only=True)
class _Patches:
    """Patches of the overlap, one value for each: `rows`, `columns` of their grid, whether they are `textured` in
    either picture and, if so, whether they differ; their `correlation` and `colour` difference.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    textured: NDArray[np.bool_]
    differs: NDArray[np.bool_]
    correlation: NDArray[np.float64]
    colour: NDArray[np.float64]

    @property
    def compared(self) -> int:
        return int(self.textured.sum())

    @property
    def texture(self) -> float:
        return float(self.textured.mean()) if len(self.textured) else 0.0


@dataclass(frozen=True, kw_only=True)
class _Overlay:
    """The finer picture `over`, drawn onto the frame of the coarser, `under`: greys (height, width) and colours.

    `mask` (height, width) bool: where both are.
    """

    over: Grey
    under: Grey
    over_rgb: NDArray[Any] | None
    under_rgb: NDArray[Any] | None
    mask: NDArray[np.bool_]


def _overlay(first: Grey, second: Grey, found: Matrix, *, rgbs: tuple[Rgb, Rgb] | None = None) -> _Overlay:
    """Return the pictures in the frame of the one that shows the scene smaller, so that no detail is made up."""
    scale = float(np.sqrt(abs(np.linalg.det(found[:, :2]))))
    over, under, matrix = first, second, found
    over_rgb, under_rgb = rgbs or (None, None)
    if scale > 1:
        over, under, over_rgb, under_rgb = second, first, under_rgb, over_rgb
        matrix, scale = cv2.invertAffineTransform(found), 1 / scale
    if scale < 0.95:
        over = cv2.GaussianBlur(over, (0, 0), max(0.3, 0.5 * float(np.sqrt(1 / scale**2 - 1))))
    size = (under.shape[1], under.shape[0])
    warp = functools.partial(cv2.warpAffine, M=matrix, dsize=size, flags=cv2.INTER_LINEAR)
    covered = warp(np.ones(over.shape, np.float32)) > 0.99
    return _Overlay(
        over=warp(over, borderMode=cv2.BORDER_REPLICATE),
        under=under,
        over_rgb=None if over_rgb is None else warp(over_rgb, borderMode=cv2.BORDER_REPLICATE),
        under_rgb=under_rgb,
        mask=covered,
    )


def _mirrored(picture: NDArray[Any], is_mirrored: bool) -> NDArray[Any]:
    return np.ascontiguousarray(picture[:, ::-1]) if is_mirrored else picture


def _coarse_patches(first: Look, second: Look, found: _Map) -> _Patches | None:
    """Return the patches at COARSE_AREA_PIXELS, all at once by sums over boxes."""
    grey = _mirrored(first.coarse, found.is_mirrored).astype(np.float32)
    laid = _overlay(grey, second.coarse.astype(np.float32), found.matrix)
    a, b = (cv2.GaussianBlur(each, (0, 0), 1.2) for each in (laid.over, laid.under))
    mean_a, mean_b, covered = _boxes(a), _boxes(b), _boxes(laid.mask.astype(np.float32))
    variance_a = np.maximum(_boxes(a * a) - mean_a**2, 0)
    variance_b = np.maximum(_boxes(b * b) - mean_b**2, 0)
    correlation = (_boxes(a * b) - mean_a * mean_b) / np.sqrt(
        np.maximum(variance_a, 1e-3) * np.maximum(variance_b, 1e-3)
    )
    rows, columns = np.nonzero(covered > MIN_COVERED)
    if len(rows) == 0:
        return None
    at = rows, columns
    return _Patches(
        rows=rows,
        columns=columns,
        textured=np.maximum(variance_a, variance_b)[at] > MIN_VARIANCE,
        differs=correlation[at] < COARSE_CORRELATION,
        correlation=correlation[at].astype(np.float64),
        colour=np.abs(mean_a - mean_b)[at].astype(np.float64),
    )


def _boxes(picture: Grey) -> Grey:
    """Return the mean of each whole patch, (rows, columns)."""
    half = PATCH_PIXELS // 2
    means = cv2.boxFilter(picture, -1, (PATCH_PIXELS, PATCH_PIXELS), normalize=True, borderType=cv2.BORDER_REFLECT)
    return np.asarray(means[half::PATCH_PIXELS, half::PATCH_PIXELS])


def _fine_patches(first: Look, second: Look, found: _Map, *, toned: str = "") -> _Patches | None:
    """Return the patches at FINE_AREA_PIXELS, each where it fits best within MISFIT_PIXELS.

    `toned`: which side, `over` or `under`, is given the tones of the other first.
    """
    matrix = _scale(second.fine.shape, second.coarse.shape) @ _square(found.matrix)
    matrix = (matrix @ np.linalg.inv(_scale(first.fine.shape, first.coarse.shape)))[:2]
    rgb = _mirrored(first.rgb, found.is_mirrored)
    laid = _overlay(_mirrored(first.fine, found.is_mirrored), second.fine, matrix, rgbs=(rgb, second.rgb))
    a, b = (cv2.GaussianBlur(each, (0, 0), 1.0) for each in (laid.over, laid.under))
    if toned == "over":
        a = _toned(a, b, laid.mask)
    elif toned == "under":
        b = _toned(b, a, laid.mask)
    covered = cv2.integral(laid.mask.astype(np.uint8))
    measured = []
    room, step = MISFIT_PIXELS, PATCH_PIXELS
    for top in range(room, a.shape[0] - step - room + 1, step):
        for left in range(room, a.shape[1] - step - room + 1, step):
            up, down, west, east = top - room, top + step + room, left - room, left + step + room
            inside = covered[down, east] - covered[up, east] - covered[down, west] + covered[up, west]
            if inside < MIN_COVERED * (step + 2 * room) ** 2:
                continue
            one, other = a[top : top + step, left : left + step], b[top : top + step, left : left + step]
            variances = float(one.var()), float(other.var())
            correlation = 1.0
            if max(variances) > MIN_VARIANCE:
                patch, around = (one, b) if variances[0] >= variances[1] else (other, a)
                correlation = float(cv2.matchTemplate(around[up:down, west:east], patch, cv2.TM_CCOEFF_NORMED).max())
            measured.append((top // step, left // step, *variances, correlation))
    if not measured:
        return None
    rows, columns, variance_a, variance_b, correlations = np.array(measured).T
    textured = np.maximum(variance_a, variance_b) > MIN_VARIANCE
    contrast = np.log((variance_a + 20) / (variance_b + 20))
    usual = np.median(contrast[textured]) if textured.any() else 0.0
    differs = textured & ((correlations < FINE_CORRELATION) | (np.abs(contrast - usual) > MAX_CONTRAST_CHANGE))
    rows, columns = rows.astype(np.int64), columns.astype(np.int64)
    return _Patches(
        rows=rows,
        columns=columns,
        textured=textured,
        differs=differs,
        correlation=correlations,
        colour=_colour_differences(laid, rows * step + room, columns * step + room),
    )


def _toned(grey: Grey, like: Grey, mask: NDArray[np.bool_]) -> Grey:
    """Return `grey` with the histogram of `like` under `mask`, as any change of brightness and contrast is undone."""
    shares = np.linspace(0, 100, 257)
    tones, places = np.unique(np.percentile(grey[mask], shares), return_index=True)
    return np.asarray(np.interp(grey, tones, np.percentile(like[mask], shares)[places]), np.float32)


def _colour_differences(laid: _Overlay, tops: NDArray[np.int64], lefts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the largest difference of a channel's mean over each patch, grey levels."""
    size = (PATCH_PIXELS, PATCH_PIXELS)
    sides = (laid.over_rgb, laid.under_rgb)
    means = [cv2.boxFilter(each, cv2.CV_32F, size, anchor=(0, 0)) for each in sides if each is not None]
    return np.asarray(np.abs(means[0] - means[1]).max(axis=2)[tops, lefts], np.float64)


def _square(matrix: Matrix) -> Matrix:
    return np.vstack([matrix, [0, 0, 1]])


def _scale(to: tuple[int, ...], of: tuple[int, ...]) -> Matrix:
    """Return the map from pixels of a picture of shape `of` to those of its enlargement of shape `to`."""
    return np.asarray(np.linalg.inv(_TO_UNIT) @ np.diag([to[1] / of[1], to[0] / of[0], 1]) @ _TO_UNIT)


# --- what that says


def _evidence(first: Look, second: Look, found: _Map, patches: _Patches) -> Evidence:
    (height, width), (to_height, to_width) = first.coarse.shape, second.coarse.shape
    unit = np.diag([1 / to_width, 1 / to_height, 1]) @ _TO_UNIT @ _square(found.matrix)
    unit = unit @ np.linalg.inv(_TO_UNIT) @ np.diag([width, height, 1])
    share_second = _covered(unit)
    area = abs(float(np.linalg.det(unit[:2, :2])))
    differing = patches.textured & patches.differs
    agreeing = patches.textured & ~patches.differs
    region_share, region_area = _region(patches, differing)
    quiet = patches.colour[~differing]
    return Evidence(
        is_mirrored=found.is_mirrored,
        matrix=tuple(round(float(value), 4) for value in unit[:2].ravel()),
        turn_degrees=round(float(np.degrees(np.arctan2(found.matrix[1, 0], found.matrix[0, 0]))), 1),
        share_first=round(min(1.0, share_second / area), 3),
        share_second=round(share_second, 3),
        inliers=found.inliers,
        patches=patches.compared,
        texture=round(patches.texture, 3),
        differing=round(float(differing.sum()) / patches.compared, 4),
        region_share=round(region_share, 3),
        region_area=round(region_area, 3),
        sameness=round(float(np.percentile(patches.correlation[agreeing], 10)), 3) if agreeing.any() else 0.0,
        colour=round(float(np.percentile(quiet, 90)), 1) if len(quiet) else 255.0,
    )


def _covered(unit: Matrix) -> float:
    """Return the share of the unit square that its image under `unit` covers."""
    # cv2.intersectConvexConvex loses half of a square that lies on itself, so points are counted.
    across, down = np.meshgrid(_PROBES, _PROBES)
    points = np.stack([across.ravel(), down.ravel(), np.ones(across.size)])
    back = (np.linalg.inv(unit) @ points)[:2]
    return float(((back > -0.5 / len(_PROBES)) & (back < 1 + 0.5 / len(_PROBES))).all(axis=0).mean())


def _region(patches: _Patches, differing: NDArray[np.bool_]) -> tuple[float, float]:
    """Return how many of the differing patches lie together, and the share of all patches of their rectangle."""
    count = int(differing.sum())
    if count == 0:
        return 0.0, 0.0
    grid = np.zeros((int(patches.rows.max()) + 3, int(patches.columns.max()) + 3), np.uint8)
    at = patches.rows[differing] + 1, patches.columns[differing] + 1
    grid[at] = 1
    joined = cv2.morphologyEx(np.pad(grid, 1), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    members = np.bincount(labels[at])
    largest = int(members[1:].argmax()) + 1
    box = int(boxes[largest, cv2.CC_STAT_WIDTH]) * int(boxes[largest, cv2.CC_STAT_HEIGHT])
    return float(members[largest]) / count, box / len(patches.rows)
