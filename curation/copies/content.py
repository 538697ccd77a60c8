"""Find the places where two pictures of one page show different things: another digit, word, line or bar.

Both pictures are laid over each other at a size at which letters are legible. Around each place one is predicted from
the other by linear regression on its grey values, gradient and Laplacian, which explains what scanning and encoding
change: tone, shade, a fraction of a pixel, sharpness. In cells of 8 × 8 pixels the prediction leaves a few percent of
the contrast of the same letters, and most of it of others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import Alignment, between_sizes, mirrored
from curation.copies.layers import Laid, lay, sharpness
from curation.copies.recolour import robust_line
from curation.copies.registration import exact, gradient
from curation.copies.rendering import Grey, Layer, Rendering

CELL_PIXELS = 8
WINDOW_CELLS, GRID_CELLS = 7, 3  # the regression's window, and how far its centres are apart
BLUR_PIXELS, LETTER_BLUR_PIXELS = 0.7, 2.0  # the second leaves what is as wide as a letter's stroke
RIDGE = np.diag([1e-3, 4.0, 2.0, 2.0, 2.0])  # grey levels squared: where nothing has contrast, nothing is predicted
NOISE_VARIANCE = 60.0
NOISE_FACTOR, MAX_LEFT = 10.0, (0.2, 0.6)  # what differs must stand out so far from the median cell, within limits
MIN_CELLS, SURE_LEFT = 2, 0.3  # a single cell counts if more is not explained
MIN_CONTRAST_VARIANCE = 80.0
FAINT_VARIANCE, SAME_COLOUR = 30.0, 8.0  # enough contrast where tones are the same: colours within so many levels
GROUND_PIXELS, MIN_INK_LEVELS = 31, 24.0  # paper is the median of so many pixels across
STRONG_INK, WEAK_INK = 0.5, 0.25  # of the difference between ink and paper
EDGE_SHARE, FLAT_RATIO = 0.02, 0.1  # so near an edge, what is flat in one picture says nothing
WHOLE_SHARE = 0.98  # of both pictures: else cells at the edge of what they share mix with what is cut off
DARKEST, BRIGHTEST = 3.0, 252.0  # grey levels: what would be beyond them is clipped
FILLED_LEVELS, SURE_LEVELS = 16.0, 32.0  # of grey, by which a flat ground is another one
CLEAR_LEVELS, THING_LEVELS = 16.0, 40.0  # of grey, by which a pixel differs clearly, and a thing from its ground
ADDED_SHARE = 0.4  # of what differs most, in a region where something was only added
MIN_ADDED_PIXELS = 20  # less is a stroke by which a digit became another one
MIN_THING_PIXELS, MIN_REPLACED_PIXELS, MIN_FILLED_CELLS = 8, 20, 4
TEXT_PROBABILITY = 0.2  # of a place that counts as text
NEAR_SHARE = 0.02  # of a side: changed cells so near each other are one region


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Where the content of two pictures differs; all are shares in [0, 1].

    `changed`: of the cells with contrast. `together`: of the changed cells, in the largest region. `area`: of the
    overlap, in the rectangle around that region. `density`: of this rectangle, changed. `kept`: of one picture's ink
    in changed cells, also in the other; 1 if something was only added. `added`: by which one picture has less
    contrast than the other in changed cells. `lettered`: how likely changed cells are text in both pictures, where
    they are in one. `filled`: of this rectangle, flat in both pictures but of another level in each.

    `clear`: of the pixels of changed cells, those that differ clearly. `elsewhere`: the same of the region where that
    is most, besides the largest one and those where something was only added. `on_ground`: of what differs most,
    things of one picture in places where the other shows the ground around them; of the picture with more of them.
    `uncovered`: the same of the other picture, in the region where that is most. What is laid over something uncovers
    nothing; one thing instead of another does. `replaced`: the same, of a place of a letter or two, where that is
    most. `moved`: the same of regions, if one shows ground in one picture, and another one in the other.
    """

    changed: float = 0.0
    together: float = 0.0
    area: float = 0.0
    density: float = 0.0
    kept: float = 1.0
    added: float = 0.0
    lettered: float = 0.0
    filled: float = 0.0
    clear: float = 0.0
    elsewhere: float = 0.0
    on_ground: float = 0.0
    uncovered: float = 0.0
    replaced: float = 0.0
    moved: float = 0.0


