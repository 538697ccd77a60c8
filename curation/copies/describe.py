"""Describe in words what was found when two images were compared."""

import json
from collections.abc import Mapping
from typing import Any

from curation.copies.kinds import TURN_DEGREES, WHOLE_SHARE
from manifests.format.schema import DuplicateKind


def describe_evidence(evidence: str | None) -> str:
    """Return the JSON of the column `duplicate_evidence` in words, and an empty text for None."""
    if evidence is None:
        return ""
    found = json.loads(evidence)
    if "same" in found:
        return f"the same {found['same']}"
    if "cosine" in found:
        return f"similar embeddings, cosine {found['cosine']:g}"
    words = _describe_map(found) + _describe_patches(found) if found.get("verified") else []
    if found.get("distance") is not None:
        words.append(f"PDQ {found['distance']} bits apart")
    if not found.get("verified"):
        words.append("pixels not compared")
    return ", ".join(words)


def _describe_map(found: Mapping[str, Any]) -> list[str]:
    words = []
    if found["is_mirrored"]:
        words.append("mirrored")
    turn = abs(found["turn_degrees"])
    if found["is_mirrored"] and 180 - turn < turn:
        words = ["mirrored top to bottom"]
        turn = 180 - turn
    if turn > TURN_DEGREES:
        words.append(f"turned by {turn:g}°")
    if found["share_second"] < WHOLE_SHARE:
        words.append(f"{_percent(found['share_second'])} of it")
    if found["share_first"] < WHOLE_SHARE:
        words.append(f"which is {_percent(found['share_first'])} of the copy")
    return words or ["the whole picture"]


def _describe_patches(found: Mapping[str, Any]) -> list[str]:
    changed = found.get("changed") or 0
    area = max(found["region_area"], found.get("changed_area", 0.0))
    if found["kind"] == DuplicateKind.OVERLAY and (found["differing"] or changed) and area < 1:
        return [f"something over {_percent(area)} of it"]
    words = [f"{_percent(found['differing'])} of the patches differ"]
    if found["kind"] == DuplicateKind.RECOLOUR:
        words.insert(0, f"{_percent(found['recoloured'])} of it in another colour")
    return words


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "less than 1 %"
