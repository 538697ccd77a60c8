"""The decoder of the scan: untrusted bytes in, upright RGB pixels or a reason out.

Every picture gets a `Status`; no file can raise an error. Only decoders inside Pillow and OpenCV are used, never
those that start another program (EPS, WMF, PDF). Sizes are read from headers and refused before pixels are
allocated. Colour profiles are ignored, as most trainers do. Damaged metadata gives a warning and does not lose the
picture. Damaged pixels always give a warning if their format makes the damage visible.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, features

from curation.pictures.decode_errors import DECODER_ERRORS, facts_of, one_line, status_of
from curation.pictures.image_colour import pixels_of, to_rgb
from curation.pictures.image_damage import (
    Stderr,
    captured_stderr,
    check_tiff_jpegs,
    decode_jpeg,
    lacks_passes,
    png_damage,
    tiff_damage,
)
from curation.pictures.image_formats import starts_like
from curation.pictures.image_headers import (
    MAX_FRAMES_COUNTED,
    count_frames,
    largest_inner_pixels,
    name_unidentified,
)
from curation.pictures.image_metadata import count_png_frames, without_metadata
from curation.pictures.shared_lock import SharedLock
from manifests.format.schema import Status

MAX_PIXELS_IN_PYTHON = 8_000_000
"""Pixels accepted of an encoding that Pillow decodes in Python, at a microsecond or so a pixel."""

MAX_SCAN_PASSES = 20
"""Progressive passes accepted over `max_pixels`; smaller JPEGs may have more in proportion."""

MAX_PIXELS = 178_956_970  # beyond this Pillow itself refuses (2 × Image.MAX_IMAGE_PIXELS)

_RULES = 2  # to increase when the rules below change a pixel

# In the order they are tried. MPO comes with JPEG. TGA has no magic number, so it is the last.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "ICO", "DIB"),
    *("PPM", "PSD", "DDS", "PCX", "SGI", "FLI", "QOI", "ICNS", "TGA"),
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's option to load truncated files and Python's warning filters apply to the whole process, so one `decode`
# runs at a time: otherwise a thread could rescue a damaged file that is undecodable in another run.
_PILLOW_SETTINGS = SharedLock()

_SILENT = ("PNG", "WEBP", "GIF", "BMP", "AVIF")
"""Formats whose decoders print nothing."""


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """The largest images that are decoded: `max_pixels` as declared in the header, `max_bytes` as stored.

    Raises ValueError for a limit below 1, and for `max_pixels` above Pillow's own limit.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= MAX_PIXELS:
            raise ValueError(f"max_pixels={self.max_pixels}: choose 1 to {MAX_PIXELS}; Pillow refuses more")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes={self.max_bytes}: choose at least 1")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """One picture, or why there is none.

    `rgb` is uint8 of shape (height, width, 3), contiguous, writable, with memory of its own; it is present exactly
    when `status` is ok or truncated. `width` and `height` are pixels as displayed, after EXIF orientation; if the
    picture was not decoded, as its header declares them. `mode` and `format` are Pillow's names, as stored. `frames`
    is at most `MAX_FRAMES_COUNTED`; only the first is decoded. `error` and `warnings` depend only on the bytes and
    the decoder version, so they may be part of a digest.
    """

    status: Status
    error: str | None = None
    warnings: str | None = None
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    orientation: int | None = None
    rgb: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, kw_only=True)
class _Rendering:
    enough_pixels: int | None
    is_opaque: bool
    stderr: Stderr | None  # what the decoders in C print; None if it is not captured
    is_lenient: bool = False

    @property
    def is_checked(self) -> bool:
        """Whether to look for damage that Pillow ignores: not if pictures are only compared, or known as damaged."""
        return self.enough_pixels is None and not self.is_lenient


def decode(
    data: bytes,
    limits: DecodeLimits = DEFAULT_LIMITS,
    *,
    enough_pixels: int | None = None,
    is_opaque: bool = False,
) -> Decoded:
    """Return the first frame of `data`, upright, on white where transparent, in 8-bit RGB.

    The first attempt is a strict load. If it fails, the image is loaded without its metadata; if that succeeds, the
    picture is ok, with a warning. Otherwise the part before the damage is kept, as `truncated`, unless it has only
    one colour, which is what decoders fill in when they read nothing. Grey samples wider than 8 bits are scaled and
    rounded: 16-bit ones from their declared depth, 32-bit ones from 0 to 65535 (floats: 0 to 1) or, if they do not
    fit, from their smallest to their largest value.

    With `enough_pixels`, a JPEG may be decoded at a half, a quarter or an eighth of its width and height, but with at
    least that many pixels, which is several times faster; and damage that Pillow ignores is not looked for. With
    `is_opaque`, transparency is dropped and the colour under it is shown, as in programs without transparency.

    Never raises for what is in `data`. One decode runs at a time in a process: see _PILLOW_SETTINGS.
    """
    if not data:
        return Decoded(status=Status.EMPTY, error="no bytes")
    if len(data) > limits.max_bytes:
        error = f"{len(data)} bytes exceed the limit of {limits.max_bytes}"
        return Decoded(status=Status.TOO_LARGE, error=error)
    with _PILLOW_SETTINGS.alone(), _captured(data) as stderr, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        how = _Rendering(enough_pixels=enough_pixels, is_opaque=is_opaque, stderr=stderr)
        decoded = _read(data, limits, how)
        if decoded.status is Status.UNDECODABLE and _may_be_rescued(decoded, data):
            versions = [data, *without_metadata(data)]
            decoded = _ignore_metadata(versions, limits, decoded, how) or _rescue(versions, limits, decoded, how)
    return replace(decoded, warnings=facts_of(caught)) if caught else decoded


def decode_beside(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> Decoded:
    """Return what `decode` does if it is not to look for damage that Pillow ignores; threads may do so side by side.

    That is true of pictures that load strictly; the others go through `decode`.
    """
    if starts_like(data) in _SILENT and len(data) <= limits.max_bytes:
        how = _Rendering(enough_pixels=limits.max_pixels, is_opaque=False, stderr=None)
        with _PILLOW_SETTINGS.shared():
            decoded = _read(data, limits, how)
        if decoded.status is Status.OK:
            return decoded
    return decode(data, limits, enough_pixels=limits.max_pixels)  # so many pixels that none is left out


def _may_be_rescued(failed: Decoded, data: bytes) -> bool:
    """Return whether `data` is certainly an image: damaged bytes that Pillow opens as TGA are mostly none."""
    return failed.format not in (None, "TGA") or starts_like(data) is not None


def _ignore_metadata(versions: list[bytes], limits: DecodeLimits, failed: Decoded, how: _Rendering) -> Decoded | None:
    """Return the picture of the first version with less metadata that loads strictly; None if none does."""
    data = versions[0]
    for version in versions[1:]:
        decoded = _read(version, limits, how)
        if decoded.status is Status.OK and decoded.frames is not None:
            reason = _header_error(data) or failed.error
            warnings.warn(f"{decoded.format} metadata ignored: {reason}", stacklevel=2)
            frames = count_png_frames(data) if decoded.format == "PNG" else decoded.frames
            return replace(decoded, frames=min(frames, MAX_FRAMES_COUNTED))
    return None


def _header_error(data: bytes) -> str | None:
    """Return Pillow's error for a file's header, which `Image.open` does not show; None if there is none."""
    try:
        Image.OPEN[starts_like(data) or ""][0](io.BytesIO(data), "").close()
    except DECODER_ERRORS as error:
        return str(error)
    return None


def _rescue(versions: list[bytes], limits: DecodeLimits, failed: Decoded, how: _Rendering) -> Decoded:
    """Return the part before the damage, from a lenient load, as truncated; `failed` if there is none."""
    for version in dict.fromkeys((versions[0], versions[-1])):  # damaged metadata may hide the pixels that are left
        with _leniency():
            rescued = _read(version, limits, replace(how, is_lenient=True))
        if rescued.rgb is not None and not _is_one_colour(rescued.rgb):
            return replace(rescued, status=Status.TRUNCATED, error=failed.error)
    return failed


def _is_one_colour(rgb: NDArray[np.uint8]) -> bool:
    return bool((rgb[0] == rgb[0, 0]).all() and (rgb == rgb[:1]).all())


@contextmanager
def _captured(data: bytes) -> Iterator[Stderr | None]:
    """Capture stderr for the formats whose decoders print warnings about untrusted files."""
    if starts_like(data) not in ("JPEG", "TIFF"):
        yield None
        return
    with captured_stderr() as stderr:
        yield stderr


@contextmanager
def _leniency() -> Iterator[None]:
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _read(data: bytes, limits: DecodeLimits, how: _Rendering) -> Decoded:
    """Return the picture as Pillow reads it with its current settings; never truncated."""
    header = Decoded(status=Status.UNDECODABLE)
    if how.stderr:
        how.stderr.clear()
    try:
        inner_pixels = largest_inner_pixels(data)
        if inner_pixels > limits.max_pixels:
            return replace(header, status=Status.TOO_LARGE, error=_too_many(inner_pixels, limits.max_pixels))
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
            header = replace(header, format=picture.format, mode=picture.mode, width=width, height=height)
            excess = _excess(picture, data, limits)
            if excess:
                return replace(header, status=Status.TOO_LARGE, error=excess)
            if how.enough_pixels is not None:
                _shrink_on_load(picture, how.enough_pixels)
            return _load(picture, header, data, how)
    except UnidentifiedImageError:
        status, error = name_unidentified(data)
        return replace(header, status=status, error=error)
    except DECODER_ERRORS as error:
        return replace(header, status=status_of(error), error=one_line(f"{type(error).__name__}: {error}"))


def _shrink_on_load(picture: ImageFile.ImageFile, enough_pixels: int) -> None:
    """Make Pillow decode a JPEG at the smallest scale with at least `enough_pixels`."""
    width, height = picture.size
    scale = math.sqrt(enough_pixels / (width * height))
    if picture.format in ("JPEG", "MPO") and scale < 0.5:
        picture.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))


def _load(picture: ImageFile.ImageFile, header: Decoded, data: bytes, how: _Rendering) -> Decoded:
    """Return the decoded picture; raises whatever the decoder raises."""
    is_tiff = picture.format == "TIFF"
    # Loading a TIFF turns it upright and drops its orientation; the EXIF of a PNG is only found by loading it.
    orientation = _orientation(picture) if is_tiff else None
    rgb = _load_jpeg(picture, data, how) if picture.format in ("JPEG", "MPO") and how.is_checked else None
    if rgb is None:
        picture.load()
        if how.is_checked:
            _warn_of_damage(picture, data, how)
    orientation = orientation if is_tiff else _orientation(picture)
    frames = count_frames(picture, data)
    turn = None if is_tiff or orientation is None else _UPRIGHT.get(orientation)
    if rgb is None or turn is not None:
        upright = to_rgb(picture, is_opaque=how.is_opaque) if rgb is None else Image.fromarray(rgb)
        rgb = pixels_of(upright if turn is None else upright.transpose(turn))
    return replace(
        header,
        status=Status.OK,
        width=rgb.shape[1],
        height=rgb.shape[0],
        frames=frames,
        orientation=orientation,
        rgb=rgb,
    )


def _load_jpeg(picture: ImageFile.ImageFile, data: bytes, how: _Rendering) -> NDArray[np.uint8] | None:
    """Return the pixels of an undamaged JPEG, grey or in colour; None for any other, which Pillow then loads.

    Pillow would give the same pixels, but it hides libjpeg's warnings of damage.
    """
    rgb = decode_jpeg(data, is_check_only=picture.mode not in ("RGB", "L"))
    if rgb is None or rgb.shape != (picture.height, picture.width, 3) or _lacks_passes(picture, data):
        return None
    return None if how.stderr and how.stderr.complaints() else rgb


def _lacks_passes(picture: ImageFile.ImageFile, data: bytes) -> bool:
    return bool(picture.info.get("progressive")) and lacks_passes(data)


def _warn_of_damage(picture: ImageFile.ImageFile, data: bytes, how: _Rendering) -> None:
    """Warn of damage to pixels that Pillow loaded in spite of it."""
    tags, pixels = getattr(picture, "tag_v2", {}), picture.width * picture.height
    if picture.format == "TIFF":
        check_tiff_jpegs(data, tags, 2 * pixels + (1 << 20))  # tiles may go beyond the edges
    facts = how.stderr.complaints() if how.stderr else []
    if picture.format == "PNG":
        facts += png_damage(data)
    elif picture.format == "TIFF":
        facts += tiff_damage(data, tags, 16 * pixels + (1 << 20))
    elif _lacks_passes(picture, data):
        facts.append("JPEG pixels may be damaged: progressive passes are missing")
    for fact in facts:
        warnings.warn(fact, stacklevel=2)


# --- refusing before decoding


def _excess(picture: ImageFile.ImageFile, data: bytes, limits: DecodeLimits) -> str | None:
    """Return why an opened picture is too large to decode, judged by its header; None if it is not."""
    pixels = picture.width * picture.height
    if pixels > limits.max_pixels:
        return _too_many(pixels, limits.max_pixels)
    tile_pixels = _tile_pixels(picture)
    if tile_pixels > limits.max_pixels:
        return f"{_too_many(tile_pixels, limits.max_pixels)} in one tile"
    if pixels > MAX_PIXELS_IN_PYTHON and any(tile[0] in Image.DECODERS for tile in picture.tile):
        return f"{_too_many(pixels, MAX_PIXELS_IN_PYTHON)} of this slow {picture.format} encoding"
    if picture.info.get("progressive"):
        passes = data.count(b"\xff\xda")
        if passes * pixels > MAX_SCAN_PASSES * limits.max_pixels:
            return f"{passes} progressive passes over {pixels} pixels"
    return None


def _tile_pixels(picture: ImageFile.ImageFile) -> int:
    """Return how many pixels each tile of a TIFF has, which may be more than the picture; 0 if it has none."""
    tags = getattr(picture, "tag_v2", {})
    width, height = tags.get(322), tags.get(323)
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def _too_many(pixels: int, max_pixels: int) -> str:
    return f"{pixels} declared pixels exceed the limit of {max_pixels}"


# --- orientation


def _orientation(picture: ImageFile.ImageFile) -> int | None:
    """Return the EXIF (or XMP) orientation, 1 to 8; None if absent or, with a warning, if invalid."""
    try:
        exif = picture.getexif()
        value = exif.get(ExifTags.Base.Orientation)
    except DECODER_ERRORS as error:  # broken metadata must not cost the picture
        warnings.warn(f"EXIF ignored: {type(error).__name__}: {error}", stacklevel=2)
        return None
    if not exif and picture.info.get("exif"):  # the JPEG plugin met the error first, and hid it
        warnings.warn("EXIF ignored: no tag could be read", stacklevel=2)
    if value is None or (isinstance(value, int) and 1 <= value <= 8):
        return value
    warnings.warn(f"EXIF orientation ignored: {value!r}", stacklevel=2)
    return None


def _decoder_version() -> str:
    """Return Pillow, its codecs and OpenCV, whose versions can change a decoded bit, in a fixed order."""
    codecs = ("libjpeg_turbo", "jpg", "webp", "avif", "zlib", "zlib_ng", "jpg_2000", "libtiff", "littlecms2")
    versions = [f"{name}={features.version(name)}" for name in codecs if features.check(name)]
    return " ".join([f"rules={_RULES}", f"pillow={PIL.__version__}", f"opencv={cv2.__version__}", *versions])


DECODER_VERSION: str = _decoder_version()
"""What the pixels depend on: our rules, Pillow and its codecs, OpenCV. Equal strings mean equal pixels."""
