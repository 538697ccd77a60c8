"""Lay two images over each other, and make the map between them exact by their pixels.

In each patch of 16 × 16 pixels one image is predicted from the other by linear regression on its grey values and
their gradient (Lucas and Kanade, IJCAI 1981). One regression gives three things, by sums over patches that are
computed for whole images at once: how well the patch agrees apart from brightness and contrast, how far it is
shifted, in fractions of a pixel, and its contrast. An affine map is fitted to the shifts, and the next round starts
from it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import Alignment, Matrix, enlargement, is_plausible, mirrored, square
from curation.copies.rendering import Grey, Rendering

PATCH_PIXELS = 16
MIN_VARIANCE = 25.0  # grey levels squared: a patch that is flatter in both images proves nothing
EDGE_PIXELS = 3.0  # so far from its edges, an image is compared
BLUR_PIXELS = 1.2
MIN_SHIFTED_PATCHES, MIN_SHIFT_CORRELATION, MAX_SHIFT_PIXELS = 6, 0.5, 3.0
ROUGH_STEPS, STEPS = (0.25, 0.5, 0.5, 1.0, 1.0, 1.0), (0.5, 1.0)  # of the coarse size, one round at each
SURE_CORRELATION = 0.9  # no shift would change the answer
RIDGE, MIN_GAIN = 0.02, 0.1
REWEIGHTINGS, STIFFNESS, MIN_ERROR_PIXELS = 2, 0.01, 0.1
SMALL_PIXELS = 0.2
HOPEFUL_ROUND, HOPEFUL_CORRELATION, HOPEFUL_SHARE = 3, 0.6, 0.3


@dataclass(frozen=True, kw_only=True)
class Laid:
    """The finer image, `over`, drawn onto the frame of the coarser one, `under`: greys (height, width), float32.

    `covered` (rows, columns): the patches where both images are. `warp` draws another version of the finer image.
    """

    over: Grey
    under: Grey
    covered: NDArray[np.bool_]
    is_swapped: bool
    warp: Any


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well `over` predicts `under` in patches; all arrays have one shape.

    `mean_over`, `mean_under`, `variance_over`, `variance_under`: of grey levels. `correlation`: in [0, 1], multiple.
    `shift_x`, `shift_y`: in pixels, from `over` to `under`; nothing where the patch does not agree.
    """

    mean_over: Grey
    mean_under: Grey
    variance_over: Grey
    variance_under: Grey
    correlation: Grey
    shift_x: Grey
    shift_y: Grey


