"""Members become samples: which sidecars belong to which image, by the rules of webdataset, in tars and in folders.

    found = Members(max_image_bytes=64 << 20, on_image=measure)
    found.add(Member(name="a.jpg", offset=512, size=9000), stream.read)     # one after another
    for sample in found.contents().samples():
        sample.member, sample.offset, sample.size, sample.json, sample.caption, sample.result

An image and its `.json` and `.txt` share a stem (webdataset/webdataset `tariterators.py`). Unlike there, members of a
sample need not be adjacent, every image is a sample of its own, and a sidecar without an image is one too: no row is
lost. All names that can belong together share their folder and their name up to the first dot, so that members may be
joined in any slices that keep those together.
"""

import enum
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from curation.sources.members import (
    HEAD_BYTES,
    IMAGE_EXTENSIONS,
    is_ignored,
    looks_like_image,
    split_member,
    webdataset_stem,
)
from curation.sources.text_encoding import decode_text
from filters.protocol import FilterFailed

T = TypeVar("T")

MAX_SIDECAR_BYTES = 1 << 20
"""Sidecars up to here are read and parsed; larger ones only go along to the shard."""
MAX_CARRIED_BYTES = 64 << 20
"""Still larger ones do not: whoever writes shards holds a sidecar in memory."""
_KINDS = ("json", "txt")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LIKELY = {"json": ("meta", "metadata", "info"), "txt": ("caption", "text", "prompt")}


class SampleNames(enum.StrEnum):
    """Where the name of a sample ends and the extension of a member begins."""

    AUTO = "auto"
    """At the last dot. But an image without a sidecar of its own stem takes one whose name is the same up to the
    first dot, if both have no more than a word there, as in `k.input.jpg` and `k.meta.json`, and no number as in
    `22.05.png`. Of several images of one name none may have such a sidecar of its own."""
    FIRST_DOT = "first_dot"
    """At the first dot, as webdataset reads: all members with the same name up to there are one sample."""
    LAST_DOT = "last_dot"
    """At the last dot, and nowhere else."""


class Problem(enum.StrEnum):
    """Why a sample has no image bytes to decode."""

    SPARSE = "sparse"  # stored with holes: its byte range in the tar is not the picture
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"
    DANGLING_LINK = "dangling link"  # in a folder: a link whose target is not there
    NO_FILE = "no file"  # in a folder: a device, a pipe, a socket
    NO_IMAGE = "no image"  # a sidecar whose stem has no image
    TOO_LARGE = "too large"  # more than max_image_bytes: located, not read


