"""How much of a picture looks like text, measured in three milliseconds, so that every picture can be measured.

The picture is shrunk to the area of a 384-pixel square. For each cell of 8 × 8 pixels, a small convolutional network
gives the log-odds that it is part of a line of text, and the height of that line. Two logistic regressions on this
map and on the picture's colours answer the two questions that Web-SSL put to a VLM: is there any text to read
(`text_presence`), and is it a chart, table or document (`text_density`)?

The network (text_net.onnx) and the weights (text_net.json) are made by scripts/text_net, where their data are named.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.geometry import shrink_to_area
from filters.logistic import sigmoids, weighted_probability
from filters.networks import network_version, open_session, read_network
from filters.protocol import Rgb, TextProbabilities

AREA_PIXELS = 384 * 384
CELL_PIXELS = 8
STEP_PIXELS = 16  # the network's total stride
DECIMALS = 6
HEIGHT_CENTRE = 3.5  # log2 of a line's height where the network returns 0
FLAT_STEP = 4  # largest difference between neighbouring grey levels in a flat area
WHITE_LEVEL = 240  # lowest grey level of white
COLOUR_BITS, COMMON_COLOURS = 4, 4  # bits of each channel; how many colours count
BLOCKS = 8  # a side of the grid on which the spread of text is measured

_NETWORK, _WEIGHTS = "text_net.onnx", "text_net.json"

Grid = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TextMap:
    """Where text seems to be: one value for each cell of 8 × 8 pixels of the shrunken picture.

    `log_odds`, (rows, columns) float32: that the cell is part of a line of text. `heights_pixels`, (rows, columns)
    float32: the height of that line, in pixels of the shrunken picture. Shares of the picture, in [0, 1]:
    `flat_share`, without texture, as paper, screens and drawings have it; `white_share`, white; `common_share`, in
    the four commonest of 4,096 colours.
    """

    log_odds: Grid
    heights_pixels: Grid
    flat_share: float
    white_share: float
    common_share: float

    @property
    def probabilities(self) -> Grid:
        """The probability that a cell is part of a line of text, (rows, columns) float32 in [0, 1]."""
        return sigmoids(self.log_odds)


def version() -> str:
    """Return what the numbers depend on: network and weights by a short sha256, and onnxruntime's version."""
    return network_version("text_net", _NETWORK, _WEIGHTS)


