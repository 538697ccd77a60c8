"""Lay two grey pictures over each other, where both are, and take the patches of 16 × 16 pixels of both."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import Matrix, area_ratio
from curation.copies.rendering import Grey, Layer, blurred, reach, spread

PATCH_PIXELS = 16
EDGE_PIXELS = 3.0  # so far from its edges, an image is compared
OBLIQUE = 0.017  # the tangent of a degree
SMOOTH_BELOW = 0.95  # of its size: a picture that is shrunk further is smoothed before


@dataclass(frozen=True, kw_only=True)
class Laid:
    """The finer image, `over`, drawn onto the frame of the coarser one, `under`: greys (height, width), float32.

    The window, `inner`, has the patches that both images have, at `rows` and `columns` of its patches, (patches,).
    Around it are some pixels more, for filters, unless the frame ends there. `first`: row and column of the window's
    first patch in the frame, whose height and width are `frame`. `draw` draws another version of the finer image, of
    the same size, like `over`.
    """

    over: Grey
    under: Grey
    inner: tuple[slice, slice]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    first: tuple[int, int]
    frame: tuple[int, int]
    is_swapped: bool
    draw: Callable[..., Grey]

    @property
    def grid(self) -> tuple[int, int]:
        """How many rows and columns of patches the window has."""
        rows, columns = ((each.stop - each.start) // PATCH_PIXELS for each in self.inner)
        return rows, columns

    def patches(self, picture: Grey) -> Grey:
        """Return the pixels of the patches in a picture like `over`, (patches, PATCH_PIXELS²)."""
        grid = self.grid
        tiles = picture[self.inner].reshape(grid[0], PATCH_PIXELS, grid[1], PATCH_PIXELS)
        return np.asarray(tiles[self.rows, :, self.columns]).reshape(len(self.rows), -1)

    def is_covered(self) -> NDArray[np.bool_]:
        """Return which patches of the window both images have, (rows, columns)."""
        found = np.zeros(self.grid, bool)
        found[self.rows, self.columns] = True
        return found


def lay(first: Layer, second: Layer, matrix: Matrix, *, blur_pixels: float, is_whole: bool = False) -> Laid | None:
    """Return both images in the frame of the one that shows the scene smaller, so that no detail is interpolated.

    Both are blurred by `blur_pixels`, a standard deviation in pixels of the frame. `matrix` (2, 3) maps the first
    image to the second. With `is_whole`, the window is the whole frame. Returns None if they have no patch in common.
    """
    scale = math.sqrt(area_ratio(matrix))
    over, under, is_swapped = first, second, scale > 1
    if is_swapped:
        over, under = second, first
        matrix, scale = cv2.invertAffineTransform(matrix), 1 / scale
    frame = under.grey.shape[:2]
    rows, columns = np.nonzero(_covered(frame, over.grey.shape[:2], matrix))
    if len(rows) == 0:
        return None
    ends = [
        (0, side // PATCH_PIXELS) if is_whole else (int(at.min()), int(at.max()) + 1)
        for at, side in zip((rows, columns), frame, strict=True)
    ]
    (top, _), (left, _) = ends
    window = _Window.of(ends, frame, 2 * PATCH_PIXELS if is_whole else reach(blur_pixels) + 1)
    smooth = max(0.3, round(0.5 * math.sqrt(1 / scale**2 - 1), 1)) if scale < SMOOTH_BELOW else 0.0
    edge = math.ceil((EDGE_PIXELS + window.edge) / scale) + 1
    drawn = _drawn(window, matrix, edge, over.spread(edge, smooth))
    return Laid(
        over=blurred(drawn, blur_pixels),
        under=under.blurred(blur_pixels)[window.outer],
        inner=window.inner,
        rows=rows - top,
        columns=columns - left,
        first=(top, left),
        frame=(frame[0], frame[1]),
        is_swapped=is_swapped,
        draw=functools.partial(_draw, window, matrix, edge),
    )


@dataclass(frozen=True, kw_only=True)
class _Window:
    """A part of a frame with up to `edge` pixels around it, `outer`, and itself in that, `inner`."""

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    edge: int

    @classmethod
    def of(cls, ends: Sequence[tuple[int, int]], frame: tuple[int, ...], edge: int) -> "_Window":
        """Return the window of the patches from the first to before the last of `ends`, down and across."""
        outer, inner = [], []
        for (first, last), side in zip(ends, frame, strict=True):
            start, stop = first * PATCH_PIXELS, last * PATCH_PIXELS
            outer.append(slice(max(0, start - edge), min(side, stop + edge)))
            inner.append(slice(start - outer[-1].start, stop - outer[-1].start))
        return cls(outer=(outer[0], outer[1]), inner=(inner[0], inner[1]), edge=edge)


def _draw(window: _Window, matrix: Matrix, edge: int, picture: Grey) -> Grey:
    return _drawn(window, matrix, edge, spread(picture, edge, 0))


def _drawn(window: _Window, matrix: Matrix, edge: int, wide: Grey) -> Grey:
    """Return a picture under `matrix` (2, 3) in a window; `wide` has its edges repeated, `edge` pixels wide.

    OpenCV can draw what is beyond a picture as at its edges, too, but then takes several times as long.
    """
    down, across = window.outer
    into = matrix.copy()
    into[:, 2] -= matrix[:, :2].sum(axis=1) * edge + (across.start, down.start)
    size = across.stop - across.start, down.stop - down.start
    return np.asarray(cv2.warpAffine(wide, into, size, flags=cv2.INTER_LINEAR))


def _covered(shape: tuple[int, ...], over: tuple[int, ...], matrix: Matrix) -> NDArray[np.bool_]:
    """Return which complete patches of a frame of `shape` are in an image of shape `over`, which `matrix` maps there.

    A patch may be EDGE_PIXELS off where the frame itself ends, and must keep as far from other edges of the image. If
    the image is turned, it must keep that far from the edges of the frame, too: its corners may have been filled.
    """
    rows, columns = (side // PATCH_PIXELS for side in shape[:2])
    inverse = cv2.invertAffineTransform(matrix)
    margin = EDGE_PIXELS * math.sqrt(area_ratio(inverse))
    down, across = np.arange(rows + 1) * float(PATCH_PIXELS), np.arange(columns + 1) * float(PATCH_PIXELS)
    # Near its own edges the frame ends: there, what is inside counts.
    down[0], across[0] = EDGE_PIXELS, EDGE_PIXELS
    down, across = (np.minimum(at, side - EDGE_PIXELS) for at, side in ((down, shape[0]), (across, shape[1])))
    x = inverse[0, 0] * across[None] + (inverse[0, 1] * down[:, None] + inverse[0, 2])
    y = inverse[1, 0] * across[None] + (inverse[1, 1] * down[:, None] + inverse[1, 2])
    inside = (x >= margin - 1) & (x <= over[1] - margin) & (y >= margin - 1) & (y <= over[0] - margin)
    covered = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
    if np.abs(inverse[0, :2]).min() > OBLIQUE * np.abs(inverse[0, :2]).max():
        whole = [int(side - EDGE_PIXELS) // PATCH_PIXELS for side in shape[:2]]
        for each in (np.s_[:1], np.s_[:, :1], np.s_[whole[0] :], np.s_[:, whole[1] :]):
            covered[each] = False
    return np.asarray(covered)


def sharpness(grey: Grey) -> float:
    """Return the share of the contrast of an image that is between neighbouring pixels."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) / max(1.0, float(grey.std()))
