"""The folder of a release: whether it may be written, what an earlier one says, and the tars that are put into it."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from curation.release import release
from curation.release.release import Tar
from curation.release.versions import Version
from jobs.units.lease import held
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.errors import BrokenSource, InputError, ManifestError
from manifests.format.store import Manifest, is_committed, open_manifest

FORMAT_VERSION = 1
_UNFINISHED = {"format_version": FORMAT_VERSION, "is_complete": False}
_FOLDERS = (release.SUBSETS, release.THUMBNAILS, release.PATCH)
_FILES = (
    *(release.CARD, release.DATASHEET, release.CROISSANT, release.SAMPLES, release.DOMAINS, release.TOP_DOMAINS),
    *(release.LICENCES, release.CHECKSUMS),
)
_BEGUN = ".begun"  # hidden, as is all in the folder that is no file of a release
_COPIED_AT_ONCE = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A complete release that another one follows: what its `release.json` says, and the manifest of its shards."""

    uri: str
    name: str
    version: Version
    columns: Sequence[str]
    manifest: Manifest


def open_release(uri: str) -> Earlier:
    """Return the release at `uri`.

    Raises InputError when there is none, and ManifestError when its shards are not there any more.
    """
    place = storage.join(uri, release.RELEASE)
    fields = _read(place)
    if fields is None:
        raise InputError(f"{uri}: no release here ({release.RELEASE} is missing); name the folder of one")
    if not fields.get("is_complete"):
        raise InputError(f"{uri}: an unfinished release; run the command that makes it again")
    try:
        version, digest, shards = Version.parse(fields["version"]), str(fields["digest"]), fields["shards"]
        name, columns = str(fields["name"]), [str(each) for each in fields["columns"]]
    except (KeyError, TypeError, ValueError) as e:
        raise InputError(f"{place}: damaged ({e!r}); make that release again") from e
    if not isinstance(shards, str):
        raise InputError(
            f"{place}: does not say where its shards are, because they were on another machine; release those again "
            "into a folder of this machine, and name that"
        )
    manifest = open_manifest(storage.absolute(shards, base=uri) if shards else uri)
    if manifest.digest != digest:
        raise ManifestError(
            f"{manifest.uri}: the shards are not those that {uri} released (digest {manifest.digest[:16]}…, "
            f"{digest[:16]}… then); restore them, or release without --previous"
        )
    return Earlier(uri=uri, name=name, version=version, columns=columns, manifest=manifest)


def _read(place: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(storage.read_bytes(place))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as e:
        raise InputError(f"{place}: not JSON ({e}); make that release again") from e
    if not isinstance(fields, dict) or fields.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{place}: of a later curate; upgrade this one")
    return fields


def require_room(uri: str, *, may_replace: bool) -> None:
    """Raise InputError when a release may not be written to the folder `uri`.

    It may be empty, or have what is left of an interrupted release, and hidden files as those of Git. A complete
    release is replaced only if it `may_replace`.
    """
    require_folder(uri)
    if is_committed(uri):
        raise InputError(f"{uri}: a manifest, which is never modified; name another folder")
    names = [name for name in storage.list_names(uri) if not name.startswith(".")]
    known = (*_FOLDERS, *_FILES, release.DATA, release.RELEASE) if release.RELEASE in names else ()
    if others := [name for name in names if name not in known]:
        raise InputError(f"{uri}: not empty and no release ({', '.join(others[:3])} …); name another folder")
    found = _read(storage.join(uri, release.RELEASE))
    if found is not None and found.get("is_complete") and not may_replace:
        raise InputError(f"{uri}: a release is there already; name another folder, or replace it with --force")


@contextlib.contextmanager
def alone(uri: str) -> Iterator[None]:
    """Hold the lease of the folder `uri` until the block ends. Raises RunAtWork when another run writes there."""
    work = storage.join(uri, _BEGUN)
    with held(work):
        yield
        storage.remove(work)


def make_room(uri: str) -> None:
    """Begin a release at `uri`: first `release.json` says so, then all files of an earlier one go, but its tars."""
    storage.write_bytes(storage.join(uri, release.RELEASE), (json.dumps(_UNFINISHED) + "\n").encode())
    for name in (*_FILES, *_FOLDERS):
        storage.remove(storage.join(uri, name))


def link_tars(shards: str, folder: str, tars: Sequence[Tar]) -> None:
    """Put hard links to the tars in the folder `shards` into `folder`. Raises InputError where there can be none."""
    if not (storage.is_local(shards) and storage.is_local(folder)):
        raise InputError(f"--data link: {shards} and {folder} are not both on this machine; use --data copy")
    storage.make_folder(folder)
    _leave_only(folder, tars)
    for tar in tars:
        source, target = (storage.filesystem(storage.join(each, tar.name))[1] for each in (shards, folder))
        if Path(source).stat().st_size != tar.size_bytes:
            raise _altered(storage.join(shards, tar.name))
        Path(target).unlink(missing_ok=True)
        try:
            Path(target).hardlink_to(source)
        except OSError as e:
            raise InputError(f"--data link: {target}: {e.strerror}; use --data copy") from e


def copy_tars(shards: str, folder: str, tars: Sequence[Tar]) -> None:
    """Copy the tars in the folder `shards` into `folder`. Raises BrokenSource when one is not the committed one."""
    storage.make_folder(folder)
    _leave_only(folder, tars)
    for tar in tars:
        source = storage.join(shards, tar.name)
        with (
            storage.open_input(source, tar.size_bytes) as stream,
            storage.write_atomically(storage.join(folder, tar.name)) as sink,
        ):
            shutil.copyfileobj(stream, cast(BinaryIO, sink), _COPIED_AT_ONCE)
            if sink.sha256.hexdigest() != tar.sha256:
                raise _altered(source)


def _leave_only(folder: str, tars: Sequence[Tar]) -> None:
    """Remove what an earlier release left in `folder`. Raises InputError when something else is there."""
    known = {tar.name for tar in tars}
    for name in storage.list_names(folder):
        if not name.endswith(".tar"):
            raise InputError(f"{folder}: not empty and no data of a release ({name} …); name another output")
        if name not in known:
            storage.remove(storage.join(folder, name))


def _altered(uri: str) -> BrokenSource:
    return BrokenSource(
        f"{uri}: not the tar that was committed; `curate verify` finds every such file; make the shards again",
        source=uri,
    )
