"""What a stage takes over from the manifest that it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from manifests.errors import InputError
from manifests.format.outdated import require_current
from manifests.format.schema import Stage
from manifests.format.store import Manifest, Parent, open_manifest


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What a stage takes over from the manifest it reads."""

    manifest: Manifest
    parents: Sequence[Parent]
    roots: Sequence[str]
    funnel: Sequence[Mapping[str, Any]]

    others: Mapping[str, str] = field(default_factory=dict)

    def joined_by(self, others: Mapping[str, Manifest]) -> "Lineage":
        """Return this lineage with manifests that the rows depend on but do not come from, by their part in it."""
        parents = [Parent(uri=each.uri, stage=each.stage, digest=each.digest) for each in others.values()]
        digests = {name: each.digest for name, each in others.items()}
        return replace(self, parents=[*self.parents, *parents], others=digests)


def read_parent(uri: str, wanted: Stage, *others: Stage) -> Lineage:
    """Return the committed manifest at `uri`, of stage `wanted` or of one of `others`, and what follows from it.

    Raises ManifestError when it is missing or unfinished, InputError when it is of another stage or was made by a
    version that measured less, up to the stage `wanted`.
    """
    manifest = open_manifest(uri)
    if manifest.stage not in (wanted, *others):
        stages = " or ".join((wanted, *others))
        between = list(Stage)[list(Stage).index(manifest.stage) + 1 : list(Stage).index(wanted) + 1]
        advice = f"; run {', then '.join(between)} first" if between else ""
        raise InputError(f"{uri}: a manifest of stage {manifest.stage}; this needs one of {stages}{advice}")
    require_current(manifest, uri, wanted)
    return Lineage(
        manifest=manifest,
        parents=[Parent(uri=manifest.uri, stage=manifest.stage, digest=manifest.digest)],
        roots=manifest.roots,
        funnel=manifest.funnel,
    )
