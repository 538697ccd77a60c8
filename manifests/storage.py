"""Access to local paths and any fsspec URI: list, read, and write so that a file is whole or absent."""

import contextlib
import hashlib
import io
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import fsspec.config
import fsspec.utils

from manifests.errors import InputError

# One put makes an object visible whole or not at all, so these need no temporary name.
ATOMIC_PUT = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss"})
SECRET_WORDS = ("secret", "password", "passwd", "token", "credential", "key", "sas", "auth")
REDACTED = "<redacted>"


def configure(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Set fsspec's default arguments for each protocol, in this process (`{"s3": {"endpoint_url": ...}}`)."""
    for protocol, arguments in options.items():
        fsspec.config.conf.setdefault(protocol, {}).update(arguments)


def redact(value: Any, name: str = "") -> Any:
    """Return `value` with every entry whose name sounds like a secret replaced, at any depth, with all below it."""
    if value is not None and any(word in name.lower() for word in SECRET_WORDS):
        return REDACTED
    if isinstance(value, Mapping):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(v) for v in value]
    return value


def absolute(uri: str) -> str:
    """Return `uri` with its protocol: a local path becomes `file:///...`; a trailing slash is dropped."""
    if "://" not in uri:
        uri = Path(uri).expanduser().absolute().as_posix()
        uri = "file://" + os.path.normpath(uri)
    trimmed = uri.rstrip("/")
    return uri if trimmed.endswith(":") else trimmed


def join(base: str, *names: str) -> str:
    """Return the URI of `names` below `base`."""
    trimmed = base.rstrip("/")
    return (base if trimmed.endswith(":") else trimmed + "/") + "/".join(names)


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system that serves `uri`, and the path in it.

    Raises InputError when the protocol is unknown or its package is not installed.
    """
    try:
        if "::" in uri and "://" not in uri.split("::", 1)[1]:  # part of a name, not a chain of file systems
            chosen = fsspec.get_filesystem_class(_protocol(uri))
            return chosen(**chosen._get_kwargs_from_urls(uri)), cast(str, chosen._strip_protocol(uri))
        fs, path = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as e:
        raise InputError(f"{uri}: {e}. Install the file system's package, for example curate[s3]") from e
    return fs, cast(str, path)


def is_local(uri: str) -> bool:
    """Whether `uri` is on this machine's file system."""
    return _protocol(uri) in ("file", "local")


def _protocol(uri: str) -> str:
    return cast(str, fsspec.utils.get_protocol(uri)) if "://" in uri else "file"


def exists(uri: str) -> bool:
    """Whether something is at `uri`; asks the storage, never a listing cache."""
    fs, path = filesystem(uri)
    fs.invalidate_cache(path)
    fs.invalidate_cache(path.rsplit("/", 1)[0])
    return bool(fs.exists(path))


def list_names(uri: str) -> list[str]:
    """Return the sorted names directly below folder `uri`; empty when there is no such folder."""
    fs, path = filesystem(uri)
    fs.invalidate_cache(path)
    try:
        entries = fs.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for e in entries if (name := e.rstrip("/").rsplit("/", 1)[-1]))


def read_bytes(uri: str) -> bytes:
    """Return the content of `uri`. Raises FileNotFoundError."""
    fs, path = filesystem(uri)
    return cast(bytes, fs.cat_file(path))


def read_many(folder: str, names: list[str]) -> dict[str, bytes]:
    """Return name → content of files below `folder`, fetched together where the storage can."""
    if not names:
        return {}
    fs, path = filesystem(folder)
    contents = fs.cat_ranges([join(path, n) for n in names], None, None, on_error="raise")
    return dict(zip(names, contents, strict=True))


def open_input(uri: str) -> BinaryIO:
    """Open `uri` for reading at any offset."""
    fs, path = filesystem(uri)
    if is_local(uri):
        return cast(BinaryIO, Path(path).open("rb"))
    return cast(BinaryIO, fs.open(path, "rb", cache_type="readahead", block_size=8 << 20))


def remove(uri: str) -> None:
    """Remove a file or a whole folder; nothing happens when it is not there."""
    fs, path = filesystem(uri)
    fs.invalidate_cache(path)
    with contextlib.suppress(FileNotFoundError):
        if is_local(uri) or not any(character in path for character in "*?["):
            fs.rm(path, recursive=True)
            return
        for each in fs.find(path):  # fs.rm would take such a name for a pattern
            fs.rm_file(each)


class HashingWriter:
    """A forward-only binary file that knows the size and sha256 of what went through it."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()
        self.closed = False

    def write(self, data: Any) -> int:
        """Write `data` whole and return its length."""
        view = memoryview(data).cast("B")
        self.raw.write(view)
        self.sha256.update(view)
        self.size_bytes += len(view)
        return len(view)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.size_bytes

    def flush(self) -> None:
        """Do nothing: the file appears whole at the end."""

    def close(self) -> None:
        """Leave the raw file open: its owner decides whether it appears."""
        self.closed = True

    def readable(self) -> bool:
        """Return False."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False


@contextlib.contextmanager
def write_whole(uri: str) -> Iterator[HashingWriter]:
    """Open `uri` for writing; it appears whole when the block ends and not at all when the block raises.

    Object stores get one atomic put; elsewhere a temporary name of this attempt's own is renamed.
    """
    fs, path = filesystem(uri)
    if _protocol(uri) == "memory":  # where an open file shows at once
        with io.BytesIO() as buffer:
            yield HashingWriter(buffer)
            fs.pipe_file(path, buffer.getvalue())
        return
    if _protocol(uri) in ATOMIC_PUT:
        raw = fs.open(path, "wb")
        try:
            yield HashingWriter(raw)
        except BaseException:
            raw.discard()
            raw.closed = True  # or its destructor tries to put what was discarded
            raise
        raw.close()
        return
    folder, name = path.rsplit("/", 1)
    temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
    fs.makedirs(folder, exist_ok=True)
    try:
        with fs.open(temporary, "wb", **({"auto_mkdir": True} if is_local(uri) else {})) as raw:
            yield HashingWriter(raw)
            raw.flush()
            if is_local(uri):
                os.fsync(raw.fileno())
        if is_local(uri):
            Path(temporary).replace(path)
        else:
            fs.mv(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            fs.rm(temporary)
        raise


def write_bytes(uri: str, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    with write_whole(uri) as f:
        f.write(data)
