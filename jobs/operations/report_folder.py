"""The folder that a report is written to: new, empty, or with an earlier report."""

from collections.abc import Collection

from curation.pages.pictures import FOLDER as PICTURES
from curation.pages.pictures import is_picture
from curation.pages.rendering import GENERATOR
from curation.pages.site import INDEX
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.errors import InputError

HEAD_BYTES = 4096


def report_folder(text: str, option: str, pages: Collection[str], *, force: bool) -> str:
    """Return the URI of the folder `text`, the value of `option`, for a report of these `pages`.

    Raises InputError when it cannot be a folder, or contains something else; with `force`, that stays beside it.
    """
    folder = storage.absolute(text)
    require_folder(folder)
    if (other := _something_else(folder, pages)) is not None and not force:
        raise InputError(
            f"{option} {text}: contains {other}, which is of no report; name a new folder, or write beside what is "
            "there with --force"
        )
    return folder


def _something_else(folder: str, pages: Collection[str]) -> str | None:
    """Return the name of a file that no report wrote, None if there is an earlier report, or a part of one."""
    if not storage.exists(folder):
        return None
    names = set(storage.list_names(folder))
    for page in sorted(names & set(pages)):
        if GENERATOR.encode() not in storage.read_bytes(storage.join(folder, page))[:HEAD_BYTES]:
            return page
    if INDEX in names:
        return None
    if others := names - set(pages) - {PICTURES}:
        return min(others)
    below = storage.list_names(storage.join(folder, PICTURES)) if PICTURES in names else []
    strangers = sorted(name for name in below if not (is_picture(name) or name.startswith(".")))
    return f"{PICTURES}/{strangers[0]}" if strangers else None