_SIDECAR_FACTS = {
    Problem.SPARSE: "is a sparse member, not read",
    Problem.SYMBOLIC_LINK: "is a symbolic link, not followed",
    Problem.HARD_LINK: "is a hard link, not followed",
    Problem.DANGLING_LINK: "is a link whose target is not there",
    Problem.NO_FILE: "is no regular file, not read",
    Problem.TOO_LARGE: "is larger than 64 MiB, left out",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file of a tar or a folder; `offset` is of its bytes, in bytes, and 0 for a file of its own."""

    name: str
    offset: int
    size: int
    problem: Problem | None = None
    is_device: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample(Generic[T]):
    """One image with its sidecars, or a sidecar that has no image.

    `stem` is `member` without its last extension, `group` its name up to the first dot, both with their folders.
    `offset` and `size` are the image's bytes in the source; `size` is 0 when a `problem` other than `too large` says
    there is no such range. `occurrence` counts the earlier members with the same full name. `facts` say what is odd
    about the sidecars. `caption_encoding` names the encoding of the caption's bytes when they are no UTF-8;
    `caption_bytes` are those bytes, then.
    """

    stem: str
    group: str
    member: str
    occurrence: int
    offset: int
    size: int
    caption_member: str | None
    caption_offset: int | None
    caption_size: int | None
    json_member: str | None
    json_offset: int | None
    json_size: int | None
    caption: str | None
    caption_bytes: bytes | None
    json: dict[str, Any] | None
    problem: Problem | None
    result: T | None
    facts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image(Generic[T]):
    place: int
    member: str
    offset: int
    size: int
    occurrence: int
    problem: Problem | None
    result: T | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sidecar:
    place: int
    member: str
    offset: int
    size: int
    problem: Problem | None
    data: bytes | None

    @property
    def is_carried(self) -> bool:
        """Whether its bytes go to the shard."""
        return self.problem is None


_Row = tuple[_Image[T], _Sidecar | None, _Sidecar | None]  # image, json, txt


@dataclass(frozen=True, kw_only=True)
class Contents(Generic[T]):
    """All that one tar, or a slice of a folder, holds: `len()` samples, and counts of the members that are in none.

    `unused_sidecars` are json and txt members of a sample that uses another one; `other_members` are
    neither image nor sidecar (also devices, AppleDouble `._x`, `__MACOSX/`, webdataset's `__x__`).
    """

    directories: int
    other_members: int
    unused_sidecars: int
    _rows: list[_Row[T]]

    def __len__(self) -> int:
        return len(self._rows)

    def stems(self) -> set[str]:
        """Return the names, without folders and extensions, that a table beside the source may know samples by."""
        names = {image.member.rsplit("/", 1)[-1] for image, _, _ in self._rows}
        return {split_member(name)[0] for name in names} | {group_of(name) for name in names}

    def samples(self) -> Iterator[Sample[T]]:
        """Yield the samples in the source's order. Sidecars are parsed here, so 100,000 of them stay small."""
        for row in self._rows:
            yield _sample(*row)


def measured(on_image: Callable[[bytes], T], data: bytes, *, source: str, member: str) -> T:
    """Return `on_image(data)`; a FilterFailed that it raises names the image."""
    try:
        return on_image(data)
    except FilterFailed as e:
        raise FilterFailed(f"{source}: {member!r}: {e}") from e


def parse_json(data: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """Return the object in a json sidecar's bytes and what is odd about them; None instead of what is no object.

    Its texts can be stored as UTF-8: half surrogate pairs are replaced by U+FFFD.
    """
    fact = None
    try:
        value = json.loads(data)
    except UnicodeDecodeError:
        text, encoding = decode_text(data)
        fact = f"json sidecar is {encoding}, not UTF-8"
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None, "json sidecar is not valid JSON"
    except (ValueError, RecursionError):
        return None, "json sidecar is not valid JSON"
    if not isinstance(value, dict):
        return None, "json sidecar is not a JSON object"
    if b"\\ud" in data.lower() or b"\xed" in data:
        return {_whole_text(k): _whole(v) for k, v in value.items()}, fact
    return value, fact


def group_of(member: str) -> str:
    """Return what all members that may belong together share: their folder and their name up to the first dot."""
    return webdataset_stem(member)


@dataclass(kw_only=True)
class Members(Generic[T]):
    """The members of one source so far.

    `on_image` gets each image's bytes once, as they pass; what it returns is the sample's `result`. Images over
    `max_image_bytes` are located but not read. Memory: one image, and the sidecars.
    """

    source: str
    max_image_bytes: int
    on_image: Callable[[bytes], T]
    names: SampleNames = SampleNames.AUTO
    images: list[_Image[T]] = field(default_factory=list)
    sidecars: dict[tuple[str, str], list[_Sidecar]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    places: int = 0
    directories: int = 0
    other_members: int = 0

    def add(self, member: Member, read: Callable[[int], bytes]) -> None:
        """File one member; `read` returns its next bytes, and is called if it is an image or a sidecar.

        A FilterFailed of `on_image` names the image.
        """
        self.places += 1
        stem, extension = split_member(member.name)
        if member.is_device or is_ignored(member.name):
            self.other_members += 1
        elif extension in _KINDS:
            self._add_sidecar((stem, extension), member, read)
        elif extension in IMAGE_EXTENSIONS:
            self._add_image(member, read, head=b"")
        elif member.problem is None and looks_like_image(head := read(min(member.size, HEAD_BYTES))):
            self._add_image(member, read, head=head)
        else:
            self.other_members += 1

    def _add_image(self, member: Member, read: Callable[[int], bytes], head: bytes) -> None:
        problem, result = member.problem, None
        if problem is None and member.size > self.max_image_bytes:
            problem = Problem.TOO_LARGE
        elif problem is None:
            data = head + read(member.size - len(head))
            result = measured(self.on_image, data, source=self.source, member=member.name)
        self.images.append(
            _Image(
                place=self.places,
                member=member.name,
                offset=member.offset,
                size=member.size if problem in (None, Problem.TOO_LARGE) else 0,
                occurrence=self.seen[member.name],
                problem=problem,
                result=result,
            )
        )
        self.seen[member.name] += 1

    def _add_sidecar(self, name: tuple[str, str], member: Member, read: Callable[[int], bytes]) -> None:
        problem = member.problem
        if problem is None and member.size > MAX_CARRIED_BYTES:
            problem = Problem.TOO_LARGE
        data = read(member.size) if problem is None and member.size <= MAX_SIDECAR_BYTES else None
        sidecar = _Sidecar(
            place=self.places, member=member.name, offset=member.offset, size=member.size, problem=problem, data=data
        )
        self.sidecars.setdefault(name, []).append(sidecar)

    def contents(self) -> Contents[T]:
        """Join images and sidecars, in the order in which they were added."""
        join = _Join(images=self.images, sidecars=self.sidecars, names=self.names)
        rows: list[_Row[T]] = [(i, join.sidecar_of(i, "json"), join.sidecar_of(i, "txt")) for i in self.images]
        lonely: list[_Row[T]] = join.lonely_rows()
        rows += lonely
        rows.sort(key=lambda row: row[0].place)
        used = {s.place for _, *sidecars in rows for s in sidecars if s is not None}
        return Contents(
            directories=self.directories,
            other_members=self.other_members,
            unused_sidecars=sum(map(len, self.sidecars.values())) - len(used),
            _rows=rows,
        )


class _Join(Generic[T]):
    """Which sidecar belongs to which image."""

    def __init__(
        self, *, images: list[_Image[T]], sidecars: dict[tuple[str, str], list[_Sidecar]], names: SampleNames
    ) -> None:
        self._sidecars, self._names = sidecars, names
        self._members = {image.member for image in images}
        self._stems = {split_member(name)[0] for name in self._members}
        self._groups: dict[str, list[str]] = {}  # the images of a group, by name
        for name in self._members:
            self._groups.setdefault(group_of(name), []).append(name)
        self._in_group: dict[tuple[str, str], list[str]] = {}  # stems of sidecars that no image owns
        for stem, kind in sidecars:
            if stem not in self._members and stem not in self._stems and stem != group_of(stem):
                self._in_group.setdefault((group_of(stem), kind), []).append(stem)

    def sidecar_of(self, image: _Image[T], kind: str) -> _Sidecar | None:
        """Return the sidecar of `a.b.jpg`: `a.b.json`, else `a.b.jpg.json`, else `a.json`, else `a.c.json`."""
        for stem in self._stems_for(image.member, kind):
            if same := self._sidecars.get((stem, kind)):
                return same[min(image.occurrence, len(same) - 1)]
        return None

    def _stems_for(self, member: str, kind: str) -> Iterator[str]:
        yield split_member(member)[0]
        yield member
        if self._names is SampleNames.LAST_DOT:
            return
        group = group_of(member)
        yield group
        likely = _LIKELY[kind]
        stems = [stem for stem in self._in_group.get((group, kind), []) if self._is_joined(member, stem, kind)]
        yield from sorted(stems, key=lambda stem: (stem[len(group) + 1 :] not in likely, stem))

    def _is_joined(self, member: str, stem: str, kind: str) -> bool:
        """Whether an image and the sidecar of another stem of its group are one sample."""
        if self._names is not SampleNames.AUTO:
            return self._names is SampleNames.FIRST_DOT
        if not (_has_word(split_member(member)[0]) and _has_word(stem)):
            return False
        group = group_of(member)
        others = [split_member(name)[0] for name in self._groups[group]]
        return len(others) == 1 or not any(each != group and (each, kind) in self._sidecars for each in others)

    def lonely_rows(self) -> list[_Row[T]]:
        """Return a row for each sidecar of no image; a json and a txt of one name share it."""
        by_name: dict[str, dict[str, list[_Sidecar]]] = {}
        for (stem, kind), some in self._sidecars.items():
            if not self._has_image(stem, kind):
                by_name.setdefault(self._name(stem), {}).setdefault(kind, []).extend(some)
        rows: list[_Row[T]] = []
        for kinds in by_name.values():
            jsons, texts = (sorted(kinds.get(kind, []), key=lambda s: s.place) for kind in _KINDS)
            for k, (json_, text) in enumerate(zip_longest(jsons, texts)):
                rows.append((_no_image(json_, text, occurrence=k), json_, text))
        return rows

    def _has_image(self, stem: str, kind: str) -> bool:
        if stem in self._members or stem in self._stems:
            return True
        group = group_of(stem)
        if self._names is SampleNames.LAST_DOT or group not in self._groups:
            return False
        return (
            stem == group
            or group in self._stems
            or any(self._is_joined(member, stem, kind) for member in self._groups[group])
        )

    def _name(self, stem: str) -> str:
        is_group = self._names is SampleNames.FIRST_DOT or (self._names is SampleNames.AUTO and _has_word(stem))
        return group_of(stem) if is_group else stem


def _has_word(stem: str) -> bool:
    """Whether a stem has nothing after its first dot, or one word, as extensions are, and no number, as keys have."""
    rest = stem[len(group_of(stem)) + 1 :]
    return not rest or _WORD.fullmatch(rest) is not None


def _no_image(json_: _Sidecar | None, text: _Sidecar | None, *, occurrence: int) -> _Image[Any]:
    first = min((s for s in (json_, text) if s is not None), key=lambda s: s.place)
    return _Image(
        place=first.place,
        member=first.member,
        offset=first.offset,
        size=0,
        occurrence=occurrence,
        problem=Problem.NO_IMAGE,
        result=None,
    )


def _sample(image: _Image[T], json_: _Sidecar | None, text: _Sidecar | None) -> Sample[T]:
    parsed, json_fact = parse_json(json_.data) if json_ and json_.data is not None else (None, None)
    caption, encoding = decode_text(text.data) if text and text.data is not None else (None, None)
    text_fact = f"txt sidecar is {encoding}, not UTF-8" if encoding else None
    return Sample(
        stem=split_member(image.member)[0],
        group=group_of(image.member),
        member=image.member,
        occurrence=image.occurrence,
        offset=image.offset,
        size=image.size,
        json_member=json_.member if json_ and json_.is_carried else None,
        json_offset=json_.offset if json_ and json_.is_carried else None,
        json_size=json_.size if json_ and json_.is_carried else None,
        caption_member=text.member if text and text.is_carried else None,
        caption_offset=text.offset if text and text.is_carried else None,
        caption_size=text.size if text and text.is_carried else None,
        json=parsed,
        caption=caption,
        caption_bytes=text.data if encoding and text else None,
        problem=image.problem,
        result=image.result,
        facts=tuple(
            fact for fact in (json_fact or _unread("json", json_), text_fact or _unread("txt", text)) if fact
        ),
    )


def _unread(kind: str, sidecar: _Sidecar | None) -> str | None:
    """Return why a sidecar was not read, or None when it was, or there is none."""
    if sidecar is None or sidecar.data is not None:
        return None
    why = "is larger than 1 MiB, not read" if sidecar.problem is None else _SIDECAR_FACTS[sidecar.problem]
    return f"{kind} sidecar {why}"


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
