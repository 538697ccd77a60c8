"""Samples of an index: their bytes read together, decoded in threads, each one a mapping or a reason why not."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.feed.cache import RangeCache
from curation.feed.index import Index, member_range
from curation.feed.pixels import Fit, NotDecoded, pixels
from curation.pictures.decode import DEFAULT_LIMITS, DecodeLimits
from curation.sources.byte_ranges import ByteRange, try_ranges
from curation.sources.keys import keyed_hash64
from curation.sources.text_encoding import decode_text

Sample = dict[str, Any]
Transform = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A sample that cannot be read, and why."""

    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a sample contains, and what is done to it.

    `members` are of image, json and caption. Images are decoded as `fit` says, or left as stored bytes. `transform`
    gets a sample and random numbers that depend on the seed, the epoch and the position alone, and returns a sample.
    The sha256 of the share `verify` of the images is compared with the manifest's. `cache` keeps what
    is read of remote files.
    """

    members: Sequence[str]
    columns: Sequence[str]
    fit: Fit
    is_decoded: bool = True
    limits: DecodeLimits = DEFAULT_LIMITS
    transform: Transform | None = None
    verify: float = 0.0
    seed: int = 0
    cache: RangeCache | None = None

    def read(self, wanted: Sequence[ByteRange]) -> Sequence[bytes | OSError]:
        """Return the bytes of ranges, or why they could not be read, see `try_ranges`."""
        return try_ranges(wanted) if self.cache is None else self.cache.read(wanted)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Samples as they are stored: their rows of the index, their members by name, and why some cannot be read."""

    places: Sequence[Mapping[str, Any]]
    members: Sequence[Mapping[str, bytes]]
    problems: Mapping[int, str]


def fetch_samples(index: Index, rows: NDArray[np.int64], contents: Contents) -> Stored:
    """Return the samples at `rows`, of shape (n,), as they are stored. Their bytes are read together.

    Raises StorageUnavailable when the storage of one does not answer.
    """
    taken = index.take(rows)
    places = [dict(zip(taken, values, strict=True)) for values in zip(*taken.values(), strict=True)]
    wanted = [(i, member, where) for i, place in enumerate(places) for member, where in _ranges(place, contents)]
    stored: list[dict[str, bytes]] = [{} for _ in places]
    problems: dict[int, str] = {}
    for (i, member, where), data in zip(wanted, contents.read([w for *_, w in wanted]), strict=True):
        if isinstance(data, OSError):
            problems[i] = str(data)
        elif len(data) < where.size_bytes:
            problems[i] = f"{where.uri} ends before byte {where.offset + where.size_bytes}"
        else:
            stored[i][member] = data
    return Stored(places=places, members=stored, problems=problems)


def decode_samples(
    stored: Stored, *, epoch: int, positions: NDArray[np.int64], contents: Contents, threads: Executor
) -> list[Sample | Problem]:
    """Return the samples, in order; `positions` are theirs in the epoch, of shape (n,)."""
    jobs = {
        i: threads.submit(_sample, place, stored.members[i], epoch, int(positions[i]), contents)
        for i, place in enumerate(stored.places)
        if i not in stored.problems
    }
    return [
        Problem(key=place["key"], why=stored.problems[i]) if i in stored.problems else jobs[i].result()
        for i, place in enumerate(stored.places)
    ]


def _ranges(place: Mapping[str, Any], contents: Contents) -> Iterator[tuple[str, ByteRange]]:
    for member in contents.members:
        where = member_range(place, member)
        if where is not None:
            yield member, where


def _sample(
    place: Mapping[str, Any], stored: Mapping[str, bytes], epoch: int, position: int, contents: Contents
) -> Sample | Problem:
    """Return a sample from its members as they are stored."""
    key = place["key"]
    sample: Sample = {"key": key}
    if "image" in contents.members:
        sample["image"] = stored["image"]
        if _is_verified(key, epoch, contents.verify) and _sha256(stored["image"]) != place["image_sha256"]:
            return Problem(key=key, why="the sha256 of its image is not the manifest's")
    if "caption" in contents.members:
        caption = stored.get("caption")
        sample["caption"] = (place["caption_text"] or "") if caption is None else decode_text(caption)[0]
    if "json" in contents.members:
        sample["json"] = _parsed(stored.get("json"))
    for name in contents.columns:
        sample[name] = place[f"column_{name}"]
    return _finished(sample, epoch, position, contents)


def _finished(sample: Sample, epoch: int, position: int, contents: Contents) -> Sample | Problem:
    """Return the sample with its image decoded and transformed."""
    random = np.random.default_rng([contents.seed, epoch, position])
    if contents.is_decoded and "image" in sample:
        try:
            sample["image"] = pixels(sample["image"], contents.fit, contents.limits, random)
        except NotDecoded as e:
            return Problem(key=sample["key"], why=str(e))
    return sample if contents.transform is None else contents.transform(sample, random)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _is_verified(key: str, epoch: int, share: float) -> bool:
    return share > 0 and keyed_hash64(f"verify/{epoch}", key) < share * 2**64


def _parsed(data: bytes | None) -> Any:
    """Return what a json sidecar contains, None without one or if it is not JSON."""
    with contextlib.suppress(ValueError, RecursionError):
        return None if data is None else json.loads(data)
    return None
