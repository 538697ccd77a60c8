"""How much of a picture looks like text, cheap enough for every picture of the web: a millisecond or two.

The picture is made grey and shrunk to the area of a 384-pixel square. Text leaves many thin strokes there:
within a few pixels brightness rises *and* falls, across *and* down, between two levels, on flat ground. A
linear model on an 8-pixel grid says of each cell whether it looks like text (fitted to the boxes of the
PP-OCRv6 detector); a second one weighs the share of such cells with measures of the whole picture. Nothing is
random, and dark on light counts as much as light on dark.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.protocol import Measured, Rgb

VERSION = "1"
MAX_AREA_PIXELS = 384 * 384
MIN_SIDE_PIXELS = 32  # smaller pictures are continued beyond their edges, so that every window fits
CELL_PIXELS = 8
FLAT_STEP = 2  # the largest grey step between neighbours that is no edge
WINDOW_PIXELS = 9
RUN_PIXELS = 13  # at half the scale

Grey = NDArray[np.uint8]
Cells = NDArray[np.float32]

# Fitted by logistic regression: to labelled pictures, to them inverted, pale, noisy and photographed, and to
# drawn shapes, patterns and pages.
CELL_WEIGHTS: Mapping[str, float] = {
    "across": 2.773,
    "down": 0.56,
    "down_squared": -0.513,
    "across_down": 1.023,
    "balance_across": 3.202,
    "balance_down": 1.321,
    "spread": 1.317,
    "flat": -0.934,
    "flat_around": 10.431,
    "flat_around_across": 1.61,
    "flat_spread": 0.892,
}
CELL_BIAS = -5.783
PICTURE_WEIGHTS: Mapping[str, float] = {
    "likely_cells": 0.025,
    "likely_rows": 0.453,
    "entropy": -0.823,
    "flat": 1.432,
    "level": -2.257,
    "steep": -3.915,
    "strokes": -1.126,
    "strokes_on_flat": 0.439,
    "stroked_rows": 1.234,
    "stroked_columns": -0.997,
    "thin_more": 1.344,
    "thin_less": -0.522,
    "likely_cells_squared": -0.141,
    "flat_squared": -7.266,
    "entropy_squared": -5.902,
}
PICTURE_BIAS = 10.358


@dataclass(frozen=True, kw_only=True)
class TextDensity:
    """The `Filter` that fills the column `text_density`."""

    name: str = "text_density"
    version: str = VERSION
    columns: tuple[str, ...] = ("text_density",)

    def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
        """Return `text_density` of `rgb`."""
        return {"text_density": text_density(rgb)}


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Grey steps between neighbours, each (height, width) uint8: how brightness rises and falls."""

    right_up: Grey
    right_down: Grey
    down_up: Grey
    down_down: Grey

    def steepest(self) -> Grey:
        """Return the largest step at each pixel."""
        across, down = cv2.max(self.right_up, self.right_down), cv2.max(self.down_up, self.down_down)
        return _grey(cv2.max(across, down))

    def each(self) -> tuple[Grey, Grey, Grey, Grey]:
        """Return all four."""
        return self.right_up, self.right_down, self.down_up, self.down_down


