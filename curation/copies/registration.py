"""Make the map between two images exact by their pixels.

In each patch of 16 × 16 pixels one image is predicted from the other by linear regression on its grey values and
their gradient (Lucas and Kanade, IJCAI 1981). One regression, of all patches at once, gives three things: how well
the patch agrees apart from brightness and contrast, how far it is shifted, in fractions of a pixel, and its contrast.
An affine map is fitted to the shifts, and the next round starts from it.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import Alignment, Matrix, between_sizes, is_plausible, square
from curation.copies.layers import PATCH_PIXELS, Laid, lay
from curation.copies.rendering import Grey, Layer, Rendering

MIN_VARIANCE = 25.0  # grey levels squared: a patch that is flatter in both images proves nothing
BLUR_PIXELS = 1.2
MIN_SHIFTED_PATCHES, MIN_SHIFT_CORRELATION, MAX_SHIFT_PIXELS = 6, 0.5, 3.0
AGREEING_CORRELATION = 0.6
WHOLE_ROUNDS = ((0.5, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 0.0))
ROUNDS = ((0.5, 0.3), (0.5, 0.3), (1.0, 0.3), (1.0, 0.3))
ROUGH_ROUNDS = ((0.25, 0.0), (0.25, 0.2), *[(0.5, 0.3)] * 2, *[(0.5, 0.4)] * 4, *[(1.0, 0.4)] * 3)
"""Parts of the coarse size, and which share of the patches must agree at least there; at most so many rounds each."""
SURE_CORRELATION = 0.9  # no shift would change the answer
RIDGE, MIN_GAIN = 0.02, 0.1
REWEIGHTINGS, STIFFNESS, MIN_ERROR_PIXELS = 2, 0.01, 0.1
SMALL_PIXELS = 0.2
STRIDE = 7  # columns from a patch that is left to that of the next row, so that they are not in one column
ENOUGH_PATCHES = 100  # with texture, to fit a map to


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well `over` predicts `under` in the patches that both have, each (patches,).

    `mean_over`, `mean_under`, `variance_over`, `variance_under`: of grey levels. `correlation`: in [0, 1].
    `shift_x`, `shift_y`: in pixels, from `over` to `under`; 0 where the patch does not agree.
    """

    mean_over: Grey
    mean_under: Grey
    variance_over: Grey
    variance_under: Grey
    correlation: Grey
    shift_x: Grey
    shift_y: Grey

    @property
    def is_textured(self) -> NDArray[np.bool_]:
        """Whether a patch is not flat in both images."""
        return np.asarray(np.maximum(self.variance_over, self.variance_under) > MIN_VARIANCE)


def correlate_closely(laid: Laid) -> Fit:
    """Return the correlation of each patch, with a shift and the regression where that may matter."""
    (a, mean_over), (b, mean_under) = (_centred(laid.patches(each)) for each in (laid.over, laid.under))
    aa, bb, correlation = _correlation(a, b)
    fitted = Fit(
        mean_over=mean_over,
        mean_under=mean_under,
        variance_over=aa,
        variance_under=bb,
        correlation=correlation,
        shift_x=np.zeros_like(aa),
        shift_y=np.zeros_like(aa),
    )
    at = np.flatnonzero(fitted.is_textured & (correlation < SURE_CORRELATION))
    if len(at):
        some = replace(laid, rows=laid.rows[at], columns=laid.columns[at])
        x, y = (_centred(some.patches(each))[0] for each in gradient(laid.over))
        correlation[at] = np.maximum(correlation[at], _regression(a[at], b[at], x, y)[0])
    return fitted


def fit(laid: Laid) -> Fit:
    """Return the regression of each patch."""
    pictures = (laid.over, laid.under, *gradient(laid.over))
    (a, mean_over), (b, mean_under), (x, _), (y, _) = (_centred(laid.patches(each)) for each in pictures)
    aa, bb, _ = _correlation(a, b)
    correlation, shift_x, shift_y = _regression(a, b, x, y)
    agrees = (correlation > MIN_SHIFT_CORRELATION) & (np.hypot(shift_x, shift_y) < MAX_SHIFT_PIXELS)
    return Fit(
        mean_over=mean_over,
        mean_under=mean_under,
        variance_over=aa,
        variance_under=bb,
        correlation=correlation,
        shift_x=np.where(agrees, shift_x, 0),
        shift_y=np.where(agrees, shift_y, 0),
    )


def gradient(picture: Grey) -> tuple[Grey, Grey]:
    """Return the change of grey levels a pixel to the right, and down."""
    return cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8)


def _centred(patches: Grey) -> tuple[Grey, Grey]:
    """Return `patches` (patches, pixels), which are changed, without their means, and these."""
    means = patches @ np.full(patches.shape[1], 1 / patches.shape[1], np.float32)
    patches -= means[:, None]
    return patches, means


def _correlation(a: Grey, b: Grey) -> tuple[Grey, Grey, Grey]:
    """Return the variances of centred patches in both images, and their correlation where it is positive."""
    aa, bb, ab = (np.vecdot(x, y) / x.shape[1] for x, y in ((a, a), (b, b), (a, b)))
    correlation = np.maximum(ab, 0) / np.sqrt(np.maximum(aa, 1e-3) * np.maximum(bb, 1e-3))
    return aa, bb, np.minimum(correlation, 1)


