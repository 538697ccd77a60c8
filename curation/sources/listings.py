"""Listings of folders, each fetched once while a plan is made: a listing of 200,000 tars takes 200 requests."""

from manifests import storage


class Listings:
    """Remembers what folders contain. Use one for one plan only: what changes meanwhile is not seen."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int | None], dict[str, storage.Entry]] = {}

    def entries(self, folder: str, depth: int | None = 1) -> dict[str, storage.Entry]:
        """Return path below `folder` → description of each file and folder, down to `depth` levels (None: all)."""
        key = (folder.rstrip("/"), depth)
        if key not in self._found:
            self._found[key] = storage.entries(folder, depth=depth, with_folders=True)
        return self._found[key]
