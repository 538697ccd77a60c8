"""Damaged metadata loses no picture; damaged pixels give a warning if their format makes the damage visible."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from curation.pictures.decode import decode
from curation.pictures.image_damage import captured_stderr
from curation.pictures.image_metadata import count_png_frames, without_metadata
from manifests.format.schema import Status
from tests.conftest import TOP
from tests.curation.pictures.test_decode import chunk, stored, synthetic

PICTURE = synthetic(72, 96)
GRAINY = (
    (PICTURE.astype(int) + np.random.default_rng(0).integers(-9, 10, PICTURE.shape)).clip(0, 255).astype(np.uint8)
)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LYING = Image.Exif()
LYING[0x0112], LYING[0x010F] = 6, "Maker"
EXIF = LYING.tobytes()


def is_kept(data: bytes, picture: np.ndarray, *, is_turned: bool = False) -> bool:
    """Whether the picture is complete and ok, with a warning about its metadata."""
    decoded = decode(data)
    upright = np.rot90(picture, -1) if is_turned else picture
    return (
        (decoded.status, decoded.error) == (Status.OK, None)
        and bool(decoded.warnings)
        and decoded.orientation == (6 if is_turned else None)
        and np.array_equal(decoded.rgb, upright)
    )


def is_noticed(data: bytes) -> bool:
    decoded = decode(data)
    return decoded.status is not Status.OK or decoded.warnings is not None


# --- PNG

PNG = stored(PICTURE, "PNG")
PIXELS_AT = 33  # after the signature and IHDR


def png_with(extra: bytes, *, is_last: bool = False) -> bytes:
    at = len(PNG) - 12 if is_last else PIXELS_AT
    return PNG[:at] + extra + PNG[at:]


def wrong(name: bytes, body: bytes, **length: int) -> bytes:
    """Return a chunk with a wrong checksum, and a wrong length if it is given."""
    return struct.pack(">I", length.get("length", len(body))) + name + body + b"\1\2\3\4"


TEXT_BOMB = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
DAMAGED_CHUNKS = {
    **{
        f"{name.decode()}-checksum": wrong(name, bytes(40))
        for name in (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tIME", b"pHYs", b"gAMA", b"cHRM", b"sRGB")
    },
    **{f"{name.decode()}-checksum": wrong(name, bytes(40)) for name in (b"hIST", b"sPLT", b"sBIT", b"bKGD", b"prVt")},
    **{f"{name.decode()}-short": chunk(name, b"") for name in (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"acTL", b"iCCP")},
    "zTXt-bomb": TEXT_BOMB,
    "iTXt-bomb": chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(2_000_000))),
    "iCCP-bomb": chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2_000_000))),
    "many-texts": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 80,
    "zTXt-method": chunk(b"zTXt", b"a\0\7garbage"),
    "iCCP-without-name": chunk(b"iCCP", b"abcdefg"),
    "length-too-large": wrong(b"tEXt", b"a\0hello", length=2**31 - 1),
    "length-beyond-the-next": wrong(b"tEXt", b"a\0hello", length=12),
    "length-too-small": wrong(b"tEXt", b"a\0hello", length=3),
    "name-is-none": chunk(b"\x80\x81ab", b"hello"),
}


@pytest.mark.parametrize("is_last", [False, True], ids=["before-pixels", "after-pixels"])
@pytest.mark.parametrize("name", DAMAGED_CHUNKS)
def test_a_damaged_png_chunk_gives_a_warning(name, is_last):
    data = png_with(DAMAGED_CHUNKS[name], is_last=is_last)
    assert is_kept(data, PICTURE)


def test_a_png_keeps_its_orientation_when_other_metadata_is_damaged():
    exif = chunk(b"eXIf", EXIF[6:])
    assert is_kept(png_with(exif + wrong(b"tEXt", b"a\0b")), PICTURE, is_turned=True)
    assert is_kept(png_with(TEXT_BOMB + exif), PICTURE, is_turned=True)
    assert is_kept(png_with(wrong(b"eXIf", EXIF[6:])), PICTURE)


def test_a_png_may_end_early_after_its_pixels():
    for data in (PNG[:-12], PNG[:-6], PNG[:-12] + bytes(50)):
        assert is_kept(data, PICTURE)


def apng(**change: bytes) -> bytes:
    """Return three frames, with what is named `acTL`, `fcTL0`, `fcTL1` … in place of those chunks."""
    rest = [Image.fromarray(np.roll(PICTURE, step, axis=1)) for step in (9, 18)]
    data = stored(Image.fromarray(PICTURE), "PNG", save_all=True, append_images=rest)
    out, at, controls = data[:8], 8, 0
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        name = data[at + 4 : at + 8].decode()
        if name == "fcTL":
            name, controls = f"fcTL{controls}", controls + 1
        out += change.get(name, data[at:end])
        at = end
    return out


@pytest.mark.parametrize(
    ("change", "frames"),
    [
        ({"acTL": wrong(b"acTL", struct.pack(">II", 3, 0))}, 3),
        ({"acTL": chunk(b"acTL", b"\0\0\0")}, 3),
        ({"fcTL0": wrong(b"fcTL", bytes(26))}, 3),
        ({"fcTL0": chunk(b"fcTL", bytes(9))}, 3),
        ({"fcTL0": chunk(b"fcTL", struct.pack(">7I", 7, 96, 72, 0, 0, 0, 0)[:26])}, 3),
        ({"fcTL0": chunk(b"fcTL", struct.pack(">7I", 0, 9999, 72, 0, 0, 0, 0)[:26])}, 3),
        ({"fcTL0": chunk(b"fcTL", struct.pack(">7I", 0, 9, 9, 0, 0, 0, 0)[:26])}, 3),
    ],
    ids=["acTL-checksum", "acTL-short", "fcTL-checksum", "fcTL-short", "fcTL-order", "fcTL-large", "fcTL-small"],
)
def test_a_damaged_animation_control_keeps_the_first_picture(change, frames):
    data = apng(**change)
    assert is_kept(data, PICTURE)
    assert decode(data).frames == frames


def test_a_png_has_as_many_frames_as_pillow_counts():
    assert count_png_frames(apng()) == decode(apng()).frames == 3
    assert count_png_frames(PNG) == 1
    text = wrong(b"tEXt", b"a\0b")
    data = apng()
    assert decode(data[:PIXELS_AT] + text + data[PIXELS_AT:]).frames == 3


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"acTL", b"prVt"]
    ),
    st.binary(max_size=60),
    st.booleans(),
    st.booleans(),
)
def test_no_ancillary_chunk_loses_a_png(name, body, is_valid, is_last):
    decoded = decode(png_with((chunk if is_valid else wrong)(name, body), is_last=is_last))
    assert decoded.status is Status.OK
    assert np.array_equal(decoded.rgb, PICTURE)
    assert is_valid or decoded.warnings


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_no_damage_to_the_pixels_of_a_png_goes_unnoticed(at, bits):
    start = PNG.index(b"IDAT") + 4
    damaged = bytearray(PNG)
    damaged[start + at % (len(PNG) - 12 - start)] ^= bits
    assert is_noticed(bytes(damaged))


# --- JPEG

JPEG = stored(GRAINY, "JPEG", quality=90)
JPEG_PIXELS = decode(JPEG).rgb
AFTER_JFIF = 20
assert JPEG[AFTER_JFIF : AFTER_JFIF + 2] == b"\xff\xdb"


def segment(marker: int, body: bytes, **length: int) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", length.get("length", len(body) + 2)) + body


def jpeg_with(extra: bytes, *, has_jfif: bool = True) -> bytes:
    return (JPEG[:AFTER_JFIF] if has_jfif else JPEG[:2]) + extra + JPEG[AFTER_JFIF:]


DAMAGED_SEGMENTS = {
    "app0-short": segment(0xE0, b"JFIF\0"),
    "app14-short": segment(0xEE, b"Adobe\0"),
    "icc-without-number": segment(0xE2, b"ICC_PROFILE\0"),
    "icc-without-count": segment(0xE2, b"ICC_PROFILE\0\1"),
    "exif-garbage": segment(0xE1, b"Exif\0\0garbage"),
    "mpf-garbage": segment(0xE2, b"MPF\0garbage"),
    "mpf-cut": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\3\0\0\xb0"),
    "length-too-large": segment(0xE5, b"abc", length=60_000),
    "length-beyond-the-next": segment(0xE5, b"abcdef", length=11),
    "length-too-small": segment(0xE5, b"abcdef", length=5),
}


@pytest.mark.parametrize("has_jfif", [True, False])
@pytest.mark.parametrize("name", DAMAGED_SEGMENTS)
def test_a_damaged_jpeg_segment_gives_a_warning(name, has_jfif):
    assert is_kept(jpeg_with(DAMAGED_SEGMENTS[name], has_jfif=has_jfif), JPEG_PIXELS)


def test_a_jpeg_keeps_its_orientation_and_colour_when_other_metadata_is_damaged():
    broken = DAMAGED_SEGMENTS["icc-without-number"]
    assert is_kept(jpeg_with(segment(0xE1, EXIF) + broken), JPEG_PIXELS, is_turned=True)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    assert is_kept(jpeg_with(segment(0xE1, xmp) + broken), JPEG_PIXELS, is_turned=True)
    plain = stored(GRAINY, "JPEG", keep_rgb=True)  # an Adobe segment says that this is no YCbCr
    assert is_kept(plain[:2] + broken + plain[2:], decode(plain).rgb)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*range(0xE0, 0xEE), 0xEF, 0xFE]),
    st.sampled_from([b"", b"JFIF\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\x008BIM\3\xed", b"FPXR\0"]),
    st.binary(max_size=60),
)
def test_no_segment_of_metadata_loses_a_jpeg(marker, start, body):
    decoded = decode(jpeg_with(segment(marker, start + body)))
    assert decoded.status is Status.OK
    assert np.array_equal(decoded.rgb, JPEG_PIXELS)


JPEG_KINDS = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "restarts": {"quality": 90, "restart_marker_rows": 1},
    "not-subsampled": {"quality": 95, "subsampling": 0},
    "half-subsampled": {"quality": 80, "subsampling": 1},
    "optimised": {"quality": 75, "optimize": True},
    "rgb": {"quality": 90, "keep_rgb": True},
}
JPEG_MODES = ["RGB", "L", "CMYK"]


def jpeg_of(kind: str, mode: str, picture: np.ndarray = GRAINY) -> bytes:
    return stored(Image.fromarray(picture).convert(mode), "JPEG", **JPEG_KINDS[kind])


@pytest.mark.parametrize("mode", JPEG_MODES)
@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("size", [(72, 96), (71, 95), (8, 8), (1, 1), (17, 3)])
def test_a_jpeg_has_the_pixels_that_pillow_gives(kind, mode, size):
    data = jpeg_of(kind, mode, synthetic(*size))
    decoded = decode(data)
    assert (decoded.status, decoded.warnings, decoded.mode) == (Status.OK, None, mode)
    assert np.array_equal(decoded.rgb, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("mode", JPEG_MODES)
@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_a_jpeg_without_its_middle_or_its_end_is_noticed(kind, mode):
    data = jpeg_of(kind, mode)
    start = data.index(b"\xff\xda") + 14
    pixels = len(data) - 2 - start
    third, two_thirds = start + pixels // 3, start + 2 * pixels // 3
    for damaged in (
        data[:third] + data[two_thirds:],  # ends with a marker, as if nothing had happened
        data[:third] + b"\xff\xd9",
        data[:-40] + b"\xff\xd9",
        data[:third] + data[third:two_thirds] * 2 + data[two_thirds:],
    ):
        assert is_noticed(damaged)
        assert decode(damaged) == decode(damaged)


def test_a_progressive_jpeg_without_its_last_passes_is_noticed():
    data = jpeg_of("progressive", "RGB")
    assert "passes are missing" not in (decode(data).warnings or "")
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    tables = [at for at in range(scans[0], len(data)) if data[at : at + 2] == b"\xff\xc4"]
    for at in tables:  # the tables of a pass come before it
        cut = decode(data[:at] + b"\xff\xd9")
        assert cut.status is Status.OK
        assert "passes are missing" in cut.warnings
    assert decode(data + data[scans[1] :]).warnings is None  # what follows the end is no pass


def test_damage_to_a_jpeg_is_ignored_if_pictures_are_only_compared():
    data = stored(synthetic(400, 600), "JPEG")
    cut = data[: len(data) // 2] + b"\xff\xd9"
    assert "premature end of data segment" in decode(cut).warnings
    assert decode(cut, enough_pixels=1000).warnings is None


# --- WebP, GIF, TIFF


def webp(lossless: bool) -> bytes:
    return stored(GRAINY, "WEBP", lossless=lossless, exif=EXIF, icc_profile=ICC, xmp=b"<x/>")


def resized(data: bytes, name: bytes, change: int) -> bytes:
    at = data.index(name) + 4
    return data[:at] + struct.pack("<I", int.from_bytes(data[at : at + 4], "little") + change) + data[at + 4 :]


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_is_kept_whatever_the_lengths_of_its_metadata(lossless):
    data = webp(lossless)
    lying = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for damaged in (
        resized(data, b"RIFF", 100),
        resized(data, b"RIFF", -100),
        resized(data, b"ICCP", 2**30),
        resized(data, b"ICCP", 10),
        resized(data, b"XMP ", 2**30),
        data[:-3],
    ):
        assert is_kept(damaged, lying, is_turned=True)
    assert is_kept(resized(data, b"EXIF", 2**30), lying)


def test_frames_of_a_webp_are_kept_when_its_metadata_is_damaged():
    rest = [Image.fromarray(PICTURE)]
    data = stored(Image.fromarray(GRAINY), "WEBP", save_all=True, append_images=rest, lossless=True, exif=EXIF)
    assert is_kept(data[:-5], GRAINY)
    assert decode(data[:-5]).frames == 2


PALETTE = Image.fromarray(GRAINY).quantize(64)
GIF = stored(PALETTE, "GIF")
AFTER_PALETTE = 13 + 3 * 64


@pytest.mark.parametrize(
    "extension",
    [
        b"!\xfe\xffhello\0",
        b"!\xfe\x05hello",
        b"!\xff\0",
        b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"[:-1],
        b"!\xf9\x01\x01\0",
        b"!\xf9\0",
    ],
    ids=["comment-length", "comment-without-end", "no-name", "loop-without-end", "control-short", "control-empty"],
)
def test_a_gif_is_kept_whatever_its_extensions(extension):
    assert is_kept(GIF[:AFTER_PALETTE] + extension + GIF[AFTER_PALETTE:], np.asarray(PALETTE.convert("RGB")))


def test_a_gif_needs_no_trailer_and_stays_transparent_without_its_comment():
    assert decode(GIF[:-1]).status is Status.OK
    holed = stored(PALETTE, "GIF", transparency=3)
    at = holed.index(b"!\xf9")
    assert is_kept(holed[:at] + b"!\xfe\xffhello\0" + holed[at:], decode(holed).rgb)


def tiff_with(tag: int, kind: int, count: int, value: int, **options: str) -> bytes:
    """Return a TIFF in which the entry of `tag` has this type, count and value."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0131], exif[0x011A] = "A maker of cameras", "Software", 72.0
    exif[0x0112] = 1
    data = bytearray(stored(GRAINY, "TIFF", exif=exif, icc_profile=ICC, **options))
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    at = next(
        at for at in range(start + 2, start + 2 + 12 * entries, 12) if data[at : at + 2] == struct.pack("<H", tag)
    )
    struct.pack_into("<HII", data, at + 2, kind, count, value)
    return bytes(data)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([0x010F, 0x0131, 0x011A, 0x8773]),
    st.integers(0, 20),
    st.sampled_from([0, 1, 100, 2**31 - 1]),
    st.sampled_from([0, 8, 2**31 - 16]),
    st.sampled_from([{}, {"compression": "tiff_deflate"}]),
)
def test_no_tag_of_metadata_loses_a_tiff(tag, kind, count, value, options):
    decoded = decode(tiff_with(tag, kind, count, value, **options))
    assert decoded.status is Status.OK
    assert np.array_equal(decoded.rgb, GRAINY)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_no_damage_to_deflated_pixels_of_a_tiff_goes_unnoticed(at, bits):
    data = bytearray(stored(GRAINY, "TIFF", compression="tiff_deflate"))
    with Image.open(io.BytesIO(data)) as picture:
        start, length = picture.tag_v2[273][0], picture.tag_v2[279][0]
    data[start + 2 + at % (length - 2)] ^= bits
    assert is_noticed(bytes(data))


