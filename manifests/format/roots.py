"""Sources relative to the root they are stored under, so that a copy in another place has the same rows."""

from collections.abc import Sequence

import pyarrow as pa


def longest_first(roots: Sequence[str]) -> list[str]:
    """Return `roots`, each with one slash at its end, the longest first: the order in which they are tried."""
    return sorted((root.rstrip("/") + "/" for root in roots), key=len, reverse=True)


def split_source(uri: str, roots: Sequence[str]) -> tuple[str, str]:
    """Return a source's root, the longest of `roots` that it is under, and its name below; ("", uri) under none."""
    root = next((root for root in longest_first(roots) if uri.startswith(root)), "")
    return root, uri.removeprefix(root)


def relative_sources(column: pa.Array, roots: Sequence[str]) -> pa.Array:
    """Return a column of source URIs, each relative to the longest of `roots` that it is under."""
    encoded = column.dictionary_encode()
    names = [split_source(uri, roots)[1] for uri in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)
