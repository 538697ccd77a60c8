"""Folders of loose files: listed once, and read in slices, with the same samples as a tar of the same files."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from curation.pictures.image_formats import HEAD_BYTES, looks_like_image
from curation.sources.members import (
    IMAGE_EXTENSIONS,
    Member,
    Problem,
    SampleNames,
    group_of,
    is_ignored,
    split_member,
)
from curation.sources.samples import Contents, Members
from manifests import storage
from manifests.errors import BrokenSource, InputError

T = TypeVar("T")

_SIDECAR_EXTENSIONS = frozenset({"json", "txt"})
_THREADS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderFile:
    """An image or a sidecar: its path below the folder, its size, and an ETag that changes with its content."""

    path: str
    size_bytes: int
    etag: str

    @property
    def is_sidecar(self) -> bool:
        """Whether it is a sidecar by its extension."""
        return split_member(self.path)[1] in _SIDECAR_EXTENSIONS


def list_folder(uri: str) -> list[FolderFile]:
    """Return the images and sidecars in a folder and below, sorted by sample and path.

    Images are recognised by their extension or, if it is not known, by their first bytes. Symbolic links to folders
    are not followed; other links are, and those without a target are listed. Raises InputError when there is no
    image.
    """
    there = {path: entry for path, entry in storage.entries(uri, depth=None).items() if not is_ignored(path)}
    known = {path for path in there if split_member(path)[1] in IMAGE_EXTENSIONS}
    sidecars = {path for path in there if split_member(path)[1] in _SIDECAR_EXTENSIONS}
    others = [
        path
        for path, entry in there.items()
        if path not in known | sidecars
        and entry["type"] == "file"
        and entry["size"]  # empty ones have no first bytes
    ]
    with ThreadPoolExecutor(_THREADS) as pool:
        images = known.union(path for path, head in zip(others, pool.map(_head_of(uri), others), strict=True) if head)
    if not images:
        storage.require_bucket(uri)
        tars = sum(split_member(path)[1] == "tar" for path in there)
        what = f"it has {tars} tars: write {uri}**/*.tar" if tars else "check the name"
        if (entry := storage.describe(uri.rstrip("/"))) is not None and entry["type"] == "dangling":
            what = f"it is a link to {entry['destination']}, which is not there"
        raise InputError(f"{uri}: no folder with images; {what}")
    files = [
        FolderFile(path=path, size_bytes=int(there[path]["size"] or 0), etag=_etag(there[path]))
        for path in images | sidecars
    ]
    return sorted(files, key=lambda file: (group_of(file.path), file.path))


def _head_of(uri: str) -> Callable[[str], bool]:
    def is_image(path: str) -> bool:
        try:
            return looks_like_image(storage.read_bytes(storage.join(uri, path), end=HEAD_BYTES))
        except (FileNotFoundError, PermissionError):
            return False  # deleted since it was listed, or not readable: then only an extension makes it an image

    return is_image


def _etag(entry: storage.Entry) -> str:
    return f"{storage.etag(entry)} {entry['type']}" if entry["type"] != "file" else storage.etag(entry)


def state_of(files: Sequence[FolderFile]) -> str:
    """Return a hash that changes when a file is added, removed or changed."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(f"{file.path}\0{file.etag}\0".encode())
    return digest.hexdigest()


def read_folder(
    uri: str,
    files: Sequence[tuple[str, int]],
    *,
    max_image_bytes: int,
    on_image: Callable[[bytes], T],
    names: SampleNames = SampleNames.AUTO,
) -> Contents[T]:
    """Return the contents of a slice of folder `uri`; `files` are its (path below the folder, size in bytes).

    Offsets are 0, because each member is a file. A link without a target, and what is not a regular file, is a sample
    with a problem. Raises BrokenSource when a file was deleted since it was listed, and FilterFailed, with the
    image's name, as `on_image` does.
    """
    found = Members(source=uri, max_image_bytes=max_image_bytes, on_image=on_image, names=names)
    for path, size in files:
        place = storage.join(uri, path)
        found.add(_member(place, path, size), _Content(place).read)
    return found.contents()


def _member(place: str, path: str, listed_size: int) -> Member:
    if not storage.is_local(place):
        return Member(name=path, offset=0, size=listed_size)
    entry = storage.describe(place)
    if entry is None:
        raise _gone(place)
    problem = {"file": None, "dangling": Problem.DANGLING_LINK}.get(entry["type"], Problem.NO_FILE)
    return Member(name=path, offset=0, size=0 if problem else entry["size"], problem=problem)


class _Content:
    """The bytes of one file, of which each call reads as many as are wanted, and no more."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._position = 0

    def read(self, size: int) -> bytes:
        start = self._position
        self._position += size
        try:
            return storage.read_bytes(self._uri, start=start, end=self._position) if size else b""
        except FileNotFoundError as e:
            raise _gone(self._uri) from e


def _gone(uri: str) -> BrokenSource:
    return BrokenSource(f"{uri}: deleted since the folder was listed; run the same command again", source=uri)
