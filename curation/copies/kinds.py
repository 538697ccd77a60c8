"""The kinds of copies, and which kind the evidence of a pair shows."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifests.format.schema import DuplicateKind

MIN_PATCHES = 6  # that agree; fewer prove nothing
TURN_DEGREES = 2.5  # smaller turns are errors of the fit
WHOLE_SHARE = 0.9  # an image counts as completely covered from this share on
OBLIQUE_WHOLE_SHARE = 0.75  # the same after a turn that is no multiple of 90°, which cuts or adds corners
NEARLY_WHOLE_SHARE = 0.7  # if less of a page or a chart is shared, a difference makes it another one
MIN_INNER_SHARE, MIN_OUTER_SHARE = 0.8, 0.15  # of the contained image and of the containing one, that is shared
MIN_PARTIAL_PATCHES = 50  # that agree if no image is complete in the other: a few stripes do so by chance
NOISE = 0.02  # the share of patches that may differ without an overlay
TOGETHER = 0.9  # the share of the differing patches that an overlay has in one region
UNTOUCHED, UNTOUCHED_COLOUR = 0.98, 8.0  # correlation and grey levels outside an overlay
FULL_TEXTURE, FULL_SAMENESS = 0.6, 0.97  # photographs, where a differing patch is more often noise than a label

COVERING = 1.32  # something was added, and much is still seen under it; of 2
MARK_KEPT, MARK_ADDED = 0.9, 0.67  # something was added where there was less
MIN_COVERING_AREA = 0.008  # of the overlap: what covers something is a line at least
STROKES_AREA, STROKES_DENSITY, STROKES_LETTERED = 0.0155, 0.35, 0.35  # dense strokes over what is hardly text
STROKES_SEEN = 0.8  # of 2, as COVERING: one thing instead of another keeps less, and adds less
REST_SAMENESS = 0.96  # correlation of what is beside the strokes
SHAPE_FILLED, SHAPE_AREA = 0.12, 0.1  # a bar or a box of another size; what is as large may be the ground of a band
LARGE_SHAPE_FILLED = 0.25
ALL_KEPT, SPECK_AREA, HARDLY_CLEAR = 0.99, 0.01, 0.06  # a trace of encoding, not of content
MAX_UNCOVERED, MAX_REPLACED, MAX_MOVED = 0.15, 0.4, 0.1  # more is one thing instead of another
SCATTERED_CLEAR = 0.3  # of what differs in many places, differs clearly: no change of tones
BAND_AREA, BAND_DENSITY = 0.1, 0.55  # a large rectangle that is other
MAX_TONED = 24.0  # grey levels by which the rest may differ in colour, if hardly anything is seen below
TEXT_LETTERED, TEXT_UNCOVERED = 0.5, 0.02  # of text in both images, less is another word already
EVEN_GROUND, EVEN_REPLACED = 0.6, 0.13  # so is less on even ground, where all that is uncovered is seen
MIN_EXCHANGED, EXCHANGED = 0.05, 0.6  # uncovered, and of what is on ground: a barcode or a hand of a clock
GROUND_KEPT, MIN_ON_GROUND = 0.6, 0.4  # laid over ground, and over little besides
MOSTLY_FILLED = 0.5
ONLY_TONES = 0.96  # of the ink is kept in many places: its tones differ
MIN_RECOLOURED = 0.04

SEARCHED_LOCALLY = frozenset({DuplicateKind.OVERLAY, DuplicateKind.CROP, DuplicateKind.MIRROR, DuplicateKind.TURN})
"""Kinds that PDQ does not find, for which the scan measures local features."""

_ORDER = list(DuplicateKind)
_PROBES = 32
_AROUND_MIDDLE = np.stack([(each.ravel() + 0.5) / _PROBES - 0.5 for each in np.indices((_PROBES, _PROBES))])


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The map between two images, and how well they agree where they overlap. Shares are in [0, 1].

    `matrix`: the map (2, 3) by rows, from the first image, mirrored before if `is_mirrored`, to the second, in units
    of their widths and heights. `turn_degrees`: clockwise, from -180 to 180. `share_first`, `share_second`: how much
    of each image the other covers. `inliers`: keypoints that agree with the map, None for one of the eight maps of
    whole images. `patches`: how many textured patches were compared; `differing`: the share of them that differs.
    `texture`: the share of all patches in the overlap that are textured. `region_share`: the share of the differing
    patches that form one region; `region_area`: the share of the overlap in the rectangle around it. `sameness`: 90 %
    of the agreeing patches have a higher correlation. `colour`: 90 % of the agreeing patches have a smaller colour
    difference, in grey levels.

    `changed`: where letters are legible, the share of the places with contrast whose content differs; None if that
    was not looked at. `changed_together`: the share of them in one region; `changed_area`: the share of the overlap
    in the rectangle around it, and `changed_density` the changed share of that. `kept`: the share of what one image
    shows there that the other shows, too; 1 if something was only added. `added`: by which share one image has less
    contrast there. `lettered`: how likely it is text there in both images. `filled`: the share of that rectangle that
    is flat in both, in another grey. `clear`: the share of the pixels there that differ clearly; `elsewhere`, beside
    the largest region, unless something was only added there. `on_ground`: the share of them where one image has a
    thing, and the other shows the ground around it; `uncovered`: the same the other way round, which is less, and
    `replaced`, in the place of a letter or two where that is most. `moved`: the same, if one image shows ground in
    one region and the other in another. `recoloured`: the share of the patches that show something which
    have another colour while the rest has the same.
    """

    is_mirrored: bool
    matrix: tuple[float, ...]
    turn_degrees: float
    share_first: float
    share_second: float
    inliers: int | None
    patches: int
    texture: float
    differing: float
    region_share: float
    region_area: float
    sameness: float
    colour: float
    changed: float | None = None
    changed_together: float = 0.0
    changed_area: float = 0.0
    changed_density: float = 0.0
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
    recoloured: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Strictness:
    """By kind, the share of the overlap of two images that must agree; for overlay, that must not be covered."""

    mild: float = 0.95
    overlay: float = 0.75
    crop: float = 0.95
    mirror: float = 0.95
    turn: float = 0.95


