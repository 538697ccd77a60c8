"""Access to local paths and any fsspec URI: list, read, and write so that a file is complete or absent.

A path is literal. Within curate every place is a URI, `file:///…` for a local path, made once by `absolute`. Nothing
in it is a pattern, an escape, a partition or an option: `filesystem` gives a library the file system and the path in
it; for DuckDB see manifests.sql.opaque_files. Local names that are not UTF-8 are escaped in URIs, see
manifests.file_names.

Each function whose first argument is a URI raises StorageUnavailable, with that URI, when its host does not answer,
credentials are missing or refused, or a file is to be written or read in a bucket that does not exist. What fails for
a moment is tried again first, see manifests.retries.
"""

import contextlib
import datetime
import errno
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import fsspec.config
import fsspec.utils

from manifests import local_files, storage_errors
from manifests.atomic_files import one_put, renamed
from manifests.errors import InputError
from manifests.file_names import name_bytes, name_text
from manifests.hashing_writer import HashingWriter
from manifests.range_reads import RangeFile, Tails
from manifests.removals import remove_all, remove_files
from manifests.retries import Backoff
from manifests.storage_errors import explained

# Object stores: one put makes an object visible complete or not at all, so they need no temporary name.
ATOMIC_PUT = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss"})
READ_AHEAD_BYTES = 8 << 20
_PROTOCOL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*::)*([A-Za-z][A-Za-z0-9+.-]*)://")
_LOCAL = re.compile(r"(?:file|local)://")
_INSTALL = "install the Python package of this storage: s3fs for s3://, gcsfs for gs://, adlfs for az://"
_ETAG_FIELDS = ("ETag", "etag", "md5Hash", "blob_id")
_TIME_FIELDS = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")

Entry = local_files.Entry