def text_map(rgb: Rgb, *, area_pixels: int = AREA_PIXELS, max_enlargement: float = 1.0) -> TextMap:
    """Return where text seems to be in `rgb`, (height, width, 3) uint8, resized to about `area_pixels`.

    Smaller pictures are enlarged by at most `max_enlargement`. Raises `ValueError` for another shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ValueError(
            f"text_density: got an array {rgb.shape} of {rgb.dtype}; pass a picture (height, width, 3) of uint8"
        )
    enlargement = min(max_enlargement, math.sqrt(area_pixels / (rgb.shape[0] * rgb.shape[1])))
    if enlargement > 1:
        size = [
            max(1, round(side * enlargement / STEP_PIXELS)) * STEP_PIXELS for side in (rgb.shape[1], rgb.shape[0])
        ]
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        area_pixels = max(area_pixels, size[0] * size[1])
    shown = shrink_to_area(rgb, area_pixels, step_pixels=STEP_PIXELS, is_quick=True)
    maps = _session().run(None, {"x": np.ascontiguousarray(shown)[None]})[0][0]
    grey = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
    return TextMap(
        log_odds=maps[0],
        heights_pixels=np.exp2(np.clip(maps[1] + HEIGHT_CENTRE, 1.5, 8)),
        flat_share=_flat_share(grey),
        white_share=_share(cv2.threshold(grey, WHITE_LEVEL, 255, cv2.THRESH_BINARY)[1]),
        common_share=_common_share(shown),
    )


def text_probabilities(features: Mapping[str, float]) -> TextProbabilities:
    """Return both probabilities of a picture with these `map_features`, rounded to 6 decimals."""
    light, heavy = (
        weighted_probability(_weights()[question], features, decimals=DECIMALS) for question in ("light", "heavy")
    )
    return TextProbabilities(light=light, heavy=heavy)


def map_features(found: TextMap) -> dict[str, float]:
    """Return the features of a map that the probabilities are computed from, by name.

    `line`: the highest mean log-odds of three cells in a row or column; `surest`: the mean of the twelve highest
    log-odds; `letters`: log of the area of text in squares of its letters; `area`: log of the share of cells with
    text; `spread`: the share of the blocks of a coarse grid with text; `lines`: log of the number of separate areas
    of text; `tall`: log of the height of the highest lines; `unsure`: the share of cells that are neither clearly
    text nor clearly none; `flat`, `white`, `common`: the shares of the picture that TextMap names.
    """
    odds, probabilities = found.log_odds, found.probabilities
    in_line = max(float(cv2.blur(odds, size).max()) for size in ((3, 1), (1, 3)))
    surest = np.sort(odds, axis=None)[::-1][:12]
    letters = float((probabilities * (probabilities > 0.2) * CELL_PIXELS**2 / found.heights_pixels**2).sum())
    is_text = (probabilities > 0.4).astype(np.float32)
    blocks = cv2.resize(is_text, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    return {
        "line": in_line,
        "surest": float(surest.mean()),
        "letters": math.log(letters + 0.05),
        "area": math.log(float(is_text.mean()) + 1e-3),
        "spread": float((blocks > 0.02).mean()),
        "lines": _log_lines(probabilities),
        "tall": _log_tall(found),
        "unsure": float(((probabilities > 0.15) & (probabilities < 0.6)).mean()),
        "flat": found.flat_share,
        "white": found.white_share,
        "common": found.common_share,
    }


def _log_lines(probabilities: Grid) -> float:
    """Return log(1 + number) of the connected areas of at least two cells that are probably text."""
    mask = (probabilities > 0.5).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return math.log1p(int((stats[1:, cv2.CC_STAT_AREA] >= 2).sum()))


def _log_tall(found: TextMap) -> float:
    """Return the log of the height, in pixels, that a twentieth of the cells with text exceeds; 0 without text."""
    heights = found.heights_pixels[found.log_odds > 0]
    return math.log(float(np.partition(heights, at)[at])) if (at := len(heights) * 19 // 20) or len(heights) else 0.0


def _flat_share(grey: Any) -> float:
    """Return the share of pixels in areas without texture: neighbours differ only by noise and compression."""
    smooth = cv2.blur(grey, (3, 3))
    ground = np.ones((3, 3), np.uint8)
    steps = cv2.subtract(cv2.dilate(smooth, ground), cv2.erode(smooth, ground))
    return _share(cv2.threshold(steps, FLAT_STEP, 255, cv2.THRESH_BINARY_INV)[1])


def _common_share(rgb: Rgb) -> float:
    """Return the share of the pixels that have one of the commonest colours, from every second pixel each way."""
    half = (max(1, rgb.shape[1] // 2), max(1, rgb.shape[0] // 2))
    channels = cv2.split(cv2.resize(rgb, half, interpolation=cv2.INTER_NEAREST))
    red, green, blue = (np.asarray(channel, np.uint8) for channel in channels)
    bits, rest = COLOUR_BITS, 8 - COLOUR_BITS
    codes = (red >> rest).astype(np.uint16) << 2 * bits | (green >> rest).astype(np.uint16) << bits | blue >> rest
    counts = np.bincount(codes.ravel(), minlength=1 << 3 * bits)
    return float(np.partition(counts, -COMMON_COLOURS)[-COMMON_COLOURS:].sum() / codes.size)


def _share(mask: Any) -> float:
    return cv2.countNonZero(mask) / float(mask.size)


@lru_cache(maxsize=1)
def _weights() -> Mapping[str, Mapping[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(read_network(_WEIGHTS))["chances"]
    return found


@lru_cache(maxsize=1)
def _session() -> Any:
    return open_session(read_network(_NETWORK))
