"""What a picture looks like as a whole: its colours, and its long straight lines.

Paper, screens and drawings have few colours, much of one grey, and rows without ink; tables, charts and windows have
long horizontal and vertical lines; photographs and posters have neither. The picture is shrunk to the area of a
384-pixel square. It takes about two milliseconds.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.geometry import shrink_to_area
from filters.protocol import Rgb

AREA_PIXELS = 384 * 384
STEP_PIXELS = 16
COLOUR_BITS = 4  # of each channel
WHITE_LEVEL, BLACK_LEVEL = 240, 20
MIN_SLOPE, EDGE_STEP = 60, 80  # of a straight edge, by Sobel's operator; of both directions of any edge
INK_STEP = 24  # grey levels between neighbours where there is ink
EMPTY_SHARE = 0.01  # of a row with ink, at most, for the row to be empty
RUNS_PIXELS = (16, 48, 120)
LEAST_RUN = 0.01  # of a thousand pixels: no line at all


def appearance(rgb: Rgb) -> dict[str, float]:
    """Return what `rgb`, (height, width, 3) uint8, looks like, by name.

    `mean`: grey level, in [0, 1]. `white`, `black`: shares of the picture. `commonest_1` to `commonest_16`: shares of
    the most common of 4,096 colours. `colours`: log of the number of colours that make up nine tenths. `entropy`: of
    the colours, in nats. `saturation`: mean, in [0, 1]. `grey_share`, `grey_level`: share of the most common of 32
    grey levels, and which it is, in [0, 1]. `upright`: share of edges that are horizontal or vertical. `across_16` to
    `across_120`, `down_48`, `down_120`: log of how many of a thousand pixels lie on straight lines of at least so
    many pixels. `empty_rows`: share of rows without ink. `long`: log of the ratio of the sides.
    """
    shown = shrink_to_area(rgb, AREA_PIXELS, step_pixels=STEP_PIXELS, is_quick=True)
    grey = np.asarray(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), np.uint8)
    half = (max(1, shown.shape[1] // 2), max(1, shown.shape[0] // 2))  # enough for shares
    return {
        **_colours(np.asarray(cv2.resize(shown, half, interpolation=cv2.INTER_NEAREST), np.uint8)),
        **_greys(grey),
        **_lines(grey),
        "long": abs(math.log(rgb.shape[1] / rgb.shape[0])),
    }


def _colours(rgb: Rgb) -> dict[str, float]:
    rest = 8 - COLOUR_BITS
    red, green, blue = (np.asarray(channel, np.uint8) for channel in cv2.split(rgb))
    codes = (red >> rest).astype(np.uint16) << 2 * COLOUR_BITS | (green >> rest).astype(np.uint16) << COLOUR_BITS
    counts = np.bincount((codes | blue >> rest).ravel(), minlength=1 << 3 * COLOUR_BITS)
    shares = np.sort(counts)[::-1] / codes.size
    seen = shares[shares > 0]
    saturation = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return {
        **{f"commonest_{count}": float(shares[:count].sum()) for count in (1, 2, 4, 16)},
        "colours": math.log(int((np.cumsum(shares) < 0.9).sum()) + 1),
        "entropy": round(float(-(seen * np.log(seen)).sum()), 6),
        "saturation": cv2.mean(saturation)[0] / 255,
    }


def _greys(grey: NDArray[np.uint8]) -> dict[str, float]:
    levels = np.bincount(grey.ravel(), minlength=256) / grey.size
    coarse = levels.reshape(32, 8).sum(axis=1)
    return {
        "mean": float((levels * np.arange(256)).sum()) / 255,
        "white": float(levels[WHITE_LEVEL + 1 :].sum()),
        "black": float(levels[:BLACK_LEVEL].sum()),
        "grey_share": float(coarse.max()),
        "grey_level": int(coarse.argmax()) / 32,
    }


def _lines(grey: NDArray[np.uint8]) -> dict[str, float]:
    across = cv2.convertScaleAbs(cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=3))
    down = cv2.convertScaleAbs(cv2.Sobel(grey, cv2.CV_16S, 0, 1, ksize=3))
    is_edge = _above(cv2.add(across, down), EDGE_STEP)
    steeper, flatter = cv2.max(across, down), cv2.min(across, down)
    is_upright = cv2.bitwise_and(
        is_edge, _above(cv2.subtract(steeper, cv2.add(cv2.add(flatter, flatter), flatter)), 0)
    )
    flat = cv2.bitwise_and(_above(down, MIN_SLOPE), _above(cv2.subtract(down, cv2.add(across, across)), 0))
    steep = cv2.bitwise_and(_above(across, MIN_SLOPE), _above(cv2.subtract(across, cv2.add(down, down)), 0))
    smooth, ground = cv2.blur(grey, (3, 3)), np.ones((3, 3), np.uint8)
    ink = _above(cv2.subtract(cv2.dilate(smooth, ground), cv2.erode(smooth, ground)), INK_STEP)
    rows = np.asarray(cv2.reduce(ink, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)).ravel() / 255
    return {
        "upright": cv2.countNonZero(is_upright) / (cv2.countNonZero(is_edge) + 50),
        **{f"across_{run}": _on_runs(flat, 1, run) for run in RUNS_PIXELS},
        **{f"down_{run}": _on_runs(steep, run, 1) for run in RUNS_PIXELS[1:]},
        "empty_rows": float((rows < EMPTY_SHARE).mean()),
    }


def _above(values: Any, level: int) -> Any:
    """Return 255 where `values` are above `level`, and 0 elsewhere."""
    return cv2.threshold(values, level, 255, cv2.THRESH_BINARY)[1]


def _on_runs(mask: Any, height: int, width: int) -> float:
    """Return log of the pixels, of a thousand, at which a line of this size in `mask` is centred."""
    if mask.shape[0] < height or mask.shape[1] < width:
        return math.log(LEAST_RUN)
    kept = cv2.countNonZero(cv2.erode(mask, np.ones((height, width), np.uint8)))
    return math.log(1000 * kept / mask.size + LEAST_RUN)
