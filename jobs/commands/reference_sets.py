"""Names of reference sets, given or taken from their paths."""

import re
from collections.abc import Sequence

from manifests import storage
from manifests.errors import InputError
from manifests.format.store import is_committed

_NAMED = re.compile(r"([\w.-]+)=(.+)")


def named_sets(texts: Sequence[str]) -> dict[str, str]:
    """Return name → URI of manifests given as [NAME=]MANIFEST.

    Without a name, the set is named by the last folder of its path, or by the one above if that is `scan`. Raises
    InputError when its path gives no name, or when two sets have the same.
    """
    found: dict[str, str] = {}
    for text in texts:
        # A manifest can be in a folder such as source=x: then the text is a path without a name.
        is_path = not storage.is_uri(text) and is_committed(text)
        named = None if is_path else _NAMED.fullmatch(text)
        name, uri = named.groups() if named else (_name_of(text), text)
        if not name:
            raise InputError(f"--reference {text}: its path gives no name; write NAME={text}")
        if name in found:
            raise InputError(
                f"--reference {text}: {found[name]} has the name {name}, too; name one of them, as in other={uri}"
            )
        found[name] = uri
    return found


def _name_of(uri: str) -> str:
    folders = [each for each in storage.absolute(uri).partition("://")[2].split("/") if each]
    if folders and folders[-1] == "scan":
        folders.pop()
    return folders[-1] if folders else ""
