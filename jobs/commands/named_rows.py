"""Finds the rows that the arguments of a command name: keys, other names of rows, and files with one a line."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.commands.shared import names_in
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine
from manifests.sql.names import Names, find_named


@dataclass(frozen=True, kw_only=True)
class Given:
    """Names that were typed, and those of lists, which must be complete."""

    typed: Sequence[str]
    listed: Sequence[str]


def split_names(texts: Sequence[str], joined: Sequence[str] = (), *, where: str) -> Given:
    """Return the names that the arguments of a command give.

    `texts`: each a key or another name of a row, taken as it is. `joined`: names joined by commas. In both, `@FILE`
    stands for the lines of a file, and `@-` for those of stdin. Raises InputError when there is no such file, or no
    name at all of a row of `where`.
    """
    typed: list[str] = []
    listed: list[str] = []
    for text, is_joined in [*((text, False) for text in texts), *((text, True) for text in joined)]:
        if text.startswith("@"):
            listed += _lines_of(text)
        else:
            typed += names_in(text) if is_joined else [text]
    if not (texts or joined):
        raise InputError(f"name at least one row of {where}: its key, member, URL or sha256, or @FILE with some")
    return Given(typed=typed, listed=listed)


def named_rows(manifest: Manifest, texts: Sequence[str], joined: Sequence[str] = ()) -> Names:
    """Return which rows of `manifest` the arguments of a command name; see `split_names`."""
    given = split_names(texts, joined, where=manifest.uri)
    with DuckEngine() as engine:
        return find_named(manifest, given.typed, engine, listed=given.listed)


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