def text_density(rgb: Rgb) -> float:
    """Return how likely `rgb`, (height, width, 3), is rich in text: in [0, 1], 6 decimals.

    It is meant to miss nothing rather than to be sure: hold low thresholds against it. Raises `ValueError`
    for an array that is no picture.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ValueError(
            f"text_density: got an array {rgb.shape} of {rgb.dtype}; pass a picture (height, width, 3) of uint8"
        )
    grey = _shrunk_grey(rgb)
    steps = _steps(grey)
    if int(steps.steepest().max()) <= FLAT_STEP:
        return 0.0  # nothing at all to see
    features = _picture_features(grey, steps, _cell_chances(_cell_features(grey, steps)))
    weighed = PICTURE_BIAS + sum(weight * features[name] for name, weight in PICTURE_WEIGHTS.items())
    return round(_logistic(weighed), 6)


def _shrunk_grey(rgb: Rgb) -> Grey:
    """Return `rgb` in grey, shrunk, its sides a whole number of cells and one pixel."""
    grey = _grey(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    height, width = grey.shape
    scale = math.sqrt(MAX_AREA_PIXELS / (height * width))
    if scale < 1:
        size = (_whole_cells(width * scale), _whole_cells(height * scale))
        return _grey(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    below, beside = (_whole_cells(side + CELL_PIXELS - 2) - side for side in (height, width))
    return _grey(cv2.copyMakeBorder(grey, 0, max(0, below), 0, max(0, beside), cv2.BORDER_REPLICATE))


def _whole_cells(side_pixels: float) -> int:
    return max(MIN_SIDE_PIXELS, int(side_pixels - 1) // CELL_PIXELS * CELL_PIXELS) + 1


def _steps(grey: Grey) -> _Steps:
    here, right, down = grey[:-1, :-1], grey[:-1, 1:], grey[1:, :-1]
    return _Steps(
        right_up=_grey(cv2.subtract(right, here)),
        right_down=_grey(cv2.subtract(here, right)),
        down_up=_grey(cv2.subtract(down, here)),
        down_down=_grey(cv2.subtract(here, down)),
    )


def _cell_features(grey: Grey, steps: _Steps) -> dict[str, Cells]:
    """Return what a cell and its neighbours look like: (rows, columns) float32 under each name."""
    here = grey[:-1, :-1]
    window = np.ones((WINDOW_PIXELS, WINDOW_PIXELS), dtype=np.uint8)
    flat = _flat(steps.steepest())
    spread = _cells(_grey(cv2.subtract(_grey(cv2.dilate(here, window)), _grey(cv2.erode(here, window)))))
    right_up, right_down, down_up, down_down = (_cells(step) for step in steps.each())
    across, down = np.minimum(right_up, right_down), np.minimum(down_up, down_down)
    log_across, log_down = (np.log(both / (spread + 8) + 0.01) for both in (across, down))
    log_spread = np.log(spread + 8)
    flat_share = _cells(flat) / 255
    flat_around = np.asarray(cv2.blur(flat_share, (5, 5)), dtype=np.float32)
    return {
        "across": log_across,
        "down": log_down,
        "down_squared": log_down**2,
        "across_down": log_across * log_down,
        "balance_across": across / (np.maximum(right_up, right_down) + 1),
        "balance_down": down / (np.maximum(down_up, down_down) + 1),
        "spread": log_spread,
        "flat": flat_share,
        "flat_around": flat_around,
        "flat_around_across": flat_around * log_across,
        "flat_spread": flat_share * log_spread,
    }


def _cell_chances(features: Mapping[str, Cells]) -> Cells:
    """Return the chance that a cell is text, (rows, columns) float32 in [0, 1]."""
    weighed = sum((weight * features[name] for name, weight in CELL_WEIGHTS.items()), start=np.float64(CELL_BIAS))
    return np.asarray(1 / (1 + np.exp(-np.clip(weighed, -30, 30))), dtype=np.float32)


def _picture_features(grey: Grey, steps: _Steps, cell_chances: Cells) -> dict[str, float]:
    """Return what the whole picture looks like, a number under each name."""
    frequency = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.float64) / grey.size
    contrast = _contrast(frequency)
    steepest = steps.steepest()
    flat = _flat(steepest)
    strokes = _strokes(steps, contrast)
    stroked = _above(strokes, 4 * contrast / 255)
    flat_near = _above(_grey(cv2.blur(_halved(flat), (WINDOW_PIXELS, WINDOW_PIXELS))), 100)
    dark, light = _thin_shares(grey, contrast)
    mean_chance = float(cell_chances.mean())
    likely = (cell_chances > 0.7).astype(np.uint8)
    used = frequency[frequency > 0]
    likely_cells = math.log(mean_chance / (1 - mean_chance + 1e-6) + 1e-3)
    entropy, flat_share = float(-(used * np.log2(used)).sum()) / 8, _share(flat)
    return {
        "likely_cells": likely_cells,
        "likely_cells_squared": likely_cells**2,
        "likely_rows": math.log(_share(_opened(likely, 5, 1)) + 0.003),
        "entropy": entropy,
        "entropy_squared": entropy**2,
        "flat": flat_share,
        "flat_squared": flat_share**2,
        "level": 1 - _share(steepest),
        "steep": _share(_above(steepest, 0.25 * contrast)),
        "strokes": _log_share(_share(stroked)),
        "strokes_on_flat": _log_share(_share(_grey(cv2.bitwise_and(stroked, flat_near)))),
        "stroked_rows": _log_share(_share(_opened(stroked, RUN_PIXELS, 1))),
        "stroked_columns": _log_share(_share(_opened(stroked, 1, RUN_PIXELS))),
        "thin_more": _log_share(max(dark, light)),
        "thin_less": _log_share(min(dark, light)),
    }


def _contrast(frequency: NDArray[np.float64]) -> float:
    """Return how many grey levels the middle 98 % of the pixels span, at least 32."""
    lowest, highest = np.searchsorted(np.cumsum(frequency), [0.01, 0.99])
    return max(32.0, float(highest - lowest))


def _strokes(steps: _Steps, contrast: float) -> Grey:
    """Return, at half the scale, how much brightness both rises and falls around, both across and down."""
    cap = np.uint8(contrast / 2)  # so that one steep edge does not count as many strokes
    around = [cv2.blur(_halved(np.minimum(step, cap)), (5, 5)) for step in steps.each()]
    return _grey(cv2.min(cv2.min(around[0], around[1]), cv2.min(around[2], around[3])))


def _thin_shares(grey: Grey, contrast: float) -> tuple[float, float]:
    """Return the shares of pixels in thin dark and in thin light strokes."""
    window = np.ones((5, 5), dtype=np.uint8)
    closed, opened = (cv2.morphologyEx(grey, how, window) for how in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN))
    dark, light = _grey(cv2.subtract(closed, grey)), _grey(cv2.subtract(grey, opened))
    return _share(_above(dark, 0.2 * contrast)), _share(_above(light, 0.2 * contrast))


def _flat(steepest: Grey) -> Grey:
    return _grey(cv2.threshold(steepest, FLAT_STEP, 255, cv2.THRESH_BINARY_INV)[1])


def _above(values: Grey, bound: float) -> Grey:
    """Return 255 where `values` lie above `bound`, else 0."""
    return _grey(cv2.threshold(values, bound, 255, cv2.THRESH_BINARY)[1])


def _share(mask: Grey) -> float:
    return cv2.countNonZero(mask) / mask.size


def _halved(picture: Grey) -> Grey:
    height, width = picture.shape
    return _grey(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def _opened(mask: Grey, width: int, height: int) -> Grey:
    """Return what of `mask` lies in runs of at least `width` by `height`."""
    return _grey(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((height, width), dtype=np.uint8)))


def _cells(picture: Grey) -> Cells:
    """Return the mean of each cell and its eight neighbours, (rows, columns) float32."""
    height, width = picture.shape
    size = (width // CELL_PIXELS, height // CELL_PIXELS)
    means = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.blur(means, (3, 3)), dtype=np.float32)


def _log_share(share: float) -> float:
    return math.log(share + 1e-3)


def _logistic(weighed: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, weighed))))


def _grey(picture: object) -> Grey:
    """Return what OpenCV gave, under its true type."""
    return np.asarray(picture, dtype=np.uint8)
