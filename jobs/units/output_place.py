"""Whether something can be written where a person says, asked before any work is done."""

import errno
import stat
from pathlib import Path

from manifests import storage
from manifests.errors import InputError, sentence_of

# The longest name below an output of a stage: a receipt of a unit while it is written.
_LONGEST_BELOW = f"_work/receipts/.{'x' * 16}.json.{'0' * 32}.tmp"


def require_folder(uri: str) -> None:
    """Raise InputError when `uri` cannot be a folder to write to: it is or is below a file, or too long a name."""
    _require_place(uri)
    if storage.is_local(uri):
        path = storage.filesystem(uri)[1]
        if (mode := _mode(path)) is not None and not stat.S_ISDIR(mode):
            raise InputError(f"{uri}: a file, not a folder; name another output")
        _mode(f"{path}/{_LONGEST_BELOW}", shown=path)
        return
    fs, path = storage.filesystem(uri)
    if fs.isfile(path):
        raise InputError(f"{uri}: a file, not a folder; name another output")


def require_file(uri: str) -> None:
    """Raise InputError when `uri` cannot be a file to write: it is a folder, is below a file, or too long a name."""
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
    """Return the type and permissions of what is at a local path, None when nothing is.

    Raises InputError when the name is too long, or leads through a circle of links.
    """
    try:
        return Path(path).stat().st_mode
    except OSError as e:
        if e.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            e.filename = path if shown is None else shown
            raise InputError(sentence_of(e)) from e
        return None
