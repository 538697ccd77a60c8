"""Members of a source, which are files of a tar or of a folder: their names, and what kept them from being read."""

import enum
from dataclasses import dataclass

_EXTENSIONS = """
    apng avif avifs bmp cur dcx dds dib dng emf eps exr fits flc fli gif hdr heic heif hif icns ico im j2c j2k
    jfi jfif jif jp2 jpc jpe jpeg jpf jpg jpm jpx jxl jxr mpo pam pbm pcx pfm pgm png pnm ppm ps psd qoi ras
    rgb rgba sgi svg svgz tga tif tiff wbmp wdp webp wmf xbm xpm
"""
IMAGE_EXTENSIONS = frozenset(_EXTENSIONS.split())


class SampleNames(enum.StrEnum):
    """Where the name of a sample ends and the extension of a member begins."""

    AUTO = "auto"
    """At the last dot. But an image without a sidecar of its own stem uses one with the same name up to the first
    dot, if both have only a word after it, as in `k.input.jpg` and `k.meta.json`, and not a number as in `22.05.png`.
    If several images share that name, none of them may have a sidecar of its own stem."""
    FIRST_DOT = "first_dot"
    """At the first dot, as webdataset reads: all members with the same name up to there are one sample."""
    LAST_DOT = "last_dot"
    """Always at the last dot."""


class Problem(enum.StrEnum):
    """Why a sample has no image bytes to decode."""

    SPARSE = "sparse"  # stored without its zeros: its byte range in the tar is not the picture
    SYMBOLIC_LINK = "symbolic link"
    HARD_LINK = "hard link"
    DANGLING_LINK = "dangling link"  # in a folder: a link whose target is not there
    NO_FILE = "no file"  # in a folder: a device, a pipe, a socket
    NO_IMAGE = "no image"  # a sidecar whose stem has no image
    TOO_LARGE = "too large"  # more than max_image_bytes: located, not read


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file of a tar or a folder. `offset` is its first byte in the source, 0 in a folder; `size` is in bytes."""

    name: str
    offset: int
    size: int
    problem: Problem | None = None
    is_device: bool = False


def split_member(member: str) -> tuple[str, str]:
    """Return (stem, extension) of a member name: split at the last dot, extension in lower case.

    Folders belong to the stem. A name that only begins with a dot has no extension.
    """
    folder_chars = member.rfind("/") + 1
    dot = member.rfind(".")
    if dot <= folder_chars:
        return member, ""
    return member[:dot], member[dot + 1 :].lower()


def group_of(member: str) -> str:
    """Return what all members that may belong to one sample share: their folder and their name up to the first dot.

    This is the name that webdataset gives a sample.
    """
    folder_chars = member.rfind("/") + 1
    dot = member.find(".", folder_chars + 1)
    return member if dot < 0 else member[:dot]


def is_ignored(member: str) -> bool:
    """Return whether a member is a by-product of a program: AppleDouble `._x`, `__MACOSX/`, webdataset's `__x__`."""
    parts = member.removeprefix("./").split("/")
    is_meta = len(parts[0]) >= 4 and parts[0].startswith("__") and parts[0].endswith("__")
    return is_meta or "__MACOSX" in parts or parts[-1].startswith("._")