@pytest.mark.parametrize("compression", ["jpeg", "group4"])
def test_messages_of_the_tiff_decoder_become_warnings(compression):
    picture = Image.fromarray(GRAINY)
    data = stored(picture if compression == "jpeg" else picture.convert("1"), "TIFF", compression=compression)
    with Image.open(io.BytesIO(data)) as opened:
        at = opened.tag_v2[273][0] + opened.tag_v2[279][0] // 2
    decoded = decode(data[:at] + b"\x5a\xa5" * 40 + data[at + 80 :])
    assert decoded.status is not Status.OK or "the decoder said" in decoded.warnings


# --- all formats


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "ICO", "PPM", "DDS"])
def test_an_undamaged_picture_has_no_warning(format):
    decoded = decode(stored(PALETTE if format == "GIF" else GRAINY, format))
    assert (decoded.status, decoded.warnings) == (Status.OK, None)


@pytest.mark.parametrize("compression", [None, "tiff_deflate", "tiff_lzw", "packbits", "jpeg"])
def test_an_undamaged_tiff_has_no_warning(compression):
    if not features.check("libtiff"):
        pytest.skip("Pillow without libtiff")
    decoded = decode(stored(GRAINY, "TIFF", **({"compression": compression} if compression else {})))
    assert (decoded.status, decoded.warnings) == (Status.OK, None)


