"""How files of a release name the tars: by relative paths, or by URLs."""

import os
import posixpath
from collections.abc import Sequence
from urllib.parse import urlsplit

from manifests import storage
from manifests.errors import InputError


def prefix_of(release: str, shards: str, base_url: str | None) -> str:
    """Return what comes before the name of a tar in the files of a release: a relative path or a URL, with its slash.

    Args:
        release, shards: the URIs of both folders.
        base_url: where readers find the tars, if not where they are now.

    Raises InputError when readers could not find them: the shards are on this machine and the release is not.
    """
    if base_url is not None:
        return _checked(base_url).rstrip("/") + "/"
    if storage.is_local(shards):
        if not storage.is_local(release):
            raise InputError(
                f"{shards}: on this machine, where readers of {release} do not find them; add --base-url with the "
                "address they will have, or --data copy"
            )
        here, there = (os.path.realpath(storage.filesystem(each)[1]) for each in (release, shards))
        return _slashed(os.path.relpath(there, here))
    if not storage.is_local(release) and _bucket(release) == _bucket(shards):
        return _slashed(posixpath.relpath(_path(shards), _path(release)))
    return shards.rstrip("/") + "/"


def checksum_lines(files: Sequence[tuple[str, str]]) -> bytes:
    """Return `SHA256SUMS` of files, given as (name, sha256), as `sha256sum --check` reads it.

    Names with a backslash or a line break are escaped as GNU coreutils does, with a backslash before the line.
    """
    lines = []
    for name, digest in files:
        shown = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{'' if shown == name else chr(92)}{digest}  {shown}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def is_relative(prefix: str) -> bool:
    """Return whether a prefix of tars is a path from the release, not a URL."""
    return not storage.is_uri(prefix)


def _checked(url: str) -> str:
    if not storage.is_uri(url):
        raise InputError(f"--base-url {url}: no URL; write one such as https://host/data, s3://bucket/data")
    try:
        parts = urlsplit(url)
    except ValueError as e:
        raise InputError(f"--base-url {url}: no URL ({e})") from e
    if parts.password is not None or parts.query or parts.fragment:
        raise InputError("--base-url: has a password, a query or a fragment, which would be published; leave it out")
    return url


def _slashed(path: str) -> str:
    return "" if path == "." else path + "/"


def _bucket(uri: str) -> str:
    protocol, _, rest = uri.partition("://")
    return f"{protocol}://{rest.partition('/')[0]}"


def _path(uri: str) -> str:
    return "/" + uri.partition("://")[2].partition("/")[2]
