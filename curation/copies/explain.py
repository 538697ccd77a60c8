"""Explaining a cluster: what was found when two pictures were compared, in words, and why one represents all."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from curation.copies.kinds import TURN_DEGREES, WHOLE_SHARE
from manifests.format.schema import DuplicateKind, Status

_REASONS = ("it is whole, others are truncated", "it has most pixels", "it has most bytes", "its key comes first")


def in_words(evidence: str | None) -> str:
    """Return what `duplicate_evidence` says, as people put it; nothing where there is none."""
    if evidence is None:
        return ""
    found = json.loads(evidence)
    if "same" in found:
        return f"the same {found['same']}"
    if "cosine" in found:
        return f"embeddings alike, cosine {found['cosine']:g}"
    told = _about_the_map(found) + _about_the_patches(found) if found.get("verified") else []
    if found.get("distance") is not None:
        told.append(f"PDQ {found['distance']} bits apart")
    if not found.get("verified"):
        told.append("pixels not compared")
    return ", ".join(told)


def _about_the_map(found: Mapping[str, Any]) -> list[str]:
    told = []
    if found["is_mirrored"]:
        told.append("mirrored")
    turn = abs(found["turn_degrees"])
    if found["is_mirrored"] and 180 - turn < turn:
        told = ["mirrored top to bottom"]
        turn = 180 - turn
    if turn > TURN_DEGREES:
        told.append(f"turned by {turn:g}°")
    if found["share_second"] < WHOLE_SHARE:
        told.append(f"{_percent(found['share_second'])} of it")
    if found["share_first"] < WHOLE_SHARE:
        told.append(f"which is {_percent(found['share_first'])} of the copy")
    return told or ["the whole picture"]


def _about_the_patches(found: Mapping[str, Any]) -> list[str]:
    if found["kind"] == DuplicateKind.OVERLAY and found["differing"] and found["region_area"] < 1:
        return [f"something over {_percent(found['region_area'])} of it"]
    return [f"{_percent(found['differing'])} of the patches differ"]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "less than 1 %"


def why_it_represents(representative: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Return the first thing by which the representative comes before all others of its cluster."""
    if not others:
        return "it is alone"
    pairs = zip(_rank(representative), min(map(_rank, others)), strict=True)
    places = [place for place, (own, next_best) in enumerate(pairs) if own != next_best]
    return _REASONS[places[0]] if places else _REASONS[-1]


def _rank(row: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    """Order pictures as dedupe does, the best first."""
    area = (row["width"] or 0) * (row["height"] or 0)
    return row["status"] != Status.OK, -area, -(row["size"] or 0), row["key"]
