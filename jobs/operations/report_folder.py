"""The folder that a report is written to: new, empty, or with an earlier report."""

from collections.abc import Collection

from jobs.units.output_place import require_folder
from manifests import storage
from manifests.errors import InputError


def report_folder(text: str, option: str, pages: Collection[str], *, force: bool) -> str:
    """Return the URI of the folder `text`, the value of `option`, for a report of these `pages`.

    Raises InputError when it cannot be a folder, or contains something else; with `force`, that stays beside it.
    """
    folder = storage.absolute(text)
    require_folder(folder)
    names = set(storage.list_names(folder)) if storage.exists(folder) else set()
    if names and not set(pages) <= names and not force:
        raise InputError(
            f"{option} {text}: contains {min(names)} and is no report; name a new folder, or write beside what is "
            "there with --force"
        )
    return folder
