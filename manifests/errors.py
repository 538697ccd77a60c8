"""What can go wrong, as one tree.

CurateError            every error this project raises on purpose; its text is advice
├── InputError         the user's input or configuration is wrong: nothing was started
├── BrokenSource       one source (a tar, a folder) cannot be read to its end
├── StorageUnavailable a storage cannot be used: its host, bucket or credentials are missing or refused
├── ManifestError      a manifest is missing, unfinished or damaged
├── RunChanged         unfinished or finished work belongs to another configuration or input
├── RunAtWork          another run is writing to the same output
└── StageFailed        a stage ran and could not finish; finished units are kept
    └── LeaseLost      a later run has taken over the output, or has finished it

`sentence_of` describes what the operating system raises in the same form.
"""

import errno
import os
import re
from collections.abc import Mapping

STORAGE_ADVICE = "the storage refused; check the address, the permissions and the credentials in the environment"
NO_SPACE = os.strerror(errno.ENOSPC)
"""The text by which every library reports a full disk."""
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")  # an unfinished file of storage.write_atomically
_MEANINGS: Mapping[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space left on the device", "free some, or write to another place"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or write to another place"),
    errno.EFBIG: ("the file is larger than the file system or `ulimit -f` allows", "write to another place"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "use a shorter one"),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "name another path"),
    errno.EISDIR: ("a folder, not a file", "name a file"),
    errno.EEXIST: ("something of this name exists already", "remove it, or name another path"),
    errno.ENOTEMPTY: ("the folder is not empty", "remove what is in it, or name another path"),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.EACCES: ("permission denied", "check who may read or write it, and the folders above it"),
    errno.EPERM: ("the operating system does not permit this", "check the owner and the mount options"),
    errno.EROFS: ("the file system is read-only", "write to another place"),
    errno.EBUSY: ("in use by another program", "close that, or name another path"),
    errno.ETXTBSY: ("in use by another program", "close that, or name another path"),
    errno.EMFILE: ("this process has too many open files", "raise the limit with `ulimit -n`"),
    errno.ENFILE: ("this machine has too many open files", "close other programs, or raise the limit fs.file-max"),
    errno.ENOMEM: ("no memory left", "close other programs, or use a machine with more"),
    errno.EIO: ("the device failed to read or write", "check the disk or the mount, then run the same command again"),
    errno.ESTALE: ("the network file system has lost this file", "mount it again, then run the same command again"),
    errno.ENODEV: ("the device is gone", "mount it again, then run the same command again"),
    errno.ENXIO: ("the device is gone", "mount it again, then run the same command again"),
    errno.ELOOP: ("links that lead in a circle", "repair the link, or name another path"),
    errno.EBADF: ("not open for writing", "open it, or write to another place"),
}
# Only the operating system raises these. An object store raises others of the list, too, without a file name.
_LOCAL_ALONE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.EROFS, errno.EMFILE, errno.ENFILE}
)
_FAILURES = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


def sentence_of(error: OSError) -> str:
    """Return where an error of the operating system happened, what it is, and what to do, in one sentence.

    An error without a file name comes from an object store, and the advice is about addresses and credentials, unless
    only the operating system raises it.
    """
    if isinstance(error, CurateError):
        return str(error)
    number = error.errno if error.errno is not None else 0
    if error.filename is None and number not in _LOCAL_ALONE:
        return f"{STORAGE_ADVICE}: {type(error).__name__}: {error}"
    what, then = _MEANINGS.get(number, (error.strerror or type(error).__name__, "check the path and the disk"))
    where = "" if error.filename is None else f"{_shown(error.filename)}: "
    return f"{where}{what}; {then}"


def sentence_in(text: str) -> str | None:
    """Return `sentence_of` the OSError that `text`, the last line of a traceback, shows; None when it shows none."""
    found = re.search(r"\[Errno (\d+)\] [^:\n]*(?:: '([^'\n]+)')?", text)
    if found is None:
        return None
    number = int(found[1])
    return sentence_of(OSError(number, os.strerror(number), found[2]))


def is_failure(error: OSError) -> bool:
    """Return whether the machine is at fault, as with a full disk, so that another path would not help."""
    return error.errno in _FAILURES


def _shown(filename: str | bytes | int) -> str:
    """Return a file name for people: for a temporary file, its final name."""
    if isinstance(filename, int):
        return f"file {filename}"
    folder, slash, name = os.fsdecode(filename).rpartition("/")
    temporary = _TEMPORARY.fullmatch(name)
    return folder + slash + (temporary[1] if temporary else name)


class CurateError(Exception):
    """Root of the errors raised on purpose. The message says what, where and what next."""


class InputError(CurateError):
    """The user's input or configuration is wrong; nothing was started."""


class BrokenSource(CurateError):
    """A source cannot be read to its end, so none of its samples is known to be complete."""

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(message)
        self.source = source


class StorageUnavailable(CurateError):
    """A storage cannot be used: its host does not answer, or a bucket or credentials are missing or refused."""


class ManifestError(CurateError):
    """A manifest is missing, unfinished or damaged."""


class RunChanged(CurateError):
    """Work found at the output belongs to another configuration or input; it was not continued."""


class RunAtWork(CurateError):
    """Another run is writing to the same output; nothing was started."""


class StageFailed(CurateError):
    """A stage could not finish. Finished units are kept: the same command continues from there."""


class LeaseLost(StageFailed):
    """A later run has taken over the output, or has finished it; this one writes no more."""
