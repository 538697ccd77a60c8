"""Whether the text scores of two manifests compare: whether the same networks, weights and engine made them."""

from collections import defaultdict
from collections.abc import Mapping, Set

from manifests.format.lineage import lineage
from manifests.format.store import Manifest

COLUMN = "text_score"
_SOFTWARE = ("text_density", "cascade", "engine")  # as scan and score record it
_NEW_COLUMN = "text_kind"  # text scores of manifests without it are those of 0.1


def scores_compare(a: Manifest, b: Manifest) -> bool | None:
    """Return whether `text_score` of both manifests may be compared.

    The software that measured text is recorded by the manifests of scan and score, which are looked for as far as
    they still exist. None when too little of it is known, or a manifest has no text scores.
    """
    if COLUMN not in a.schema.names or COLUMN not in b.schema.names:
        return None
    if (_NEW_COLUMN in a.schema.names) != (_NEW_COLUMN in b.schema.names):
        return False
    first, second = _text_software(a), _text_software(b)
    if any(first[name] != second[name] for name in first.keys() & second.keys()):
        return False
    return True if {"cascade", "engine"} <= first.keys() & second.keys() else None


def _text_software(manifest: Manifest) -> Mapping[str, Set[str]]:
    """Return the versions that measured text, by what they measured; several where manifests were merged."""
    found: dict[str, set[str]] = defaultdict(set)
    for step in lineage(manifest):
        for name in _SOFTWARE:
            if name in step.manifest.software:
                found[name].add(step.manifest.software[name])
    return found
