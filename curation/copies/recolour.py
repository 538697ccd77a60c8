"""Tell a change of tone of a whole picture from a change of colour in a part of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_OFF_LEVELS, SAME_LEVELS = 24.0, 8.0  # of chroma: another colour, and surely none
CLIPPED = 0.3  # of a full colour may be lost where a channel ends
MAX_USUAL_LEVELS = 6.0  # by which the rest may be off
COLOURFUL, MIN_CHROMA = 0.98, 4.0  # with less nearly everywhere, a picture is grey, which is a tone
MIN_PATCHES = 3
REWEIGHTINGS = 6
MIDDLE, MIN_LINE_PLACES, LINE_LEVELS = (16.0, 239.0), 16, 8.0
LUMA = np.array([0.299, 0.587, 0.114])

Means = NDArray[np.float64]
"""RGB of patches in grey levels, (patches, 3)."""


def recoloured_share(first: Means, second: Means, textured: NDArray[np.bool_]) -> float:
    """Return the share of the patches with another colour in `second`, in [0, 1]; 0 if the rest differs, too.

    Patches count if they show something: if they are `textured`, (patches,), or have a colour in either picture. On
    white ground, a thing has few of all patches.

    Saturation, white balance and their dependence on brightness may change for the whole picture: the chroma of one
    is predicted from that of the other by a linear regression that leaves out what does not follow it.
    """
    chroma = [np.abs(_chroma(each)) for each in (first, second)]
    shown = textured | (np.maximum(*chroma).max(axis=1, initial=0) > SAME_LEVELS)
    if shown.sum() < MIN_PATCHES or min(np.quantile(each[shown], COLOURFUL) for each in chroma) < MIN_CHROMA:
        return 0.0
    if np.abs(_chroma(first) - _chroma(second)).max() <= SAME_LEVELS:
        return 0.0
    return max(_other_colours(first, second), _other_colours(second, first)) / int(shown.sum())


def _chroma(means: Means) -> NDArray[np.float64]:
    """Return red and blue without brightness, (patches, 2)."""
    return np.asarray(means[:, [0, 2]] - (means @ LUMA)[:, None])


def _other_colours(first: Means, second: Means) -> int:
    """Return how many patches have another colour than expected in `second`."""
    known, wanted = _chroma(first), _chroma(second)
    luma = (first @ LUMA) / 255 - 0.5
    nothing = np.zeros_like(luma)
    ones = np.ones_like(luma)
    # Columns: saturation, shift of red and blue, their change with brightness; rows: red of all patches, then blue.
    red = np.stack([known[:, 0], ones, nothing, luma, nothing], axis=1)
    blue = np.stack([known[:, 1], nothing, ones, nothing, luma], axis=1)
    design, target = np.concatenate([red, blue]), np.concatenate([wanted[:, 0], wanted[:, 1]])
    solved = np.array([1.0, 0, 0, 0, 0])
    ridge = np.diag([1.0, 1e-3, 1e-3, 1e-2, 1e-2]) * len(luma)
    prior = ridge @ solved
    for _ in range(REWEIGHTINGS):
        off = np.hypot(*(target - design @ solved).reshape(2, -1))
        weights = np.tile(1 / (1 + (off / MAX_USUAL_LEVELS) ** 2), 2)
        solved = np.linalg.solve(
            (design * weights[:, None]).T @ design + ridge, design.T @ (weights * target) + prior
        )
        solved[0] = np.clip(solved[0], 0, 3)
    expected = _clipped((design @ solved).reshape(2, -1), first @ LUMA, second @ LUMA)
    off = np.hypot(*(wanted.T - expected))
    is_other = off > MIN_OFF_LEVELS + CLIPPED * np.hypot(*wanted.T)
    if is_other.sum() < MIN_PATCHES or is_other.all() or np.median(off[~is_other]) > MAX_USUAL_LEVELS:
        return 0
    return int(is_other.sum())


def _clipped(
    chroma: NDArray[np.float64], luma: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the expected `chroma`, (2, patches), after a change of brightness that has left a channel at its end."""
    gain, offset = robust_line(luma, other)
    level = gain * luma + offset
    red, blue = level + chroma[0], level + chroma[1]
    green = (level - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    shown = np.clip(np.stack([red, green, blue]), 0, 255)
    return np.asarray(shown[[0, 2]] - LUMA @ shown)


def robust_line(levels: NDArray[Any], others: NDArray[Any]) -> tuple[float, float]:
    """Return by which gain and offset, in grey levels, most of `others` follow `levels` where neither is clipped."""
    inside = (np.minimum(levels, others) > MIDDLE[0]) & (np.maximum(levels, others) < MIDDLE[1])
    x, y = levels[inside].astype(np.float64), others[inside].astype(np.float64)
    if len(x) < MIN_LINE_PLACES or x.std() < LINE_LEVELS:
        return 1.0, 0.0
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(REWEIGHTINGS):
        weights = 1 / (1 + ((gain * x + offset - y) / LINE_LEVELS) ** 2)
        weights /= weights.sum()
        off = x - weights @ x
        gain = float((weights * off) @ y / max(1e-6, float((weights * off) @ off)))
        offset = float(weights @ y - gain * (weights @ x))
    return gain, offset
