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
from curation.copies.rendering import Rendering

CUT_OFF = (3.0, 252.0)  # grey levels
AREA_PIXELS = 128 * 128
MIN_SAMPLES = 64
REWEIGHTINGS, LEVELS = 8, 6.0
STIFFNESS = 1.0  # grey levels squared: colours that hardly vary stay as they are
MIN_OFF_LEVELS, MAX_LEFT = 6.0, 0.5  # by which colours differ before, on average, and the share of that after
MAX_GAIN, MAX_GAIN_RATIO = 3.0, 5.0  # of contrast, in any colour: else one colour has become another

Samples = NDArray[np.float64]
"""RGB in grey levels, (N, 3)."""


def of_same_tones(first: Rendering, second: Rendering, evidence: Evidence) -> tuple[Rendering, Rendering] | None:
    """Return two images that show the same, one with the colours of the other; None if that explains no difference.

    `evidence` has the map between them.
    """
    here, there = _samples(first, second, evidence)
    if len(here) < MIN_SAMPLES:
        return None
    before = float(np.abs(here - there).mean())
    is_first_whole = _cut_off(here) <= _cut_off(there)
    source, target = (here, there) if is_first_whole else (there, here)
    matrix = colour_map(source, target)
    if before < MIN_OFF_LEVELS or np.abs(moved(source, matrix) - target).mean() > MAX_LEFT * before:
        return None
    gains = np.linalg.svd(matrix[:, :3], compute_uv=False)
    if gains[0] > MAX_GAIN or gains[0] > MAX_GAIN_RATIO * gains[2]:
        return None
    return (_coloured(first, matrix), second) if is_first_whole else (first, _coloured(second, matrix))


def colour_map(source: Samples, target: Samples) -> NDArray[np.float64]:
    """Return the affine map of RGB, (3, 4), that most of `source` follows to `target`, apart from what is cut off."""
    design = np.column_stack([source, np.ones(len(source))])
    matrix = np.eye(3, 4)
    matrix[:, 3] = np.median(target - source, axis=0)
    stiff = np.diag([STIFFNESS, STIFFNESS, STIFFNESS, 0])
    for _ in range(REWEIGHTINGS):
        expected = design @ matrix.T
        is_beyond = ((expected > CUT_OFF[1]) & (target > CUT_OFF[1])) | (
            (expected < CUT_OFF[0]) & (target < CUT_OFF[0])
        )
        off = np.linalg.norm(np.where(is_beyond, 0, np.clip(expected, 0, 255) - target), axis=1)
        weights = 1 / (1 + (off / max(LEVELS, float(np.median(off)))) ** 2) / len(source)
        for channel in range(3):
            weighted = design * np.where(is_beyond[:, channel], 0, weights)[:, None]
            prior = stiff @ np.eye(3, 4)[channel]
            right = weighted.T @ target[:, channel] + prior
            matrix[channel] = np.linalg.solve(weighted.T @ design + stiff + np.eye(4) * 1e-6, right)
    return matrix


def moved(samples: Samples, matrix: NDArray[np.float64]) -> Samples:
    """Return colours after an affine map of RGB, (3, 4)."""
    return np.asarray(np.clip(samples @ matrix[:, :3].T + matrix[:, 3], 0, 255))


def _samples(first: Rendering, second: Rendering, evidence: Evidence) -> tuple[Samples, Samples]:
    """Return the colours of places that both images show."""
    over, under = mirrored(first.colours, evidence.is_mirrored), second.colours
    size = tuple(
        max(1, round(side * min(1.0, (AREA_PIXELS / under[..., 0].size) ** 0.5))) for side in under.shape[1::-1]
    )
    to_unit, from_unit = (np.diag([1 / w, 1 / h, 1]) @ TO_UNIT for h, w in (over.shape[:2], size[::-1]))
    matrix = (np.linalg.inv(from_unit) @ square(np.reshape(evidence.matrix, (2, 3))) @ to_unit)[:2]
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    smooth = cv2.GaussianBlur(over, (0, 0), 0.5 / scale) if scale < 1 else over
    drawn = cv2.warpAffine(smooth, matrix, size, flags=cv2.INTER_LINEAR)
    shown = cv2.warpAffine(np.ones(over.shape[:2], np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0
    small = cv2.resize(under, size, interpolation=cv2.INTER_AREA)
    return drawn[shown].astype(np.float64), small[shown].astype(np.float64)


def _cut_off(samples: Samples) -> int:
    return int(((samples < CUT_OFF[0]) | (samples > CUT_OFF[1])).sum())


def _coloured(image: Rendering, matrix: NDArray[np.float64]) -> Rendering:
    def changed(rgb: Any) -> Any:
        return cv2.transform(rgb, matrix)

    return Rendering(changed(image.rgb), points=image.points, read_sharp=lambda: changed(image.sharp()))
