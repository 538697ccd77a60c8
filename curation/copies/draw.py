"""Draw the evidence for a pair of copies: what part of each the other one shows, and the patches that differ."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.copies.alignment import TO_UNIT, Alignment, Matrix, between_sizes, square
from curation.copies.compare_pixels import MIRROR
from curation.copies.layers import PATCH_PIXELS
from curation.copies.patches import Patches, fine_patches
from curation.copies.rendering import Rendering
from curation.pictures.marks import Quads, fit_within, outline
from filters.protocol import Rgb

DIFFERING_COLOUR, FRAME_COLOUR, GROUND = (230, 0, 0), (230, 159, 0), 255
SIDE_PIXELS, GAP_PIXELS = 640, 16
WHOLE_SHARE = 0.98
NEAR_ENOUGH = 0.02  # of the patches: more differ only because they were compared in another way
WHOLE = np.array([[[0.0, 0], [1, 0], [1, 1], [0, 1]]])
_WAYS: tuple[Mapping[str, Any], ...] = ({}, {"is_softened": True}, {"toned": "over"}, {"toned": "under"})


@dataclass(frozen=True, kw_only=True)
class PairMarks:
    """What the evidence of a pair marks in each picture, as (N, 4, 2) corners in parts of its sides.

    `first_frame`, `second_frame`: the part that the other picture shows, one quad each. `first_patches`,
    `second_patches`: the patches that differ, in the same order.
    """

    first_frame: Quads
    second_frame: Quads
    first_patches: Quads
    second_patches: Quads
    error: float
    """By how much the share of the patches that differ is another one than the evidence says."""


def pair_marks(first: Rgb, second: Rgb, evidence: Mapping[str, Any]) -> PairMarks:
    """Return what `evidence` (the fields of Evidence, as in the column `duplicate_evidence`) marks in both pictures.

    `first` is the copy, `second` what it was compared with, both uint8 (height, width, 3). Patches are compared
    again, in the way that agrees best with the share that is recorded as differing.
    """
    here, there = Rendering(first), Rendering(second)
    unit = square(np.reshape(np.asarray(evidence["matrix"], np.float64), (2, 3)))
    flip = MIRROR if evidence["is_mirrored"] else np.eye(3)
    to_second, to_first = unit @ flip, flip @ np.linalg.inv(unit)
    found = _alignment(here, there, unit, evidence)
    if _is_first_coarser(here, there, found):  # patches are counted in the first picture, after it was mirrored
        quads, error = _differing(here, there, found, here.fine.shape, evidence["differing"])
        in_first, in_second = _mapped(quads, flip), _mapped(quads, unit)
    else:
        quads, error = _differing(here, there, found, there.fine.shape, evidence["differing"])
        in_first, in_second = _mapped(quads, to_first), quads
    return PairMarks(
        first_frame=_mapped(WHOLE, to_first),
        second_frame=_mapped(WHOLE, to_second),
        first_patches=in_first,
        second_patches=in_second,
        error=error,
    )


def draw_pair(first: Rgb, second: Rgb, evidence: Mapping[str, Any], *, side_pixels: int = SIDE_PIXELS) -> Rgb:
    """Return both pictures side by side, the copy at the left, with the patches that differ in red.

    An orange frame is around the part of a picture that the other one shows, if it is not all of it. `evidence`: as
    for `pair_marks`. Each picture is shrunk until no side is longer than `side_pixels`.
    """
    marks = pair_marks(first, second, evidence)
    frames = (
        marks.first_frame[evidence["share_first"] >= WHOLE_SHARE :],
        marks.second_frame[evidence["share_second"] >= WHOLE_SHARE :],
    )
    here, there = (fit_within(rgb, side_pixels) for rgb in (first, second))
    return side_by_side(
        [_marked(here, frames[0], marks.first_patches), _marked(there, frames[1], marks.second_patches)]
    )


def closest_pair(firsts: Sequence[Rgb], seconds: Sequence[Rgb], evidence: Mapping[str, Any]) -> tuple[Rgb, Rgb]:
    """Return those renderings of two pictures that agree best with `evidence`: on white, or opaque.

    A transparent picture has both, and one of them was compared.
    """
    pairs = list(itertools.product(firsts, seconds))
    if len(pairs) == 1:
        return pairs[0]
    return min(pairs, key=lambda pair: pair_marks(pair[0], pair[1], evidence).error)


def side_by_side(pictures: list[Rgb]) -> Rgb:
    """Return `pictures`, uint8 (height, width, 3) each, in a row on white, their tops aligned."""
    height = max(each.shape[0] for each in pictures)
    width = sum(each.shape[1] for each in pictures) + GAP_PIXELS * (len(pictures) - 1)
    sheet = np.full((height, width, 3), GROUND, np.uint8)
    left = 0
    for each in pictures:
        sheet[: each.shape[0], left : left + each.shape[1]] = each
        left += each.shape[1] + GAP_PIXELS
    return sheet


def _marked(rgb: Rgb, frame: Quads, patches: Quads) -> Rgb:
    return outline(outline(rgb, patches, DIFFERING_COLOUR, fill=0.3, is_joined=True), frame, FRAME_COLOUR)


def _alignment(first: Rendering, second: Rendering, unit: Matrix, evidence: Mapping[str, Any]) -> Alignment:
    """Return the map `unit` (3, 3), between parts of sides, in pixels of the `coarse` versions."""
    (height, width), (to_height, to_width) = first.coarse.shape, second.coarse.shape
    matrix = np.linalg.inv(TO_UNIT) @ np.diag([to_width, to_height, 1]) @ unit
    matrix = matrix @ np.diag([1 / width, 1 / height, 1]) @ TO_UNIT
    return Alignment(is_mirrored=evidence["is_mirrored"], matrix=matrix[:2], inliers=evidence["inliers"])


def _is_first_coarser(first: Rendering, second: Rendering, found: Alignment) -> bool:
    """Return whether `fine_patches` counts patches in the first picture, which shows the scene smaller."""
    coarse, fine = (first.coarse.shape, second.coarse.shape), (first.fine.shape, second.fine.shape)
    matrix = between_sizes(found.matrix, coarse, fine)
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))) > 1


def _differing(
    first: Rendering, second: Rendering, found: Alignment, shape: tuple[int, ...], recorded: float
) -> tuple[Quads, float]:
    """Return the patches that differ, in parts of the sides of the picture of `shape` in which they are counted.

    Also by how much their share is another one than `recorded`.
    """
    best: tuple[float, Patches] | None = None
    for way in _WAYS:
        patches = fine_patches(first, second, found, **way)
        if patches is None or not patches.compared:
            continue
        share = float((patches.textured & patches.differs).sum()) / patches.compared
        if best is None or abs(share - recorded) < best[0]:
            best = abs(share - recorded), patches
        if best[0] <= NEAR_ENOUGH:
            break
    if best is None:
        return np.zeros((0, 4, 2)), 1.0
    differs = best[1].textured & best[1].differs
    places = np.stack([best[1].columns[differs], best[1].rows[differs]], axis=1)
    return np.asarray((places[:, None, :] + WHOLE) * PATCH_PIXELS / shape[::-1]), best[0]


def _mapped(quads: Quads, matrix: Matrix) -> Quads:
    """Return `quads` under an affine map (3, 3)."""
    return np.asarray(quads @ matrix[:2, :2].T + matrix[:2, 2])
