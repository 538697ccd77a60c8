"""What a tar holds: read once, forward, one image in memory at a time, and joined into samples.

    contents = read_tar(stream, source=uri, max_image_bytes=64 << 20, on_image=measure)
    for sample in contents.samples():
        sample.member, sample.offset, sample.size, sample.json, sample.caption, sample.result

Members become samples by the webdataset convention (webdataset/webdataset `tariterators.py`): an image
and its `.json` and `.txt` share a stem. Unlike there, members of a sample need not be adjacent, a second
image with the same stem is a second sample, and a sidecar without an image is a sample too: no row is lost.

Names are only names: no link is followed and nothing is extracted. `TarWriter` writes the output tars.
"""

import enum
import errno
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from tarfile import TarInfo
from typing import Any, BinaryIO, Generic, TypeVar

import fsspec

from curation.members import (
    HEAD_BYTES,
    IMAGE_EXTENSIONS,
    is_ignored,
    looks_like_image,
    split_member,
    webdataset_stem,
)
from curation.tar_stream import ForwardReader, StrictTar, TarWriter
from filters.protocol import FilterFailed
from manifests.errors import BrokenSource

__all__ = [
    "MAX_SIDECAR_BYTES",
    "Problem",
    "Sample",
    "TarContents",
    "TarWriter",
    "measured",
    "parse_json",
    "read_range",
    "read_tar",
]

T = TypeVar("T")

MAX_SIDECAR_BYTES = 1 << 20


class Problem(enum.StrEnum):
    """Why a sample has no image bytes to decode."""

    SPARSE = "sparse"  # stored with holes: its byte range in the tar is not the picture
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"
    NO_IMAGE = "no image"  # a sidecar whose stem has no image
    TOO_LARGE = "too large"  # more than max_image_bytes: located, not read


