"""With which pictures a row was compared, what was found, and which of them represents the cluster."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.copies.describe import describe_evidence
from curation.copies.kinds import FULL_SAMENESS, FULL_TEXTURE, TOGETHER, Evidence, is_overlaid
from curation.explaining.measure import Measure, at_least, at_most
from manifests.format.schema import DuplicateKind


@dataclass(frozen=True, kw_only=True)
class Member:
    """A picture of a cluster.

    `kind`, `found`, `evidence`: how it duplicates its representative, in words and as recorded; None for one that is
    none. `measures`: what proves that, against the settings. `manifest`: where its row is, if it is in another one.
    """

    key: str
    source: str | None = None
    member: str | None = None
    offset: int | None = None
    sha256: str | None = None
    format: str | None = None
    status: str | None = None
    width: int | None = None
    height: int | None = None
    size: int | None = None
    duplicate_of: str | None = None
    kind: str | None = None
    found: str = ""
    reference: str | None = None
    evidence: Mapping[str, Any] | None = None
    measures: tuple[Measure, ...] = ()
    manifest: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterStory:
    """The cluster of a row: its representative and why, and its members by key, the representative first.

    `own`: the row itself. `count`: how many rows the cluster has in the manifest; `members` may be fewer. `compared`:
    pictures that were compared with this one and are no copies of it, the most similar first.
    """

    cluster_id: str
    count: int
    own: Member
    representative: Member
    why: str
    members: tuple[Member, ...]
    compared: tuple[Member, ...] = ()


_COLUMNS = ("source", "member", "offset", "sha256", "format", "status", "width", "height", "size", "reference")


def member_of(row: Mapping[str, Any], config: Mapping[str, Any] | None, *, manifest: str | None = None) -> Member:
    """Return a row as a member of its cluster. `config`: the settings of dedupe, or None if they are not known."""
    recorded = row.get("duplicate_evidence")
    evidence = None if recorded is None else json.loads(recorded)
    kind = row.get("duplicate_kind")
    return Member(
        **{name: row.get(name) for name in _COLUMNS},
        key=row["key"],
        duplicate_of=row.get("duplicate_of"),
        kind=kind,
        found=describe_evidence(recorded),
        evidence=evidence,
        measures=tuple(_measures(kind, evidence, config or {})) if evidence else (),
        manifest=manifest,
    )


def _measures(kind: str | None, recorded: Mapping[str, Any], config: Mapping[str, Any]) -> list[Measure]:
    """Return what the evidence measured, against the settings that made it a copy."""
    if "cosine" in recorded:
        bound = config.get("min_cosine")
        return [] if bound is None else [at_least("cosine", recorded["cosine"], "dedupe.min_cosine", bound)]
    if recorded.get("verified"):
        return _strictness(kind, recorded, config.get("strictness") or {})
    bound, distance = config.get("max_distance"), recorded.get("distance")
    return [] if bound is None else [at_most("PDQ bits", distance, "dedupe.max_distance", bound)]


def _strictness(kind: str | None, recorded: Mapping[str, Any], strictness: Mapping[str, float]) -> list[Measure]:
    """Return what `curation.copies.kinds.kind_of` held against the strictness of a kind of copy."""
    known = {field.name: recorded[field.name] for field in dataclasses.fields(Evidence) if field.name in recorded}
    evidence = Evidence(**{**known, "matrix": tuple(known["matrix"])})
    is_changed = bool(evidence.changed) and evidence.changed_together >= TOGETHER
    if is_changed or is_overlaid(evidence):
        area = max(evidence.changed_area, evidence.region_area) if is_changed else evidence.region_area
        name, value, setting, factor = "share not covered", 1 - area, DuplicateKind.OVERLAY, 1
    else:
        is_full = evidence.texture >= FULL_TEXTURE and evidence.sameness >= FULL_SAMENESS
        is_same_content = evidence.texture < FULL_TEXTURE and evidence.changed == 0
        factor = 2 if is_full or is_same_content else 1
        is_of_map = kind in strictness and kind != DuplicateKind.OVERLAY
        setting = DuplicateKind(str(kind)) if is_of_map else DuplicateKind.MILD
        name, value = "share that agrees", 1 - evidence.differing
    if setting not in strictness:
        return []
    least = 1 - (1 - strictness[setting]) * factor
    shown = f"dedupe.strictness.{setting}" + (
        f" {strictness[setting]:g}, twice as lenient here:" if factor > 1 else ""
    )
    return [at_least(name, round(value, 4), shown, round(least, 4))]
