"""Members become samples: each image with its sidecars, from tars and from folders.

    found = Members(source=uri, max_image_bytes=64 << 20, on_image=measure)
    found.add(Member(name="a.jpg", offset=512, size=9000), stream.read)     # one after another
    for sample in found.contents().samples():
        sample.member, sample.offset, sample.size, sample.json, sample.caption, sample.result

An image and its `.json` and `.txt` share a stem (webdataset/webdataset `tariterators.py`). Unlike there, the members
of a sample need not be adjacent, every image is a sample of its own, and so is a sidecar without an image: no row is
lost. All names that can belong together share their folder and their name up to the first dot, so a folder may be
read in any slices that keep those together.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

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
from curation.sources.sidecars import (
    KINDS,
    MAX_SIDECAR_BYTES,
    ImageMember,
    Row,
    Sidecar,
    SidecarJoin,
    parse_json,
    unread_fact,
)
from curation.sources.text_encoding import decode_text
from filters.protocol import FilterFailed

T = TypeVar("T")

MAX_SIDECARS_BYTES = 256 << 20
"""So many bytes of sidecars are read of one source; the others are only copied to the shard."""
MAX_CARRIED_BYTES = 64 << 20
"""Still larger ones are not copied, because a sidecar must fit in memory when shards are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample(Generic[T]):
    """One image with its sidecars, or a sidecar that has no image.

    `stem` is `member` without its last extension, `group` its name up to the first dot, both with their folders.
    `offset` and `size` are the image's bytes in the source; `size` is 0 when a `problem` other than `too large` keeps
    them from being read. `occurrence` counts the earlier members with the same full name. `facts` describe what is
    unusual about the sidecars. `caption_bytes` are the caption's bytes if they are not UTF-8.
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


@dataclass(frozen=True, kw_only=True)
class Contents(Generic[T]):
    """What one tar, or a slice of a folder, contains: `len()` samples, and counts of members that are in no sample.

    `unused_sidecars` are json and txt members of a sample that uses another one; `other_members` are neither image
    nor sidecar (also devices, AppleDouble `._x`, `__MACOSX/`, webdataset's `__x__`).
    """

    directories: int
    other_members: int
    unused_sidecars: int
    _rows: list[Row[T]]

    def __len__(self) -> int:
        return len(self._rows)

    def stems(self) -> set[str]:
        """Return the names, without folders and extensions, that a table next to the source may have as keys."""
        names = {image.member.rsplit("/", 1)[-1] for image, _, _ in self._rows}
        return {split_member(name)[0] for name in names} | {group_of(name) for name in names}

    def samples(self) -> Iterator[Sample[T]]:
        """Yield the samples in the source's order. Sidecars are parsed only here, which saves memory."""
        for row in self._rows:
            yield _sample(*row)


def measure_member(on_image: Callable[[bytes], T], data: bytes, *, source: str, member: str) -> T:
    """Return `on_image(data)`; a FilterFailed that it raises names the image."""
    try:
        return on_image(data)
    except FilterFailed as e:
        raise FilterFailed(f"{source}: {member!r}: {e}") from e


@dataclass(kw_only=True)
class Members(Generic[T]):
    """The members of one source so far, and the counts of what is not part of a sample.

    `on_image` is called once with each image's bytes; what it returns is the sample's `result`. Images over
    `max_image_bytes` are located but not read. Memory: one image, and at most MAX_SIDECARS_BYTES of sidecars.
    """

    source: str
    max_image_bytes: int
    on_image: Callable[[bytes], T]
    names: SampleNames = SampleNames.AUTO
    images: list[ImageMember[T]] = field(default_factory=list)
    sidecars: dict[tuple[str, str], list[Sidecar]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    places: int = 0
    directories: int = 0
    other_members: int = 0
    sidecar_bytes: int = 0  # of those that were read

    def add(self, member: Member, read: Callable[[int], bytes]) -> None:
        """Add one member. `read(n)` returns its next `n` bytes; it is called for images and sidecars.

        Raises FilterFailed as `on_image` does, with the image's name.
        """
        self.places += 1
        stem, extension = split_member(member.name)
        if member.is_device or is_ignored(member.name):
            self.other_members += 1
        elif extension in KINDS:
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
            result = measure_member(self.on_image, data, source=self.source, member=member.name)
        self.images.append(
            ImageMember(
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
        is_read = problem is None and member.size <= min(MAX_SIDECAR_BYTES, MAX_SIDECARS_BYTES - self.sidecar_bytes)
        data = read(member.size) if is_read else None
        self.sidecar_bytes += member.size if is_read else 0
        sidecar = Sidecar(
            place=self.places, member=member.name, offset=member.offset, size=member.size, problem=problem, data=data
        )
        self.sidecars.setdefault(name, []).append(sidecar)

    def contents(self) -> Contents[T]:
        """Return the samples, in the order in which their first members were added."""
        join = SidecarJoin(images=self.images, sidecars=self.sidecars, names=self.names)
        rows: list[Row[T]] = [(i, join.sidecar_of(i, "json"), join.sidecar_of(i, "txt")) for i in self.images]
        lonely: list[Row[T]] = join.lonely_rows()
        rows += lonely
        rows.sort(key=lambda row: row[0].place)
        used = {s.place for _, *sidecars in rows for s in sidecars if s is not None}
        return Contents(
            directories=self.directories,
            other_members=self.other_members,
            unused_sidecars=sum(map(len, self.sidecars.values())) - len(used),
            _rows=rows,
        )


def _sample(image: ImageMember[T], json_: Sidecar | None, text: Sidecar | None) -> Sample[T]:
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
            fact for fact in (json_fact or unread_fact("json", json_), text_fact or unread_fact("txt", text)) if fact
        ),
    )