def _regression(a: Grey, b: Grey, x: Grey, y: Grey) -> tuple[Grey, Grey, Grey]:
    """Return the regression of patches `b` on `a` and its gradient: the multiple correlation, and the shift.

    All are centred, (patches, pixels).
    """
    dots = ((a, a), (b, b), (a, b), (a, x), (a, y), (b, x), (b, y), (x, x), (x, y), (y, y))
    aa, bb, ab, ax, ay, bx, by, xx, xy, yy = (np.vecdot(m, n) / a.shape[1] for m, n in dots)
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
    return correlation, to_x / scale, to_y / scale


@dataclass(frozen=True, kw_only=True)
class Refined:
    """An exact map, and both images and their patches under it in their coarse size."""

    found: Alignment
    laid: Laid
    fitted: Fit


def refine(first: Rendering, second: Rendering, found: Alignment) -> Refined | float:
    """Return `found` with an exact map if enough of the images agrees under it, else the share that does."""
    of = first.coarse.shape, second.coarse.shape
    rounds = WHOLE_ROUNDS if found.inliers is None else ROUGH_ROUNDS if found.is_rough else ROUNDS
    done, texture = 0.0, 0.0
    for step, least in rounds:
        if step <= done:
            continue
        a, b = first.layer(step, is_mirrored=found.is_mirrored), second.layer(step)
        to = a.grey.shape, b.grey.shape
        matrix = between_sizes(found.matrix, of, to)
        laid = lay(a, b, matrix, blur_pixels=BLUR_PIXELS)
        if laid is None:
            continue
        some = _thinned(laid, texture)
        fitted = fit(some)
        share, texture = _agreeing_share(fitted), float(fitted.is_textured.mean())
        if share < least:
            return share
        moved = _affine_of_shifts(some, fitted)
        if moved is not None:
            found = replace(found, matrix=between_sizes(_moved(matrix, moved, laid), to, of))
        if moved is None or _is_small(moved, laid.frame):
            done = step
            if step == 1:
                return Refined(found=found, laid=laid, fitted=correlate_closely(laid))
    a, b = first.layer(1, is_mirrored=found.is_mirrored), second.layer(1)
    laid = lay(a, b, found.matrix, blur_pixels=BLUR_PIXELS)
    return 0.0 if laid is None else Refined(found=found, laid=laid, fitted=correlate_closely(laid))


def _moved(matrix: Matrix, moved: Matrix, laid: Laid) -> Matrix:
    """Return `matrix` (2, 3), under which `laid` was laid, after the patches were `moved` (2, 3)."""
    shift = square(moved)
    better = square(matrix) @ shift if laid.is_swapped else np.linalg.inv(shift) @ square(matrix)
    return np.asarray(better[:2] if is_plausible(better) else matrix)


def exact(first: Layer, second: Layer, matrix: Matrix, rounds: int = 4) -> Matrix:
    """Return `matrix` (2, 3) made exact by the pixels of both pictures, in as many rounds."""
    texture = 0.0
    for _ in range(rounds):
        whole = lay(first, second, matrix, blur_pixels=BLUR_PIXELS)
        if whole is None:
            break
        laid = _thinned(whole, texture)
        fitted = fit(laid)
        moved, texture = _affine_of_shifts(laid, fitted), float(fitted.is_textured.mean())
        if moved is None:
            break
        matrix = _moved(matrix, moved, laid)
        if _is_small(moved, laid.frame):
            break
    return matrix


def _thinned(laid: Laid, texture: float) -> Laid:
    """Return the same images with some of their patches, evenly spread, if there are many more than are needed.

    `texture`: about which share of them is textured. About ENOUGH_PATCHES of those are left.
    """
    step = round(len(laid.rows) * texture / ENOUGH_PATCHES)
    if step <= 1:
        return laid
    at = np.flatnonzero((laid.rows * STRIDE + laid.columns) % step == 0)
    return replace(laid, rows=laid.rows[at], columns=laid.columns[at])


def _agreeing_share(fitted: Fit) -> float:
    """Return the share of the textured patches that agree, 1 without any."""
    agreeing = fitted.correlation[fitted.is_textured] > AGREEING_CORRELATION
    return float(agreeing.mean()) if len(agreeing) else 1.0


def _affine_of_shifts(laid: Laid, fitted: Fit) -> Matrix | None:
    """Return the affine map (2, 3) that the shifts of the patches agree on, by reweighted least squares."""
    at = np.flatnonzero((fitted.shift_x != 0) & fitted.is_textured)
    if len(at) < MIN_SHIFTED_PATCHES:
        return None
    top, left = laid.first
    patches = np.stack([laid.columns[at] + left, laid.rows[at] + top], axis=1)
    places = patches * float(PATCH_PIXELS) + (PATCH_PIXELS - 1) / 2
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
        usual = float(np.partition(errors, len(errors) // 2)[len(errors) // 2])
        weights = trust / (1 + (errors / max(usual, MIN_ERROR_PIXELS)) ** 2)
    linear = solved[:2].T / size
    return np.column_stack([np.eye(2) + linear, solved[2] - linear @ centre])


def _is_small(moved: Matrix, shape: tuple[int, ...]) -> bool:
    """Return whether a map moves no corner of an image of `shape` by more than SMALL_PIXELS."""
    height, width = shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    return bool(np.abs(corners @ moved.T - corners[:, :2]).max() < SMALL_PIXELS)