def content_changes(first: Rendering, second: Rendering, found: Alignment, colour: float = 255.0) -> Changes | None:
    """Return where two pictures differ under a map, at their sharp size; None if they hardly overlap.

    If nothing else differs, faint letters are compared, too, where tones are the same: if nearly all colours differ
    by less than `colour`, in grey levels. In photographs, whose fine texture noise and compression change, only
    places with text are compared.
    """
    a, b = (np.asarray(cv2.cvtColor(each.sharp(), cv2.COLOR_RGB2GRAY), np.uint8) for each in (first, second))
    matrix = between_sizes(found.matrix, (first.coarse.shape, second.coarse.shape), (a.shape, b.shape))
    layers = Layer(mirrored(a, found.is_mirrored)), Layer(b)
    laid = lay(*layers, exact(*layers, matrix), blur_pixels=BLUR_PIXELS, is_whole=True)
    if laid is None:
        return None
    covered = np.repeat(np.repeat(laid.is_covered(), 2, axis=0), 2, axis=1)  # a patch is 2 × 2 cells
    is_drawn = first.is_drawn or second.is_drawn
    texts = None if is_drawn else _texts(first, second, found, laid, (a.shape, b.shape))
    # The sharper picture predicts the other one, which lacks details.
    sharp, soft = sorted((laid.over, laid.under), key=sharpness, reverse=True)
    left, energy = (each[: covered.shape[0], : covered.shape[1]] for each in _residuals(sharp, soft, covered))
    contrasts = [_variances(cv2.GaussianBlur(each, (0, 0), LETTER_BLUR_PIXELS), covered) for each in (sharp, soft)]
    contrasts[0] *= float(contrasts[1].sum()) / max(1.0, float(contrasts[0].sum()))
    less, more = np.minimum(*contrasts), np.maximum(*contrasts)
    strength, share = np.maximum(energy, more), left / (energy + NOISE_VARIANCE)
    # A scanner lays paper over what is cut off at an edge.
    places = covered & (
        _inside(covered, round(EDGE_SHARE * max(laid.frame) / CELL_PIXELS)) | (less > FLAT_RATIO * more)
    )
    if not _is_whole(first, second, found):
        places &= _inside(covered, 1)
    if texts is not None:
        places &= np.maximum(*texts)[: covered.shape[0], : covered.shape[1]] > TEXT_PROBABILITY
    for least in (MIN_CONTRAST_VARIANCE, FAINT_VARIANCE) if colour <= SAME_COLOUR else (MIN_CONTRAST_VARIANCE,):
        contrast = places & (strength > least)
        if not contrast.any():
            continue
        # What the other one lacks altogether is predicted as nothing.
        share[(contrasts[1] < FLAT_RATIO * contrasts[0]) & (contrasts[0] > least)] = 1
        usual = float(np.median(share[contrast]))
        changed = contrast & (share > np.clip(NOISE_FACTOR * usual, *MAX_LEFT))
        changed &= ~_clipped(laid, changed, covered)
        if changed.sum() >= MIN_CELLS or (share[changed] > SURE_LEFT).any():
            break
    else:
        return Changes()
    texts = texts or _texts(first, second, found, laid, (a.shape, b.shape))
    lettered = min(float(each[: covered.shape[0], : covered.shape[1]][changed].mean()) for each in texts)
    added = _imbalance(*(each[changed] for each in contrasts))
    off, toned = _levels(laid, covered)
    flat = np.where(covered & (strength <= least), off, 0)
    return _summary(changed, contrast, covered, flat, toned, added=added, lettered=lettered)