def kind_of(
    evidence: Evidence, strictness: Strictness, copies: Collection[DuplicateKind | str]
) -> DuplicateKind | None:
    """Return the kind of copy that the first image of `evidence` is of the second, or None if it is no copy.

    `copies`: the kinds that count. A mirrored part of an image counts only if they include both mirror and crop, and
    its kind is mirror.
    """
    if evidence.patches * (1 - evidence.differing) < MIN_PATCHES:
        return None
    inner = max(evidence.share_first, evidence.share_second)
    outer = min(evidence.share_first, evidence.share_second)
    if inner < MIN_INNER_SHARE * _most_inner(evidence) or outer < MIN_OUTER_SHARE:
        return None
    is_partial = inner < WHOLE_SHARE and not _is_oblique(evidence)
    if is_partial and evidence.patches * (1 - evidence.differing) < MIN_PARTIAL_PATCHES:
        return None
    kinds = _by_map(evidence)
    if _is_another_page(evidence):
        return None
    if evidence.recoloured >= MIN_RECOLOURED:
        kinds.append(DuplicateKind.RECOLOUR)
    if evidence.changed and evidence.changed_together >= TOGETHER:
        kinds.append(DuplicateKind.OVERLAY)
        beside = evidence.differing * (1 - evidence.region_share)  # what differs elsewhere is not laid over
        agrees = max(evidence.changed_area, evidence.region_area) <= 1 - strictness.overlay
        agrees &= beside <= 1 - strictness.mild
    elif is_overlaid(evidence):
        kinds.append(DuplicateKind.OVERLAY)
        agrees = evidence.region_area <= 1 - strictness.overlay
    else:
        changes = (DuplicateKind.OVERLAY, DuplicateKind.RECOLOUR)
        strict = [getattr(strictness, kind.value) for kind in kinds if kind not in changes]
        least = max(strict, default=strictness.mild)  # within a border, the complete image must agree
        is_full = evidence.texture >= FULL_TEXTURE and evidence.sameness >= FULL_SAMENESS
        is_same_content = evidence.texture < FULL_TEXTURE and evidence.changed == 0
        agrees = evidence.differing <= (1 - least) * (2 if is_full or is_same_content else 1)
    kinds = kinds or [DuplicateKind.MILD]
    return max(kinds, key=_ORDER.index) if agrees and set(kinds) <= set(copies) else None


def is_proven(evidence: Evidence) -> bool:
    """Return whether the evidence proves a copy of any kind, at the default strictness."""
    return kind_of(evidence, Strictness(), _ORDER) is not None


def _by_map(evidence: Evidence) -> list[DuplicateKind]:
    """Return the changes of the first image that the map alone shows."""
    kinds = []
    turn = abs(evidence.turn_degrees)
    if evidence.is_mirrored:
        kinds.append(DuplicateKind.MIRROR)
        turn = min(turn, 180 - turn)  # mirrored top to bottom is only mirrored
    if turn > TURN_DEGREES:
        kinds.append(DuplicateKind.TURN)
    whole = min(OBLIQUE_WHOLE_SHARE, WHOLE_SHARE * _most_inner(evidence)) if _is_oblique(evidence) else WHOLE_SHARE
    if evidence.share_second < whole:
        kinds.append(DuplicateKind.CROP)
    if evidence.share_first < whole:
        kinds.append(DuplicateKind.OVERLAY)  # a border or frame was added
    return kinds


def _is_oblique(evidence: Evidence) -> bool:
    """Return whether one image is turned by no multiple of 90°."""
    turn = abs(evidence.turn_degrees)
    return abs(turn - 90 * round(turn / 90)) > TURN_DEGREES


def _most_inner(evidence: Evidence) -> float:
    """Return which share of the contained image can be shared at most: a turn cuts the corners of a long one."""
    if not _is_oblique(evidence):
        return 1.0
    linear = np.reshape(evidence.matrix, (2, 3))[:, :2]
    return max(_inside(each) for each in (linear, np.linalg.inv(linear)))


