"""Where a release comes from, in PROV-O, as Croissant 1.1 recommends (Provenance Representation).

Manifests are entities, named by their digests; stages and operations are activities. Places of the inputs are left
out: they name folders of the publisher. Source: https://www.w3.org/TR/prov-o/.
"""

from collections.abc import Mapping
from typing import Any

from curation.release.release import Release

PREFIXES: Mapping[str, str] = {
    "prov": "http://www.w3.org/ns/prov#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
}


def manifest_name(digest: str) -> str:
    """Return the name of a manifest: its digest as a URN, which is the same wherever it is stored."""
    return f"urn:curate:manifest:{digest}"


def derivation(release: Release) -> dict[str, Any]:
    """Return the properties of the data set that say what it was made of, by what, and what it revises."""
    manifest = release.manifest
    found: dict[str, Any] = {
        "prov:wasDerivedFrom": [
            {
                "@id": manifest_name(parent.digest),
                "@type": "prov:Entity",
                "rdfs:label": f"manifest of the stage {parent.stage}",
            }
            for parent in manifest.parents
        ],
        "prov:wasGeneratedBy": _activities(release),
        "prov:wasAttributedTo": _software("curate", release.software),
    }
    if release.previous is not None:
        found["prov:wasRevisionOf"] = {
            "@id": manifest_name(release.previous.digest),
            "@type": "prov:Entity",
            "rdfs:label": f"{release.previous.name} {release.previous.version}",
        }
    return {name: value for name, value in found.items() if value}


def _activities(release: Release) -> list[dict[str, Any]]:
    """Return every stage and operation in order, each informed by the one before."""
    made: list[dict[str, Any]] = []
    for place, row in enumerate(release.funnel):
        activity: dict[str, Any] = {
            "@id": f"#activity-{place + 1}-{row.stage}",
            "@type": "prov:Activity",
            "rdfs:label": f"curate {row.stage}",
            "rdfs:comment": _counts(row.came_in, row.went_on, row.reasons),
        }
        if made:
            activity["prov:wasInformedBy"] = {"@id": made[-1]["@id"]}
        made.append(activity)
    if made:
        made[-1]["prov:used"] = [{"@id": manifest_name(parent.digest)} for parent in release.manifest.parents]
        made[-1]["prov:endedAtTime"] = release.created
    return made


def _counts(came_in: int, went_on: int, reasons: Mapping[str, int]) -> str:
    why = ", ".join(f"{name} {count:,}" for name, count in sorted(reasons.items(), key=lambda r: (-r[1], r[0])))
    return f"{came_in:,} samples came in, {went_on:,} went on" + (f"; left out: {why}" if why else "")


def _software(label: str, versions: Mapping[str, str]) -> dict[str, Any]:
    named = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    agent = {"@type": ["prov:Agent", "prov:SoftwareAgent"], "rdfs:label": label}
    return {**agent, "rdfs:comment": named} if named else agent


def agents(release: Release) -> dict[str, Any]:
    """Return the properties of fields that were measured: by which software, in which activity."""
    stages = [
        f"#activity-{place + 1}-{row.stage}" for place, row in enumerate(release.funnel) if row.stage == "score"
    ]
    found: dict[str, Any] = {"prov:wasAttributedTo": _software("curate", release.software)}
    if stages:
        found["prov:wasGeneratedBy"] = {"@id": stages[-1]}
    return found
