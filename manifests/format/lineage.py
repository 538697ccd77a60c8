"""The manifests that a manifest was made from, back to the scan, as far as they still exist."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from manifests import storage
from manifests.format.schema import Stage
from manifests.format.store import Manifest, Parent, open_manifest

ROWS = "rows"
_OTHER_ROLES = ("reference:", "against:")


class LinkState(StrEnum):
    """Whether the manifest that a link records still exists."""

    HERE = "here"
    """It is at the recorded place."""
    MOVED = "moved"
    """It is next to the manifest that was made from it, because the whole output was moved."""
    CHANGED = "changed"
    """At the recorded place is a manifest with other rows."""
    GONE = "gone"
    """There is no readable manifest at the recorded place."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A manifest that another one names as its parent.

    `role` is ROWS when rows were taken from it, else `reference:NAME` or `against:NAME`: a set in which dedupe
    searched for duplicates. `found` is the manifest if `state` is here or moved; else `why` describes what was found.
    """

    recorded: Parent
    role: str
    state: LinkState
    found: Manifest | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A manifest of the lineage, and what it was made from."""

    manifest: Manifest
    links: Sequence[Link]

    @property
    def row_links(self) -> list[Link]:
        """The links to manifests that rows were taken from."""
        return [link for link in self.links if link.role == ROWS]


def lineage(manifest: Manifest) -> list[Step]:
    """Return the manifest and all that its rows were taken from, the youngest first, each once.

    The ancestors of the first parent come before the second parent. The ancestors of sets of dedupe are left out.
    Manifests that are gone or have changed raise no error: `Link.state` reports them.
    """
    steps: list[Step] = []
    known: set[str] = set()
    waiting = [manifest]
    while waiting:
        here = waiting.pop()
        if here.uri in known:
            continue
        known.add(here.uri)
        step = Step(manifest=here, links=[_look(here, parent, role) for parent, role in roles(here)])
        steps.append(step)
        waiting += [link.found for link in reversed(step.row_links) if link.found is not None]
    return steps


def find_shards(manifest: Manifest) -> str | None:
    """Return the folder with the tars that the column `shard` names; None if there are none any more.

    It is the recorded one, or that of the manifest of shards in the lineage, which may have been moved.
    """
    if _has_tars(manifest.shards_uri):
        return manifest.shards_uri
    made = (step.manifest for step in lineage(manifest))
    moved = next((each.uri for each in made if each.stage is Stage.SHARD and not each.derivation), None)
    return moved if moved is not None and _has_tars(moved) else None


def _has_tars(uri: str) -> bool:
    return any(name.endswith(".tar") for name in storage.list_names(uri))


def roles(manifest: Manifest) -> Iterator[tuple[Parent, str]]:
    """Yield each parent of `manifest` and its role; see Link."""
    sets = [(name, value) for name, value in manifest.inputs.items() if name.startswith(_OTHER_ROLES)]
    own = len(manifest.parents) - len(sets)  # sets come after what rows were taken from
    for place, parent in enumerate(manifest.parents):
        match = next((each for each in sets if each[1] == parent.digest), None) if place >= own else None
        if match is not None:
            sets.remove(match)
        yield parent, ROWS if match is None else match[0]


def _look(child: Manifest, parent: Parent, role: str) -> Link:
    """Return the link to `parent`, searched for at the recorded place and next to `child`."""
    states: list[Link] = []
    places = [parent.uri, _sibling(child.uri, parent.uri)]
    for state, uri in zip((LinkState.HERE, LinkState.MOVED), places, strict=True):
        try:
            found = open_manifest(uri)
        except Exception as e:  # noqa: BLE001 - storages raise any exception, and the other links are still useful
            states.append(Link(recorded=parent, role=role, state=LinkState.GONE, why=str(e)))
            continue
        if found.digest == parent.digest and found.uri != child.uri:
            state = LinkState.HERE if found.uri == storage.absolute(parent.uri) else state  # noqa: PLW2901 - both places are the same
            return Link(recorded=parent, role=role, state=state, found=found)
        why = f"there is a manifest of {found.made_by} with other rows, made {found.created}"
        states.append(Link(recorded=parent, role=role, state=LinkState.CHANGED, why=why))
    return states[0]


def _sibling(child: str, parent: str) -> str:
    """Return the URI of `parent` if it had been moved together with `child`."""
    return storage.join(child.rstrip("/").rpartition("/")[0], parent.rstrip("/").rpartition("/")[2])