def _inside(linear: NDArray[np.float64]) -> float:
    """Return the share of the points around the middle of an image that `linear` (2, 2) maps into another."""
    return float((np.abs(linear @ _AROUND_MIDDLE) <= 0.5).all(axis=0).mean())


def _is_another_page(evidence: Evidence) -> bool:
    """Return whether the images show different things in a place, unless something was laid over that place."""
    if evidence.changed is None:
        return _is_relabelled(evidence)
    if evidence.changed == 0:
        return False
    is_in_one_region = evidence.changed_together >= TOGETHER
    is_beside = evidence.on_ground >= MIN_ON_GROUND and evidence.elsewhere > HARDLY_CLEAR
    if evidence.moved > MAX_MOVED or (is_beside and (is_in_one_region or is_overlaid(evidence))):
        return True
    if not is_in_one_region:
        is_other_content = evidence.clear > SCATTERED_CLEAR and evidence.uncovered > MAX_UNCOVERED
        return is_other_content or evidence.kept < ONLY_TONES or evidence.filled >= MOSTLY_FILLED
    return not (_is_trace(evidence) or _is_laid_over(evidence))


def is_speck(evidence: Evidence) -> bool:
    """Return whether content differs in exactly one small place, such as a digit."""
    is_small = evidence.changed_together >= TOGETHER and evidence.changed_area <= SPECK_AREA
    return bool(evidence.changed) and is_small and evidence.differing <= NOISE


def _is_trace(evidence: Evidence) -> bool:
    """Return whether hardly a pixel differs clearly, in a small place: a trace of encoding."""
    return evidence.clear <= HARDLY_CLEAR and evidence.kept >= ALL_KEPT and evidence.changed_area <= SPECK_AREA


def _is_laid_over(evidence: Evidence) -> bool:
    """Return whether one image has more in one region, over what the other image has there, or over nothing.

    One thing instead of another uncovers the ground where the first one was, keeps and adds less; a bar or a box of
    another size is flat in both, in another grey.
    """
    if evidence.uncovered > (TEXT_UNCOVERED if evidence.lettered >= TEXT_LETTERED else MAX_UNCOVERED):
        return False
    if evidence.replaced > (EVEN_REPLACED if evidence.on_ground >= EVEN_GROUND else MAX_REPLACED):
        return False
    if evidence.uncovered > max(MIN_EXCHANGED, EXCHANGED * evidence.on_ground):
        return False
    if evidence.kept >= MARK_KEPT and evidence.added >= MARK_ADDED:
        return True
    if evidence.filled >= (SHAPE_FILLED if evidence.changed_area < SHAPE_AREA else LARGE_SHAPE_FILLED):
        return False
    seen = evidence.kept + evidence.added
    is_large = max(evidence.changed_area, evidence.region_area) >= MIN_COVERING_AREA
    is_on_ground = (
        evidence.on_ground >= MIN_ON_GROUND
        and evidence.uncovered <= TEXT_UNCOVERED
        and evidence.kept >= GROUND_KEPT
        and evidence.sameness >= REST_SAMENESS
    )
    is_seen_through = is_large and (seen >= COVERING or is_on_ground)
    is_of_strokes = (
        evidence.changed_area >= STROKES_AREA
        and evidence.changed_density >= STROKES_DENSITY
        and evidence.lettered < STROKES_LETTERED
        and evidence.sameness >= REST_SAMENESS
    )
    is_band = (  # of text over text, where hardly a stroke of what is below is left, and no ground is seen instead
        evidence.changed_area >= BAND_AREA
        and evidence.changed_density >= BAND_DENSITY
        and max(evidence.uncovered, evidence.replaced) <= TEXT_UNCOVERED
        and evidence.sameness >= REST_SAMENESS
    )
    is_covered = is_band or (is_of_strokes and seen >= STROKES_SEEN)
    return is_seen_through or (is_covered and evidence.colour <= MAX_TONED)


def _is_relabelled(evidence: Evidence) -> bool:
    """Return whether a page, a chart or a drawing differs in exactly one small place, so that its content differs."""
    return (
        evidence.texture < FULL_TEXTURE
        and 0 < evidence.differing <= NOISE
        and evidence.region_share >= TOGETHER
        and evidence.sameness >= UNTOUCHED
        and evidence.colour <= UNTOUCHED_COLOUR
    )


def is_overlaid(evidence: Evidence) -> bool:
    """Return whether the differing patches are in one region, like a line of text, and all others nearly equal."""
    is_whole = min(evidence.share_first, evidence.share_second) >= NEARLY_WHOLE_SHARE
    return (
        evidence.differing > NOISE
        and (is_whole or evidence.texture >= FULL_TEXTURE)
        and evidence.region_share >= TOGETHER
        and evidence.sameness >= UNTOUCHED
        and evidence.colour <= UNTOUCHED_COLOUR
    )
