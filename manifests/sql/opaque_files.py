"""Names of files that DuckDB cannot mistake for a pattern, an escape or a partition."""

import datetime
import re
from typing import Any, BinaryIO, cast

import fsspec

from manifests import storage

_PLAIN_PATH = re.compile(r"/[\w ./=,+@%:#-]*")  # nothing that any DuckDB treats as a pattern or an escape


class OpaqueFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """Files under opaque names: `curate-part://` and the hexadecimal digits of a URI. Read-only.

    DuckDB expands patterns in paths and reads `name=value` folders as columns; such a name contains neither.
    """

    protocol = "curate-part"
    cachable = False

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> BinaryIO:
        if mode != "rb":
            raise PermissionError(f"{_uri_of(path)}: opened for reading only")
        return storage.open_input(_uri_of(path))

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Return `path`: it is not a pattern."""
        return [path]

    def exists(self, path: str, **_options: Any) -> bool:
        """Return whether there is such a file."""
        return storage.exists(_uri_of(path))

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Return name, size and type of a file. Raises FileNotFoundError."""
        fs, place = storage.filesystem(_uri_of(path))
        return {"name": path, "size": fs.info(place)["size"], "type": "file"}

    def modified(self, path: str) -> datetime.datetime:
        """Return when a file was last changed."""
        fs, place = storage.filesystem(_uri_of(path))
        return cast(datetime.datetime, fs.modified(place))


def duckdb_name(uri: str) -> str:
    """Return the name by which DuckDB opens the file at `uri`.

    It is the local path where that is a plain one, which is fast, else a name in OpaqueFiles, which the connection
    must have registered.
    """
    path = "/" + uri.removeprefix("file://").removeprefix("local://").strip("/")
    if storage.is_local(uri) and _PLAIN_PATH.fullmatch(path):
        return path
    return f"{OpaqueFiles.protocol}://{uri.encode().hex()}"


def _uri_of(path: str) -> str:
    return bytes.fromhex(path.removeprefix(f"{OpaqueFiles.protocol}://")).decode()
