"""Names of files that DuckDB cannot mistake for a pattern, an escape or a partition."""

import datetime
import re
from typing import Any, BinaryIO

import fsspec

from manifests import storage
from manifests.range_reads import Tails

_PLAIN_PATH = re.compile(r"/[\w ./=,+@%:#-]*")  # nothing that any DuckDB treats as a pattern or an escape
_NEVER = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class OpaqueFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Files under opaque names: `curate-part://`, the hexadecimal digits of a URI, and the file's size. Read-only.

    DuckDB expands patterns in paths and reads `name=value` folders as columns; such a name contains neither. It opens
    a file several times, and reads its footer each time: the last few footers are kept.
    """

    protocol = "curate-part"
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._tails = Tails()

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> BinaryIO:
        uri, size_bytes = _meaning(path)
        if mode != "rb":
            raise PermissionError(f"{uri}: opened for reading only")
        return storage.open_indexed(uri, size_bytes, self._tails)

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Return `path`: it is not a pattern."""
        return [path]

    def exists(self, path: str, **_options: Any) -> bool:
        """Return whether there is such a file."""
        return storage.exists(_meaning(path)[0])

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Return name, size and type of a file, as committed: nothing is asked of the storage."""
        return {"name": path, "size": _meaning(path)[1], "type": "file"}

    def modified(self, path: str) -> datetime.datetime:
        """Return a time that is always the same: a part is never modified."""
        return _NEVER


def duckdb_name(uri: str, size_bytes: int) -> str:
    """Return the name by which DuckDB opens the file at `uri`, of `size_bytes`.

    It is the local path where that is a plain one, which is fast, else a name in OpaqueFiles, which the connection
    must have registered.
    """
    path = "/" + uri.removeprefix("file://").removeprefix("local://").strip("/")
    if storage.is_local(uri) and _PLAIN_PATH.fullmatch(path):
        return path
    return f"{OpaqueFiles.protocol}://{uri.encode().hex()}-{size_bytes}"


def with_uris(text: str) -> str:
    """Return a message of DuckDB with the URIs of the files that it names."""
    return re.sub(rf"{OpaqueFiles.protocol}://[0-9a-f]+-\d+", lambda found: _meaning(found[0])[0], text)


def _meaning(path: str) -> tuple[str, int]:
    """Return URI and size of an opaque name."""
    digits, _, size_bytes = path.removeprefix(f"{OpaqueFiles.protocol}://").partition("-")
    return bytes.fromhex(digits).decode(), int(size_bytes)
