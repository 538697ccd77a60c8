"""Compare two images by their pixels, and return the evidence for whether one is a copy of the other.

The cheapest proof comes first. Under each map that `alignment` finds, made exact by `registration`, patches are
compared: first at 320 × 320 pixels in all, and unless the images are photographs that agree nearly everywhere, again
at 640 × 640. The first map under which nearly all patches agree, or all but an overlay, settles the pair; keypoints
are computed only if none of the cheaper maps does. Patches do not see one other digit on a page. So drawn images
that agree are also compared where their letters are legible, by `content`, and their colours by `recolour`.

What is not proven is compared again without what may have been done to all of a picture: `noise`, `tones`, and an
oblique view, by `perspective`.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.alignment import TO_UNIT, Alignment, Matrix, keypoint_maps, square, stored_maps, whole_map
from curation.copies.content import content_changes
from curation.copies.kinds import MIN_PATCHES, MIN_RECOLOURED, NOISE, Evidence, is_overlaid, is_proven, is_speck
from curation.copies.noise import is_noisier
from curation.copies.patches import Patches, coarse_patches, fine_patches, lay_fine, looks_equal
from curation.copies.perspective import oblique_views
from curation.copies.recolour import recoloured_share
from curation.copies.registration import MIN_VARIANCE, Fit, Refined, refine
from curation.copies.rendering import Rendering
from curation.copies.tones import of_same_tones
from filters import text_density

WORTH_A_CLOSER_LOOK = 0.45  # of the coarse patches that agree
MOST_KEPT = 0.75  # of those of one image, if something is laid over the other
FEW_PATCHES = 8  # so many patches count as a half
MAX_DIFFERING_AREA = 0.15  # of the overlap: no copy, unless by an overlay that the patches show
WORTH_TONING, MOST_TONED, TONED_DIFFERING, TONED_SHARE, SOFTENED_DIFFERING = 0.04, 0.4, 0.02, 0.9, 0.25
HOPEFUL_DIFFERING = 0.5  # another map may prove the pair
HOPEFUL_AGREEING = 0.28  # of the patches, under a map that was given up
SURE_POINTS = 10  # with so many stored keypoints that agree, another map is hardly better
SIMILARITY_ERROR_PIXELS = 4.0  # stored places are rounded by less: what they agree on is no similarity
MIN_TONED_COLOUR = 12.0  # grey levels
SAME_MAP_PIXELS = 0.1
PHOTO_TEXTURE, PHOTO_AGREEMENT = 0.85, 0.97  # a photograph has nearly no flat patch; the coarse size is enough for it
MIRROR = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])  # in units of the width and height

SHOWN_CHANGES = (
    "kept", "added", "lettered", "filled", "clear", "elsewhere", "on_ground", "uncovered", "replaced", "moved",
)  # fmt: skip

_VERSION = "8"
_PROBES = 64
_PROBE_PLACES = np.stack(
    [*((each.ravel() + 0.5) / _PROBES for each in np.indices((_PROBES, _PROBES))[::-1]), np.ones(_PROBES**2)]
)


def version() -> str:
    """Return what evidence depends on: this comparison, and the network that finds text."""
    return f"{_VERSION}+{text_density.version()}"


def compare(first: Sequence[Rendering], second: Sequence[Rendering]) -> Evidence | None:
    """Return the best evidence that any rendering of `first` shows the same as any of `second`, or None.

    The order of the images does not matter: they are compared in one order, and the map is inverted for the other.
    """
    if order(second) < order(first):
        found = compare_in_order(second, first)
        return None if found is None else inverted(found)
    return compare_in_order(first, second)


def order(image: Sequence[Rendering]) -> list[tuple[int, bytes]]:
    """Return what decides which of two images is compared with the other: the smaller comes first."""
    return [(each.fine.size, each.thumb.tobytes()) for each in image]


def compare_in_order(first: Sequence[Rendering], second: Sequence[Rendering]) -> Evidence | None:
    """Return what `compare` does, of images that are in order."""
    found: list[Evidence] = []
    for a, b in itertools.product(first, second):
        evidence = _compare(a, b)
        if evidence is not None:
            found.append(evidence)
            if _agrees(evidence):
                break  # nothing is left to find
    return max(found, key=lambda each: (-each.differing, each.patches), default=None)


def inverted(evidence: Evidence) -> Evidence:
    """Return the evidence with the images exchanged."""
    matrix = np.linalg.inv(square(np.reshape(evidence.matrix, (2, 3))))
    if evidence.is_mirrored:  # the second image is now mirrored first
        matrix = MIRROR @ matrix @ MIRROR
    return dataclasses.replace(
        evidence,
        matrix=tuple(round(float(value), 4) for value in matrix[:2].ravel()),
        turn_degrees=evidence.turn_degrees if evidence.is_mirrored else -evidence.turn_degrees,
        share_first=evidence.share_second,
        share_second=evidence.share_first,
    )


def _compare(first: Rendering, second: Rendering) -> Evidence | None:
    """Return what the images show, or if they differ, what they show after noise or a change of tone is undone."""
    evidence = _evidence_of(first, second)
    if evidence is None or (is_proven(evidence) and evidence.recoloured < MIN_RECOLOURED):
        return evidence
    if is_speck(evidence) and (first.is_lettered or second.is_lettered):
        return evidence  # noise and tones change more than a letter
    for again in _evidence_again(first, second, evidence):
        if again.differing <= NOISE and is_proven(again) and _keeps_letters(first, second, again):
            return again
    return evidence


def _keeps_letters(first: Rendering, second: Rendering, evidence: Evidence) -> bool:
    """Return whether nothing has changed, or no letters: their strokes are as fine as noise."""
    return not evidence.changed or not (first.is_lettered or second.is_lettered)


def _evidence_again(first: Rendering, second: Rendering, evidence: Evidence) -> Iterator[Evidence]:
    """Yield the evidence after noise is taken out of both images, and after a change of tone is undone in one."""
    if is_noisier(*sorted((first.noise, second.noise), reverse=True)):
        again = _evidence_of(first.without_noise(), second.without_noise())
        if again is not None:
            yield again
    if evidence.colour > MIN_TONED_COLOUR and evidence.differing <= MOST_TONED:
        toned = of_same_tones(first, second, evidence)
        again = None if toned is None else _evidence_of(*toned[:2])
        if toned is not None and again is not None:
            recoloured = again.recoloured if toned[2] else evidence.recoloured
            yield dataclasses.replace(again, colour=evidence.colour, recoloured=recoloured)


def _agrees(evidence: Evidence) -> bool:
    """Return whether the images agree in all that was compared."""
    return evidence.differing <= NOISE and not evidence.changed


def _evidence_of(first: Rendering, second: Rendering) -> Evidence | None:
    """Return the evidence of the first map that settles the pair, else of the map under which most agrees."""
    search = _Search(first, second)
    whole = whole_map(first, second)
    if whole is None or not search.settles(whole):
        stored = stored_maps(first, second)
        if not any(map(search.settles, stored)) and search.needs_keypoints(stored):
            affine = []
            for each in keypoint_maps(first, second):
                affine.append(each)
                if search.settles(each):
                    break
            else:
                least = 1.0 if search.best is None else search.best[0].differing
                oblique = _oblique_evidence(first, second, affine, least)
                if oblique is not None:
                    return oblique
    return None if search.best is None else _with_changes(first, second, *search.best)


def _oblique_evidence(
    first: Rendering, second: Rendering, affine: Sequence[Alignment], least: float
) -> Evidence | None:
    """Return the evidence of a homography under which much less than the share `least` of the patches differs."""
    for view in oblique_views(first, second, affine):
        refined = refine(view.first, view.second, view.whole)
        shown = _evidence_of_map(view.first, view.second, refined) if isinstance(refined, Refined) else None
        if shown and shown[0].differing < least / 2:
            evidence = _with_changes(view.first, view.second, *shown)
            return view.described(evidence, first.coarse.shape, second.coarse.shape)
    return None


class _Search:
    """Tries maps between two images, and keeps the one under which most agrees."""

    def __init__(self, first: Rendering, second: Rendering) -> None:
        self.first, self.second = first, second
        self.best: tuple[Evidence, Alignment, Patches] | None = None
        self._likelihood = 0.0
        self._most_agreeing = 0.0
        self._tried: list[Alignment] = []

    def settles(self, found: Alignment) -> bool:
        """Return whether nearly all patches agree under a map, or all but an overlay."""
        if self._is_tried(found):
            return False
        refined = refine(self.first, self.second, found)
        self._most_agreeing = max(self._most_agreeing, 1.0 if isinstance(refined, Refined) else refined)
        if not isinstance(refined, Refined) or self._is_tried(refined.found):
            return False
        self._tried.append(refined.found)
        shown = _evidence_of_map(self.first, self.second, refined)
        if shown is None:
            return False
        evidence = shown[0]
        likelihood = (1 - evidence.differing) * evidence.patches / (evidence.patches + FEW_PATCHES)
        is_settled = evidence.differing <= NOISE or is_overlaid(evidence)
        if is_settled or self.best is None or likelihood > self._likelihood:
            self.best, self._likelihood = shown, likelihood
        return is_settled

    def needs_keypoints(self, stored: Sequence[Alignment]) -> bool:
        """Return whether fresh keypoints may show another map than the `stored` ones, after all those were tried."""
        if not stored:
            return self.best is None or self.best[0].differing <= HOPEFUL_DIFFERING
        if self.best is None:
            return self._most_agreeing >= HOPEFUL_AGREEING
        is_sure = max(each.inliers or 0 for each in stored) >= SURE_POINTS
        if is_sure and stored[0].error_pixels > SIMILARITY_ERROR_PIXELS:
            return True
        return not is_sure and self.best[0].differing <= HOPEFUL_DIFFERING

    def _is_tried(self, found: Alignment) -> bool:
        """Return whether a map that was tried before moves the corners to the same places."""
        height, width = self.first.coarse.shape
        corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
        return any(
            found.is_mirrored == other.is_mirrored
            and float(np.abs(corners @ (found.matrix - other.matrix).T).max()) < SAME_MAP_PIXELS
            for other in self._tried
        )


def _evidence_of_map(
    first: Rendering, second: Rendering, refined: Refined
) -> tuple[Evidence, Alignment, Patches] | None:
    """Return what the patches show under a map that is exact, with it and them; None if the images do not agree."""
    found, patches = refined.found, coarse_patches(refined.laid, refined.fitted)
    if patches.compared < MIN_PATCHES:
        return None
    agreement = 1 - float(patches.differs[patches.textured].mean())
    if agreement < WORTH_A_CLOSER_LOOK and _kept_share(refined.fitted, patches) < MOST_KEPT:
        return None
    if agreement < PHOTO_AGREEMENT or patches.texture < PHOTO_TEXTURE:
        closer = fine_patches(first, second, found)
        if closer is None or closer.compared < MIN_PATCHES:
            return None
        patches = closer
    evidence = _evidence(first, second, found, patches)
    if WORTH_TONING < evidence.differing <= MOST_TONED:
        evidence, patches = _alike_evidence(first, second, found, evidence) or (evidence, patches)
    return evidence, found, patches


def _kept_share(fitted: Fit, patches: Patches) -> float:
    """Return the share of the textured patches of one image that agree; of the image of which that is more.

    A word on a plain picture may have most of the patches with texture, but those of the picture itself agree.
    """
    sides = (fitted.variance_over > MIN_VARIANCE, fitted.variance_under > MIN_VARIANCE)
    return max(1 - float(patches.differs[side].mean()) if side.any() else 0.0 for side in sides)


def _with_changes(
    first: Rendering, second: Rendering, evidence: Evidence, found: Alignment, patches: Patches
) -> Evidence:
    """Return `evidence` with what differs in colours and where letters are legible, unless too much differs already.

    The letters of photographs without text are left out: noise and compression change their fine texture.
    """
    if evidence.differing * evidence.texture > MAX_DIFFERING_AREA:
        return evidence
    region = _region(patches, patches.textured & patches.differs)[2]
    here, there = (each[~region] for each in patches.colours)
    recoloured = recoloured_share(here, there, patches.textured[~region])
    evidence = dataclasses.replace(evidence, recoloured=round(recoloured, 4))
    laid = patches.laid or lay_fine(first, second, found)
    if laid is not None and looks_equal(laid):
        return dataclasses.replace(evidence, changed=0.0)
    if not _is_legible(first, second):
        return evidence
    changes = content_changes(first, second, found, evidence.colour)
    if changes is None:
        return evidence
    return dataclasses.replace(
        evidence,
        changed=round(changes.changed, 4),
        changed_together=round(changes.together, 3),
        changed_area=round(changes.area, 4),
        changed_density=round(changes.density, 3),
        **{name: round(getattr(changes, name), 3) for name in SHOWN_CHANGES},
    )


def _is_legible(first: Rendering, second: Rendering) -> bool:
    """Return whether a picture is drawn, or both have text."""
    return first.is_drawn or second.is_drawn or (first.is_lettered and second.is_lettered)


def _alike_evidence(
    first: Rendering, second: Rendering, found: Alignment, before: Evidence
) -> tuple[Evidence, Patches] | None:
    """Return the evidence with the softness or the histogram of the other image in one, if then hardly any differ."""
    ways: list[dict[str, Any]] = [{"is_softened": True}] if before.differing <= SOFTENED_DIFFERING else []
    if min(before.share_first, before.share_second) >= TONED_SHARE:
        ways += [{"toned": "over"}, {"toned": "under"}]
    for way in ways:
        patches = fine_patches(first, second, found, **way)
        if patches is not None and patches.compared >= MIN_PATCHES:
            evidence = _evidence(first, second, found, patches)
            if evidence.differing <= TONED_DIFFERING:
                return evidence, patches
    return None


def _evidence(first: Rendering, second: Rendering, found: Alignment, patches: Patches) -> Evidence:
    (height, width), (to_height, to_width) = first.coarse.shape, second.coarse.shape
    unit = np.diag([1 / to_width, 1 / to_height, 1]) @ TO_UNIT @ square(found.matrix)
    unit = unit @ np.linalg.inv(TO_UNIT) @ np.diag([width, height, 1])
    share_second = _covered(unit)
    area = abs(float(np.linalg.det(unit[:2, :2])))
    differing = patches.textured & patches.differs
    agreeing = patches.textured & ~patches.differs
    region_share, region_area, _ = _region(patches, differing)
    quiet = patches.colour[~differing]
    return Evidence(
        is_mirrored=found.is_mirrored,
        matrix=tuple(round(float(value), 4) for value in unit[:2].ravel()),
        turn_degrees=round(float(np.degrees(np.arctan2(found.matrix[1, 0], found.matrix[0, 0]))), 1),
        share_first=round(min(1.0, share_second / area), 3),
        share_second=round(share_second, 3),
        inliers=found.inliers,
        patches=patches.compared,
        texture=round(patches.texture, 3),
        differing=round(float(differing.sum()) / patches.compared, 4),
        region_share=round(region_share, 3),
        region_area=round(region_area, 3),
        sameness=round(_quantile(patches.correlation[agreeing], 0.1), 3) if agreeing.any() else 0.0,
        colour=round(_quantile(quiet, 0.9), 1) if len(quiet) else 255.0,
    )


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """Return what `np.quantile` does, in a tenth of its time."""
    ordered = np.sort(values)
    at = share * (len(values) - 1)
    below = int(at)
    return float(ordered[below] + (at - below) * (ordered[min(below + 1, len(values) - 1)] - ordered[below]))


def _covered(unit: Matrix) -> float:
    """Return the share of the unit square that its image under `unit` covers."""
    # cv2.intersectConvexConvex loses half of a square that covers itself, so points are counted.
    back = np.linalg.inv(unit)[:2] @ _PROBE_PLACES
    edge = 0.5 / _PROBES
    return float(((back > -edge) & (back < 1 + edge)).all(axis=0).mean())


def _region(patches: Patches, differing: NDArray[np.bool_]) -> tuple[float, float, NDArray[np.bool_]]:
    """Return the largest connected share of the differing patches, and what is in its rectangle.

    That is the share of all patches, and whether each patch, (patches,), is in there or differs.
    """
    count = int(differing.sum())
    if count == 0:
        return 0.0, 0.0, differing
    grid = np.zeros((int(patches.rows.max()) + 3, int(patches.columns.max()) + 3), np.uint8)
    at = patches.rows[differing] + 1, patches.columns[differing] + 1
    grid[at] = 1
    joined = cv2.morphologyEx(np.pad(grid, 1), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    members = np.bincount(labels[at])
    largest = int(members[1:].argmax()) + 1
    left, top, width, height = (int(each) for each in boxes[largest, : cv2.CC_STAT_AREA])
    rows, columns = patches.rows + 1 - top, patches.columns + 1 - left
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return float(members[largest]) / count, width * height / len(patches.rows), inside | differing
