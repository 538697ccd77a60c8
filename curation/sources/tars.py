"""Reads the contents of a tar once, sequentially, with one image in memory at a time.

    contents = read_tar(stream, source=uri, max_image_bytes=64 << 20, on_image=measure)
    for sample in contents.samples():
        sample.member, sample.offset, sample.size, sample.json, sample.caption, sample.result

`curation.sources.samples` joins members to samples. No link is followed and nothing is extracted. `TarWriter` writes
the output tars.
"""

from collections.abc import Callable
from tarfile import TarInfo
from typing import BinaryIO, TypeVar

from curation.sources.members import Member, Problem, SampleNames
from curation.sources.samples import Contents, Members
from curation.sources.tar_stream import ForwardReader, StrictTar, TarWriter

__all__ = ["TarWriter", "read_tar"]

T = TypeVar("T")


def read_tar(
    stream: BinaryIO,
    *,
    source: str,
    max_image_bytes: int,
    on_image: Callable[[bytes], T],
    names: SampleNames = SampleNames.AUTO,
    ignore_zeros: bool = False,
) -> Contents[T]:
    """Return the contents of an uncompressed tar, after one sequential read of `stream` from its start to its end.

    `on_image` is called once with each image's bytes; what it returns is the sample's `result`. Images over
    `max_image_bytes` are located but not read. With `ignore_zeros`, tars that were concatenated into one file are
    read as one, as `tar --ignore-zeros` does. Memory: one image, and the sidecars.

    Raises BrokenSource, with reason and byte, when the tar is truncated, damaged, compressed or not a tar, or when
    data follow its end. Errors of `on_image` and `stream` are not caught; the image's name is added to a
    FilterFailed.
    """
    reader = ForwardReader(stream, source)
    headers = StrictTar(reader)
    found = Members(source=source, max_image_bytes=max_image_bytes, on_image=on_image, names=names)
    while True:
        while (header := headers.next_header()) is not None:
            if header.isdir():
                found.directories += 1
            else:
                found.add(_member(header), reader.take)
        if not headers.has_another_archive(is_wanted=ignore_zeros):
            return found.contents()


def _member(header: TarInfo) -> Member:
    return Member(
        name=header.name,
        offset=header.offset_data,
        size=header.size,
        problem=_problem(header),
        is_device=header.isdev(),
    )


def _problem(header: TarInfo) -> Problem | None:
    if header.issym():
        return Problem.SYMBOLIC_LINK
    if header.islnk():
        return Problem.HARD_LINK
    return Problem.SPARSE if header.issparse() else None
