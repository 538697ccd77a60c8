"""Draw outlines onto pictures: polygons in parts of a picture's sides, so that any size of it can be drawn on."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.protocol import Rgb

SUBPIXEL_BITS = 4
LINE_SHARE = 1 / 640  # of the longer side: thick lines would hide small print
MAX_UNIT = 8.0  # beyond it, corners are cut off: OpenCV counts in 32-bit integers

Quads = NDArray[np.float64]
"""(N, 4, 2): x and y of the corners, from 0 at the left and top edge of a picture to 1 at the right and bottom."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def fit_within(rgb: Rgb, side_pixels: int) -> Rgb:
    """Return `rgb`, (height, width, 3), shrunk until no side is longer than `side_pixels`."""
    height, width = rgb.shape[:2]
    scale = side_pixels / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def outline(rgb: Rgb, quads: Quads, colour: Colour, *, fill: float = 0.0, is_joined: bool = False) -> Rgb:
    """Return a copy of `rgb`, uint8 (height, width, 3), with the outlines of `quads` drawn on it.

    `fill`: how much of the colour lies over what is inside, from 0 to 1. With `is_joined`, quads that touch have one
    outline.
    """
    drawn = rgb.copy()
    if not len(quads):
        return drawn
    height, width = rgb.shape[:2]
    pixels = np.clip(quads, -MAX_UNIT, MAX_UNIT) * [width, height] - 0.5  # pixel coordinates count from their centres
    lines = [np.rint(each * (1 << SUBPIXEL_BITS)).astype(np.int32) for each in pixels]
    bits = SUBPIXEL_BITS
    inside = np.zeros((height, width), np.uint8)
    for each in lines:
        cv2.fillConvexPoly(inside, each, 1, cv2.LINE_8, bits)
    within = inside > 0
    drawn[within] = np.rint((1 - fill) * drawn[within] + fill * np.array(colour, float)).astype(np.uint8)
    if is_joined:
        lines, bits = list(cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]), 0
    thickness = math.ceil(max(height, width) * LINE_SHARE)
    how = cv2.LINE_AA if thickness > 1 else cv2.LINE_8
    cv2.polylines(drawn, lines, True, colour, thickness, how, bits)
    return drawn