WHOLE = [
    png_with(chunk(b"tEXt", b"a\0b")),
    apng(),
    jpeg_with(segment(0xFE, b"hello")),
    webp(True),
    webp(False),
    GIF[:AFTER_PALETTE] + b"!\xfe\x05hello\0" + GIF[AFTER_PALETTE:],
    tiff_with(0x010F, 2, 3, 0),
]


@pytest.mark.parametrize("data", WHOLE, ids=["png", "apng", "jpeg", "webp-lossless", "webp", "gif", "tiff"])
def test_without_metadata_the_pixels_are_the_same(data):
    versions = without_metadata(data)
    pixels = [decode(version).rgb for version in (data, *versions)]
    assert len(versions) >= 1
    assert all(decode(version).status is Status.OK for version in versions)
    assert np.array_equal(pixels[0], pixels[1])  # later versions may have lost the orientation
    assert [len(version) for version in versions] == sorted(map(len, versions), reverse=True)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(WHOLE), st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=9), st.data())
def test_removing_metadata_never_raises(data, flips, draw):
    damaged = bytearray(data)
    for at, bits in flips:
        damaged[at % len(damaged)] ^= bits
    damaged = damaged[: draw.draw(st.integers(1, len(damaged)))]
    assert all(isinstance(version, bytes) for version in without_metadata(bytes(damaged)))


