"""Where a release comes from, in PROV-O, as Croissant 1.1 recommends (Provenance Representation).

Manifests are entities, named by their digests; stages and operations are activities of the agent curate. Places of
the inputs are left out: they name folders of the publisher. Labels are `prov:label`, as in Croissant's examples.
Source: https://www.w3.org/TR/prov-o/.
"""

from collections.abc import Mapping
from typing import Any

from curation.release.release import Release
from curation.report import FunnelRow
from manifests.format.schema import Stage

PREFIXES: Mapping[str, str] = {"prov": "http://www.w3.org/ns/prov#"}
_SOFTWARE = {"@id": "#curate"}


def manifest_name(digest: str) -> str:
    """Return the name of a manifest: its digest as a URN, which is the same wherever it is stored."""
    return f"urn:curate:manifest:{digest}"


def provenance(release: Release) -> dict[str, Any]:
    """Return the properties of the data set that say what it was made of, by what and whom, and what it revises."""
    parents = [(parent.digest, f"manifest of the stage {parent.stage}") for parent in release.manifest.parents]
    found: dict[str, Any] = {
        "prov:wasDerivedFrom": [_entity(digest, label) for digest, label in parents],
        "prov:wasGeneratedBy": _activities(release),
        "prov:wasAttributedTo": _agents(release),
    }
    if release.previous is not None:
        label = f"{release.previous.name} {release.previous.version}"
        found["prov:wasRevisionOf"] = _entity(release.previous.digest, label)
    return {name: value for name, value in found.items() if value}


def measurement(release: Release) -> dict[str, Any]:
    """Return the properties of fields that were measured: by which software, in which activity."""
    made = [_activity_name(place, row) for place, row in enumerate(release.funnel) if row.stage == Stage.SCORE]
    generated = {"prov:wasGeneratedBy": {"@id": made[-1]}} if made else {}
    return {"prov:wasAttributedTo": _SOFTWARE, **generated}


def _entity(digest: str, label: str) -> dict[str, Any]:
    return {"@id": manifest_name(digest), "@type": "prov:Entity", "prov:label": label}


def _agents(release: Release) -> list[dict[str, Any]]:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(release.software.items()))
    software = {**_SOFTWARE, "@type": ["prov:Agent", "prov:SoftwareAgent"], "prov:label": versions}
    people = [{"@type": "prov:Agent", "prov:label": name} for name in release.about.creators]
    return [software, *people]


def _activities(release: Release) -> list[dict[str, Any]]:
    """Return every stage and operation in order, each informed by the one before."""
    made: list[dict[str, Any]] = []
    for place, row in enumerate(release.funnel):
        activity: dict[str, Any] = {
            "@id": _activity_name(place, row),
            "@type": "prov:Activity",
            "prov:label": f"curate {row.stage}",
            "description": _counts(row),
            "prov:wasAssociatedWith": _SOFTWARE,
        }
        if made:
            activity["prov:wasInformedBy"] = {"@id": made[-1]["@id"]}
        made.append(activity)
    if made:
        made[-1]["prov:used"] = [{"@id": manifest_name(parent.digest)} for parent in release.manifest.parents]
        made[-1]["prov:endedAtTime"] = release.created
    return made


def _activity_name(place: int, row: FunnelRow) -> str:
    return f"#activity-{place + 1}-{row.stage}"


def _counts(row: FunnelRow) -> str:
    reasons = sorted(row.reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    why = ", ".join(f"{name} {count:,}" for name, count in reasons)
    return f"{row.came_in:,} samples came in, {row.went_on:,} went on" + (f"; left out: {why}" if why else "")
