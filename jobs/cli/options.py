"""What the modules of the command line share."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from manifests import storage
from manifests.errors import InputError
from manifests.format.store import is_committed

F = TypeVar("F", bound=Callable[..., Any])
_NAMED = re.compile(r"([\w.-]+)=(.+)")


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def storage_option(command: F) -> F:
    """Add `-c`, whose files say how to reach storage; the command itself does not see it."""
    return click.option(
        "-c",
        "--config",
        multiple=True,
        metavar="FILE",
        expose_value=False,
        callback=_configure,
        help="Pipeline file to take storage: from; may be repeated.",
    )(command)


def _configure(_context: click.Context, _option: click.Parameter, files: Sequence[str]) -> None:
    if files:
        from curation.config_files import load_config  # noqa: PLC0415 - takes a while to import

        storage.configure(load_config(files).storage)


def named_sets(texts: Sequence[str]) -> dict[str, str]:
    """Return name → URI of manifests given as [NAME=]MANIFEST.

    Without a name, the set is called as the last folder of its path, or the one above if that is `scan`. Raises
    InputError when a name cannot be told, or two sets have the same.
    """
    found: dict[str, str] = {}
    for text in texts:
        # A manifest in a folder such as source=x is its path, not a name and a path.
        is_path = not storage.is_uri(text) and is_committed(text)
        named = None if is_path else _NAMED.fullmatch(text)
        name, uri = named.groups() if named else (_name_of(text), text)
        if not name:
            raise InputError(f"--reference {text}: its path gives no name; write NAME={text}")
        if name in found:
            raise InputError(
                f"--reference {text}: {found[name]} is called {name}, too; name one of them, as in other={uri}"
            )
        found[name] = uri
    return found


def _name_of(uri: str) -> str:
    folders = [each for each in storage.absolute(uri).partition("://")[2].split("/") if each]
    if folders and folders[-1] == "scan":
        folders.pop()
    return folders[-1] if folders else ""
