"""Descriptions of local files and folders, in the form that fsspec's file systems use for theirs."""

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from manifests.file_names import name_text

Entry = Mapping[str, Any]
"""The description of a file: `name`, `size`, `type`, and an ETag or a time of change. `type` is `file`, `directory`,
`other` (a device, a pipe), or `dangling`: a link whose target does not exist."""


def local_entry(path: str) -> Entry | None:
    """Return the description of a local path, for a link that of its target; None when nothing is there."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    is_link = stat.S_ISLNK(found.st_mode)
    kind = None
    if is_link:
        try:
            found = os.stat(path)
        except OSError:
            kind = "dangling"
    if kind is None:
        kind = "directory" if stat.S_ISDIR(found.st_mode) else "file" if stat.S_ISREG(found.st_mode) else "other"
    size = 0 if kind == "dangling" else found.st_size
    entry: dict[str, Any] = {"name": path, "size": size, "type": kind, "mtime": found.st_mtime, "islink": is_link}
    if is_link:
        entry["destination"] = name_text(os.fsencode(os.readlink(path)))
    return entry


def local_entries(top: str, depth: int | None) -> Iterator[tuple[str, Entry]]:
    """Yield path below `top` and description of every file and folder, down to `depth` levels (None: all of them)."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        level = folder.count("/") + 1
        try:
            names = os.listdir(os.path.join(top, folder) if folder else top)
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            below = folder + name
            entry = local_entry(os.path.join(top, below))
            if entry is None:
                continue  # removed since it was listed
            yield name_text(os.fsencode(below)), entry
            if entry["type"] == "directory" and not entry["islink"] and (depth is None or level < depth):
                waiting.append(below + "/")