def configure(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Set fsspec's default arguments for each protocol, in this process (`{"s3": {"endpoint_url": ...}}`).

    The arguments of `retries`, which is no protocol, are those of manifests.retries.Backoff. Raises InputError when
    one of them is unknown.
    """
    Backoff.of(options.get("retries", {}))
    for protocol, arguments in options.items():
        fsspec.config.conf.setdefault(protocol, {}).update(arguments)


def is_uri(text: str) -> bool:
    """Return whether `text` begins with a protocol (`s3://…`, `simplecache::s3://…`); all else is a local path."""
    return _PROTOCOL.match(text) is not None


def absolute(text: str, base: str | None = None) -> str:
    """Return what a person typed as a URI: a local path becomes `file:///...`; a trailing slash is dropped.

    A relative path starts at the folder `base`, a URI, or at the working folder. `~` at its start is a home folder,
    unless a file or folder of that name exists. Raises InputError when `text` is empty or names no user's home.
    """
    if not text:
        raise InputError("an empty path; is a shell variable unset? Write . for the working folder")
    if is_uri(text) and not _LOCAL.match(text):
        return _without_slash(text)
    if base is not None and not is_local(base):
        return _without_slash(join(base, text))
    folder = os.getcwdb() if base is None else os.fsencode(_local_path(base))
    if _LOCAL.match(text):
        raw = name_bytes(_LOCAL.sub("", text, count=1))
    else:
        raw = _with_home(text, folder).encode("utf-8", "surrogateescape")
    return "file:///" + name_text(os.path.normpath(os.path.join(folder, raw))).lstrip("/")


def _with_home(text: str, folder: bytes) -> str:
    """Return a path below `folder` with the home folder that it begins with, if any."""
    first = text.split("/", 1)[0]
    if not first.startswith("~") or os.path.lexists(os.path.join(folder, first.encode("utf-8", "surrogateescape"))):
        return text
    expanded = os.path.expanduser(text)
    if expanded == text:
        raise InputError(
            f"{text}: there is no user {first[1:]!r} whose home folder this could be; "
            f"write ./{text} for a name that begins with ~"
        )
    return expanded


def _without_slash(uri: str) -> str:
    return uri if _is_top(uri) else uri.rstrip("/")


def _is_top(uri: str) -> bool:
    """Whether a URI is a protocol and nothing else, such as `memory://` or `file:///`."""
    protocol = _PROTOCOL.match(uri)
    return protocol is not None and not uri[protocol.end() :].strip("/")


def join(base: str, *names: str) -> str:
    """Return the URI of `names` below `base`."""
    return (base if _is_top(base) else base.rstrip("/") + "/") + "/".join(names)


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system that serves `uri`, and the path in it.

    Give the path to operations on one file or folder only: fsspec's `glob`, `rm` and `expand_path` take it for a
    pattern. Raises InputError when the protocol is unknown or its package is not installed.
    """
    try:
        if is_local(uri):
            return fsspec.filesystem("file"), _local_path(uri)
        if "::" in uri and "://" not in uri.split("::", 1)[1]:  # part of a name, not a chain of file systems
            chosen = fsspec.get_filesystem_class(_protocol(uri))
            return chosen(**chosen._get_kwargs_from_urls(uri)), cast(str, chosen._strip_protocol(uri))
        fs, path = fsspec.core.url_to_fs(uri)
    except ImportError as e:
        raise InputError(f"{uri}: {e}; {_INSTALL}") from e
    except ValueError as e:
        advice = _INSTALL if "protocol" in str(e).lower() else storage_errors.credentials_advice(uri)
        raise InputError(f"{uri}: {e}; {advice}") from e
    return fs, cast(str, path)


def is_local(uri: str) -> bool:
    """Whether `uri` is on this machine's file system."""
    return _protocol(uri) in ("file", "local")


def _protocol(uri: str) -> str:
    return cast(str, fsspec.utils.get_protocol(uri)) if is_uri(uri) else "file"


def _local_path(uri: str) -> str:
    """Return the path of a local URI as Python's own functions take it, whatever the locale's encoding."""
    if not _LOCAL.match(uri):
        return uri
    return os.fsdecode(name_bytes("/" + _LOCAL.sub("", uri, count=1).strip("/")))


@explained
def exists(uri: str) -> bool:
    """Return whether there is a file or folder at `uri`, by a request to the storage, never from a listing cache."""
    fs, path = filesystem(uri)
    fs.invalidate_cache(path)
    fs.invalidate_cache(path.rsplit("/", 1)[0])
    return bool(fs.exists(path))


def require_bucket(uri: str) -> None:
    """Raise StorageUnavailable when `uri` is in an object store, and its bucket does not exist or cannot be reached.

    A listing of a missing bucket is empty, as that of a missing folder is: call this to give the reason.
    """
    if _protocol(uri) in ATOMIC_PUT and not _may_have_bucket(uri):
        raise storage_errors.NoBucket(storage_errors.no_bucket_sentence(uri))


@explained
def _may_have_bucket(uri: str) -> bool:
    """Return whether the bucket of `uri` exists, or may exist where the storage does not say."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    try:
        fs.info(path if "/" in path else f"{path}/x")  # the answer for an object shows a missing bucket
    except FileNotFoundError as e:
        return not storage_errors.is_bucket_missing(e)
    except (PermissionError, ValueError):
        return True
    return True


@explained
def describe(uri: str) -> Entry | None:
    """Return the description of one file or folder, never from a listing cache, or None when nothing is there."""
    fs, path = filesystem(uri)
    if is_local(uri):
        return local_files.local_entry(path)
    fs.invalidate_cache(path.rsplit("/", 1)[0])
    try:
        return cast(Entry, fs.info(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for an invalid name, as of a bucket
        return None


def etag(entry: Entry) -> str:
    """Return a text that changes when a file's content does: its ETag, else its size and time of change.

    Without a time, it is the size alone.
    """
    for field in _ETAG_FIELDS:
        if entry.get(field):
            return str(entry[field]).strip('"')
    for field in _TIME_FIELDS:
        if entry.get(field):
            value = entry[field]
            # Seconds become integer nanoseconds; other storages give dates.
            return f"{entry['size']}-{round(value * 1e9) if isinstance(value, float) else value}"
    return str(entry["size"])


@explained
def changed_at(uri: str) -> float | None:
    """Return when a file was changed, in seconds since 1970 by the clock of its storage; None where it does not say.

    Raises FileNotFoundError.
    """
    fs, path = filesystem(uri)
    fs.invalidate_cache(path.rsplit("/", 1)[0])
    entry = fs.info(path)
    found = next((entry[field] for field in _TIME_FIELDS if entry.get(field)), None)
    return found.timestamp() if isinstance(found, datetime.datetime) else found


@explained
def make_folder(uri: str) -> None:
    """Make a folder and those above it, if missing. Object stores have no folders: nothing is done."""
    fs, path = filesystem(uri)
    if is_local(uri):
        os.makedirs(path, exist_ok=True)
    elif _protocol(uri) not in ATOMIC_PUT:
        fs.makedirs(path, exist_ok=True)


@explained
def list_names(uri: str) -> list[str]:
    """Return the sorted names directly below folder `uri`; empty when there is no such folder."""
    fs, path = filesystem(uri)
    try:
        if is_local(uri):
            return sorted(name_text(name) for name in os.listdir(os.fsencode(path)))
        fs.invalidate_cache(path)
        entries = fs.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for e in entries if (name := e.rstrip("/").rsplit("/", 1)[-1]))


@explained
def entries(folder: str, *, depth: int | None = 1, with_folders: bool = False) -> dict[str, Entry]:
    """Return path below `folder` → description of each file, down to `depth` levels (None: all of them).

    Empty when there is no such folder. The description of a link to a file is that of its target; links to folders
    are listed as folders and not followed.
    """
    fs, path = filesystem(folder)
    if is_local(folder):
        found = dict(local_files.local_entries(path, depth))
    else:
        fs.invalidate_cache()
        top = path.rstrip("/") + "/" if path else ""
        try:
            if depth == 1:  # `find` asks twice more whether the folder is one
                below = {entry["name"]: entry for entry in fs.ls(path, detail=True)}
            else:
                below = fs.find(path, maxdepth=depth, withdirs=True, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        found = {
            name[len(top) :].rstrip("/"): entry
            for name, entry in below.items()
            if name.startswith(top) and len(name.rstrip("/")) > len(top)
        }
    return found if with_folders else {n: e for n, e in found.items() if e["type"] != "directory"}


@explained
def read_bytes(uri: str, *, start: int | None = None, end: int | None = None) -> bytes:
    """Return the content of `uri`, or its bytes from `start` to before `end`. Raises FileNotFoundError."""
    fs, path = filesystem(uri)
    return cast(bytes, fs.cat_file(path, start=start, end=end, **_in_one_request(uri)))


def _in_one_request(uri: str) -> dict[str, int]:
    """Return the arguments with which s3fs does not ask for the size of an object before it reads all of it."""
    return {"max_concurrency": 1} if _protocol(uri) in ("s3", "s3a") else {}


@explained
def read_many(folder: str, names: list[str]) -> dict[str, bytes]:
    """Return name → content of files below `folder`, fetched concurrently where the storage can.

    Files that are gone are left out.
    """
    if not names:
        return {}
    fs, _ = filesystem(folder)
    paths = [filesystem(join(folder, name))[1] for name in names]
    found = {}
    contents = fs.cat_ranges(paths, None, None, on_error="return", **_in_one_request(folder))
    for name, content in zip(names, contents, strict=True):
        if isinstance(content, FileNotFoundError) and not storage_errors.is_bucket_missing(content):
            continue
        if isinstance(content, BaseException):
            raise content
        found[name] = content
    return found


@explained
def open_input(uri: str, size_bytes: int | None = None) -> BinaryIO:
    """Open `uri` for reading at any offset, mostly in order: from object stores come READ_AHEAD_BYTES at a time.

    `size_bytes` saves a request where it is known. Raises FileNotFoundError.
    """
    if _protocol(uri) in ATOMIC_PUT:
        return io.BufferedReader(_range_file(uri, size_bytes), READ_AHEAD_BYTES)
    fs, path = filesystem(uri)
    if is_local(uri):
        return cast(BinaryIO, Path(path).open("rb"))
    return cast(BinaryIO, fs.open(path, "rb", cache_type="readahead", block_size=READ_AHEAD_BYTES))


@explained
def open_indexed(uri: str, size_bytes: int | None = None, tails: Tails | None = None) -> BinaryIO:
    """Open `uri` as `open_input` does, for a format with an index at its end: only what is read is fetched.

    From an object store that is a RangeFile, which fetches the index with one request; `tails` may have it already.
    """
    if _protocol(uri) in ATOMIC_PUT:
        return cast(BinaryIO, _range_file(uri, size_bytes, Tails() if tails is None else tails))
    return open_input(uri)


def _range_file(uri: str, size_bytes: int | None, tails: Tails | None = None) -> RangeFile:
    fs, path = filesystem(uri)
    if size_bytes is None:
        fs.invalidate_cache(path.rsplit("/", 1)[0])
        found = fs.info(path)
        if found["type"] == "directory":
            raise FileNotFoundError(errno.ENOENT, "a folder", path)
        size_bytes = int(found["size"])
    return RangeFile(uri, fs, path, size_bytes=size_bytes, tails=tails)


@explained
def remove(uri: str) -> None:
    """Remove a file, or a folder and all in it; do nothing when it does not exist."""
    fs, path = filesystem(uri)
    fs.invalidate_cache(path)
    with contextlib.suppress(FileNotFoundError):
        remove_all(fs, path)


@explained
def remove_many(folder: str, names: Sequence[str]) -> None:
    """Remove files below `folder`, as many with one request as the storage takes. It is no error if one is gone."""
    fs, _ = filesystem(folder)
    remove_files(fs, [filesystem(join(folder, name))[1] for name in names])


@contextlib.contextmanager
def write_atomically(uri: str) -> Iterator[HashingWriter]:
    """Open `uri` for writing; it appears complete when the block ends, and not at all when the block raises.

    Object stores get one atomic put; elsewhere a temporary name, unique to this attempt, is renamed.
    """
    fs, path = filesystem(uri)
    protocol = _protocol(uri)
    if protocol == "memory":  # where an open file is visible at once
        with io.BytesIO() as buffer:
            yield HashingWriter(buffer)
            fs.pipe_file(path, buffer.getvalue())
        return
    try:
        with one_put(fs, path) if protocol in ATOMIC_PUT else renamed(fs, path, is_local=is_local(uri)) as raw:
            yield HashingWriter(raw)
    except Exception as e:
        error = storage_errors.unavailable(e, uri)
        if error is None:
            raise
        raise error from e


@explained
def write_bytes(uri: str, data: bytes) -> None:
    """Write a small file, completely or not at all."""
    if _protocol(uri) in ATOMIC_PUT:
        fs, path = filesystem(uri)
        fs.pipe_file(path, data)
        return
    with write_atomically(uri) as f:
        f.write(data)