_SIDECAR_FACTS = {
    Problem.SPARSE: "is a sparse member, not read",
    Problem.SYMBOLIC_LINK: "is a symbolic link, not followed",
    Problem.HARD_LINK: "is a hard link, not followed",
    Problem.TOO_LARGE: "is larger than 1 MiB, not read",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample(Generic[T]):
    """One image of a tar with its sidecars, or a sidecar that has no image.

    `stem` is `member` without its last extension. `offset` and `size` are the image's bytes in the tar;
    `size` is 0 when a `problem` other than `too large` says there is no such range. `occurrence` counts
    the earlier members with the same full name. `facts` say what is odd about the sidecars.
    """

    stem: str
    member: str
    occurrence: int
    offset: int
    size: int
    caption_offset: int | None
    caption_size: int | None
    json_offset: int | None
    json_size: int | None
    caption: str | None
    json: dict[str, Any] | None
    problem: Problem | None
    result: T | None
    facts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image(Generic[T]):
    member: str
    offset: int
    size: int
    occurrence: int
    problem: Problem | None
    result: T | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sidecar:
    member: str
    offset: int
    size: int
    problem: Problem | None
    data: bytes | None


_Row = tuple[_Image[T], _Sidecar | None, _Sidecar | None]  # image, json, txt


@dataclass(frozen=True, kw_only=True)
class TarContents(Generic[T]):
    """All that one tar holds: `len()` samples, and counts of the members that are in none.

    `unused_sidecars` are json and txt members of a sample that uses another one; `other_members` are
    neither image nor sidecar (also devices, AppleDouble `._x`, `__MACOSX/`, webdataset's `__x__`).
    """

    directories: int
    other_members: int
    unused_sidecars: int
    _rows: list[_Row[T]]

    def __len__(self) -> int:
        return len(self._rows)

    def samples(self) -> Iterator[Sample[T]]:
        """Yield the samples in tar order. Sidecars are parsed here, so 100,000 of them stay small."""
        for row in self._rows:
            yield _sample(*row)


def read_tar(
    stream: BinaryIO, *, source: str, max_image_bytes: int, on_image: Callable[[bytes], T]
) -> TarContents[T]:
    """Return what a plain tar holds, after one sequential read of `stream` from its start to its end.

    `on_image` gets each image's bytes once, as they pass; what it returns is the sample's `result`.
    Images over `max_image_bytes` are located but not read. Memory: one image, and the sidecars.

    Raises BrokenSource, with reason and byte, when the tar is truncated, damaged, compressed or no tar,
    or when something follows its end. What `on_image` and `stream` raise passes through; a FilterFailed names
    the image.
    """
    reader = ForwardReader(stream, source)
    headers = StrictTar(reader)
    found = _Found(max_image_bytes=max_image_bytes, on_image=on_image)
    while (header := headers.next_header()) is not None:
        found.add(header, reader)
    reader.require_padding()
    return found.contents()


def measured(on_image: Callable[[bytes], T], data: bytes, *, source: str, member: str) -> T:
    """Return `on_image(data)`; a FilterFailed that it raises names the image."""
    try:
        return on_image(data)
    except FilterFailed as e:
        raise FilterFailed(f"{source}: {member!r}: {e}") from e


def parse_json(data: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """Return (object, None), or (None, what is wrong) when a json sidecar's bytes are not a JSON object.

    Its texts can be stored as UTF-8: half surrogate pairs are replaced by U+FFFD.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None, "json sidecar is not valid JSON"
    if not isinstance(value, dict):
        return None, "json sidecar is not a JSON object"
    if b"\\ud" in data.lower() or b"\xed" in data:
        return {_whole_text(k): _whole(v) for k, v in value.items()}, None
    return value, None


def read_range(fs: fsspec.AbstractFileSystem, path: str, offset: int, size: int) -> bytes:
    """Return the `size` bytes at `offset` of `path`. Raises BrokenSource when there are not as many."""
    if size == 0:
        return b""
    try:
        data: bytes = fs.cat_file(path, start=offset, end=offset + size)
    except OSError as e:
        if e.errno != errno.EINVAL:  # S3's "range not satisfiable": the object ends before it
            raise
        data = b""
    if len(data) != size:
        uri = fs.unstrip_protocol(path)
        raise BrokenSource(
            f"{uri}: {len(data)} bytes at {offset}, expected {size}: the source has changed since it was "
            "scanned. Restore it, or scan it again",
            source=uri,
        )
    return data


@dataclass(kw_only=True)
class _Found(Generic[T]):
    """The members of one tar so far."""

    max_image_bytes: int
    on_image: Callable[[bytes], T]
    images: list[_Image[T]] = field(default_factory=list)
    sidecars: dict[tuple[str, str], list[_Sidecar]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    directories: int = 0
    other_members: int = 0

    def add(self, header: TarInfo, reader: ForwardReader) -> None:
        """File one member, reading its bytes if it is an image or a sidecar."""
        if header.isdir():
            self.directories += 1
            return
        stem, extension = split_member(header.name)
        problem = _problem(header)
        if header.isdev() or is_ignored(header.name):
            self.other_members += 1
        elif extension in ("json", "txt"):
            self._add_sidecar((stem, extension), header, problem, reader)
        elif extension in IMAGE_EXTENSIONS:
            self._add_image(header, problem, reader, head=b"")
        elif problem is None and looks_like_image(head := reader.take(min(header.size, HEAD_BYTES))):
            self._add_image(header, None, reader, head=head)
        else:
            self.other_members += 1

    def _add_image(self, header: TarInfo, problem: Problem | None, reader: ForwardReader, head: bytes) -> None:
        result = None
        if problem is None and header.size > self.max_image_bytes:
            problem = Problem.TOO_LARGE
        elif problem is None:
            data = head + reader.take(header.size - len(head))
            result = measured(self.on_image, data, source=reader.source, member=header.name)
        self.images.append(
            _Image(
                member=header.name,
                offset=header.offset_data,
                size=header.size if problem in (None, Problem.TOO_LARGE) else 0,
                occurrence=self.seen[header.name],
                problem=problem,
                result=result,
            )
        )
        self.seen[header.name] += 1

    def _add_sidecar(
        self, name: tuple[str, str], header: TarInfo, problem: Problem | None, reader: ForwardReader
    ) -> None:
        if problem is None and header.size > MAX_SIDECAR_BYTES:
            problem = Problem.TOO_LARGE
        data = reader.take(header.size) if problem is None else None
        sidecar = _Sidecar(
            member=header.name, offset=header.offset_data, size=header.size, problem=problem, data=data
        )
        self.sidecars.setdefault(name, []).append(sidecar)

    def contents(self) -> TarContents[T]:
        """Join images and sidecars, in tar order."""
        rows: list[_Row[T]] = [(i, self._sidecar_of(i, "json"), self._sidecar_of(i, "txt")) for i in self.images]
        used = {s.offset for _, *sidecars in rows for s in sidecars if s is not None}
        lonely = self._lonely_rows()
        rows += lonely
        rows.sort(key=lambda row: row[0].offset)
        unused = sum(map(len, self.sidecars.values())) - len(used)
        return TarContents(
            directories=self.directories,
            other_members=self.other_members,
            unused_sidecars=unused - sum(s is not None for _, *sidecars in lonely for s in sidecars),
            _rows=rows,
        )

    def _sidecar_of(self, image: _Image[T], kind: str) -> _Sidecar | None:
        """Return the image's sidecar: `a.b.json`, else `a.b.jpg.json`, else `a.json` for `a.b.jpg`."""
        for stem in (split_member(image.member)[0], image.member, webdataset_stem(image.member)):
            if same := self.sidecars.get((stem, kind)):
                return same[min(image.occurrence, len(same) - 1)]
        return None

    def _lonely_rows(self) -> list[_Row[T]]:
        """Return a row for each sidecar whose stem has no image: a json and a txt of one stem share it."""
        names = {i.member for i in self.images}
        stems = {split_member(name)[0] for name in names}
        with_image = names | stems | {webdataset_stem(name) for name in names}
        rows: list[_Row[T]] = []
        for stem in dict.fromkeys(stem for stem, _ in self.sidecars):
            if stem in with_image or webdataset_stem(stem) in stems:
                continue
            jsons, texts = (self.sidecars.get((stem, kind), []) for kind in ("json", "txt"))
            for k, (json_, text) in enumerate(zip_longest(jsons, texts)):
                rows.append((_no_image(json_ or text, occurrence=k), json_, text))
        return rows


def _problem(header: TarInfo) -> Problem | None:
    if header.issym():
        return Problem.SYMBOLIC_LINK
    if header.islnk():
        return Problem.HARD_LINK
    return Problem.SPARSE if header.issparse() else None


def _no_image(sidecar: _Sidecar, occurrence: int) -> _Image[Any]:
    return _Image(
        member=sidecar.member,
        offset=sidecar.offset,
        size=0,
        occurrence=occurrence,
        problem=Problem.NO_IMAGE,
        result=None,
    )


def _sample(image: _Image[T], json_: _Sidecar | None, text: _Sidecar | None) -> Sample[T]:
    parsed, json_fact = parse_json(json_.data) if json_ and json_.data is not None else (None, None)
    if json_ and json_.problem:
        json_fact = f"json sidecar {_SIDECAR_FACTS[json_.problem]}"
    ranges = [
        (s.offset, s.size) if s is not None and s.problem in (None, Problem.TOO_LARGE) else (None, None)
        for s in (json_, text)
    ]
    text_fact = f"txt sidecar {_SIDECAR_FACTS[text.problem]}" if text and text.problem else None
    return Sample(
        stem=split_member(image.member)[0],
        member=image.member,
        occurrence=image.occurrence,
        offset=image.offset,
        size=image.size,
        json_offset=ranges[0][0],
        json_size=ranges[0][1],
        caption_offset=ranges[1][0],
        caption_size=ranges[1][1],
        json=parsed,
        caption=text.data.decode("utf-8-sig", "replace") if text and text.data is not None else None,
        problem=image.problem,
        result=image.result,
        facts=tuple(fact for fact in (json_fact, text_fact) if fact),
    )


def _whole_text(text: str) -> str:
    """Return `text` with half surrogate pairs replaced by U+FFFD: UTF-8 has no code for them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _whole(value: object) -> object:
    """Return a JSON value whose texts are all whole."""
    if isinstance(value, str):
        return _whole_text(value)
    if isinstance(value, list):
        return [_whole(v) for v in value]
    if isinstance(value, dict):
        return {_whole_text(k): _whole(v) for k, v in value.items()}
    return value
