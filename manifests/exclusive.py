"""Files that are written at most once: a file appears, complete, only where there is none, in one step.

Leases, receipts and commits rest on these functions: of several writers, one is told that it was the first.
Local files are linked into place, which fails if the name is taken; object stores get a conditional put
(`If-None-Match: *` of S3, and the same of others through fsspec).
"""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from manifests import storage
from manifests.storage_errors import explained

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV})
_TAKEN = ("PreconditionFailed", "ConditionNotMet", "BlobAlreadyExists")  # codes of S3 and of Azure
_CONFLICT = "ConditionalRequestConflict"
MAX_CONFLICTS = 5


@explained
def create(uri: str, data: bytes, *, make_folder: bool = True) -> bool:
    """Write a small file at `uri` if there is none, completely or not at all; return whether `data` is there now.

    That is so, too, if an answer was lost and a repeated request found what the first had written: give `data` a part
    of its own, such as a random number, if two writers may write the same. A folder is made for it only if
    `make_folder`; else raises FileNotFoundError.
    """
    if make_folder:
        storage.make_folder(uri.rsplit("/", 1)[0])
    if storage.is_local(uri):
        path = Path(storage.filesystem(uri)[1])
        temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            return _link(temporary, path) or path.read_bytes() == data
        finally:
            temporary.unlink(missing_ok=True)
    fs, name = storage.filesystem(uri)
    return _put(lambda: fs.pipe_file(name, data, mode="create")) or storage.read_bytes(uri) == data


@explained
def make_subfolder(uri: str) -> None:
    """Make a folder if it is missing, but on a disk not those above it. Object stores have no folders.

    Raises FileNotFoundError if the folder above it is missing on a disk.
    """
    if not storage.is_local(uri):
        storage.make_folder(uri)
        return
    with contextlib.suppress(FileExistsError):
        Path(storage.filesystem(uri)[1]).mkdir()


@explained
def put_file(uri: str, source: Path) -> bool:
    """Put the local file `source` at `uri`, too, if there is no file yet; return whether it was put there.

    Raises FileNotFoundError if `source` is missing.
    """
    if storage.is_local(uri):
        return _link(source, Path(storage.filesystem(uri)[1]))
    fs, name = storage.filesystem(uri)
    return _put(lambda: fs.put_file(str(source), name, mode="create"))


@explained
def replace_file(uri: str, source: Path) -> None:
    """Put the local file `source` at `uri` in place of what is there. A local `source` is gone afterwards.

    Raises FileNotFoundError if `source` is missing.
    """
    fs, name = storage.filesystem(uri)
    if storage.is_local(uri):
        source.replace(name)
    else:
        fs.put_file(str(source), name)


@explained
def rewrite(uri: str, data: bytes) -> None:
    """Replace a small file. Raises FileNotFoundError where a local folder for it is missing: none is made."""
    if not storage.is_local(uri):
        storage.write_bytes(uri, data)
        return
    path = Path(storage.filesystem(uri)[1])
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@explained
def remove_folder(uri: str) -> None:
    """Remove a folder and all in it, if there is one, while others may still write to it.

    A local folder gets another name first: from then on, whatever is to be written to it fails.
    """
    if not storage.is_local(uri):
        storage.remove(uri)
        return
    path = Path(storage.filesystem(uri)[1])
    away = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
    with contextlib.suppress(FileNotFoundError):
        path.rename(away)
        shutil.rmtree(away, ignore_errors=True)


@explained
def clear_folder(uri: str) -> None:
    """Remove a folder and all in it, if there is one; what others write there at this moment may stay."""
    if storage.is_local(uri):
        shutil.rmtree(storage.filesystem(uri)[1], ignore_errors=True)
    else:
        storage.remove(uri)


@explained
def remove_through(uri: str, folder: str) -> None:
    """Remove the file at `uri`, if there is one, by way of `folder`, where it is moved first.

    Both are on a disk. Raises FileNotFoundError if `folder` is missing: who may write there decides who may remove.
    """
    path, away = (Path(storage.filesystem(each)[1]) for each in (uri, storage.join(folder, uuid.uuid4().hex)))
    try:
        path.rename(away)
    except FileNotFoundError:
        if not away.parent.is_dir():
            raise
        return
    away.unlink()


def _link(source: Path, path: Path) -> bool:
    """Give the file `source` the additional name `path` and return True; return False if that name is taken."""
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    except OSError as e:
        if e.errno not in _NO_LINKS:
            raise
        return _take_name(source, path)
    return True


def _take_name(source: Path, path: Path) -> bool:
    """Do the same where a file has one name only: reserve the name, then put the file there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    copy = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
    try:
        shutil.copyfile(source, copy)
        copy.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return True


def _put(request: Callable[[], object]) -> bool:
    """Make a conditional request and return True, or return False if the name is taken.

    Where two requests meet, S3 lets neither know which one succeeds; then it is made again, which tells.
    """
    for attempt in range(MAX_CONFLICTS + 1):
        try:
            request()
        except OSError as e:
            causes = [str(each) for each in (e, e.__cause__) if each is not None]
            if isinstance(e, FileExistsError) or any(code in text for code in _TAKEN for text in causes):
                return False
            if attempt == MAX_CONFLICTS or not any(_CONFLICT in text for text in causes):
                raise
        else:
            return True
    raise AssertionError  # the last attempt returns or raises
