"""Tars as streams: headers read strictly forward, and members written reproducibly.

Headers are parsed and made by the standard library's `tarfile` (POSIX.1-2008 pax, USTAR, GNU and v7 formats). Unlike
there, a damaged or missing end is an error: samples lost without a message are worse than a tar that is left out.
"""

from collections.abc import Iterator
from tarfile import BLOCKSIZE, RECORDSIZE, USTAR_FORMAT, HeaderError, TarFile, TarInfo
from types import TracebackType
from typing import BinaryIO, Self

from manifests.errors import BrokenSource, InputError
from manifests.file_names import name_text
from manifests.format.stand_ins import name_stand_in

_MAX_HEADER_BYTES = 16 << 20  # one pax header or GNU long name; real ones have a few hundred bytes
_MAX_PADDING_BYTES = 4 << 20  # zeros after the end; more of them look like a preallocated, unfinished file
_READ_BYTES = _WRITE_BYTES = 1 << 20
_NAME_BYTES, _MAX_SIZE, _MODE = 100, 8 << 30, 0o644
_NEXT = "Copy it again from where it came from, or allow the run to leave out broken sources"


class ForwardReader:
    """A stream read strictly forward, in large blocks, where an unexpected end is a BrokenSource.

    `where` names what is being read, for the message.
    """

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self.source = source
        self.where = "the first header"
        self._stream = stream
        self._block = b""
        self._used = 0
        self._position = 0

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._position

    def broken(self, reason: str) -> BrokenSource:
        """Return an error with the reason why this source cannot be read completely."""
        return BrokenSource(f"{self.source}: {reason}. {_NEXT}", source=self.source)

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes; `tarfile` calls this to read complete extended headers."""
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise ValueError(f"an extended header of {size} bytes")
        return self.take(size)

    def peek(self) -> bytes:
        """Return the next 512 bytes without moving; fewer only at the end."""
        while len(self._block) - self._used < BLOCKSIZE and (more := self._stream.read(_READ_BYTES)):
            self._block, self._used = self._block[self._used :] + more, 0
        return self._block[self._used : self._used + BLOCKSIZE]

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        return b"".join(self._pieces(size))

    def skip(self, size: int) -> None:
        """Read `size` bytes and discard them."""
        for _ in self._pieces(size):
            pass

    def skip_zeros(self) -> bool:
        """Skip blocks of zeros after the end of an archive; return whether other data follow."""
        end = self._position
        while True:
            block = self._block[self._used :]
            if data := block.lstrip(b"\0"):
                at = self._position + len(block) - len(data)
                self.skip(at - at % BLOCKSIZE - self._position)
                return True
            self._position += len(block)
            if self._position - end > _MAX_PADDING_BYTES:
                raise self.broken(f"only zeros from byte {end} on, more than any tar's padding")
            self._block, self._used = self._stream.read(_READ_BYTES), 0
            if not self._block:
                return False

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            if self._used == len(self._block):
                self._block, self._used = self._stream.read(_READ_BYTES), 0
                if not self._block:
                    raise self.broken(f"truncated: it ends at byte {self._position}, inside {self.where}")
            piece = self._block[self._used : self._used + size]
            self._used += len(piece)
            self._position += len(piece)
            size -= len(piece)
            yield piece


class StrictTar(TarFile):
    """Reads headers one after another. `TarFile.next` treats a bad header as the end; `next_header` does not."""

    def __init__(self, reader: ForwardReader) -> None:
        self._reader = reader
        super().__init__(fileobj=reader, mode="r", encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]

    def next(self) -> None:
        """Read nothing: `TarFile` calls this in its constructor."""

    def next_header(self) -> TarInfo | None:
        """Skip the rest of the member, and return the next header, or None at the end of the archive.

        Raises BrokenSource when the header is damaged or missing.
        """
        reader = self._reader
        reader.skip(self.offset - reader.tell())
        start = reader.tell()
        reader.where = f"the header at byte {start}"
        block = reader.peek()
        if block.count(0) == BLOCKSIZE:
            return None
        if start == 0:
            self._require_tar(block)
        if not block:
            raise reader.broken(f"no end-of-archive marker at byte {start}, where it stops: truncated")
        try:
            header = TarInfo.fromtarfile(self)
        except (HeaderError, ValueError, OverflowError, RecursionError) as e:
            what = "not a tar" if start == 0 else "damaged"
            raise reader.broken(f"{what}: bad header at byte {start} ({e})") from e
        if header.size < 0 or self.offset < reader.tell():
            raise reader.broken(f"damaged: impossible size in the header at byte {start}")
        header.name = name_text(header.name.encode("utf-8", "surrogateescape"))
        reader.where = f"member {header.name!r} (header at byte {start})"
        return header

    def has_another_archive(self, *, is_wanted: bool) -> bool:
        """Read past the end of the archive, and return whether another one begins there.

        Raises BrokenSource when one does and `is_wanted` is false, or when other data than zeros follow.
        """
        reader = self._reader
        end = reader.tell()
        if not reader.skip_zeros():
            return False
        start = reader.tell()
        is_header = is_tar_header(reader.peek())
        if not is_header or (not is_wanted and start - end < 2 * BLOCKSIZE):
            raise reader.broken(f"the archive ends at byte {end}, but there is data at byte {start}")
        if not is_wanted:
            raise BrokenSource(
                f"{reader.source}: a concatenated tar: the first archive ends at byte {end}, and another begins at "
                f"byte {start}. Read all of them with --set scan.ignore_zeros=true, as tar -i does, or split it",
                source=reader.source,
            )
        self.offset = start
        return True

    def _require_tar(self, block: bytes) -> None:
        if not block:
            raise self._reader.broken("empty file, not a tar")
        if stand_in := name_stand_in(block):
            raise BrokenSource(
                f"{self._reader.source}: not a tar but {stand_in}, or allow the run to leave out broken sources",
                source=self._reader.source,
            )


def is_tar_header(block: bytes) -> bool:
    """Return whether a block of 512 bytes is a tar header: its checksum is correct."""
    try:
        TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except HeaderError:
        return False
    return True


def ustar_header(name: str, size_bytes: int) -> bytes:
    """Return the header of a member with mtime 0, owner 0 and mode 0644.

    Raises InputError for a name that USTAR cannot store: over 100 bytes unless a `/` splits it into at most 155 and
    100, absolute, with `..`, a NUL or an empty part.
    """
    if "\0" in name or any(part in ("", "..") for part in name.split("/")):
        raise InputError(f"{name!r}: not a name for a tar member; use a relative name without '..'")
    if len(name) <= _NAME_BYTES and name.isascii() and size_bytes < _MAX_SIZE:
        # What TarInfo.tobuf returns, in a tenth of the time: the checksum is the sum of all bytes.
        name_field, size_field = name.encode(), b"%011o" % size_bytes
        checksum = b"%06o" % (_TEMPLATE_SUM + sum(name_field) + sum(size_field))
        head = name_field.ljust(_NAME_BYTES, b"\0") + _TEMPLATE[100:124] + size_field
        return head + _TEMPLATE[135:148] + checksum + _TEMPLATE[154:]
    header = TarInfo(name)
    header.size, header.mode = size_bytes, _MODE
    try:
        return header.tobuf(USTAR_FORMAT, "utf-8", "strict")
    except ValueError as e:  # also a name that is not UTF-8
        raise InputError(f"{name!r}, {size_bytes} bytes: USTAR cannot store it ({e}); shorten the name") from e


def _template() -> bytes:
    """Return the header of an empty member without a name."""
    header = TarInfo("")
    header.mode = _MODE
    return header.tobuf(USTAR_FORMAT, "utf-8", "strict")


_TEMPLATE = _template()
_TEMPLATE_SUM = int(_TEMPLATE[148:154], 8) - sum(_TEMPLATE[124:135])


class TarWriter:
    """Writes a USTAR tar whose bytes depend only on the names and contents.

        with TarWriter(stream) as tar:
            offset, size = tar.add("key.jpg", data)

    Every member has mtime 0, owner 0 and mode 0644. After an exception in the block, the tar has no end, so it cannot
    be mistaken for a complete one.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pieces: list[bytes] = []
        self._waiting = 0
        self.size_bytes = 0

    def add(self, name: str, data: bytes) -> tuple[int, int]:
        """Append a member and return (offset, size) of its bytes in the tar. Raises as `ustar_header` does."""
        block = ustar_header(name, len(data))
        offset = self.size_bytes + len(block)
        self._write(block, data, bytes(-len(data) % BLOCKSIZE))
        return offset, len(data)

    def close(self) -> None:
        """Write the end of the archive, padded to a multiple of 10,240 bytes. The stream stays open."""
        end = self.size_bytes + 2 * BLOCKSIZE
        self._write(bytes(2 * BLOCKSIZE), bytes(-end % RECORDSIZE))
        self._flush()

    def _write(self, *pieces: bytes) -> None:
        """Append `pieces`; many small ones become one write, which the stream may hash."""
        self._pieces += pieces
        more = sum(map(len, pieces))
        self.size_bytes += more
        self._waiting += more
        if self._waiting >= _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._stream.write(b"".join(self._pieces))
        self._pieces, self._waiting = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
