"""What a takedown asks for: lists of keys, urls and hashes, and pictures."""

import hashlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from curation.pictures.bounded import DecoderFailed, decode_bounded, within_limits
from curation.pictures.decode import DEFAULT_LIMITS
from curation.pictures.pdq import PDQ_MATCH_DISTANCE, PDQ_MIN_QUALITY, pdq
from curation.pictures.pixel_hash import pixel_hash
from curation.sources.members import IMAGE_EXTENSIONS
from curation.takedown.deny_list import DenyList
from manifests import storage
from manifests.errors import InputError
from manifests.exchange.key_lists import KeyList, read_keys


@dataclass(frozen=True, kw_only=True)
class Requested:
    """What is to go. `listed` has lists of values by column, key or url; `hashes` are those of pictures.

    `entries` has, by the name of a list, each entry of it that is given by hashes: name → its lines of a DenyList.
    `notes` are sentences about pictures whose copies cannot all be found.
    """

    listed: Mapping[str, KeyList] = field(default_factory=dict)
    hashes: DenyList = field(default_factory=DenyList)
    entries: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Where the lists are: files of keys, urls, sha256 and PDQ hashes, pictures or folders of them, deny lists.

    Instead of a file, a list may be given as it was read.
    """

    keys: Sequence[str | KeyList] = ()
    urls: Sequence[str | KeyList] = ()
    sha256: Sequence[str | KeyList] = ()
    pdq: Sequence[str | KeyList] = ()
    near_image: Sequence[str] = ()
    hashes: Sequence[str] = ()

    def read(self, max_distance: int = PDQ_MATCH_DISTANCE) -> Requested:
        """Return what they ask for. Copies by PDQ may differ in `max_distance` bits.

        Raises InputError when none is given, or when one of them is missing or no list.
        """
        if not any(vars(self).values()):
            raise InputError("takedown: nothing to take down; name a list with --keys, --urls, --sha256 or another")
        listed = {
            column: _joined([_values(each, column) for each in lists])
            for column, lists in (("key", self.keys), ("url", self.urls))
            if lists
        }
        notes: list[str] = []
        entries: dict[str, dict[str, Sequence[str]]] = {}
        for kind, lists in (("sha256", self.sha256), ("pdq", self.pdq)):
            for value in (
                value for each in lists for value in _values(each, kind).values.column("value").to_pylist()
            ):
                line = DenyList.of([f"{kind} {value}"], max_distance=max_distance).lines
                entries.setdefault(f"--{kind}", {})[value] = line
        for name, lines in _pictures(self.near_image, max_distance, notes):
            entries.setdefault("--near-image", {})[name] = lines
        denied = DenyList.read(self.hashes, max_distance=max_distance)
        if self.hashes:
            entries["--hashes"] = {line: [line] for line in denied.lines}
        given = [line for named in entries.values() for lines in named.values() for line in lines]
        return Requested(listed=listed, hashes=DenyList.of(given), entries=entries, notes=notes)


def _values(given: str | KeyList, column: str) -> KeyList:
    return read_keys(given, column) if isinstance(given, str) else given


def _joined(lists: Sequence[KeyList]) -> KeyList:
    """Return the values of several lists, each once."""
    if len(lists) == 1:
        return lists[0]
    values = pa.concat_tables([each.values for each in lists]).group_by(["value", "kind"], use_threads=False)
    return KeyList(column=lists[0].column, type=None, values=values.aggregate([]))


def _pictures(uris: Sequence[str], max_distance: int, notes: list[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each picture of files and folders, and its hashes."""
    for uri in uris:
        place = storage.absolute(uri)
        below = [
            name
            for name in sorted(storage.entries(place, depth=None))
            if posixpath.splitext(name)[1].lower().lstrip(".") in IMAGE_EXTENSIONS
        ]
        if not below and not _is_file(place):
            raise InputError(f"--near-image {uri}: no picture here; name a picture, or a folder of pictures")
        for name in [storage.join(place, name) for name in below] or [place]:
            lines, note = _hashes_of(storage.read_bytes(name), max_distance)
            if note is not None:
                notes.append(f"{name}: {note}")
            yield name, lines


def _is_file(uri: str) -> bool:
    found = storage.describe(uri)
    return found is not None and found["type"] != "directory"


def _hashes_of(data: bytes, max_distance: int) -> tuple[list[str], str | None]:
    """Return the hashes of a picture, as lines of a DenyList, and why copies of it may be missed, if they may.

    The picture comes from anyone: it is decoded within limits, and first in a child process.
    """
    exact = f"sha256 {hashlib.sha256(data).hexdigest()}"
    try:
        decoded = within_limits(lambda each: decode_bounded(each, DEFAULT_LIMITS), data, is_retry=True)
    except DecoderFailed as e:
        return [exact], f"{e}; only equal bytes are found"
    if decoded.rgb is None:
        return [exact], f"{decoded.status} ({decoded.error}); only equal bytes are found"
    found = pdq(decoded.rgb)
    if found.quality >= PDQ_MIN_QUALITY:
        return [exact, *DenyList(pdq={found.bits.hex(): max_distance}).lines], None
    pixels = pixel_hash(decoded)
    plain = [] if pixels is None else [f"pixels {pixels.hex()}"]
    return [exact, *plain], f"too plain for PDQ (quality {found.quality}); only equal pixels are found"
