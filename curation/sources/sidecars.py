"""Sidecars: which json and txt members belong to which image, by the rules of webdataset, and what they contain."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Generic, TypeVar

from curation.sources.members import Problem, SampleNames, group_of, split_member
from curation.sources.text_encoding import decode_text

T = TypeVar("T")

KINDS = ("json", "txt")
MAX_SIDECAR_BYTES = 1 << 20
"""Sidecars up to this size are read and parsed; larger ones are only copied to the shard."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LIKELY = {"json": ("meta", "metadata", "info"), "txt": ("caption", "text", "prompt")}
_SIDECAR_FACTS = {
    Problem.SPARSE: "is a sparse member, not read",
    Problem.SYMBOLIC_LINK: "is a symbolic link, not followed",
    Problem.HARD_LINK: "is a hard link, not followed",
    Problem.DANGLING_LINK: "is a link whose target is not there",
    Problem.NO_FILE: "is no regular file, not read",
    Problem.TOO_LARGE: "is larger than 64 MiB, left out",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageMember(Generic[T]):
    """The image of a sample, or what stands for it in a sample without one; `place` is its number in the source."""

    place: int
    member: str
    offset: int
    size: int
    occurrence: int
    problem: Problem | None
    result: T | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sidecar:
    """A json or txt member; `data` is None if it was not read, `place` is its number in the source."""

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


Row = tuple[ImageMember[T], Sidecar | None, Sidecar | None]
"""A sample: image, json, txt."""


class SidecarJoin(Generic[T]):
    """Finds the sidecars of images, and the sidecars that have no image."""

    def __init__(
        self, *, images: list[ImageMember[T]], sidecars: dict[tuple[str, str], list[Sidecar]], names: SampleNames
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

    def sidecar_of(self, image: ImageMember[T], kind: str) -> Sidecar | None:
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

    def lonely_rows(self) -> list[Row[T]]:
        """Return a row for each sidecar without an image; a json and a txt of one name share a row."""
        by_name: dict[str, dict[str, list[Sidecar]]] = {}
        for (stem, kind), some in self._sidecars.items():
            if not self._has_image(stem, kind):
                by_name.setdefault(self._name(stem), {}).setdefault(kind, []).extend(some)
        rows: list[Row[T]] = []
        for kinds in by_name.values():
            jsons, texts = (sorted(kinds.get(kind, []), key=lambda s: s.place) for kind in KINDS)
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
    """Whether a stem has nothing after its first dot, or one word as extensions are, not a number as keys have."""
    rest = stem[len(group_of(stem)) + 1 :]
    return not rest or _WORD.fullmatch(rest) is not None


def _no_image(json_: Sidecar | None, text: Sidecar | None, *, occurrence: int) -> ImageMember[Any]:
    first = min((s for s in (json_, text) if s is not None), key=lambda s: s.place)
    return ImageMember(
        place=first.place,
        member=first.member,
        offset=first.offset,
        size=0,
        occurrence=occurrence,
        problem=Problem.NO_IMAGE,
        result=None,
    )


def unread_fact(kind: str, sidecar: Sidecar | None) -> str | None:
    """Return why a sidecar was not read, or None when it was, or there is none."""
    if sidecar is None or sidecar.data is not None:
        return None
    if sidecar.problem is not None:
        why = _SIDECAR_FACTS[sidecar.problem]
    elif sidecar.size > MAX_SIDECAR_BYTES:
        why = "is larger than 1 MiB, not read"
    else:
        why = "is not read: those before it in this source have 256 MiB together"
    return f"{kind} sidecar {why}"


def parse_json(data: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """Return the object in a json sidecar's bytes, None if there is none, and what is unusual about the bytes.

    Its texts can be stored as UTF-8: unpaired surrogates are replaced by U+FFFD.
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
        return _valid(value), fact
    return value, fact


def _valid_text(text: str) -> str:
    """Return `text` with unpaired surrogates replaced by U+FFFD: UTF-8 has no code for them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _valid(value: Any) -> Any:
    """Return a JSON value with `_valid_text` applied to all its texts."""
    if isinstance(value, str):
        return _valid_text(value)
    if isinstance(value, list):
        return [_valid(v) for v in value]
    if isinstance(value, dict):
        return {_valid_text(k): _valid(v) for k, v in value.items()}
    return value
