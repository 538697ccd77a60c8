"""Lay two images over each other and compare them patch by patch, by normalised cross-correlation."""

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import Alignment, Matrix, enlargement, square
from curation.copies.rendering import Grey, Rendering
from filters.protocol import Rgb

PATCH_PIXELS, MISFIT_PIXELS = 16, 3
MIN_VARIANCE = 25.0  # grey levels squared: a patch that is flatter in both images proves nothing
MIN_COVERED = 0.98  # of a patch, by both images
COARSE_CORRELATION, FINE_CORRELATION = 0.6, 0.75
MAX_CONTRAST_CHANGE = 1.2  # log of a patch's variance ratio, beyond that of the whole image


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The patches where both images overlap; all arrays are (patches,).

    `rows`, `columns`: the place in the grid of patches. `textured`: not flat in either image. `differs`: the images
    do not agree, which counts only if the patch is textured. `colour`: the colour difference in grey levels.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    textured: NDArray[np.bool_]
    differs: NDArray[np.bool_]
    correlation: NDArray[np.float64]
    colour: NDArray[np.float64]

    @property
    def compared(self) -> int:
        """How many patches are textured."""
        return int(self.textured.sum())

    @property
    def texture(self) -> float:
        """The share of the patches that are textured, in [0, 1]."""
        return float(self.textured.mean()) if len(self.textured) else 0.0


@dataclass(frozen=True, kw_only=True)
class _Overlay:
    """The finer image, `over`, drawn onto the frame of the coarser one, `under`: greys (height, width) and colours.

    `mask` (height, width) bool: where both images are.
    """

    over: Grey
    under: Grey
    over_rgb: NDArray[Any] | None
    under_rgb: NDArray[Any] | None
    mask: NDArray[np.bool_]


def _overlay(first: Grey, second: Grey, found: Matrix, *, rgbs: tuple[Rgb, Rgb] | None = None) -> _Overlay:
    """Return both images in the frame of the one that shows the scene smaller, so that no detail is interpolated."""
    scale = float(np.sqrt(abs(np.linalg.det(found[:, :2]))))
    over, under, matrix = first, second, found
    over_rgb, under_rgb = rgbs or (None, None)
    if scale > 1:
        over, under, over_rgb, under_rgb = second, first, under_rgb, over_rgb
        matrix, scale = cv2.invertAffineTransform(found), 1 / scale
    if scale < 0.95:
        over = cv2.GaussianBlur(over, (0, 0), max(0.3, 0.5 * float(np.sqrt(1 / scale**2 - 1))))
    size = (under.shape[1], under.shape[0])
    warp = functools.partial(cv2.warpAffine, M=matrix, dsize=size, flags=cv2.INTER_LINEAR)
    covered = warp(np.ones(over.shape, np.float32)) > 0.99
    return _Overlay(
        over=warp(over, borderMode=cv2.BORDER_REPLICATE),
        under=under,
        over_rgb=None if over_rgb is None else warp(over_rgb, borderMode=cv2.BORDER_REPLICATE),
        under_rgb=under_rgb,
        mask=covered,
    )


def _mirrored(picture: NDArray[Any], is_mirrored: bool) -> NDArray[Any]:
    return np.ascontiguousarray(picture[:, ::-1]) if is_mirrored else picture


def coarse_patches(first: Rendering, second: Rendering, found: Alignment) -> Patches | None:
    """Return the patches of the `coarse` versions, or None without overlap: all at once, by box filters."""
    grey = _mirrored(first.coarse, found.is_mirrored).astype(np.float32)
    laid = _overlay(grey, second.coarse.astype(np.float32), found.matrix)
    a, b = (cv2.GaussianBlur(each, (0, 0), 1.2) for each in (laid.over, laid.under))
    mean_a, mean_b, covered = _boxes(a), _boxes(b), _boxes(laid.mask.astype(np.float32))
    variance_a = np.maximum(_boxes(a * a) - mean_a**2, 0)
    variance_b = np.maximum(_boxes(b * b) - mean_b**2, 0)
    correlation = (_boxes(a * b) - mean_a * mean_b) / np.sqrt(
        np.maximum(variance_a, 1e-3) * np.maximum(variance_b, 1e-3)
    )
    rows, columns = np.nonzero(covered > MIN_COVERED)
    if len(rows) == 0:
        return None
    at = rows, columns
    return Patches(
        rows=rows,
        columns=columns,
        textured=np.maximum(variance_a, variance_b)[at] > MIN_VARIANCE,
        differs=correlation[at] < COARSE_CORRELATION,
        correlation=correlation[at].astype(np.float64),
        colour=np.abs(mean_a - mean_b)[at].astype(np.float64),
    )


