"""The small pictures of a report: read by byte range, decoded in processes of their own, written beside the pages."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.pages.workers import Workers
from curation.pictures.decode import DEFAULT_LIMITS, DecodeLimits
from curation.pictures.thumbnails import thumbnail
from curation.sources.originals import fetch
from manifests import storage

FOLDER = "pictures"
MAX_SIDE_PIXELS = 256
ROWS_AT_ONCE = 24
HASH_CHARS = 24
_NAME = re.compile(rf"[0-9a-f]{{{HASH_CHARS}}}\.jpg")


@dataclass(frozen=True, kw_only=True)
class Small:
    """A small picture: its path relative to the pages and its size in pixels, or why there is none."""

    path: str | None = None
    width: int = 0
    height: int = 0
    problem: str = ""


def is_picture(name: str) -> bool:
    """Return whether a file of this name may be one that `make_pictures` wrote."""
    return _NAME.fullmatch(name) is not None


def path_of(row: Mapping[str, Any]) -> str:
    """Return the path of a row's small picture, relative to the pages; it depends on the stored bytes alone."""
    return f"{FOLDER}/{row['sha256'][:HASH_CHARS]}.jpg"


def make_pictures(
    rows: Sequence[Mapping[str, Any]],
    folder: str,
    *,
    shards_uri: str | None,
    workers: Workers,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> dict[str, Small]:
    """Write a small picture of each row to `folder`, and return key → picture.

    Rows have the columns `originals.needed_columns`; those with the same bytes share a file. Pictures are read from
    the tars at `shards_uri`, or from their sources. A picture that cannot be read or decoded, or that crashes its
    decoder, has a `problem`, and the others are made all the same.
    """
    by_bytes: dict[str | None, Mapping[str, Any]] = {}
    for row in rows:
        by_bytes.setdefault(row["sha256"], row)
    without_bytes = by_bytes.pop(None, None) is not None
    wanted = sorted(by_bytes.values(), key=lambda row: (row["source"], row["offset"] or 0))
    groups = [wanted[first : first + ROWS_AT_ONCE] for first in range(0, len(wanted), ROWS_AT_ONCE)]
    made: dict[str | None, Small] = {}
    for group, found in workers.map(_make, groups, folder, shards_uri, limits):
        made |= _make(group, folder, shards_uri, limits, True) if found is None else found
    if without_bytes:
        made[None] = Small()
    return {row["key"]: made[row["sha256"]] for row in rows}


def _make(
    rows: Sequence[Mapping[str, Any]], folder: str, shards_uri: str | None, limits: DecodeLimits, is_careful: bool
) -> dict[str | None, Small]:
    """Return sha256 → small picture of `rows`, written to `folder`."""
    made: dict[str | None, Small] = {}
    for row, (data, problem) in zip(rows, fetch(rows, shards_uri=shards_uri), strict=True):
        if data is None:
            made[row["sha256"]] = Small(problem=problem)
            continue
        small = thumbnail(data, MAX_SIDE_PIXELS, limits=limits, is_retry=is_careful)
        if small.jpeg is None:
            made[row["sha256"]] = Small(problem=small.problem)
            continue
        path = path_of(row)
        storage.write_bytes(storage.join(folder, path), small.jpeg)
        made[row["sha256"]] = Small(path=path, width=small.width, height=small.height)
    return made
