"""Checks that an output can be written, made before any work is done."""

import errno
import stat
from pathlib import Path

from manifests import storage
from manifests.errors import InputError, sentence_of

# The longest name below the output of a stage: that of a unit's receipt while it is written.
_LONGEST_BELOW = f"_work/receipts/.{'x' * 16}.json.{'0' * 32}.tmp"


def require_folder(uri: str) -> None:
    """Raise InputError when `uri` cannot be an output folder: it is a file or below one, or too long a name."""
    _require_place(uri)
    if storage.is_local(uri):
        path = storage.filesystem(uri)[1]
        if (mode := _mode(path)) is not None and not stat.S_ISDIR(mode):
            raise InputError(f"{uri}: a file, not a folder; name another output")
        _mode(f"{path}/{_LONGEST_BELOW}", shown=path)
        return
    storage.require_bucket(uri)
    fs, path = storage.filesystem(uri)
    if fs.isfile(path):
        raise InputError(f"{uri}: a file, not a folder; name another output")


def require_file(uri: str) -> None:
    """Raise InputError when `uri` cannot be an output file: it is a folder or below a file, or too long a name."""
    _require_place(uri)
    if not storage.is_local(uri):
        return
    mode = _mode(storage.filesystem(uri)[1])
    if mode is not None and stat.S_ISDIR(mode):
        raise InputError(f"{uri}: a folder, not a file; name a file in it")


def _require_place(uri: str) -> None:
    if not storage.is_local(uri):
        return
    for folder in Path(storage.filesystem(uri)[1]).parents:
        mode = _mode(str(folder))
        if mode is not None and not stat.S_ISDIR(mode):
            raise InputError(f"{uri}: {folder} is a file, not a folder; name another output")


def _mode(path: str, shown: str | None = None) -> int | None:
    """Return type and permissions of what is at a local path, None when there is nothing.

    Raises InputError, with the path `shown`, when the name is too long or leads through a circle of links.
    """
    try:
        return Path(path).stat().st_mode
    except OSError as e:
        if e.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            e.filename = path if shown is None else shown
            raise InputError(sentence_of(e)) from e
        return None
