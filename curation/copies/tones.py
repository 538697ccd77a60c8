"""Undo a change of the colours of a whole picture: brightness, contrast, saturation, white balance, grey.

All of these are one affine map of RGB, cut off where a channel ends. It is fitted to what is not cut off, robustly
against what is laid over, and applied to the picture that has lost less, so that both have lost the same.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import TO_UNIT, mirrored, square
from curation.copies.kinds import Evidence
from curation.copies.recolour import LUMA
from curation.copies.rendering import Rendering

CUT_OFF = (3, 252)  # grey levels
MIXED = 8  # of 255 of a sample that is cut off in part
AREA_PIXELS = 128 * 128
MIN_SAMPLES = 64
REWEIGHTINGS, LEVELS = 8, 6.0
STIFFNESS = 1.0  # grey levels squared: colours that hardly vary stay as they are
MIN_OFF_LEVELS, MAX_LEFT = 6.0, 0.5  # by which colours differ before, on average, and the share of that after
MAX_OTHER_HUE, MAX_TINT_LEVELS = 0.3, 16.0  # of the gain, and grey levels
MAX_GAIN, MAX_GAIN_RATIO = 3.0, 5.0  # of contrast, in any colour: else one colour has become another

Samples = NDArray[np.float64]
"""RGB in grey levels, (N, 3)."""


def of_same_tones(
    first: Rendering, second: Rendering, evidence: Evidence
) -> tuple[Rendering, Rendering, bool] | None:
    """Return two images that show the same, one with the colours of the other; None if that explains no difference.

    Also returned: whether only brightness, contrast and saturation differ, so that no hue has become another one.
    `evidence` has the map between the images.
    """
    here, there, cut_here, cut_there = _samples(first, second, evidence)
    if len(here) < MIN_SAMPLES:
        return None
    before = float(np.abs(here - there).mean())
    is_first_whole = cut_here.sum() <= cut_there.sum()
    source, target, is_cut = (here, there, cut_there) if is_first_whole else (there, here, cut_here)
    matrix = colour_map(source, target, is_cut)
    if before < MIN_OFF_LEVELS or np.abs(moved(source, matrix) - target).mean() > MAX_LEFT * before:
        return None
    gains = np.linalg.svd(matrix[:, :3], compute_uv=False)
    if gains[0] > MAX_GAIN or gains[0] > MAX_GAIN_RATIO * gains[2]:
        return None
    toned = (_coloured(first, matrix), second) if is_first_whole else (first, _coloured(second, matrix))
    return *toned, keeps_hues(matrix)


def colour_map(source: Samples, target: Samples, is_cut: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the affine map of RGB, (3, 4), that most of `source` follows to `target`.

    What `is_cut` in a channel of `target`, (N, 3), does not follow it; it need only be beyond where the channel ends.
    """
    design = np.column_stack([source, np.ones(len(source))])
    matrix, weights = np.eye(3, 4), np.ones(len(source))
    stiff = np.diag([STIFFNESS, STIFFNESS, STIFFNESS, 1e-6])
    is_usual = ~is_cut.all(axis=1)
    for _ in range(REWEIGHTINGS):
        for channel in range(3):
            mine = np.where(is_cut[:, channel], 0, weights)
            weighted = design * (mine / max(1e-6, float(mine.sum())))[:, None]
            right = weighted.T @ target[:, channel] + stiff @ np.eye(3, 4)[channel]
            matrix[channel] = np.linalg.solve(weighted.T @ design + stiff, right)
        off = np.linalg.norm(np.where(is_cut, 0, moved(source, matrix) - target), axis=1)
        usual = float(np.median(off[is_usual])) if is_usual.any() else 0.0
        weights = 1 / (1 + (off / max(LEVELS, usual)) ** 2)
    return matrix


def keeps_hues(matrix: NDArray[np.float64]) -> bool:
    """Return whether an affine map of RGB, (3, 4), is nearly one of brightness, contrast and saturation alone."""
    parts = np.stack([np.eye(3).ravel(), np.tile(LUMA, 3)], axis=1)
    weights = np.linalg.lstsq(parts, matrix[:, :3].ravel(), rcond=None)[0]
    left = np.linalg.norm(matrix[:, :3].ravel() - parts @ weights)
    offsets = matrix[:, 3] - matrix[:, 3].mean()
    return bool(weights[0] > 0 and left <= MAX_OTHER_HUE * weights[0] and np.abs(offsets).max() <= MAX_TINT_LEVELS)


def moved(samples: Samples, matrix: NDArray[np.float64]) -> Samples:
    """Return colours after an affine map of RGB, (3, 4)."""
    return np.asarray(np.clip(samples @ matrix[:, :3].T + matrix[:, 3], 0, 255))


def _samples(
    first: Rendering, second: Rendering, evidence: Evidence
) -> tuple[Samples, Samples, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the colours of places that both images show, and in which channels a part of them is cut off, (N, 3)."""
    over, under = mirrored(first.colours, evidence.is_mirrored), second.colours
    size = tuple(
        max(1, round(side * min(1.0, (AREA_PIXELS / under[..., 0].size) ** 0.5))) for side in under.shape[1::-1]
    )
    to_unit, from_unit = (np.diag([1 / w, 1 / h, 1]) @ TO_UNIT for h, w in (over.shape[:2], size[::-1]))
    matrix = (np.linalg.inv(from_unit) @ square(np.reshape(evidence.matrix, (2, 3))) @ to_unit)[:2]
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

    def drawn(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        smooth = cv2.GaussianBlur(picture, (0, 0), 0.5 / scale) if scale < 1 else picture
        return np.asarray(cv2.warpAffine(smooth, matrix, size, flags=cv2.INTER_LINEAR))

    def small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))

    shown = cv2.warpAffine(np.ones(over.shape[:2], np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0
    here, there = drawn(over)[shown].astype(np.float64), small(under)[shown].astype(np.float64)
    return here, there, drawn(_cut_off(over))[shown] > MIXED, small(_cut_off(under))[shown] > MIXED


def _cut_off(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return where a channel is at its end, as 0 or 255."""
    return np.where((rgb <= CUT_OFF[0]) | (rgb >= CUT_OFF[1]), np.uint8(255), np.uint8(0))


def _coloured(image: Rendering, matrix: NDArray[np.float64]) -> Rendering:
    def changed(rgb: Any) -> Any:
        return cv2.transform(rgb, matrix)

    return Rendering(changed(image.rgb), points=image.points, read_sharp=lambda: changed(image.sharp()))