def lay(first: Grey, second: Grey, matrix: Matrix, *, blur_pixels: float) -> Laid:
    """Return both images, uint8, in the frame of the one that shows the scene smaller: no detail is interpolated."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    over, under, is_swapped = first, second, scale > 1
    if is_swapped:
        over, under = second, first
        matrix, scale = cv2.invertAffineTransform(matrix), 1 / scale
    smooth = max(0.3, 0.5 * float(np.sqrt(1 / scale**2 - 1))) if scale < 0.95 else 0.0
    size = (under.shape[1], under.shape[0])
    warp = functools.partial(cv2.warpAffine, M=matrix, dsize=size, flags=cv2.INTER_LINEAR)

    def drawn(picture: Grey) -> Grey:
        source = cv2.GaussianBlur(picture, (0, 0), smooth) if smooth else picture
        return np.asarray(warp(source, borderMode=cv2.BORDER_REPLICATE))

    sides = [cv2.GaussianBlur(each, (0, 0), blur_pixels).astype(np.float32) for each in (drawn(over), under)]
    covered = _covered(under.shape, over.shape, matrix)
    return Laid(over=sides[0], under=sides[1], covered=covered, is_swapped=is_swapped, warp=drawn)


def _covered(shape: tuple[int, ...], over: tuple[int, ...], matrix: Matrix) -> NDArray[np.bool_]:
    """Return which complete patches of a frame of `shape` are in an image of shape `over`, which `matrix` maps there.

    A patch may be EDGE_PIXELS off where the frame itself ends, and must keep as far from other edges of the image.
    """
    rows, columns = (side // PATCH_PIXELS for side in shape[:2])
    inverse = cv2.invertAffineTransform(matrix)
    margin = EDGE_PIXELS * float(np.sqrt(abs(np.linalg.det(inverse[:, :2]))))
    down, across = np.arange(rows + 1) * float(PATCH_PIXELS), np.arange(columns + 1) * float(PATCH_PIXELS)
    # Near its own edges the frame ends: there, what is inside counts.
    down[0], across[0] = EDGE_PIXELS, EDGE_PIXELS
    down, across = (np.minimum(at, side - EDGE_PIXELS) for at, side in ((down, shape[0]), (across, shape[1])))
    x = inverse[0, 0] * across[None] + inverse[0, 1] * down[:, None] + inverse[0, 2]
    y = inverse[1, 0] * across[None] + inverse[1, 1] * down[:, None] + inverse[1, 2]
    inside = (x >= margin - 1) & (x <= over[1] - margin) & (y >= margin - 1) & (y <= over[0] - margin)
    return np.asarray(inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:])


def correlate(laid: Laid) -> Fit:
    """Return the plain correlation of each complete patch, (rows, columns), which needs no gradient."""
    a, b = laid.over, laid.under
    ma, mb = patch_means(a), patch_means(b)
    aa, bb, ab = (patch_means(x * y) - m * n for x, y, m, n in ((a, a, ma, ma), (b, b, mb, mb), (a, b, ma, mb)))
    aa, bb = np.maximum(aa, 0), np.maximum(bb, 0)
    correlation = np.maximum(ab, 0) / np.sqrt(np.maximum(aa, 1e-3) * np.maximum(bb, 1e-3))
    return Fit(
        mean_over=ma,
        mean_under=mb,
        variance_over=aa,
        variance_under=bb,
        correlation=np.minimum(correlation, 1),
        shift_x=np.zeros_like(aa),
        shift_y=np.zeros_like(aa),
    )


def correlate_closely(laid: Laid) -> Fit:
    """Return the correlation of each complete patch, with a shift and the regression where that may matter."""
    fitted = correlate(laid)
    textured = laid.covered & (np.maximum(fitted.variance_over, fitted.variance_under) > MIN_VARIANCE)
    at = np.nonzero(textured & (fitted.correlation < SURE_CORRELATION))
    if len(at[0]):
        fitted.correlation[at] = np.maximum(fitted.correlation[at], fit_some(laid, *at).correlation)
    return fitted


def fit(laid: Laid) -> Fit:
    """Return the regression of each complete patch, (rows, columns)."""
    return _regression(laid.over, laid.under, *gradient(laid.over), patch_means)


def fit_some(laid: Laid, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Fit:
    """Return the regression of the patches at `rows` and `columns`, (patches,)."""
    whole = [side // PATCH_PIXELS for side in laid.over.shape]

    def chosen(picture: Grey) -> Grey:
        complete = picture[: whole[0] * PATCH_PIXELS, : whole[1] * PATCH_PIXELS]
        return complete.reshape(whole[0], PATCH_PIXELS, whole[1], PATCH_PIXELS)[rows, :, columns]

    pictures = (laid.over, laid.under, *gradient(laid.over))
    over, under, x, y = (chosen(each) for each in pictures)
    return _regression(over, under, x, y, lambda patches: patches.mean(axis=(1, 2)))


def gradient(picture: Grey) -> tuple[Grey, Grey]:
    """Return the change of grey levels a pixel to the right, and down."""
    return cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8)


def _regression(a: Grey, b: Grey, x: Grey, y: Grey, means: Callable[[Grey], Grey]) -> Fit:
    """Return the regression of `b` on `a` and its gradient in each patch, over which `means` takes the mean."""
    ma, mb, mx, my = (means(each) for each in (a, b, x, y))
    aa, bb, ab = means(a * a) - ma * ma, means(b * b) - mb * mb, means(a * b) - ma * mb
    ax, ay, bx, by = means(a * x) - ma * mx, means(a * y) - ma * my, means(b * x) - mb * mx, means(b * y) - mb * my
    xx, xy, yy = means(x * x) - mx * mx, means(x * y) - mx * my, means(y * y) - my * my
    # Without the part that brightness and contrast explain, a 2 × 2 system is left for the shift.
    safe = np.maximum(aa, 1e-3)
    xx, xy, yy = xx - ax * ax / safe, xy - ax * ay / safe, yy - ay * ay / safe
    bx, by = bx - ab * ax / safe, by - ab * ay / safe
    ridge = RIDGE * (xx + yy) + 1e-3
    xx, yy = xx + ridge, yy + ridge
    determinant = xx * yy - xy * xy
    to_x, to_y = (yy * bx - xy * by) / determinant, (xx * by - xy * bx) / determinant
    gain = (ab - to_x * ax - to_y * ay) / safe
    explained = np.maximum(ab * ab / safe + to_x * bx + to_y * by, 0)
    correlation = np.sqrt(np.clip(explained / np.maximum(bb, 1e-3), 0, 1)) * (gain > 0)
    scale = np.where(gain > MIN_GAIN, gain, np.inf)
    shift_x, shift_y = to_x / scale, to_y / scale
    agrees = (correlation > MIN_SHIFT_CORRELATION) & (np.hypot(shift_x, shift_y) < MAX_SHIFT_PIXELS)
    return Fit(
        mean_over=ma,
        mean_under=mb,
        variance_over=np.maximum(aa, 0),
        variance_under=np.maximum(bb, 0),
        correlation=correlation,
        shift_x=np.where(agrees, shift_x, 0),
        shift_y=np.where(agrees, shift_y, 0),
    )


def patch_means(picture: Grey) -> Grey:
    """Return the mean of each complete patch, (rows, columns)."""
    rows, columns = (side // PATCH_PIXELS for side in picture.shape[:2])
    complete = picture[: rows * PATCH_PIXELS, : columns * PATCH_PIXELS]
    return np.asarray(cv2.resize(complete, (columns, rows), interpolation=cv2.INTER_AREA))


def refine(first: Rendering, second: Rendering, found: Alignment) -> tuple[Alignment, Laid, Fit] | None:
    """Return `found` with an exact map if the images agree under it, and the images and patches in their coarse size.

    Returns None if an image is smaller than a patch.
    """
    a, b = mirrored(first.coarse, found.is_mirrored), second.coarse
    hopeful_round = 0 if found.inliers is None else HOPEFUL_ROUND if found.is_rough else 1
    for round_, step in enumerate(ROUGH_STEPS if found.is_rough else STEPS, start=1):
        small, other = (a, b) if step == 1 else (_shrunk(each, step) for each in (a, b))
        to_a, to_b = enlargement(small.shape, a.shape), enlargement(other.shape, b.shape)
        matrix = (to_b @ square(found.matrix) @ np.linalg.inv(to_a))[:2]
        laid = lay(small, other, matrix, blur_pixels=BLUR_PIXELS)
        if min(laid.under.shape) < PATCH_PIXELS:
            continue
        fitted = fit(laid)
        if round_ == hopeful_round and not _is_hopeful(laid, fitted):
            return None
        moved = _affine_of_shifts(laid, fitted)
        if moved is not None:
            better = _moved(matrix, moved, laid)
            found = replace(found, matrix=(np.linalg.inv(to_b) @ square(better) @ to_a)[:2])
            if _is_small(moved, laid.under.shape):
                break
    laid = lay(a, b, found.matrix, blur_pixels=BLUR_PIXELS)
    return None if min(laid.under.shape) < PATCH_PIXELS else (found, laid, correlate_closely(laid))


def _moved(matrix: Matrix, moved: Matrix, laid: Laid) -> Matrix:
    """Return `matrix` (2, 3), under which `laid` was laid, after the patches were `moved` (2, 3)."""
    shift = square(moved)
    better = square(matrix) @ shift if laid.is_swapped else np.linalg.inv(shift) @ square(matrix)
    return np.asarray(better[:2] if is_plausible(better) else matrix)


def exact(first: Grey, second: Grey, matrix: Matrix, rounds: int = 4) -> Matrix:
    """Return `matrix` (2, 3) made exact by the pixels of both pictures, in as many rounds."""
    for _ in range(rounds):
        laid = lay(first, second, matrix, blur_pixels=BLUR_PIXELS)
        moved = _affine_of_shifts(laid, fit(laid)) if min(laid.under.shape) >= PATCH_PIXELS else None
        if moved is None or _is_small(moved, laid.under.shape):
            break
        matrix = _moved(matrix, moved, laid)
    return matrix


def _is_hopeful(laid: Laid, fitted: Fit) -> bool:
    """Return whether enough patches agree that a better map may prove the pair."""
    textured = laid.covered & (np.maximum(fitted.variance_over, fitted.variance_under) > MIN_VARIANCE)
    agreeing = fitted.correlation[textured] > HOPEFUL_CORRELATION
    return bool(agreeing.sum() >= HOPEFUL_SHARE * agreeing.size)


def _shrunk(grey: Grey, step: float) -> Grey:
    size = max(1, round(grey.shape[1] * step)), max(1, round(grey.shape[0] * step))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def _affine_of_shifts(laid: Laid, fitted: Fit) -> Matrix | None:
    """Return the affine map (2, 3) that the shifts of the patches agree on, by reweighted least squares."""
    is_sound = (fitted.shift_x != 0) & laid.covered
    is_sound &= np.maximum(fitted.variance_over, fitted.variance_under) > MIN_VARIANCE
    at = np.nonzero(is_sound)
    if len(at[0]) < MIN_SHIFTED_PATCHES:
        return None
    places = np.stack(at[::-1], axis=1) * float(PATCH_PIXELS) + (PATCH_PIXELS - 1) / 2
    centre, size = places.mean(axis=0), max(float(places.std()), PATCH_PIXELS)
    design = np.column_stack([(places - centre) / size, np.ones(len(places))])
    shifts = np.stack([fitted.shift_x[at], fitted.shift_y[at]], axis=1)
    trust = fitted.correlation[at].astype(np.float64) ** 4
    weights = trust
    for _ in range(REWEIGHTINGS):
        weighted = design * weights[:, None]
        stiff = STIFFNESS * weights.sum() * np.diag([1, 1, 0])  # few patches move, but do not bend, the map
        solved = np.linalg.solve(weighted.T @ design + stiff, weighted.T @ shifts)
        errors = np.hypot(*(design @ solved - shifts).T)
        weights = trust / (1 + (errors / max(float(np.median(errors)), MIN_ERROR_PIXELS)) ** 2)
    linear = solved[:2].T / size
    return np.column_stack([np.eye(2) + linear, solved[2] - linear @ centre])


def _is_small(moved: Matrix, shape: tuple[int, ...]) -> bool:
    """Return whether a map moves no corner of an image of `shape` by more than SMALL_PIXELS."""
    height, width = shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    return bool(np.abs(corners @ moved.T - corners[:, :2]).max() < SMALL_PIXELS)
