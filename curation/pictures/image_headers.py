"""What an image file's headers declare, read without decoding a pixel: its format, inner sizes and frames."""

import struct

from PIL import ImageFile, features

from curation.pictures.image_formats import (
    DIB_HEADER_BYTES,
    ICO_HEADER,
    JPEG2000_CODESTREAM,
    PNG_SIGNATURE,
    foreign_format,
    starts_like,
)
from manifests.format.schema import Status
from manifests.format.stand_ins import name_absent, name_wrapped

MAX_FRAMES_COUNTED = 10_000
"""Counting stops here, so that a hostile file cannot make it slow."""


# --- which format


def name_unidentified(data: bytes) -> tuple[Status, str]:
    """Return the status and the reason for bytes that no allowed decoder opens.

    Reasons are stored in manifests and count in their digests, so their wording does not change.
    """
    ours = starts_like(data)
    if ours == "AVIF" and not features.check("avif"):
        return Status.UNSUPPORTED, "AVIF: this Pillow is built without it"
    if ours:
        return Status.UNDECODABLE, f"starts like {ours}, but its header is broken"
    foreign = foreign_format(data)
    if foreign:
        return Status.UNSUPPORTED, f"{foreign}: no decoder that is safe for strangers' files"
    absent, wrapped = name_absent(data), name_wrapped(data)
    if absent:
        return Status.UNDECODABLE, absent
    if wrapped:
        return Status.UNSUPPORTED, wrapped
    return Status.UNDECODABLE, "no known image format"


# --- sizes inside icons


def largest_inner_pixels(data: bytes) -> int:
    """Return the most pixels that a picture inside an icon file declares; 0 if `data` is not an icon.

    Pillow decodes the pictures of ICO on opening and of ICNS on loading, whatever their size.
    """
    if not data.startswith((ICO_HEADER, b"icns")):
        return 0
    largest = 0
    for magic, skip in (
        (PNG_SIGNATURE, 16),  # IHDR: width, height
        (b"ihdr", 4),  # JPEG 2000 box: height, width
        (JPEG2000_CODESTREAM, 8),  # JPEG 2000 SIZ: width, height of the grid
    ):
        at = data.find(magic)
        while 0 <= at <= len(data) - skip - 8:
            one_side, other_side = struct.unpack_from(">II", data, at + skip)
            largest = max(largest, one_side * other_side)
            at = data.find(magic, at + 1)
    if data.startswith(ICO_HEADER):
        for entry in range(min(int.from_bytes(data[4:6], "little"), (len(data) - 6) // 16)):
            (offset,) = struct.unpack_from("<I", data, 6 + 16 * entry + 12)
            header, width, height = struct.unpack("<Iii", data[offset : offset + 12].ljust(12, b"\x00"))
            if header in DIB_HEADER_BYTES:  # a DIB; its height includes the mask's
                largest = max(largest, abs(width * height) // 2)
    return largest


# --- frames


def count_frames(picture: ImageFile.ImageFile, data: bytes) -> int:
    """Return the number of frames or pages, 1 to `MAX_FRAMES_COUNTED`, without decoding them.

    The layers of a PSD are one picture, so they count as 1. A broken layer directory raises, because the file is then
    not a valid PSD.
    """
    if picture.format == "GIF":
        frames = _count_gif_frames(data)
    elif picture.format == "TIFF":
        frames = _count_tiff_pages(data)
    elif picture.format == "PSD":
        _ = getattr(picture, "layers")  # noqa: B009 - the base class has no such name
        frames = 1
    else:
        frames = int(getattr(picture, "n_frames", 1))
    return max(1, min(frames, MAX_FRAMES_COUNTED))


def _count_gif_frames(data: bytes) -> int:
    """Return the number of image descriptors (GIF89a, section 20), reading only block lengths."""
    frames = 0
    at = 13 + gif_colour_table_bytes(data[10])
    while at + 10 <= len(data) and frames < MAX_FRAMES_COUNTED:
        if data[at] == 0x2C:
            frames += 1
            at += 11 + gif_colour_table_bytes(data[at + 9])
        elif data[at] == 0x21:
            at += 2
        elif data[at] == 0x3B:
            break
        else:
            at += 1  # stray bytes between blocks are common, and skipped by every reader
            continue
        at = gif_chain_end(data, at)
    return frames


def gif_chain_end(data: bytes, at: int) -> int:
    """Return where the chain of sub-blocks at `at` ends, after its empty one; past the data if it does not end."""
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def gif_colour_table_bytes(flags: int) -> int:
    """Return the size of the colour table that the flags of a GIF's screen or image declare."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _count_tiff_pages(data: bytes) -> int:
    """Return the number of image directories in the chain (TIFF 6.0, section 2; BigTIFF), each offset once."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"\x2b\x00", b"\x00\x2b")
    count, link, entry_bytes = (
        (struct.Struct(order + "Q"), struct.Struct(order + "Q"), 20)
        if is_big
        else (struct.Struct(order + "H"), struct.Struct(order + "I"), 12)
    )
    pages: set[int] = set()
    at = 8 if is_big else 4
    while len(pages) < MAX_FRAMES_COUNTED and at + link.size <= len(data):
        (offset,) = link.unpack_from(data, at)
        if offset == 0 or offset in pages or offset + count.size > len(data):
            break
        pages.add(offset)
        at = offset + count.size + count.unpack_from(data, offset)[0] * entry_bytes
    return len(pages)
