"""Measure noise, and take it out of two pictures alike, so that what is left of both can be compared.

A filter takes fine texture out along with noise. So it is not the noisy picture alone that is filtered, but both, and
what they show is compared at that loss: a median removes single wrong pixels, and a Gaussian what is random.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.protocol import Rgb

MIN_LEVEL, MAX_LEVEL = 3.0, 64.0  # grey levels; with more, as after dithering, little is left of a picture
MIN_RATIO = 2.0  # to the other picture, whose texture is the same
MEDIAN_PIXELS, BLUR_PIXELS = 3, 1.5
CELL_PIXELS, CALM_SHARE = 16, 0.25  # the calmest cells have the least texture
CLIPPED = (12.0, 243.0)  # grey levels; beyond them noise is cut off
MIN_CELLS = 4
# Blind to planes and edges along an axis: Immerkaer, Computer Vision and Image Understanding 64:2, 1996.
MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
TO_DEVIATION = float(np.sqrt(np.pi / 2))  # from the mean absolute value of normally distributed ones


def noise_level(grey: NDArray[Any]) -> float:
    """Return the standard deviation of the noise of a picture, uint8 (height, width), in grey levels."""
    size = tuple(max(1, side // CELL_PIXELS) for side in grey.shape[::-1])
    rough = np.abs(cv2.filter2D(grey, cv2.CV_32F, MASK))
    noise, mean = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (rough, grey))
    inside = (mean > CLIPPED[0]) & (mean < CLIPPED[1])
    return float(np.quantile(noise[inside] if inside.sum() >= MIN_CELLS else noise, CALM_SHARE)) * TO_DEVIATION


def is_noisier(level: float, other: float) -> bool:
    """Return whether a picture with that much noise is a noisy one of what the other picture shows."""
    return MIN_LEVEL <= level <= MAX_LEVEL and level >= MIN_RATIO * other


def smoothed(rgb: Rgb) -> Rgb:
    """Return a picture, (height, width, 3) uint8, without noise and without its finest texture."""
    return np.asarray(cv2.GaussianBlur(cv2.medianBlur(rgb, MEDIAN_PIXELS), (0, 0), BLUR_PIXELS), np.uint8)
