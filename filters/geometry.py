"""Resizing of pictures, and upright crops of their text lines, for all text engines."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.protocol import Rgb

MIN_QUICK_SCALE = 0.6
MIN_BLUR_PIXELS = 0.3
TALL_LINE_RATIO = 1.5  # a line that is this much higher than wide is rotated by 90°, as in PaddleOCR


def shrink_to_area(rgb: Rgb, max_area_pixels: int, *, step_pixels: int = 1, is_quick: bool = False) -> Rgb:
    """Return `rgb` shrunk, never enlarged, to about `max_area_pixels` at most, its sides multiples of `step_pixels`.

    With `is_quick`, a picture that is shrunk only a little is interpolated between four pixels instead of averaged
    over areas, which is five times faster.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, math.sqrt(max_area_pixels / (height * width)))
    longest = max(1, max_area_pixels // step_pixels**2)
    across, down = (min(longest, max(1, round(side * scale / step_pixels))) * step_pixels for side in (width, height))
    if (across, down) == (width, height):
        return rgb
    how = cv2.INTER_AREA if scale < (MIN_QUICK_SCALE if is_quick else 1) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (across, down), interpolation=how), dtype=np.uint8)


def shrink_smoothly(picture: NDArray[np.uint8], max_area_pixels: int, *, step_pixels: int = 1) -> NDArray[np.uint8]:
    """Return what `shrink_to_area` does, several times faster: halved as often as possible, then blurred and sampled.

    `picture` is in grey or in colour, uint8 (height, width, ...).
    """
    height, width = picture.shape[:2]
    scale = math.sqrt(max_area_pixels / (height * width))
    if scale >= 1:
        return picture
    across, down = (_shrunk(side, scale, step_pixels) for side in (width, height))
    while 2 * across <= picture.shape[1] and 2 * down <= picture.shape[0]:
        halves = picture.shape[1] // 2, picture.shape[0] // 2
        even = picture[: 2 * halves[1], : 2 * halves[0]]
        picture = np.asarray(cv2.resize(even, halves, interpolation=cv2.INTER_AREA), np.uint8)
    if picture.shape[:2] == (down, across):
        return picture
    left = math.sqrt(across * down / (picture.shape[0] * picture.shape[1]))
    blurred = cv2.GaussianBlur(picture, (0, 0), max(MIN_BLUR_PIXELS, 0.5 * math.sqrt(1 / left**2 - 1)))
    return np.asarray(cv2.resize(blurred, (across, down), interpolation=cv2.INTER_LINEAR), np.uint8)


def _shrunk(side: int, scale: float, step: int) -> int:
    """Return a side after shrinking, a multiple of `step` unless it is shorter than that."""
    return min(side - side % step, max(1, round(side * scale / step)) * step) if side >= step else side


def crop_line(rgb: Rgb, quad: NDArray[np.float32]) -> Rgb:
    """Return the line inside `quad`, (4, 2) pixels, turned upright, at the scale of the picture."""
    edges = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    width, height = max(1, int(max(edges[0], edges[2]))), max(1, int(max(edges[1], edges[3])))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    turn = cv2.getPerspectiveTransform(np.ascontiguousarray(quad, dtype=np.float32), corners)
    line = cv2.warpPerspective(rgb, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if height >= TALL_LINE_RATIO * width:
        line = np.rot90(line)
    return np.ascontiguousarray(line, dtype=np.uint8)
