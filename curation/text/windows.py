"""Choose the parts of an image that a text detector gets: the windows where the density map shows text.

A word on a shop sign covers a hundredth of a photograph. To detect in that hundredth at twice its size costs less
than in the whole image at half its size, and finds more. If text is everywhere, the whole image is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from filters.protocol import Boxes, Rgb
from filters.text_density import TextMap

MAX_WINDOWS = 3
MAX_ENLARGEMENT = 2.0
MIN_PROBABILITY, MIN_SHARE_OF_SUREST = 0.06, 0.3  # of the density map: cells above both belong to a window
MARGIN_CELLS = 3  # a detector also needs the surroundings of text
MIN_MASS_SHARE = 0.75  # of the text in the map: if the windows contain less, the whole image is used
MAX_AREA_SHARE = 0.6  # of the image: if the windows cover more, the whole image is used
LONG_ASPECT, TILE_ASPECT, MAX_TILES = 2.5, 1.5, 2
MIN_TILED_SCALE = 0.6  # a long window shrunk below this loses small print: its densest tiles are used instead
STEP_PIXELS = 32


@dataclass(frozen=True, kw_only=True, order=True)
class Window:
    """A rectangle of an image, in pixels; `right` and `bottom` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area_pixels(self) -> int:
        """The area of the window."""
        return (self.bottom - self.top) * (self.right - self.left)

    @property
    def aspect(self) -> float:
        """The longer side divided by the shorter one."""
        height, width = self.bottom - self.top, self.right - self.left
        return max(height, width) / min(height, width)

    def join(self, other: "Window") -> "Window":
        """Return the smallest window around both."""
        return Window(
            top=min(self.top, other.top),
            left=min(self.left, other.left),
            bottom=max(self.bottom, other.bottom),
            right=max(self.right, other.right),
        )

    def overlaps(self, other: "Window") -> bool:
        """Return whether both have a pixel in common."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )


@dataclass(frozen=True, kw_only=True)
class View:
    """The input of a detector: the scaled `pixels` of one `window` of an image."""

    pixels: Rgb
    window: Window

    @property
    def size(self) -> tuple[Window, int, int]:
        """The window, and the height and width of its pixels. Views of one image with equal sizes are equal."""
        return self.window, self.pixels.shape[0], self.pixels.shape[1]

    def place(self, boxes: Boxes) -> Boxes:
        """Return `boxes`, which were found in this view, in the coordinates of the image."""
        height, width = self.pixels.shape[:2]
        ratio = ((self.window.right - self.window.left) / width, (self.window.bottom - self.window.top) / height)
        corner = np.array([self.window.left, self.window.top], dtype=np.float32)
        return Boxes(quads=boxes.quads * np.array(ratio, dtype=np.float32) + corner, scores=boxes.scores)


def windows(found: TextMap, height: int, width: int) -> list[Window]:
    """Return at most MAX_WINDOWS ordered windows that contain most of the text seen in an image of this size."""
    whole = [Window(top=0, left=0, bottom=height, right=width)]
    likely = found.probabilities
    rows, columns = likely.shape
    mask = (likely > max(MIN_PROBABILITY, MIN_SHARE_OF_SUREST * float(likely.max()))).astype(np.uint8)
    mask = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), dtype=np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    masses = np.bincount(labels.ravel(), weights=(likely * mask).ravel(), minlength=count)[1:]
    if not len(masses):
        return whole
    best = np.lexsort((np.arange(len(masses)), -masses))[:MAX_WINDOWS]
    if masses[best].sum() < MIN_MASS_SHARE * masses.sum():
        return whole
    across, down = width / columns, height / rows
    chosen: list[Window] = []
    for place in best:
        left, top, wide, high, _ = (int(value) for value in stats[place + 1])
        chosen.append(
            Window(
                top=max(0, math.floor((top - MARGIN_CELLS) * down)),
                left=max(0, math.floor((left - MARGIN_CELLS) * across)),
                bottom=min(height, math.ceil((top + high + MARGIN_CELLS) * down)),
                right=min(width, math.ceil((left + wide + MARGIN_CELLS) * across)),
            )
        )
    apart = _join_overlapping(chosen)
    covered = sum(window.area_pixels for window in apart)
    return whole if covered > MAX_AREA_SHARE * height * width else apart


def _join_overlapping(chosen: Sequence[Window]) -> list[Window]:
    apart: list[Window] = []
    for window in chosen:
        while (other := next((each for each in apart if each.overlaps(window)), None)) is not None:
            apart.remove(other)
            window = window.join(other)  # noqa: PLW2901 - it grows until it overlaps no other
        apart.append(window)
    return sorted(apart)


def views(rgb: Rgb, found: TextMap, *, area_pixels: int) -> list[View]:
    """Return the views of `rgb`, (height, width, 3), that a detector gets: about `area_pixels` in all."""
    used = windows(found, *rgb.shape[:2])
    total = sum(window.area_pixels for window in used)
    scale = math.sqrt(area_pixels / total)
    if scale < MIN_TILED_SCALE and any(window.aspect > LONG_ASPECT for window in used):
        used = [tile for window in used for tile in _tiles(window, rgb.shape, found)]
        scale = math.sqrt(area_pixels / sum(window.area_pixels for window in used))
    return [_view(rgb, window, min(scale, MAX_ENLARGEMENT)) for window in used]


def _tiles(window: Window, shape: tuple[int, ...], found: TextMap) -> list[Window]:
    """Return the densest tiles of a long window, in order; any other window as it is."""
    if window.aspect <= LONG_ASPECT:
        return [window]
    height, width = window.bottom - window.top, window.right - window.left
    is_tall = height > width
    length = round(TILE_ASPECT * min(height, width))
    count = math.ceil(max(height, width) / length)
    starts = np.linspace(0, max(height, width) - length, count).round().astype(int).tolist()
    tiles = [
        Window(top=window.top + s, left=window.left, bottom=window.top + s + length, right=window.right)
        if is_tall
        else Window(top=window.top, left=window.left + s, bottom=window.bottom, right=window.left + s + length)
        for s in starts
    ]
    masses = [_mass(tile, shape, found) for tile in tiles]
    densest = sorted(range(len(tiles)), key=lambda place: (-masses[place], place))[:MAX_TILES]
    return sorted(tiles[place] for place in densest)


def _mass(window: Window, shape: tuple[int, ...], found: TextMap) -> float:
    rows, columns = found.log_odds.shape
    down, across = rows / shape[0], columns / shape[1]
    part = found.probabilities[
        int(window.top * down) : math.ceil(window.bottom * down),
        int(window.left * across) : math.ceil(window.right * across),
    ]
    return round(float(part.sum()), 3)


def _view(rgb: Rgb, window: Window, scale: float) -> View:
    """Return the window at about `scale`. Its sides are multiples of STEP_PIXELS, so that no detector rescales it."""
    pixels = rgb[window.top : window.bottom, window.left : window.right]
    size = [max(1, round(side * scale / STEP_PIXELS)) * STEP_PIXELS for side in (pixels.shape[1], pixels.shape[0])]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return View(pixels=np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8), window=window)
