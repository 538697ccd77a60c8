"""Find the places where two pictures of one page show different things: another digit, word, line or bar.

Both pictures are laid over each other at a size at which letters are legible. Around each place one is predicted from
the other by linear regression on its grey values, gradient and Laplacian, which explains what scanning and encoding
change: tone, shade, a fraction of a pixel, sharpness. What is left in cells of 8 × 8 pixels is then noise, of which
each pair has its own amount, or another content, which stands out from it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import Alignment, enlargement, mirrored, square
from curation.copies.registration import Laid, exact, lay
from curation.copies.rendering import Grey, Rendering

CELL_PIXELS, WINDOW_CELLS, GRID_CELLS = 8, 7, 3
BLUR_PIXELS = 0.7


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Cells of the overlap, (rows, columns), in grey levels squared.

    `left`: what the prediction leaves. `energy`: the variance in the picture where it is larger. `covered`: by both.
    """

    left: Grey
    energy: Grey
    covered: NDArray[np.bool_]


def sharp_residuals(first: Rendering, second: Rendering, found: Alignment) -> Residuals | None:
    """Return what differs between two pictures at their sharp size; None if they hardly overlap."""
    a, b = (cv2.cvtColor(each.sharp(), cv2.COLOR_RGB2GRAY) for each in (first, second))
    matrix = enlargement(b.shape, second.coarse.shape) @ square(found.matrix)
    matrix = (matrix @ np.linalg.inv(enlargement(a.shape, first.coarse.shape)))[:2]
    a = mirrored(a, found.is_mirrored)
    matrix = exact(a, b, matrix)
    laid = lay(a, b, matrix, blur_pixels=BLUR_PIXELS)
    return residuals(laid)


def cell_means(picture: Grey) -> Grey:
    rows, columns = (side // CELL_PIXELS for side in picture.shape[:2])
    complete = picture[: rows * CELL_PIXELS, : columns * CELL_PIXELS]
    return np.asarray(cv2.resize(complete, (columns, rows), interpolation=cv2.INTER_AREA))


def residuals(laid: Laid) -> Residuals:
    a, b = laid.over, laid.under
    x, y = cv2.Sobel(a, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(a, cv2.CV_32F, 0, 1, scale=1 / 8)
    features = [np.ones_like(a), a - 128, x, y, cv2.Laplacian(a, cv2.CV_32F, ksize=3, scale=1 / 4)]
    b = b - 128
    n = len(features)
    shape = cell_means(a).shape
    moments = np.empty((n, n, *shape), np.float32)
    for i in range(n):
        for j in range(i, n):
            moments[i, j] = moments[j, i] = cell_means(features[i] * features[j])
    products = np.stack([cell_means(each * b) for each in features])
    power = cell_means(b * b)
    blur = lambda each: cv2.blur(each, (WINDOW_CELLS, WINDOW_CELLS), borderType=cv2.BORDER_REPLICATE)[::GRID_CELLS, ::GRID_CELLS]
    left = np.stack([[blur(moments[i, j]) for j in range(n)] for i in range(n)]).astype(np.float64)
    right = np.stack([blur(each) for each in products]).astype(np.float64)
    left = left.transpose(2, 3, 0, 1) + np.diag([1e-3, 4.0, 2.0, 2.0, 2.0])
    right = right.transpose(2, 3, 0) + np.array([0, 4.0 * 1.0, 0, 0, 0])
    weights = np.linalg.solve(left, right[..., None])[..., 0].astype(np.float32)
    weights = [cv2.resize(weights[..., i], shape[::-1], interpolation=cv2.INTER_LINEAR) for i in range(n)]
    error = power - 2 * sum(w * p for w, p in zip(weights, products))
    for i in range(n):
        for j in range(n):
            error += weights[i] * weights[j] * moments[i, j]
    va = (moments[1, 1] - moments[0, 1] ** 2) * weights[1] ** 2
    vb = power - products[0] ** 2
    rows, columns = shape
    covered = np.repeat(np.repeat(laid.covered, 2, axis=0), 2, axis=1)
    covered = np.pad(covered, ((0, rows - covered.shape[0]), (0, columns - covered.shape[1])))
    return Residuals(left=np.maximum(error, 0), energy=np.maximum(va, vb), covered=covered)
