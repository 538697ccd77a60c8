"""What counts as a copy: the kinds a user may name, and which kind a pair's evidence amounts to."""

from collections.abc import Collection
from dataclasses import dataclass

from manifests.format.schema import DuplicateKind

MIN_PATCHES = 6  # compared, below which a pair proves nothing
TURN_DEGREES = 2.5  # less is the fit's own error
WHOLE_SHARE = 0.9  # of a picture, covered by the other
OBLIQUE_WHOLE_SHARE = 0.75  # the same when it was turned by other than a right angle, and lost or gained its corners
NEARLY_WHOLE_SHARE = 0.7  # where less of a page or a chart is shared, what differs makes it another one
MIN_INNER_SHARE, MIN_OUTER_SHARE = 0.8, 0.15  # of the picture that lies in the other, and of that one: else a detail
NOISE = 0.02  # of the patches that may differ before something was put over a picture
TOGETHER = 0.9  # of the patches that differ where something was put over a picture
UNTOUCHED, UNTOUCHED_COLOUR = 0.98, 8.0  # correlation and grey levels of all the rest of it
FULL_TEXTURE, FULL_SAMENESS = 0.6, 0.97  # photographs, where a patch that differs is more often noise than a label

SEARCHED_LOCALLY = frozenset({DuplicateKind.OVERLAY, DuplicateKind.CROP, DuplicateKind.MIRROR, DuplicateKind.TURN})
"""Kinds that PDQ does not find, for which the scan measures local features."""


_ORDER = list(DuplicateKind)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How two pictures lie to each other, and how well they agree where they overlap.

    `matrix` (2, 3) takes the first picture, mirrored first if `is_mirrored`, to the second, both in units of their
    own width and height. `turn_degrees`: clockwise, from -180 to 180. `share_first`, `share_second`: how much of each
    the other covers. `inliers`: keypoints that agree on the map, None if it is one of the eight. `patches` were
    compared; of them, `differing` differ, in [0, 1]; `texture`: how many of all patches of the overlap are not flat.
    Where patches differ, `region_share` of them lie together in a rectangle that takes `region_area` of the overlap.
    `sameness`: the correlation that nine in ten of the patches exceed that agree. `colour`: grey levels, the colour
    difference that nine in ten of the patches that agree stay below.
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


@dataclass(frozen=True, kw_only=True)
class Strictness:
    """The share of what two pictures have in common that must agree, by kind; for overlay, that nothing lies over."""

    mild: float = 0.95
    overlay: float = 0.75
    crop: float = 0.95
    mirror: float = 0.95
    turn: float = 0.95


def kind_of(
    evidence: Evidence, strictness: Strictness, copies: Collection[DuplicateKind | str]
) -> DuplicateKind | None:
    """Return what kind of copy the first picture of `evidence` is of the second, or None when it is none.

    A mirrored part of a picture is a copy only where both mirror and crop are among `copies`; it is called a mirror.
    """
    if evidence.patches < MIN_PATCHES:
        return None
    inner = max(evidence.share_first, evidence.share_second)
    outer = min(evidence.share_first, evidence.share_second)
    if inner < MIN_INNER_SHARE or outer < MIN_OUTER_SHARE:
        return None
    kinds = _by_map(evidence)
    if _is_relabelled(evidence):
        return None
    if _is_overlaid(evidence):
        kinds.append(DuplicateKind.OVERLAY)
        agrees = evidence.region_area <= 1 - strictness.overlay
    else:
        strict = [getattr(strictness, kind.value) for kind in kinds if kind is not DuplicateKind.OVERLAY]
        asked = max(strict, default=strictness.mild)  # within a border, the whole picture must agree
        is_full = evidence.texture >= FULL_TEXTURE and evidence.sameness >= FULL_SAMENESS
        agrees = evidence.differing <= (1 - asked) * (2 if is_full else 1)
    kinds = kinds or [DuplicateKind.MILD]
    return max(kinds, key=_ORDER.index) if agrees and set(kinds) <= set(copies) else None


def _by_map(evidence: Evidence) -> list[DuplicateKind]:
    """Return what the map between the pictures alone tells was done to the first."""
    kinds = []
    turn = abs(evidence.turn_degrees)
    if evidence.is_mirrored:
        kinds.append(DuplicateKind.MIRROR)
        turn = min(turn, 180 - turn)  # mirrored top to bottom is mirrored, too
    if turn > TURN_DEGREES:
        kinds.append(DuplicateKind.TURN)
    is_oblique = abs(turn - 90 * round(turn / 90)) > TURN_DEGREES
    whole = OBLIQUE_WHOLE_SHARE if is_oblique else WHOLE_SHARE
    if evidence.share_second < whole:
        kinds.append(DuplicateKind.CROP)
    if evidence.share_first < whole:
        kinds.append(DuplicateKind.OVERLAY)  # a border, or a frame around it
    return kinds


def _is_relabelled(evidence: Evidence) -> bool:
    """Whether a page, a chart or a drawing differs in one small place and nowhere else: it says something else."""
    return (
        evidence.texture < FULL_TEXTURE
        and 0 < evidence.differing <= NOISE
        and evidence.region_share >= TOGETHER
        and evidence.sameness >= UNTOUCHED
        and evidence.colour <= UNTOUCHED_COLOUR
    )


def _is_overlaid(evidence: Evidence) -> bool:
    """Whether the patches that differ lie together, as a line of text does, and all others are as good as equal."""
    is_whole = min(evidence.share_first, evidence.share_second) >= NEARLY_WHOLE_SHARE
    return (
        evidence.differing > NOISE
        and (is_whole or evidence.texture >= FULL_TEXTURE)
        and evidence.region_share >= TOGETHER
        and evidence.sameness >= UNTOUCHED
        and evidence.colour <= UNTOUCHED_COLOUR
    )
