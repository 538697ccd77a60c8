"""The manifests that a manifest was made from, back to the scan, as far as they are still where they were."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from manifests import storage
from manifests.format.store import Manifest, Parent, open_manifest

ROWS = "rows"
_OTHER_ROLES = ("reference:", "against:")


class LinkState(StrEnum):
    """Whether a recorded manifest is still to be found."""

    HERE = "here"
    """It is where it was."""
    MOVED = "moved"
    """It lies beside the manifest that was made from it, as when the whole output was moved."""
    CHANGED = "changed"
    """Where it was lies a manifest with other rows."""
    GONE = "gone"
    """There is no readable manifest where it was."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A manifest that another one names as its parent.

    `role` is ROWS when rows were taken from it, else `reference:NAME` or `against:NAME`: a set that duplicates were
    looked for in. `found` is the manifest when `state` is here or moved; `why` says what is there when it is not.
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

    Of several parents, the first comes first with all before it. Sets of dedupe are looked for, but not what they
    were made from. Raises nothing for what is gone or has changed: `Link.state` says so.
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


def roles(manifest: Manifest) -> Iterator[tuple[Parent, str]]:
    """Yield each parent of `manifest` and what it was to it."""
    sets = [(name, value) for name, value in manifest.inputs.items() if name.startswith(_OTHER_ROLES)]
    own = len(manifest.parents) - len(sets)  # sets come after what rows were taken from
    for place, parent in enumerate(manifest.parents):
        match = next((each for each in sets if each[1] == parent.digest), None) if place >= own else None
        if match is not None:
            sets.remove(match)
        yield parent, ROWS if match is None else match[0]


def _look(child: Manifest, parent: Parent, role: str) -> Link:
    """Return the link to `parent`, looked for where it was and beside `child`."""
    states: list[Link] = []
    places = [parent.uri, _beside(child.uri, parent.uri)]
    for state, uri in zip((LinkState.HERE, LinkState.MOVED), places, strict=True):
        try:
            found = open_manifest(uri)
        except Exception as e:  # noqa: BLE001 - storages raise what they like, and the rest is known all the same
            states.append(Link(recorded=parent, role=role, state=LinkState.GONE, why=str(e)))
            continue
        if found.digest == parent.digest and found.uri != child.uri:
            state = LinkState.HERE if found.uri == storage.absolute(parent.uri) else state  # noqa: PLW2901 - they are one
            return Link(recorded=parent, role=role, state=state, found=found)
        why = f"there is one of {found.made_by} with other rows, made {found.created}"
        states.append(Link(recorded=parent, role=role, state=LinkState.CHANGED, why=why))
    return states[0]


def _beside(child: str, parent: str) -> str:
    """Return where `parent` would lie if it had been moved together with `child`."""
    return storage.join(child.rstrip("/").rpartition("/")[0], parent.rstrip("/").rpartition("/")[2])
