"""Compare two images patch by patch under a map between them."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import Alignment, between_sizes, mirrored
from curation.copies.layers import PATCH_PIXELS, Laid, lay, sharpness
from curation.copies.recolour import Means
from curation.copies.registration import MIN_VARIANCE, Fit, correlate_closely
from curation.copies.rendering import COLOUR_STEP, Grey, Rendering

FINE_BLUR_PIXELS = 1.0
COARSE_CORRELATION, FINE_CORRELATION = 0.75, 0.75
SOFTENING_PIXELS = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
MAX_EQUAL_GAIN = 2.0  # of contrast
EQUAL_PIXELS, EQUAL_LEVELS = 3, 8.0
SURELY_EQUAL_LEVELS, EQUAL_DEVIATIONS = 1.5, 10.0  # a faint digit stands out from what encoding leaves
MAX_CONTRAST_CHANGE = 1.2  # log of a patch's variance ratio, beyond that of all that agrees


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The patches where both images overlap; all arrays are (patches,).

    `rows`, `columns`: the place in the grid of patches. `textured`: not flat in either image. `differs`: the images
    do not agree, which counts only if the patch is textured. `colours`: mean RGB of both images,
    (patches, 3) each; grey at the coarse size. `laid`: both images, if they were compared as they are in their fine
    size.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    textured: NDArray[np.bool_]
    differs: NDArray[np.bool_]
    correlation: NDArray[np.float64]
    colours: tuple[Means, Means]
    laid: Laid | None = None

    @property
    def compared(self) -> int:
        """How many patches are textured."""
        return int(self.textured.sum())

    @property
    def colour(self) -> NDArray[np.float64]:
        """The largest difference between the means of a channel, in grey levels."""
        return np.asarray(np.abs(self.colours[0] - self.colours[1]).max(axis=1))

    @property
    def texture(self) -> float:
        """The share of the patches that are textured, in [0, 1]."""
        return float(self.textured.mean()) if len(self.textured) else 0.0


def coarse_patches(laid: Laid, fitted: Fit) -> Patches:
    """Return the patches of the `coarse` versions, as `refine` fitted them."""
    over, under = (np.repeat(each[:, None], 3, axis=1) for each in (fitted.mean_over, fitted.mean_under))
    return _patches(laid, fitted, fitted.correlation < COARSE_CORRELATION, (over, under))


def fine_patches(
    first: Rendering, second: Rendering, found: Alignment, *, toned: str = "", is_softened: bool = False
) -> Patches | None:
    """Return the patches of the `fine` versions; None without overlap.

    `toned`: the image, `over` or `under`, that first gets the histogram of the other one. With `is_softened`, the
    sharper image is blurred before until it is as soft as the other one.
    """
    as_is = lay_fine(first, second, found)
    if as_is is None:
        return None
    laid = _softened(as_is) if is_softened else as_is
    laid = _toned(laid, toned) if toned else laid
    fitted = correlate_closely(laid)
    textured = fitted.is_textured
    contrast = np.log((fitted.variance_over + 20) / (fitted.variance_under + 20))
    agreeing = textured & (fitted.correlation >= FINE_CORRELATION)
    usual = np.median(contrast[agreeing]) if agreeing.any() else 0.0
    differs = (fitted.correlation < FINE_CORRELATION) | (np.abs(contrast - usual) > MAX_CONTRAST_CHANGE)
    patches = _patches(laid, fitted, textured & differs, _colours(first, second, found, laid))
    return replace(patches, laid=laid) if laid is as_is else patches


def lay_fine(first: Rendering, second: Rendering, found: Alignment) -> Laid | None:
    """Return the `fine` versions laid over each other; None without overlap."""
    coarse, fine = (first.coarse.shape, second.coarse.shape), (first.fine.shape, second.fine.shape)
    a, b = first.layer(None, is_mirrored=found.is_mirrored), second.layer(None)
    return lay(a, b, between_sizes(found.matrix, coarse, fine), blur_pixels=FINE_BLUR_PIXELS)


def looks_equal(laid: Laid) -> bool:
    """Return whether two images have the same grey everywhere, but for one change of brightness and contrast.

    Then no letter differs that is legible, even if it is so small that its patch agrees: nothing stands out.
    """
    over, under = (laid.patches(each).ravel() for each in (laid.over, laid.under))
    means = over.mean(), under.mean()
    off = over - means[0]
    gain = float(off @ under) / max(float(off @ off), MIN_VARIANCE)
    if not 1 / MAX_EQUAL_GAIN <= gain <= MAX_EQUAL_GAIN:
        return False  # one may show hardly anything of the other
    left = cv2.addWeighted(laid.over, gain, laid.under, -1, float(means[1] - gain * means[0]))
    usual = float(laid.patches(left).std())
    left = laid.patches(cv2.blur(left, (EQUAL_PIXELS, EQUAL_PIXELS)))
    most = max(float(left.max()), -float(left.min()))
    return most <= min(EQUAL_LEVELS, max(SURELY_EQUAL_LEVELS, EQUAL_DEVIATIONS * usual))


def _patches(laid: Laid, fitted: Fit, differs: NDArray[np.bool_], colours: tuple[Grey, Grey]) -> Patches:
    return Patches(
        rows=laid.rows + laid.first[0],
        columns=laid.columns + laid.first[1],
        textured=fitted.is_textured,
        differs=differs,
        correlation=fitted.correlation.astype(np.float64),
        colours=(colours[0].astype(np.float64), colours[1].astype(np.float64)),
    )


def _colours(first: Rendering, second: Rendering, found: Alignment, laid: Laid) -> tuple[Grey, Grey]:
    """Return the mean colours of both images in each patch, float32 (patches, 3)."""
    rows, columns = (side // PATCH_PIXELS for side in laid.frame)
    over, under = mirrored(first.colours, found.is_mirrored), second.colours
    matrix = between_sizes(found.matrix, (first.coarse.shape, second.coarse.shape), (over.shape, under.shape))
    if laid.is_swapped:
        over, under, matrix = under, over, cv2.invertAffineTransform(matrix)
    size = under.shape[1::-1]
    drawn = cv2.warpAffine(over, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    complete = np.s_[: rows * PATCH_PIXELS // COLOUR_STEP, : columns * PATCH_PIXELS // COLOUR_STEP]
    sides = [np.asarray(each[complete], np.float32) for each in (drawn, under)]
    means = [np.asarray(cv2.resize(each, (columns, rows), interpolation=cv2.INTER_AREA)) for each in sides]
    at = laid.rows + laid.first[0], laid.columns + laid.first[1]
    return means[0][at], means[1][at]


def _softened(laid: Laid) -> Laid:
    """Return both images, the sharper one blurred until it is about as soft as the other."""
    is_over = sharpness(laid.over) > sharpness(laid.under)
    sharp, soft = (laid.over, laid.under) if is_over else (laid.under, laid.over)
    blurred = sharp
    for pixels in SOFTENING_PIXELS:
        if sharpness(blurred) <= sharpness(soft):
            break
        blurred = cv2.GaussianBlur(sharp, (0, 0), pixels)
    return replace(laid, over=blurred) if is_over else replace(laid, under=blurred)


def _toned(laid: Laid, which: str) -> Laid:
    """Return both images, one with the histogram of the other where both are: undoes changes of tone."""
    grey, like = (laid.over, laid.under) if which == "over" else (laid.under, laid.over)
    shares = [_shares(laid.patches(each)) for each in (grey, like)]
    levels = np.interp(shares[0], shares[1], np.arange(256.0)).astype(np.float32)
    below = np.clip(grey, 0, 254).astype(np.uint8)  # between two levels, their images are interpolated
    start, step = levels[below], np.diff(levels)[below]
    return replace(laid, **{which: start + (grey - below) * step})


def _shares(grey: Grey) -> NDArray[np.float64]:
    """Return for each of 256 levels the share of the pixels that are darker or equal, strictly increasing."""
    counts = cv2.calcHist([np.rint(grey).astype(np.uint8)], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    counts += 1e-6
    return np.asarray(np.cumsum(counts) / counts.sum())