def _levels(laid: Laid, covered: NDArray[np.bool_]) -> tuple[Grey, Laid]:
    """Return by how much the mean of each cell differs, apart from a change of tone of the whole picture, undone."""
    here, there = (_cell_means(each)[: covered.shape[0], : covered.shape[1]] for each in (laid.over, laid.under))
    gain, offset = robust_line(here[covered], there[covered])
    off = np.clip(gain * here + offset, 0, 255) - there
    return off, replace(laid, over=np.clip(gain * laid.over + offset, 0, 255))


def _inside(covered: NDArray[np.bool_], cells: int) -> NDArray[np.bool_]:
    """Return which cells are covered, and so many around them in each direction."""
    kernel = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
    return np.asarray(cv2.erode(np.pad(covered.astype(np.uint8), 1), kernel)[1:-1, 1:-1] > 0)


def _is_whole(first: Rendering, second: Rendering, found: Alignment) -> bool:
    """Return whether both pictures end where the other one does."""
    height, width = first.coarse.shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float) @ found.matrix.T
    sides = np.array(second.coarse.shape[::-1], float)
    return bool((np.minimum(abs(corners), abs(corners - sides)) < (1 - WHOLE_SHARE) * sides).all())


def _clipped(laid: Laid, changed: NDArray[np.bool_], covered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the `changed` cells are all white or black in a picture, as it was made brighter or darker."""
    found = np.zeros_like(changed)
    at = np.nonzero(changed)
    sides = (laid.over, laid.under)
    means = [_cell_means(each)[: covered.shape[0], : covered.shape[1]][covered] for each in sides]
    for one, other in ((0, 1), (1, 0)):
        gain, offset = robust_line(means[one], means[other])
        here, there = (_cells(sides[side], covered.shape)[at[0], :, at[1]] for side in (one, other))
        lowest, highest = (gain * find(here, axis=(1, 2)) + offset for find in (np.min, np.max))
        level = there.mean(axis=(1, 2))
        found[at] |= (np.minimum(lowest, level) >= BRIGHTEST) | (np.maximum(highest, level) <= DARKEST)
    return found


def _texts(
    first: Rendering, second: Rendering, found: Alignment, laid: Laid, shapes: Sequence[tuple[int, ...]]
) -> tuple[Grey, Grey]:
    """Return how likely each cell is text, of both pictures, which have `shapes` at their sharp size."""
    maps = [mirrored(first.text.probabilities, found.is_mirrored), second.text.probabilities]
    large = [cv2.resize(each, shape[1::-1]) for each, shape in zip(maps, shapes, strict=True)]
    over, under = large[::-1] if laid.is_swapped else large
    return _cell_means(laid.draw(over)), _cell_means(under)


def _variances(grey: Grey, covered: NDArray[np.bool_]) -> Grey:
    """Return the variance of each covered cell, 0 elsewhere."""
    off = grey - 128
    found = _cell_means(off * off) - _cell_means(off) ** 2
    return np.where(covered, np.maximum(found[: covered.shape[0], : covered.shape[1]], 0), 0)


def _cells(picture: Grey, shape: tuple[int, ...]) -> Grey:
    """Return a view of the cells of a grid of `shape`, (rows, CELL_PIXELS, columns, CELL_PIXELS)."""
    complete = picture[: shape[0] * CELL_PIXELS, : shape[1] * CELL_PIXELS]
    return complete.reshape(shape[0], CELL_PIXELS, shape[1], CELL_PIXELS)


def _residuals(first: Grey, second: Grey, covered: NDArray[np.bool_]) -> tuple[Grey, Grey]:
    """Return what predicting `second` by `first` leaves in each covered cell, and the larger of their variances."""
    a, b = first - 128, second - 128
    features = [np.ones_like(a), a, *gradient(a), cv2.Laplacian(a, cv2.CV_32F, scale=1 / 4)]
    count = len(features)

    def means(picture: Grey) -> Grey:
        return np.where(covered, _cell_means(picture)[: covered.shape[0], : covered.shape[1]], 0)

    moments = {(i, j): means(features[i] * features[j]) for i in range(count) for j in range(i, count)}
    products = [means(each * b) for each in features]
    power = means(b * b)
    shape = power.shape
    grid = [[_windows(moments[min(i, j), max(i, j)]) for j in range(count)] for i in range(count)]
    right = np.stack([_windows(each) for each in products], axis=-1)
    right[..., 1] += RIDGE[1, 1]  # without contrast, over is expected to equal under
    solved = np.linalg.solve(np.moveaxis(np.array(grid), (0, 1), (2, 3)) + RIDGE, right[..., None])[..., 0]
    weights = [
        cv2.resize(each.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
        for each in np.moveaxis(solved, -1, 0)
    ]
    left = power - 2 * sum(weight * product for weight, product in zip(weights, products, strict=True))
    for (i, j), moment in moments.items():
        left = left + (1 if i == j else 2) * weights[i] * weights[j] * moment
    predicted = (moments[1, 1] - moments[0, 1] ** 2) * weights[1] ** 2
    return np.maximum(left, 0), np.maximum(predicted, power - products[0] ** 2)


def _cell_means(picture: Grey) -> Grey:
    """Return the mean of each complete cell, (rows, columns)."""
    rows, columns = (side // CELL_PIXELS for side in picture.shape)
    complete = picture[: rows * CELL_PIXELS, : columns * CELL_PIXELS]
    return np.asarray(cv2.resize(complete, (columns, rows), interpolation=cv2.INTER_AREA))


def _windows(cells: Grey) -> NDArray[np.float64]:
    """Return the mean of the cells in the window around each centre."""
    means = cv2.blur(cells, (WINDOW_CELLS, WINDOW_CELLS), borderType=cv2.BORDER_REPLICATE)
    return means[::GRID_CELLS, ::GRID_CELLS].astype(np.float64)


def _summary(
    changed: NDArray[np.bool_],
    contrast: NDArray[np.bool_],
    covered: NDArray[np.bool_],
    flat: Grey,
    toned: Laid,
    **known: float,
) -> Changes:
    """Return what is found of `changed` cells; `flat`: by how much those without contrast differ, 0 elsewhere."""
    reach = 2 * max(2, round(NEAR_SHARE * max(changed.shape))) + 1
    near = cv2.dilate(changed.astype(np.uint8), np.ones((reach, reach), np.uint8))
    regions = np.asarray(cv2.connectedComponents(near)[1], np.int32)
    members = np.bincount(regions[changed])
    rows, columns = np.nonzero(changed & (regions == int(members.argmax())))
    box = np.abs(flat[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]) > FILLED_LEVELS
    count = int(changed.sum())
    things = _things(toned, changed, covered, regions)
    filled = [_blocks(each) for each in (flat, -flat)]
    things["moved"] = max(things["moved"], _exchanged(filled, MIN_FILLED_CELLS))
    return Changes(
        changed=count / int(contrast.sum()),
        together=float(members.max()) / count,
        area=box.size / int(covered.sum()),
        density=len(rows) / box.size,
        filled=float(box.mean()),
        **things,
        **known,
    )


def _blocks(flat: Grey) -> int:
    """Return how many cells are surely brighter, with all around them."""
    return int(cv2.erode((flat > SURE_LEVELS).astype(np.uint8), np.ones((3, 3), np.uint8)).sum())


def _exchanged(counts: Sequence[int], least: int) -> float:
    """Return the ratio of the smaller number to the larger one, 0 if it is less than `least`."""
    return min(counts) / max(counts) if min(counts) >= least else 0.0


def _imbalance(over: Grey, under: Grey) -> float:
    less, more = sorted((float(over.sum()), float(under.sum())))
    return 1 - less / more


def _things(
    laid: Laid, changed: NDArray[np.bool_], covered: NDArray[np.bool_], regions: NDArray[np.int32]
) -> dict[str, float]:
    """Return what `Changes` says of the single pixels in the `changed` cells, which are in `regions`."""
    rows, columns = np.nonzero(changed)
    margin = GROUND_PIXELS // CELL_PIXELS + 1
    part = np.s_[
        max(0, rows.min() - margin) : rows.max() + margin + 1,
        max(0, columns.min() - margin) : columns.max() + margin + 1,
    ]
    pixels = tuple(slice(each.start * CELL_PIXELS, each.stop * CELL_PIXELS) for each in part)
    sides = [each[pixels] for each in (laid.over, laid.under)]
    where, beside, region = (_enlarged(each[part], sides[0].shape) for each in (changed, covered & ~changed, regions))
    grounds = [_ground(each) for each in sides]
    kept = _kept([_ink(*each) for each in zip(sides, grounds, strict=True)], where)
    if beside.any():  # tones may differ from place to place
        shift = np.float32(np.median(sides[1][beside] - sides[0][beside]))
        sides[0], grounds[0] = sides[0] + shift, grounds[0] + shift
    off = np.abs(sides[0] - sides[1])
    only = [
        where & (np.abs(side - ground) > THING_LEVELS) & (np.abs(other - ground) < THING_LEVELS / 2)
        for side, other, ground in zip(sides, sides[::-1], grounds, strict=True)
    ]
    differs = where & (off > THING_LEVELS)
    most = _counted(region, differs)
    counts = [np.minimum(_counted(region, each), most) for each in only]
    alone = [
        np.where((one > other) & (one >= MIN_THING_PIXELS), one / np.maximum(most, 1), 0)
        for one, other in (counts, counts[::-1])
    ]
    count, clear = (_counted(region, each) for each in (where, where & (off > CLEAR_LEVELS)))
    is_only = np.maximum(*counts) * (np.minimum(*counts) == 0)
    is_added = is_only > np.maximum(ADDED_SHARE * most, MIN_ADDED_PIXELS)
    is_main = np.arange(len(count)) == count.argmax()
    elsewhere = np.where(is_main | is_added, 0, clear / np.maximum(count, 1))
    in_region = np.minimum(*counts) / np.maximum(most, MIN_THING_PIXELS)
    nearby = np.minimum(*(_around(each) for each in only))
    replaced = np.where(nearby >= MIN_REPLACED_PIXELS, nearby / np.maximum(_around(differs), 1), 0)
    return {
        "kept": kept,
        "clear": float(clear.sum() / count.sum()),
        "elsewhere": float(elsewhere.max()),
        "on_ground": max(int(each.sum()) for each in counts) / max(1, int(most.sum())),
        "uncovered": float(in_region.max()),
        "replaced": min(1.0, float(replaced.max())),
        "moved": float(min(each.max() for each in alone)),
    }


def _around(where: NDArray[np.bool_]) -> Grey:
    """Return how many pixels there are in the 3 × 3 cells around each cell, (rows, columns)."""
    counts = _cell_means(where.astype(np.float32)) * CELL_PIXELS**2
    return np.asarray(cv2.boxFilter(counts, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT))


def _counted(regions: NDArray[np.int32], where: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many pixels of each region are there, (regions,)."""
    return np.bincount(regions[where], minlength=int(regions.max()) + 1)


def _enlarged(cells: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the value of the cell of each pixel, (height, width), 0 beyond the last cell."""
    found = np.repeat(np.repeat(cells, CELL_PIXELS, axis=0), CELL_PIXELS, axis=1)[: shape[0], : shape[1]]
    return np.pad(found, [(0, full - part) for full, part in zip(shape, found.shape, strict=True)])


def _kept(inks: Sequence[Grey], where: NDArray[np.bool_]) -> float:
    """Return the share of a picture's ink in the changed cells that is in the other one, of the better picture."""
    shares = []
    for ink, other in (inks, inks[::-1]):
        mine = (ink > STRONG_INK) & where
        shares.append(float((other[mine] > WEAK_INK).mean()) if mine.any() else 1.0)
    return max(shares)


def _ground(grey: Grey) -> Grey:
    """Return the paper around each place."""
    return cv2.medianBlur(np.clip(np.rint(grey), 0, 255).astype(np.uint8), GROUND_PIXELS).astype(np.float32)


def _ink(grey: Grey, ground: Grey) -> Grey:
    """Return how much `grey` differs from the ground, as a share of the largest difference, but of some."""
    off = np.abs(grey - ground)
    return np.asarray(off / max(MIN_INK_LEVELS, float(np.quantile(off, 0.99))))
