"""Finds the rows that the arguments of a command name: keys, other names of rows, and files with one a line."""

import sys
from collections.abc import Sequence

from jobs.commands.shared import names_in
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine
from manifests.sql.names import Names, find_named


def named_rows(manifest: Manifest, texts: Sequence[str], more: Sequence[str] = ()) -> Names:
    """Return which rows of `manifest` the arguments of a command name.

    `texts`: each a key or another name of a row, taken as it is. `more`: names joined by commas. In both, `@FILE`
    stands for the lines of a file, and `@-` for those of stdin. Raises InputError when there is no such file, or no
    name at all.
    """
    typed: list[str] = []
    listed: list[str] = []
    for text, is_joined in [*((text, False) for text in texts), *((text, True) for text in more)]:
        if text.startswith("@"):
            listed += _lines_of(text)
        else:
            typed += names_in(text) if is_joined else [text]
    if not (typed or texts or more):
        raise InputError(f"name at least one row of {manifest.uri}: its key, member, URL or sha256, or @FILE")
    with DuckEngine() as engine:
        return find_named(manifest, typed, engine, listed=listed)


def _lines_of(text: str) -> list[str]:
    try:
        content = (_stdin() if text == "@-" else storage.read_bytes(storage.absolute(text[1:]))).decode()
    except FileNotFoundError as e:
        raise InputError(f"{text}: no such file; name a file with one key a line") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{text}: not UTF-8 text; name a file with one key a line") from e
    return [key for line in content.splitlines() if (key := line.strip())]


def _stdin() -> bytes:
    """Return all of stdin as bytes, since a list is UTF-8 in every locale; nothing when stdin is closed."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read()
