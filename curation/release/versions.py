"""The version of a release, by what changed since the previous one: the rule of Croissant 1.1, section Version.

Rows that are gone, or whose data differ, make a major version; more rows or columns a minor one; the same data in
other tars a patch.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from manifests.compare.changes import Change, Tally

_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)


class Bump(StrEnum):
    """What a reader of the previous version must expect."""

    MAJOR = "major"
    """Data that was there is gone or differs."""
    MINOR = "minor"
    """All data that was there is the same, and there is more."""
    PATCH = "patch"
    """The same data, packed differently."""
    NONE = "none"
    """Nothing differs."""


class Version(NamedTuple):
    """MAJOR.MINOR.PATCH, see https://semver.org."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version that `text` is. Raises ValueError when it is none."""
        found = _VERSION.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r}: no version such as 1.0.0")
        return cls(*map(int, found.groups()))

    def after(self, bump: Bump) -> "Version":
        """Return the version that follows this one."""
        if bump is Bump.MAJOR:
            return Version(self.major + 1, 0, 0)
        if bump is Bump.MINOR:
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + (bump is Bump.PATCH))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST = Version(1, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed for readers since the previous release.

    `changed` counts rows of both whose data differ, by column: a row counts for each of its columns. `repacked` are
    rows whose data is elsewhere in the tars, or of which only what readers do not get differs; None if not counted.
    """

    bump: Bump
    removed: int = 0
    added: int = 0
    repacked: int | None = 0
    changed: Mapping[str, int]
    new_columns: Sequence[str] = ()
    lost_columns: Sequence[str] = ()


def changes_between(
    tally: Tally, columns_before: Sequence[str], columns_after: Sequence[str], *, is_repacked: bool
) -> Changes:
    """Return what changed for readers.

    Args:
        tally: the counts of the whole diff of both manifests.
        columns_before, columns_after: the columns that readers of each release get. Differences in others, such as
            where a sample is in its tar or which copies of it there were, are none for them.
        is_repacked: whether any tar differs.
    """
    lost = [name for name in columns_before if name not in columns_after]
    new = [name for name in columns_after if name not in columns_before]
    read = [name for name in columns_after if name in columns_before]
    changed = {name: tally.columns[name] for name in read if tally.columns.get(name)}
    removed, added = tally.of(Change.REMOVED), tally.of(Change.ADDED)
    moved = tally.of(Change.MOVED) + (0 if changed else tally.of(Change.CHANGED))
    if removed or changed or lost:
        bump = Bump.MAJOR
    elif added or new:
        bump = Bump.MINOR
    else:
        bump = Bump.PATCH if moved or is_repacked else Bump.NONE
    return Changes(
        bump=bump,
        removed=removed,
        added=added,
        repacked=moved,
        changed=changed,
        new_columns=new,
        lost_columns=lost,
    )
