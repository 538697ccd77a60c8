"""What the name and the first bytes of a tar member, or of a loose file, say about it."""

_EXTENSIONS = """
    apng avif avifs bmp cur dcx dds dib dng emf eps exr fits flc fli gif hdr heic heif hif icns ico im j2c j2k
    jfi jfif jif jp2 jpc jpe jpeg jpf jpg jpm jpx jxl jxr mpo pam pbm pcx pfm pgm png pnm ppm ps psd qoi ras
    rgb rgba sgi svg svgz tga tif tiff wbmp wdp webp wmf xbm xpm
"""
IMAGE_EXTENSIONS = frozenset(_EXTENSIONS.split())
HEAD_BYTES = 64
_IMAGE_MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, little and big endian, then BigTIFF
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000 file, then code stream
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cJXL \r\n\x87\n",  # JPEG XL file, then code stream
    b"\xff\x0a",
    b"8BPS\0\x01",  # Photoshop
    b"DDS \x7c",
    b"qoif",
)
_HEIF_BRANDS = frozenset(b"avif avis heic heix heim heis hevc hevx mif1 msf1".split())
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})


def split_member(member: str) -> tuple[str, str]:
    """Return (stem, extension) of a member name: split at the last dot, extension in lower case.

    Folders belong to the stem. A name that only begins with a dot has no extension.
    """
    folder_chars = member.rfind("/") + 1
    dot = member.rfind(".")
    if dot <= folder_chars:
        return member, ""
    return member[:dot], member[dot + 1 :].lower()


def webdataset_stem(member: str) -> str:
    """Return the stem webdataset gives a member: its folders and its name up to the first dot."""
    folder_chars = member.rfind("/") + 1
    dot = member.find(".", folder_chars + 1)
    return member if dot < 0 else member[:dot]


def is_ignored(member: str) -> bool:
    """Whether a member is a by-product: AppleDouble `._x`, `__MACOSX/`, webdataset's `__x__`."""
    parts = member.removeprefix("./").split("/")
    is_meta = len(parts[0]) >= 4 and parts[0].startswith("__") and parts[0].endswith("__")
    return is_meta or "__MACOSX" in parts or parts[-1].startswith("._")


def looks_like_image(head: bytes) -> bool:
    """Whether `head`, the first HEAD_BYTES bytes of a member, begins an image of a common format."""
    if head.startswith(_IMAGE_MAGIC):
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head[4:8] == b"ftyp":
        return any(head[i : i + 4] in _HEIF_BRANDS for i in (8, *range(16, min(len(head), head[3]), 4)))
    if head.startswith(b"BM"):
        return head[6:10] == b"\0\0\0\0" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES
    if head.startswith((b"\0\0\1\0", b"\0\0\2\0")):  # icon, cursor: a directory of 1 to 255 pictures
        return len(head) >= 22 and head[4] > 0 and head[5] == 0 and head[9] == 0
    return False
