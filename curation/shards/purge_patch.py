"""A patch that takes samples out of shards: a small JSON file without any byte of a picture.

It names byte ranges, so that anyone with a copy of the shards can apply it, and the sha256 of each tar before and
after, so that nobody applies it to something else.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from tarfile import BLOCKSIZE
from typing import Any

from curation.shards.cuts import Cuts
from curation.takedown.deny_list import DenyList
from manifests import storage
from manifests.errors import InputError

FORMAT = "curate purge 1"
MAX_BYTES = 256 << 20
_NAME = re.compile(r"[^/\0]+\.tar")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Tar:
    """A tar as it is before or after: its name, bytes and sha256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardCut:
    """What goes from one shard. `samples` is the number of samples that go."""

    before: Tar
    after: Tar
    cuts: Cuts
    samples: int


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What goes from shards, and the hashes that their manifest gets.

    `digest_before` and `digest_after` are those of the manifests; the latter is None until it is known.
    """

    digest_before: str
    shards: Sequence[ShardCut]
    taken_down: Sequence[str]
    digest_after: str | None = None

    @property
    def is_renaming(self) -> bool:
        """Whether a tar gets another name, so that a reader of the old manifest finds the old one, or nothing."""
        return any(each.before.name != each.after.name for each in self.shards)

    @property
    def hash(self) -> str:
        """The sha256 of everything but the digest of the result."""
        return hashlib.sha256(replace(self, digest_after=None).to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of the patch file."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n").encode()

    @classmethod
    def read(cls, uri: str) -> "Patch":
        """Return the patch at `uri`. Raises InputError when there is none, or one that cannot be applied."""
        try:
            with storage.open_input(uri) as f:
                data = f.read(MAX_BYTES + 1)
        except FileNotFoundError as e:
            raise InputError(f"{uri}: no such patch") from e
        try:
            fields = json.loads(data)
            if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
                raise ValueError(f"its format is not {FORMAT!r}")
            shards = [_shard_of(each) for each in fields.pop("shards")]
            DenyList.of(fields["taken_down"])
            return cls(**fields, shards=shards)
        except (ValueError, TypeError, KeyError, AttributeError, InputError) as e:
            raise InputError(f"{uri}: not a patch of `curate purge --patch` ({e})") from e


def _shard_of(fields: Mapping[str, Any]) -> ShardCut:
    before, after = (Tar(**fields[name]) for name in ("before", "after"))
    ranges = tuple((start, end) for start, end in fields["cuts"]["ranges"])
    places = [0, *(place for each in ranges for place in each), fields["cuts"]["end"], before.bytes]
    if any(type(place) is not int or place % BLOCKSIZE for place in places[:-1]) or places != sorted(places):
        raise ValueError(f"{before.name!r}: impossible byte ranges")
    for tar in (before, after):
        if not _NAME.fullmatch(tar.name) or tar.name.startswith(".") or not _SHA256.fullmatch(tar.sha256):
            raise ValueError(f"{tar.name!r}: not a tar")
    cuts = Cuts(ranges=ranges, end=fields["cuts"]["end"])
    return ShardCut(before=before, after=after, cuts=cuts, samples=int(fields["samples"]))
