"""Permanent sample keys, and the keyed hash that replaces random numbers.

A key depends only on the sample: never on the order of tars, on partitions, or on where the tars are stored.
Keys consist of letters, digits, `-` and `_`. They have no dot, because webdataset splits member names at the first
one.
"""

import functools
import hashlib
import re
from collections.abc import Mapping

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UID_FIELDS = ("uid", "uuid")  # DataComp, MetaCLIP


def declared_key(json: Mapping[str, object] | None) -> str | None:
    """Return the key that a sample's sidecar declares in `uid`, else in `uuid`; None when it has neither.

    Integers are written in decimal. Text that is not a plain key (dots, slashes, over 64 characters) is hashed to 32
    hexadecimal digits. Empty text and other types are ignored.
    """
    for name in _UID_FIELDS:
        uid = (json or {}).get(name)
        if isinstance(uid, bool) or not isinstance(uid, str | int) or uid == "":
            continue
        text = str(uid)
        return text if _PLAIN_KEY.fullmatch(text) else _hash128("uid", text)
    return None


def sample_key(
    source_name: str, member: str, json: Mapping[str, object] | None, *, occurrence: int, is_first: bool
) -> str:
    """Return the permanent key of a sample: 1 to 64 letters, digits, `-` or `_`.

    It is the declared key for the first sample of the source that declares it. For others it is a 128-bit hash, in
    hexadecimal, of the source's name (relative to its root, so that a copy in another place has the same keys), the
    full member name, and the occurrence among members of that name.
    """
    declared = declared_key(json) if is_first else None
    return declared or _hash128("member", source_name, member, str(occurrence))


class SourceKeys:
    """Unique keys of one source's samples, in the order of the source."""

    def __init__(self, source_name: str) -> None:
        self._source_name = source_name
        self._declared: set[str] = set()

    def key(self, member: str, json: Mapping[str, object] | None, *, occurrence: int) -> str:
        """Return the key of the next sample."""
        declared = declared_key(json)
        is_first = declared is not None and declared not in self._declared
        if declared is not None:
            self._declared.add(declared)
        return sample_key(self._source_name, member, json, occurrence=occurrence, is_first=is_first)


def collided_key(key: str, *, root: int, source_name: str, member: str, offset: int) -> str:
    """Return the new key of a sample whose `key` a sample of an earlier source has: a hash of it and of the place.

    `root` is the index of the source's root among the sorted roots, for roots with sources of the same names.
    """
    return _hash128("collided", key, str(root), source_name, member, str(offset))


def keyed_hash64(salt: str, key: str) -> int:
    """Return a uniform integer in [0, 2**64) that depends on `salt` and `key` alone: BLAKE2b (RFC 7693)."""
    return int.from_bytes(hashlib.blake2b(_bytes(key), digest_size=8, key=_salt_key(salt)).digest(), "big")


@functools.lru_cache(maxsize=64)
def _salt_key(salt: str) -> bytes:
    """Return 32 bytes for a salt of any length: BLAKE2b takes keys of at most 64."""
    return hashlib.blake2b(_bytes(salt), digest_size=32).digest()


def _hash128(*parts: str) -> str:
    """Return 32 hexadecimal digits. Each part is hashed after its length, so different lists have different input."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = _bytes(part)
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()


def _bytes(text: str) -> bytes:
    """Return UTF-8 that may contain surrogates, which represent undecodable bytes of file names."""
    return text.encode("utf-8", "surrogatepass")
