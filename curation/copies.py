"""What counts as a copy: the kinds a user may name, and which kind a pair's evidence amounts to."""

from dataclasses import dataclass

from curation.verification import MIN_PATCHES, Evidence
from manifests.schema import DuplicateKind

TURN_DEGREES = 2.5  # less is the fit's own error
WHOLE_SHARE = 0.9  # of a picture, covered by the other
MIN_INNER_SHARE, MIN_OUTER_SHARE = 0.8, 0.2  # of the picture that lies in the other, and of that one: else a detail
NOISE = 0.02  # of the patches that may differ before something was put over a picture
TOGETHER = 0.9  # of the patches that differ where something was put over a picture
UNTOUCHED, UNTOUCHED_COLOUR = 0.98, 8.0  # correlation and grey levels of all the rest of it
FULL_TEXTURE, FULL_SAMENESS = 0.6, 0.97  # photographs, where a patch that differs is more often noise than a label

SEARCHED_LOCALLY = frozenset({DuplicateKind.OVERLAY, DuplicateKind.CROP, DuplicateKind.MIRROR, DuplicateKind.TURN})
"""Kinds that PDQ does not find, for which the scan measures local features."""


@dataclass(frozen=True, kw_only=True)
class Strictness:
    """The share of what two pictures have in common that must agree, by kind; for overlay, that nothing lies over."""

    mild: float = 0.95
    overlay: float = 0.75
    crop: float = 0.95
    mirror: float = 0.95
    turn: float = 0.95


def kind_of(evidence: Evidence, strictness: Strictness) -> DuplicateKind | None:
    """Return what kind of copy the first picture of `evidence` is of the second, or None when it is none."""
    if evidence.patches < MIN_PATCHES:
        return None
    inner = max(evidence.share_first, evidence.share_second)
    outer = min(evidence.share_first, evidence.share_second)
    if inner < MIN_INNER_SHARE or outer < MIN_OUTER_SHARE:
        return None
    kind = _by_map(evidence)
    if kind is DuplicateKind.MILD and _is_overlaid(evidence):
        return DuplicateKind.OVERLAY if evidence.region_area <= 1 - strictness.overlay else None
    asked = strictness.mild if kind is DuplicateKind.OVERLAY else getattr(strictness, kind.value)
    is_full = evidence.texture >= FULL_TEXTURE and evidence.sameness >= FULL_SAMENESS
    return kind if evidence.differing <= (1 - asked) * (2 if is_full else 1) else None


def _by_map(evidence: Evidence) -> DuplicateKind:
    """Return the kind that the map between the pictures alone tells."""
    if evidence.is_mirrored:
        return DuplicateKind.MIRROR
    if abs(evidence.turn_degrees) > TURN_DEGREES:
        return DuplicateKind.TURN
    if evidence.share_second < WHOLE_SHARE:
        return DuplicateKind.CROP
    if evidence.share_first < WHOLE_SHARE:
        return DuplicateKind.OVERLAY  # a border, or a frame around it
    return DuplicateKind.MILD


def _is_overlaid(evidence: Evidence) -> bool:
    """Whether the patches that differ lie together, as a line of text does, and all others are as good as equal."""
    return (
        evidence.differing > NOISE
        and evidence.region_share >= TOGETHER
        and evidence.sameness >= UNTOUCHED
        and evidence.colour <= UNTOUCHED_COLOUR
    )
