"""Which rows of an index are not fed, because their picture is on a list of hashes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.feed.index_making import Selection, selected_rows
from curation.feed.kept import MappedArray, kept_array
from curation.takedown.deny_list import COLUMNS, DenyList
from manifests.format.digest import settings_hash
from manifests.format.store import Manifest


def denied_rows(
    manifests: Sequence[Manifest], selection: Selection, deny: DenyList, cache: Path, name: str
) -> MappedArray | None:
    """Return for each row of the index of `manifests` whether it is on the list, bool; None if the list is empty.

    The answer is kept in the folder `cache`, under `name`. Raises ManifestError when a part is missing or damaged.
    """
    if not deny:
        return None

    def compare() -> NDArray[np.bool_]:
        return np.concatenate([_denied(each, selection, deny) for each in manifests])

    return kept_array(cache, f"denied-{settings_hash(name, deny.digest)}", compare)


def _denied(manifest: Manifest, selection: Selection, deny: DenyList) -> NDArray[np.bool_]:
    columns = {name: name for name in COLUMNS if name in manifest.schema.names}
    tables = selected_rows(manifest, selection, columns)
    return np.concatenate([deny.matches(table).to_numpy(zero_copy_only=False) for table in tables])