def _boxes(picture: Grey) -> Grey:
    """Return the mean of each complete patch, (rows, columns)."""
    half = PATCH_PIXELS // 2
    means = cv2.boxFilter(picture, -1, (PATCH_PIXELS, PATCH_PIXELS), normalize=True, borderType=cv2.BORDER_REFLECT)
    return np.asarray(means[half::PATCH_PIXELS, half::PATCH_PIXELS])


def fine_patches(first: Rendering, second: Rendering, found: Alignment, *, toned: str = "") -> Patches | None:
    """Return the patches of the `fine` versions, each where it fits best within MISFIT_PIXELS; None without overlap.

    `toned`: the image, `over` or `under`, that first gets the histogram of the other one.
    """
    matrix = enlargement(second.fine.shape, second.coarse.shape) @ square(found.matrix)
    matrix = (matrix @ np.linalg.inv(enlargement(first.fine.shape, first.coarse.shape)))[:2]
    rgb = _mirrored(first.rgb, found.is_mirrored)
    laid = _overlay(_mirrored(first.fine, found.is_mirrored), second.fine, matrix, rgbs=(rgb, second.rgb))
    a, b = (cv2.GaussianBlur(each, (0, 0), 1.0) for each in (laid.over, laid.under))
    if toned == "over":
        a = _toned(a, b, laid.mask)
    elif toned == "under":
        b = _toned(b, a, laid.mask)
    covered = cv2.integral(laid.mask.astype(np.uint8))
    measured = []
    room, step = MISFIT_PIXELS, PATCH_PIXELS
    for top in range(room, a.shape[0] - step - room + 1, step):
        for left in range(room, a.shape[1] - step - room + 1, step):
            up, down, west, east = top - room, top + step + room, left - room, left + step + room
            inside = covered[down, east] - covered[up, east] - covered[down, west] + covered[up, west]
            if inside < MIN_COVERED * (step + 2 * room) ** 2:
                continue
            one, other = a[top : top + step, left : left + step], b[top : top + step, left : left + step]
            variances = float(one.var()), float(other.var())
            correlation = 1.0
            if max(variances) > MIN_VARIANCE:
                patch, around = (one, b) if variances[0] >= variances[1] else (other, a)
                correlation = float(cv2.matchTemplate(around[up:down, west:east], patch, cv2.TM_CCOEFF_NORMED).max())
            measured.append((top // step, left // step, *variances, correlation))
    if not measured:
        return None
    rows, columns, variance_a, variance_b, correlations = np.array(measured).T
    textured = np.maximum(variance_a, variance_b) > MIN_VARIANCE
    contrast = np.log((variance_a + 20) / (variance_b + 20))
    usual = np.median(contrast[textured]) if textured.any() else 0.0
    differs = textured & ((correlations < FINE_CORRELATION) | (np.abs(contrast - usual) > MAX_CONTRAST_CHANGE))
    rows, columns = rows.astype(np.int64), columns.astype(np.int64)
    return Patches(
        rows=rows,
        columns=columns,
        textured=textured,
        differs=differs,
        correlation=correlations,
        colour=_colour_differences(laid, rows * step + room, columns * step + room),
    )


def _toned(grey: Grey, like: Grey, mask: NDArray[np.bool_]) -> Grey:
    """Return `grey` with the histogram of `like` under `mask`, which undoes changes of brightness and contrast."""
    shares = np.linspace(0, 100, 257)
    tones, places = np.unique(np.percentile(grey[mask], shares), return_index=True)
    return np.asarray(np.interp(grey, tones, np.percentile(like[mask], shares)[places]), np.float32)


def _colour_differences(laid: _Overlay, tops: NDArray[np.int64], lefts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each patch the largest difference between the means of a channel, in grey levels."""
    size = (PATCH_PIXELS, PATCH_PIXELS)
    sides = (laid.over_rgb, laid.under_rgb)
    means = [cv2.boxFilter(each, cv2.CV_32F, size, anchor=(0, 0)) for each in sides if each is not None]
    return np.asarray(np.abs(means[0] - means[1]).max(axis=2)[tops, lefts], np.float64)