# --- what decoders print


def test_only_messages_about_damage_are_captured_and_stderr_is_restored(capfd):
    with captured_stderr() as stderr:
        os.write(2, b"[ WARN:0] something of a library\nCorrupt JPEG data: bad Huffman code\n" * 3)
        assert stderr.complaints() == ["the decoder said: Corrupt JPEG data: bad Huffman code"]
        stderr.clear()
        assert stderr.complaints() == []
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"


def test_a_decoder_that_prints_endlessly_neither_blocks_nor_fills_the_memory():
    written = 0
    with captured_stderr() as stderr:
        with pytest.raises(BlockingIOError):
            while True:
                written += os.write(2, b"Corrupt JPEG data: bad Huffman code\n" * 1000)
        assert len(stderr.complaints()) <= 2
    assert written <= 1 << 20


def test_damage_is_reported_in_a_process_with_closed_stderr(tmp_path):
    complete = stored(GRAINY, "JPEG", quality=95)
    (tmp_path / "cut.jpg").write_bytes(complete[: len(complete) // 2] + complete[-len(complete) // 6 :])
    code = (
        "import sys; from curation.pictures.decode import *; print(decode(open(sys.argv[1], 'rb').read()).warnings)"
    )
    command = f'exec {sys.executable} -c "{code}" {tmp_path}/cut.jpg 2>&-'
    done = subprocess.run(["sh", "-c", command], cwd=TOP, capture_output=True, text=True, check=True)
    assert "the decoder said: Corrupt JPEG data" in done.stdout
