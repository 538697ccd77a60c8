"""A cache of remote files on a local disk, shared by the processes of a machine and bounded in size.

How it is laid out on the disk, and why a reader never gets wrong bytes, says curation.feed.cached_blocks.
"""

import contextlib
import functools
import hashlib
import json
import logging
from collections import ChainMap
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from curation.feed.cached_blocks import BLOCK_BYTES, BlockFolder, RemoteFile, Run, runs
from curation.sources.byte_ranges import ByteRange, try_ranges
from manifests import storage
from manifests.errors import InputError, sentence_of
from manifests.format.store import Manifest

_READ_WAIT_SECONDS = 1.0  # for others who write; after that, a reader goes on, and does not keep what it fetched
_WHOLE_WAIT_SECONDS = 60.0  # the same for who fetches a whole file, and for others who fetch the same segment
_REQUESTS = 4  # of `fetch_whole`, at once
_DESCRIPTIONS = 16  # requests for sizes, at once
_log = logging.getLogger(__name__)

_Block = memoryview | OSError
"""The bytes of a block, fewer where the file ends before, or why they could not be read."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """What is in a remote file: its size, and a text that differs where its content does, such as its sha256."""

    size_bytes: int
    identity: str


class RangeCache:
    """Parts of remote files, kept in the local folder `folder` in at most `max_bytes`; the least recently used go.

    Any number of processes and threads may use one folder, and an object may be forked or pickled. Local files are
    read where they are. When the disk is full or the folder cannot be written any more, a warning says so once, and
    reading goes on.

    `versions` has the versions of files, by URI. That of another file is asked for with a request, the first time
    that it is read, and holds from then on.

    Raises InputError if `folder` is remote or cannot be written, or if `max_bytes` is negative.
    """

    def __init__(self, folder: str, max_bytes: int, versions: Mapping[str, Version] | None = None) -> None:
        uri = storage.absolute(folder)
        if not storage.is_local(uri):
            raise InputError(f"{folder}: a cache is on a disk of this machine; name a local folder")
        if max_bytes < 0:
            raise InputError(f"{folder}: {max_bytes} bytes for a cache; write how large it may become")
        self._kept = BlockFolder(storage.filesystem(uri)[1], max_bytes)
        self._versions = dict(versions or {})
        self._is_failing = False
        try:
            self._kept.prepare()
        except OSError as e:
            raise InputError(f"no cache in {folder}: {sentence_of(e)}") from e

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_is_failing": False}

    def read(self, wanted: Sequence[ByteRange]) -> list[bytes | OSError]:
        """Return the bytes of each range, in order: fewer where the file ends before, or why it could not be read.

        Raises StorageUnavailable.
        """
        files = self._files({each.uri for each in wanted if each.size_bytes > 0})
        found: list[bytes | OSError] = [b""] * len(wanted)
        direct: list[int] = []
        incomplete: dict[int, tuple[RemoteFile, dict[int, _Block]]] = {}
        missing: dict[RemoteFile, set[int]] = {}
        for place, each in enumerate(wanted):
            file = files.get(each.uri)
            if file is None:
                direct.append(place)
                continue
            numbers = file.blocks(each.offset, each.offset + each.size_bytes)
            blocks: dict[int, _Block] = {**self._kept.read(file, numbers)}
            if len(blocks) == len(numbers):
                found[place] = _joined(file, each, blocks)
            else:
                incomplete[place] = file, blocks
                missing.setdefault(file, set()).update(set(numbers) - blocks.keys())
        fetched = self._fetch(missing, _READ_WAIT_SECONDS)
        for place, (file, blocks) in incomplete.items():
            found[place] = _joined(file, wanted[place], ChainMap(blocks, fetched[file]))
        for place, data in zip(direct, try_ranges([wanted[place] for place in direct]), strict=True):
            found[place] = data
        return found

    def fetch_whole(self, uris: Sequence[str]) -> None:
        """Fetch what is missing of files, with large requests; processes that do so at once share the work.

        Local files are passed over. It ends where nothing can be kept. Raises InputError if the files are larger than
        the cache, StorageUnavailable, and OSError if one cannot be read.
        """
        files = self._files(uris)
        needed, allowed = sum(file.kept_bytes for file in files.values()), self._kept.max_bytes
        if needed > allowed:
            raise InputError(
                f"{len(files)} files need {needed:,} bytes in a cache of {allowed:,}; allow it more, or let it keep "
                "what is read"
            )
        with ThreadPoolExecutor(_REQUESTS) as pool:
            for file in files.values():
                left = [b for b in runs(file.blocks(0, file.size_bytes)) if not self._kept.has_all(file, b)]
                for wait_seconds in (0.0, _WHOLE_WAIT_SECONDS):
                    fetch = functools.partial(self._fetch_segment, file, wait_seconds)
                    left = [
                        blocks for blocks, is_done in zip(left, pool.map(fetch, left), strict=True) if not is_done
                    ]

    def _files(self, uris: Collection[str]) -> dict[str, RemoteFile]:
        """Return those of `uris` that are remote files, by URI."""
        unknown = [uri for uri in uris if uri not in self._versions and not storage.is_local(uri)]
        if unknown:
            with ThreadPoolExecutor(min(len(unknown), _DESCRIPTIONS)) as pool:
                for uri, entry in zip(unknown, pool.map(storage.describe, unknown), strict=True):
                    if entry is not None and entry["type"] == "file":
                        self._versions[uri] = Version(size_bytes=int(entry["size"]), identity=storage.etag(entry))
        known = {uri: self._versions[uri] for uri in uris if uri in self._versions and not storage.is_local(uri)}
        return {uri: _file(uri, version) for uri, version in known.items()}

    def _fetch_segment(self, file: RemoteFile, wait_seconds: float, blocks: range) -> bool:
        """Fetch what is missing of a segment; return False, unless there was a wait, if another process does so."""
        if self._is_failing:
            return True
        with contextlib.ExitStack() as until_fetched:
            try:
                lock = self._kept.locked(file.segment_name(blocks.start), wait_seconds)
                is_mine = until_fetched.enter_context(lock) is not None
            except OSError as e:
                self._fail(e)
                return True
            if not is_mine and wait_seconds == 0:
                return False
            missing = set(blocks) - self._kept.read(file, blocks).keys()
            for block in self._fetch({file: missing}, _WHOLE_WAIT_SECONDS)[file].values():
                if isinstance(block, OSError):
                    raise block
        return True

    def _fetch(
        self, missing: Mapping[RemoteFile, Collection[int]], wait_seconds: float
    ) -> dict[RemoteFile, dict[int, _Block]]:
        """Return blocks of files from the storage, and keep those that are complete."""
        wanted = [(file, numbers) for file, blocks in missing.items() for numbers in runs(blocks)]
        answers = try_ranges([_byte_range(file, numbers) for file, numbers in wanted])
        found: dict[RemoteFile, dict[int, _Block]] = {file: {} for file in missing}
        complete: list[Run] = []
        for (file, numbers), answer in zip(wanted, answers, strict=True):
            if isinstance(answer, OSError):
                found[file].update(dict.fromkeys(numbers, answer))
                continue
            view = memoryview(answer)
            blocks = [view[start:][:BLOCK_BYTES] for start in range(0, len(numbers) * BLOCK_BYTES, BLOCK_BYTES)]
            found[file].update(zip(numbers, blocks, strict=True))
            if len(answer) == _byte_range(file, numbers).size_bytes:
                complete.append((file, numbers, blocks))
        try:
            self._kept.write(complete, wait_seconds)
        except OSError as e:
            self._fail(e)
        return found

    def _fail(self, error: OSError) -> None:
        if not self._is_failing:
            _log.warning("%s; until then, what the cache cannot keep is fetched again", sentence_of(error))
        self._is_failing = True


def tar_versions(manifest: Manifest) -> dict[str, Version]:
    """Return the versions of the tars beside a manifest of shards, by URI, as it records them."""
    return {
        storage.join(manifest.uri, name): Version(size_bytes=file["bytes"], identity=file["sha256"])
        for part in manifest.parts
        for name, file in part.files.items()
    }


@functools.lru_cache(1 << 16)
def _file(uri: str, version: Version) -> RemoteFile:
    identity = json.dumps([uri, version.size_bytes, version.identity])
    name = hashlib.sha256(identity.encode()).hexdigest()
    return RemoteFile(uri=uri, size_bytes=version.size_bytes, name=name[:32], seed=int(name[32:48], 16))


def _byte_range(file: RemoteFile, blocks: range) -> ByteRange:
    """Return where the bytes of blocks are."""
    start, end = blocks.start * BLOCK_BYTES, min(file.size_bytes, blocks.stop * BLOCK_BYTES)
    return ByteRange(uri=file.uri, offset=start, size_bytes=end - start)


def _joined(file: RemoteFile, wanted: ByteRange, blocks: Mapping[int, _Block]) -> bytes | OSError:
    """Return the bytes of a range from its blocks, or why one of them could not be read."""
    numbers = file.blocks(wanted.offset, wanted.offset + wanted.size_bytes)
    parts: list[memoryview] = []
    for number in numbers:
        block = blocks[number]
        if isinstance(block, OSError):
            return block
        parts.append(block)
        if len(block) < BLOCK_BYTES:
            break  # the file ends here, perhaps before its size
    start = wanted.offset - numbers.start * BLOCK_BYTES
    return b"".join(parts)[start : start + wanted.size_bytes]
