"""Indexes that other tools read, beside the tars: of DALI, Energon and wids.

    00000.idx        of a tar, for DALI's `fn.readers.webdataset`, as its tool `wds2idx` writes it
    00000.tar.idx    of a tar, for Energon, as `energon prepare` writes it
    .nv-meta/        for Energon: the samples of each tar, its splits, the type of its samples
    wids-meta.json   for wids: the tars and their samples

Energon's `index.sqlite`, which its own tool also writes, is for joined and auxiliary data alone, and left out.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from tarfile import BLOCKSIZE

ENERGON = ".nv-meta"
WIDS = "wids-meta.json"

Members = Mapping[str, tuple[int, int]]
"""Extension → first byte and size of the members of a sample in its tar, in their order."""


def dali_index(samples: Sequence[tuple[str, Members]]) -> bytes:
    """Return the index of a tar for DALI, format v1.2, from the keys and members of its samples in their order.

    A line has `extension offset size name` of each member of a sample. Source: NVIDIA/DALI, tools/wds2idx.py.
    """
    lines = [f"v1.2 {len(samples)}"]
    for key, members in samples:
        lines.append(" ".join(f"{ext} {offset} {size} {key}.{ext}" for ext, (offset, size) in members.items()))
    return "\n".join([*lines, ""]).encode()


def energon_index(samples: Sequence[tuple[str, Members]]) -> bytes:
    """Return the index of a tar for Energon: where each sample begins, and where the last one ends.

    Unsigned little-endian 64-bit integers; a sample begins with the header of its first member, which is one block
    since keys are short. Source: NVIDIA/Megatron-Energon, flavors/webdataset/itar.py.
    """
    places = [next(iter(members.values()))[0] - BLOCKSIZE for _, members in samples]
    end = 0
    if samples:
        offset, size = list(samples[-1][1].values())[-1]
        end = offset + size + -size % BLOCKSIZE
    return struct.pack(f"<{len(places) + 1}Q", *places, end)


@dataclass(frozen=True, kw_only=True)
class Tar:
    """One tar of a data set: its file name, how many samples it has, and its bytes."""

    name: str
    samples: int
    size_bytes: int


def dataset_indexes(tars: Sequence[Tar], *, image: str | None) -> dict[str, bytes]:
    """Return path → content of the indexes of a data set as a whole; none of a data set without tars.

    `image` is the extension of every image, whose caption is txt; None if samples have various members.
    """
    if not tars:
        return {}
    shards = [{"url": tar.name, "nsamples": tar.samples, "filesize": tar.size_bytes} for tar in tars]
    wids = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards}
    counts = {"shard_counts": {tar.name: tar.samples for tar in tars}}
    return {
        WIDS: _json(wids),
        f"{ENERGON}/.info.json": _json(counts),
        f"{ENERGON}/split.yaml": _split([tar.name for tar in tars]),
        f"{ENERGON}/dataset.yaml": _CRUDE if image is None else _captions(image),
    }


_CRUDE = b"__module__: megatron.energon\n__class__: CrudeWebdataset\n"


def _captions(image: str) -> bytes:
    sample = "sample_type:\n  __module__: megatron.energon\n  __class__: CaptioningSample\n"
    return f"{sample}field_map:\n  image: {image}\n  caption: txt\n".encode()


def _split(names: Sequence[str]) -> bytes:
    """Return Energon's splits: all tars are for training. Successive numbers are written as a range."""
    first, last = (name.removesuffix(".tar") for name in (names[0], names[-1]))
    if first.isdecimal() and list(names) == [f"{n:0{len(first)}d}.tar" for n in range(int(first), int(last) + 1)]:
        names = [f"{{{first}..{last}}}.tar"] if len(names) > 1 else names
    lines = "".join(f"  - '{name}'\n" for name in names)
    return f"split_parts:\n  train:\n{lines}exclude: []\n".encode()


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


DATASET_INDEXES = tuple(dataset_indexes([Tar(name="", samples=0, size_bytes=0)], image=None))
"""The paths of all indexes of a data set as a whole."""
