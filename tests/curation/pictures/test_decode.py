"""Laws of `curation.pictures.decode`: every byte string ends in a status, and every picture is upright RGB."""

import base64
import hashlib
import io
import resource
import struct
import threading
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from curation.pictures.decode import DECODER_VERSION, Decoded, DecodeLimits, decode
from curation.pictures.decode_errors import one_line
from curation.pictures.image_headers import MAX_FRAMES_COUNTED
from curation.pictures.pdq import pdq
from manifests.format.schema import Status

# Written by Pillow 13 from synthetic(72, 96): the file, sha256 of its decoded pixels, its PDQ, the quality.
GOLDEN = {
    "JPEG": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1R"
        "V19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj"
        "Y2NjY2NjY2NjY2NjY2P/wAARCABIAGADASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAA"
        "AgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6"
        "Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXG"
        "x8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREA"
        "AgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5"
        "OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPE"
        "xcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDnrmbrzUWn2j6leCP5hEvMjj+Ef4n/AD0q"
        "C5frXT6Raiy01AyBZpBukPOfYHPoO31rhq/uqem7PPlP2FO63exbUR28aRQqEjTgKKjkm96jkf5qryPSwdK6bZlRhd3Y95ve"
        "oJZuOtRO9QSvxXdOj7jPZoUyfzvelE1Ut9KHrg9iepCmakM3FWo5qyYX4q1G9dkKPuI09mbEM1WoZvm61kwvVuF/mrzcbR0Q"
        "ezOJSIT3kML7gskiqSOuCcV2U+eeDXKW5VNRtmdgqrMhJJwAMiuwnHWvYxeEXNHU+JxUvegZcuc9KryMPUVcnHBrOkFRFew0"
        "Wtztw+pG7D1FQSHI45pzimKPmrojP2nutbntUUkM59DSjPoafinAVp9Uj3PQhIdEcDnirUbD1FVMcip4xWE5+z91LY6EkzQh"
        "Yeoq3DnPSs+EVqW44Fcc17fR6WFLQ5C5j6119pP9tsIrjbguvIx3HB/DIrm7lBzwal0PUFsrowTHEEx5Zjwh7H8eh/D0r3K/"
        "JUp3T1R8JVpurSTjujYnTg1nyR1tzRg5GOtUpLY+1eZL94046jw1WxkPHUax/NWk9sfaojDtOTW1KMoyTa0PbpVVYqbKUJVn"
        "YPQ0oQehrs9tDud8KhX2cipo46nWHccip47Y+1cFWMpSbS0OpVVYbDHWnbx8CoobY+1aEEYGBjpXMv3bbloTKrc5m4t+vFZk"
        "9v14rbsryHU0bavlzL96MnPHqD3FMntOvFdcJOD5ZbnxFCrKnLlloyrpWsNaBLa7BeEEBX7oP6j+X5Cuk8tJkDxMroejKcg/"
        "jXLSWvzdKfaz3dg+beQhc5KHlT+H4detdlLDxmnKGjOydCNR81N2Z0D2/tVeW346Ulv4ghfC3cDRngbk+Ye5x1A/OtCOazug"
        "oguI3Zs4XOGOPY81lXjUpwfMhx9rS+JGX9n9qcLf2rX+ye1KLX2ryvaHZDEmfDb8dKtR2/tV6G146Uss1na7hPcRoy4yucsP"
        "wHNdtOblBJG8a7k7R1GQ2/tVgRpCpeVlRB1ZjgD8az59ehjJW0hMxx99vlXPbjqf0rJuJ7q/kJuJCVzkIOFHXt+PXrWWIw05"
        "pOWiO6jh6lTWei/EwpLR4ZN8TOjjoynBFalrq8TKI79GRgMeaoyD7kDp26Z/Ciivpfq1KqrSR8tTgq6SmaMlkrIHQhlIyCDk"
        "EVTktT6CiivHnOVN2hoY4epK5We1PoKiNmWOCKKK1pVpykk2e1SqSsSQwTW+7yJpYt3XYxXP5VMGvf8An8uf+/rUUV1unB6u"
        "KO2M29WJIk8pUTSyS7em9i2Pzp8dqf7ooorhq1ZwbjF2R1xm0tC5Dan+6K0ILDODjrRRXMqkqjalqKVWSP/Z"
        "",
        "0e57559dc937fd5ea1122d58b9ebdd48a26912d9ec33b0db33c4e20685f0592a",
        "50ecff5382ecfc6b83dcf06b1f5c8085f1fa020d07e2007c0f833ff007f4fe03",
        100,
    ),
    "PNG": (
        "iVBORw0KGgoAAAANSUhEUgAAAGAAAABICAMAAAA+uQBRAAAAYFBMVEXT3LFv3bPgqJVnp5gg8nIl13YrvXUso3HsgnzrZW+r"
        "fY6nYXFWg4IphnBcZXYmaHHgTW7ZNW+sSnCsMnDJFaS+F0OdD6WdDTZvQZ1wQTsmQ64kRTl3I2uBDnUzFosNGHLzRyTzAAAE"
        "FklEQVR42p3Z22KqMBAF0AAiagVFKeRQ1P//y0PI5DbZAdp5afuyV0MkmWnFT1QHVWV5nKtSdV2qUfUP1pep8/l84iVw/gHm"
        "7wAccU4AOv8Y5jfNGvB4PDzACPSNgM8nkY+B4aHr634/ewR9Fdu/f9OkgUEVAY/73RAEnBPAvIAK/f4cGKh8wAn0VeD8Cv3+"
        "ITDYej49gAgMgPwAmFC8Ap7KaNtAoKVEQGkef1Wz/GmaUDwBz2cbClQiuYC6jvInmO8B7SrAHhDIn2C+DxCxB6iTwLAKcEFE"
        "O7CSP8F8BjBB4AXUDJgsMGwC7QpQGuBHAVH+BPMhcI+AcAE/cAE7gTYJlAlAWmBYAfASIFCHgJTyd4AvCPQZmoEwn4AXzB/6"
        "jmoNOCQBKa2wBXRgFwTcAgy8NoEuXsImIC3w2gF0fwbkTqCLgI+uJd+0EvNbpll+Qb5s9V4Nw3dUlD9fOCMD6CBdB/p+B3D/"
        "O9Az4Ps3wHEb6LeBu/eIxhiYd7hOAn2/HzhZ4L0L+Afz+zi/DYARAjUE+v5vwJuAcgPo9wHmNTgRMM7A2wJHAm4AkLuA1luA"
        "BkYEzALvRaddQOsvYBWImtFdQJsEnFAsQB21u5OUm4Drvk4ewJZQFBZoGCA3AHfSnTCghMIHml8BLV9ATkCwhBkoaiQoQK4B"
        "fnuq85NA5YAmBGQSCK8CnW+B0d9mBjhBQiHOJyD3gdHbBQUEQhMAXIjadzpIcw7Yh7QAS3/KpicJBTyA5DkD7BKyTANV2J82"
        "HhAQHRyhAEBClikBzSCNB8gAiIfA8wkAi5AtVcAxuZESEB0YY80OzEB9W8o1FwezDa6uJlMhj6h0v3KxpZPNi1ZjYdkIVx6g"
        "/ijBgEtQuQeoFZDwCYWMCUUAhAjMz817ULMlfCzAhIIBrmB+TpsgKi7oN5r2mhGbQB6VqLigz4wsQ8QWkAPgyIS3vnyyDBHL"
        "hzYN+LnCAkx4L+UBPrH8eWQ7Xqgy35W6nSbhRsA7C8sHLriCdALU15IJbyz460jHC6/MDzR1cGE+N7IsiYB4AattRYmFEQp4"
        "ESJZ8wkuDljQh1/6MfnGSrwC7ODhhBsBERG+Febx4Hia1sQhEOwi3BG+IhRFtLU23sybQh0+tq12grsk5nM/ud2JZ+OPm+JD"
        "gt2ImgHjcrVksNLxGpgvIMEnQCICQF9ee4BwYFYXnPhgIQTM/fhaA7qwWn1/CjyHXzmgCRpjOdB3oKg7MlPmxx+hqgAY3S2P"
        "B/EeAudgCIzGwAIAS6FBs4NA0L6rCj6F9I+P5QKQsFtB+f50g/oiT6iK69UZctWY+7o53LV2pnPXL+E4QuLozv/FkDKJ2MZL"
        "dV4X+z8c846PIyRs67ViSAt4R6tNN5/eEQthc2eQ2JD8ajixm+0/5NCdLCC3G2IAAAAASUVORK5CYII="
        "",
        "7057a07657b89481f94fdb1645448a9adc1f080b5ba565feed2739c11bb4fea4",
        "48e4ff53c1f4fc2b07d4f02b1fda81a5f1fa0a0d07e2603c0f833ff007d4fc03",
        100,
    ),
    "WEBP": (
        "UklGRq4DAABXRUJQVlA4IKIDAACwGACdASpgAEgAPtFapU2oJSOiKJQOKQAaCWxmQEnt9b8A5L7Svj/5T6LNe/yXBgmDh2eU"
        "x0j/NP0JvQA/yXVGby2Xy9kB7IHwHogfpWKGv9lhHdp2HHYLcYhh95PxlAX44FuVnDLpXtKAnbplnyz2hhsz7zID/dBvNKVy"
        "ShXdPcTHVXpClIXCWFyzkbRMnpIE4MZsGkf4ziiB9+t++LyMjGI5Qkd+4M6o/k+A57qzbJ+ljrZLrFQ8XAFyyeF9otXRThOL"
        "d3XzqduDOZSoAAD+zxToxsyEvl/I6NGR2uccZWuosVabKMDWLxtIXyFXxEOW7o1PnGl8KLD+xeJadhwi/fseEorPV0+hglUb"
        "wU0F7LLDo6K1moCYt48hCV90iHkUr3MKUszmDgM17hEU0Qbcft5r3YS3UZ2xBhCac1TACfQ3XFZLZxURA2z6N/Mf/zVPfjJu"
        "AduHw2FSXjsribtnGJVUC7vE5ByLY5582zXavN1qL5QZOVEIJ7E0h33Mc+FF8+ULT+yiUxUTlJuW1/o4nHdoc2rTyT2fBWv/"
        "aHRFNZtUvspMqvpJ+UGUBtaaPz61/CqNiFf4cCSIyqoGQzFxlGqXD4YhnyErNO0eOV2pAKDbizJby8wNuBo/ljm4rGRUcz2e"
        "aI2HBe1JjfzH2qOfgvbRPJHqNAhpQIwDDqiaWGc/AjevGLmSM6MrNKHoQIIgBsco4luy3ptX2O8hMV/qeTuEPSUMhdP3EBBV"
        "Qr2jFf6/a6ArhOE5+Ht0hE1s0Q634rZI04/SAiA2uveV/6jRbUo7xyzSwnZ9D+YQKwLiz5sdxwb1CDoKJ8ec9V9pE8oZWP/O"
        "ZUj+/v5KL0DrccN2iNb1HAmGLxQxq/i7qefSeQfNgAPoy9JlOBWzMqP/JsA5EbfyOK9c6MhqpJobKwdG1dZ10h9qYrBgk3+x"
        "T7pnFkU6xyhq4zmlTLLlcKrFmR150aMk4rHEx37EdikL/JPt/0DhurEGUTSyJZ4P4A8OuwafJA8KMWTiJOw2FcjuU2iqRzlm"
        "PfhF7VSEhHCsdVNnQM+C69BwnjoaLg9zPC2wjJc/XlVZ3SctHP4twk4s0aExVGElKk/VYBXZDYYGTihqCmdMlU6cMvnACKZa"
        "JMu3IsB4dne+HqXB/XicWO6PtAdI3+Gut55eBZ1gAEGlTVHEfOlimKM9dAcBfT91VfadFsvthC5dNxLq+rsB327BGw+goRRg"
        "D2hvP7VqMrBYuYGAAAA="
        "",
        "45889837ad3d7c9c44c6de9fd8ba34af3cea8fafa188ec1bfb97a7bfcc232b3e",
        "00ecff53a3ecfc6b03dcf06b1fd88085f1fa0a0d07e2007c0f833ff007f4fe03",
        100,
    ),
}


def synthetic(height: int, width: int) -> np.ndarray:
    """Return a picture with slopes, rings and edges, by integer arithmetic alone."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    u, v = x * 1000 // width, y * 1000 // height
    red = u * 255 // 1000
    green = ((u - 620) ** 2 + (v - 340) ** 2) // 1200 % 256
    blue = (v * 160 // 1000 + ((u // 230 + v // 310) % 2) * 90) % 256
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


PICTURE = synthetic(72, 96)


def stored(picture: np.ndarray | Image.Image, format: str, **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def is_consistent(decoded: Decoded) -> bool:
    """Whether `decoded` has what its docstring promises for its status."""
    if decoded.status not in (Status.OK, Status.TRUNCATED):
        return decoded.rgb is None and bool(decoded.error)
    rgb = decoded.rgb
    flags = rgb.flags
    return (
        rgb.dtype == np.uint8
        and rgb.shape == (decoded.height, decoded.width, 3)
        and (flags.c_contiguous and flags.owndata and flags.writeable)
        and 1 <= decoded.frames <= MAX_FRAMES_COUNTED
        and (decoded.error is None) == (decoded.status is Status.OK)
    )


# --- golden vectors


@pytest.mark.parametrize("format", GOLDEN)
def test_decoders_and_hash_have_not_drifted(format):
    encoded, pixels_sha256, pdq_hex, quality = GOLDEN[format]
    decoded = decode(base64.b64decode(encoded))
    fingerprint = pdq(decoded.rgb)
    advice = (
        f"{format} decodes or hashes differently with {DECODER_VERSION}. If Pillow, a codec or pdqhash was "
        "upgraded, manifests already record their versions: note the change in docs/adr and update this "
        "vector. If our code changed, increase _RULES in curation/pictures/decode.py or pdq.py first."
    )
    assert decoded.status is Status.OK
    assert hashlib.sha256(decoded.rgb.tobytes()).hexdigest() == pixels_sha256, advice
    assert (fingerprint.bits.hex(), fingerprint.quality) == (pdq_hex, quality), advice


def test_synthetic_picture_is_the_same_everywhere():
    sha256 = hashlib.sha256(PICTURE.tobytes()).hexdigest()
    assert sha256 == "813127d2b22000c8244ad2def627a644713de582aa136b38f1ceafcccc506d90"


def test_decoder_version_names_pillow_and_codecs():
    for name in ("rules=", "pillow=", "opencv=", "libjpeg_turbo=", "webp=", "zlib=", "jpg_2000=", "libtiff="):
        assert name in DECODER_VERSION


# --- bytes that are no picture


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", Status.EMPTY, "no bytes"),
        (b"<!DOCTYPE html><html><body>404</body></html>", Status.UNDECODABLE, "web page"),
        (b"\x7fELF" + bytes(range(256)), Status.UNDECODABLE, "no known image format"),
        (b"\x00", Status.UNDECODABLE, "no known image format"),
        (b"\xff\xd8\xff\xe0", Status.UNDECODABLE, "JPEG"),
        (b"\x89PNG\r\n\x1a\n", Status.UNDECODABLE, "PNG"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), Status.UNSUPPORTED, "HEIF"),
        (b"\xff\x0a" + bytes(40), Status.UNSUPPORTED, "JPEG XL"),
        (b"%PDF-1.7\n", Status.UNSUPPORTED, "PDF"),
        (b"\xd7\xcd\xc6\x9a" + bytes(40), Status.UNSUPPORTED, "WMF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', Status.UNSUPPORTED, "SVG"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(40), Status.UNSUPPORTED, "MP4"),
    ],
)
def test_the_error_names_what_is_no_picture(data, status, reason):
    decoded = decode(data)
    assert (decoded.status, decoded.rgb) == (status, None)
    assert reason in decoded.error


def test_postscript_is_never_opened(monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("an outside program was run"))
    decoded = decode(stored(PICTURE, "EPS"))
    assert decoded.status is Status.UNSUPPORTED
    assert "EPS" in decoded.error


def test_an_encoding_pillow_cannot_read_is_unsupported():
    dib = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 2, 0, 0, 0, 0, 0, 0)  # 2 bits a pixel
    decoded = decode(b"BM" + struct.pack("<IHHI", 118, 0, 0, 54) + dib + bytes(64))
    assert decoded.status is Status.UNSUPPORTED
    assert "pixel depth" in decoded.error


# --- damage


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("BMP", {}),
        ("GIF", {"interlace": 0}),
        ("TIFF", {}),
    ],
)
def test_half_a_file_gives_the_top_of_the_picture(format, options):
    data = stored(PICTURE, format, **options)
    whole, half = decode(data), decode(data[: len(data) // 2])
    assert half.status is Status.TRUNCATED and is_consistent(half)
    assert "truncated" in half.error.lower() or format == "TIFF"
    rows = slice(64, 70) if format == "BMP" else slice(0, 6)  # BMP is stored bottom up
    difference = np.abs(half.rgb[rows].astype(int) - whole.rgb[rows]).mean()
    assert difference <= (24 if "progressive" in options else 2)  # a progressive JPEG has but its coarse passes


def test_a_header_without_pixels_is_undecodable():
    for format, last in (("JPEG", b"\xff\xda"), ("PNG", b"IDAT"), ("WEBP", b"VP8 ")):
        data = stored(PICTURE, format)
        assert decode(data[: data.index(last) + 2]).status is Status.UNDECODABLE, format


def test_a_corrupt_stream_is_undecodable():
    decoded = decode(png(64, 64, chunk(b"IDAT", b"\xde\xad\xbe\xef" * 100)))
    assert decoded.status is Status.UNDECODABLE
    assert (decoded.format, decoded.width, decoded.height) == ("PNG", 64, 64)
    assert decoded.error.startswith("OSError: ")


def test_damage_to_a_format_without_magic_is_not_rescued():
    data = stored(PICTURE, "TGA")
    assert decode(data).status is Status.OK
    assert decode(data[: len(data) // 2]).status is Status.UNDECODABLE


@pytest.mark.parametrize(
    ("error", "status"),
    [(kind("x"), Status.UNDECODABLE) for kind in (
        struct.error, SyntaxError, ValueError, IndexError, OSError, TypeError, KeyError, EOFError,
        OverflowError, ZeroDivisionError, AttributeError, AssertionError, RecursionError, zlib.error,
    )]
    + [
        (NotImplementedError("unsupported depth"), Status.UNSUPPORTED),
        (MemoryError(), Status.TOO_LARGE),
        (Image.DecompressionBombError("x"), Status.TOO_LARGE),
    ],
)  # fmt: skip
def test_any_error_of_a_decoder_becomes_a_status(monkeypatch, error, status):
    def fail(self):
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    decoded = decode(stored(PICTURE, "PNG"))
    assert decoded.status is status
    assert decoded.error.startswith(type(error).__name__)


def test_reasons_contain_no_addresses_paths_or_odd_characters():
    dirty = "bad <PIL.Image at 0x7f00635f9d10>\n at /home/me/x.py \x00 0x7f00635f9d10 é"
    assert one_line(dirty) == "bad (object) at (path) (object)"
    assert len(one_line("x" * 999)) == 200


# --- bombs


def test_a_png_bomb_is_refused_in_little_memory():
    rows = zlib.compress(bytes(3_000_000), 9)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoded = decode(png(60_000, 60_000, chunk(b"IDAT", rows)))
    assert decoded.status is Status.TOO_LARGE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000


def test_declared_pixels_and_stored_bytes_are_limited():
    data = stored(PICTURE, "PNG")
    assert decode(data, DecodeLimits(max_pixels=72 * 96)).status is Status.OK
    decoded = decode(data, DecodeLimits(max_pixels=72 * 96 - 1))
    assert (decoded.status, decoded.format, decoded.width) == (Status.TOO_LARGE, "PNG", 96)
    assert decode(data, DecodeLimits(max_bytes=len(data))).status is Status.OK
    assert decode(data, DecodeLimits(max_bytes=len(data) - 1)) == Decoded(
        status=Status.TOO_LARGE, error=f"{len(data)} bytes exceed the limit of {len(data) - 1}"
    )


@pytest.mark.parametrize("wrong", [{"max_pixels": 0}, {"max_pixels": 10**9}, {"max_bytes": 0}])
def test_invalid_limits_are_refused(wrong):
    with pytest.raises(ValueError, match="choose"):
        DecodeLimits(**wrong)


def icon(inner: bytes) -> bytes:
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


@pytest.mark.parametrize(
    "data",
    [
        icon(png(12_000, 12_000, chunk(b"IDAT", zlib.compress(bytes(10_000))))),
        icon(struct.pack("<IiiHHIIiiII", 40, 12_000, 24_000, 1, 32, 0, 0, 0, 0, 0, 0)),
        b"icns" + struct.pack(">I", 1000) + b"ic07" + struct.pack(">I", 992) + png(12_000, 12_000),
        b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\2L\1\0;",
        b"P6 12000 12000 255\n",
    ],
    ids=["ico-png", "ico-dib", "icns-png", "gif-screen", "ppm"],
)
def test_sizes_hidden_in_containers_are_limited(data):
    assert decode(data).status is Status.TOO_LARGE


def test_slow_decoders_get_fewer_pixels():
    decoded = decode(b"qoif" + struct.pack(">IIBB", 5000, 5000, 3, 0) + b"\xfd" * 1000)
    assert decoded.status is Status.TOO_LARGE
    assert "slow QOI" in decoded.error


def test_a_jpeg_of_countless_passes_is_refused():
    data = stored(np.zeros((2000, 2000, 3), np.uint8), "JPEG", progressive=True)
    scans = data.index(b"\xff\xda")
    bomb = data[:-2] + data[scans:-2] * 60 + data[-2:]
    assert decode(data).status is Status.OK
    decoded = decode(bomb)
    assert decoded.status is Status.TOO_LARGE
    assert "progressive passes" in decoded.error


def test_the_picture_beside_a_text_bomb_is_decoded():
    data = stored(PICTURE, "PNG")
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
    decoded = decode(data[:33] + text + data[33:])
    assert (decoded.status, decoded.error) == (Status.OK, None)
    assert "PNG metadata ignored" in decoded.warnings
    assert np.array_equal(decoded.rgb, PICTURE)


# --- frames


def moving(count: int) -> list[Image.Image]:
    return [Image.fromarray(np.roll(PICTURE, 7 * step, axis=1)) for step in range(count)]


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP", "PNG", "AVIF"])
def test_frames_are_counted_as_pillow_does_and_the_first_is_decoded(format):
    first, *rest = moving(5)
    options = {"lossless": True} if format == "WEBP" else {}
    data = stored(first, format, save_all=True, append_images=rest, **options)
    decoded = decode(data)
    assert decoded.frames == Image.open(io.BytesIO(data)).n_frames == 5
    assert np.abs(decoded.rgb.astype(int) - PICTURE).mean() < 12


def test_counting_frames_is_bounded():
    frame = b",\0\0\0\0\1\0\1\0\0\2\2L\1\0"
    gif = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * (MAX_FRAMES_COUNTED + 5)
    page = stored(PICTURE[:1, :1], "TIFF")
    (start,) = struct.unpack_from("<I", page, 4)
    (entries,) = struct.unpack_from("<H", page, start)
    link = start + 2 + 12 * entries
    chain = b"".join(struct.pack("<HI", 0, len(page) + 6 * (i + 1)) for i in range(MAX_FRAMES_COUNTED + 5))
    long_tiff = page[:link] + struct.pack("<I", len(page)) + page[link + 4 :] + chain
    looped_tiff = page[:link] + struct.pack("<I", start) + page[link + 4 :]
    assert decode(gif).frames == MAX_FRAMES_COUNTED
    assert decode(long_tiff).frames == MAX_FRAMES_COUNTED
    assert decode(looped_tiff).frames == 1


# --- orientation

LIE_DOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", LIE_DOWN)
def test_every_orientation_gives_the_same_upright_picture(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
    lying = np.ascontiguousarray(LIE_DOWN[orientation](PICTURE))
    decoded = decode(stored(lying, format, exif=exif, **options))
    assert (decoded.width, decoded.height, decoded.orientation) == (96, 72, orientation)
    assert np.abs(decoded.rgb.astype(int) - PICTURE).mean() <= (3 if format == "JPEG" else 0)


def test_broken_exif_gives_a_warning_and_keeps_the_picture():
    for format in ("JPEG", "PNG", "WEBP"):
        for exif in (b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0garbage"):
            decoded = decode(stored(PICTURE, format, exif=exif))
            assert (decoded.status, decoded.orientation) == (Status.OK, None)
            assert "EXIF" in decoded.warnings
    exif = Image.Exif()
    exif[0x0112] = 9
    decoded = decode(stored(PICTURE, "JPEG", exif=exif))
    assert (decoded.orientation, decoded.warnings) == (None, "EXIF orientation ignored: 9")


# --- colour


def colour_of(image: Image.Image, format: str, **options) -> tuple[int, ...]:
    decoded = decode(stored(image, format, **options))
    assert decoded.status is Status.OK and is_consistent(decoded), decoded
    assert (decoded.rgb == decoded.rgb[0, 0]).all()
    return tuple(int(value) for value in decoded.rgb[0, 0])


@pytest.mark.parametrize(
    ("image", "format", "colour"),
    [
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (200, 0, 100, 128)), "PNG", (227, 127, 177)),
        (Image.new("RGBA", (4, 4), (200, 0, 100, 255)), "TIFF", (200, 0, 100)),
        (Image.new("LA", (4, 4), (0, 51)), "PNG", (204, 204, 204)),
        (Image.new("L", (4, 4), 77), "JPEG", (77, 77, 77)),
        (Image.new("1", (4, 4), 1), "PNG", (255, 255, 255)),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (Image.new("CMYK", (8, 8), (255, 255, 0, 0)), "JPEG", (0, 0, 255)),
        (Image.new("I;16", (4, 4), 65535), "PNG", (255, 255, 255)),
        (Image.new("I;16", (4, 4), 129), "PNG", (1, 1, 1)),
        (Image.new("I;16", (4, 4), 128), "PNG", (0, 0, 0)),
        (Image.new("I;16", (4, 4), 32896), "TIFF", (128, 128, 128)),
        (Image.new("I", (4, 4), 65535), "TIFF", (255, 255, 255)),
        (Image.new("F", (4, 4), 0.5), "TIFF", (128, 128, 128)),
        (Image.new("F", (4, 4), float("nan")), "TIFF", (0, 0, 0)),
        (Image.new("F", (4, 4), float("inf")), "TIFF", (0, 0, 0)),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "mode", None),
)
def test_every_mode_becomes_the_displayed_colour(image, format, colour):
    assert colour_of(image, format) == colour


def test_lab_becomes_rgb():
    for lab, rgb in (
        ((255, 128, 128), (255, 255, 255)),
        ((0, 128, 128), (0, 0, 0)),
        ((138, 209, 198), (255, 0, 0)),
    ):
        assert colour_of(Image.new("LAB", (4, 4), lab), "TIFF") == pytest.approx(rgb, abs=8)


def test_transparent_parts_of_palettes_become_white():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([9, 9, 9, 10, 200, 30])
    for format in ("PNG", "GIF"):
        assert colour_of(image, format) == (10, 200, 30)
        assert colour_of(image, format, transparency=1) == (255, 255, 255)
    assert colour_of(image, "PNG", transparency=b"\xff\x80") == (132, 227, 142)
    assert colour_of(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3)) == (255, 255, 255)


def test_wide_samples_beyond_their_range_are_stretched():
    wide = np.array([[-100, 0, 100]], dtype=np.int32)
    assert decode(stored(Image.fromarray(wide), "TIFF")).rgb[0, :, 0].tolist() == [0, 128, 255]
    real = np.array([[0, 1, 4, np.inf]], dtype=np.float32)
    assert decode(stored(Image.fromarray(real), "TIFF")).rgb[0, :, 0].tolist() == [0, 64, 255, 0]


# --- settings of the process


def test_a_lenient_load_in_one_thread_does_not_affect_others():
    jpeg = stored(PICTURE, "JPEG")
    files = [jpeg, jpeg[: len(jpeg) // 2], stored(PICTURE, "PNG")[:400], png(8, 8, chunk(b"IDAT", b"no"))]
    alone = [decode(data) for data in files]
    together: list[list[Decoded]] = []
    work = [threading.Thread(target=lambda: together.append([decode(data) for data in files * 20])) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert together == [alone * 20] * 4
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# --- any bytes

SAMPLES = [stored(synthetic(24, 32), format) for format in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")]
SMALL = DecodeLimits(max_pixels=1_000_000)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
@example(b"\0\0\1\0\1\0" + bytes(16))
@example(b"icns" + bytes(20))
@example(b"II*\0\xff\xff\xff\xff")
def test_any_bytes_end_in_a_status(data):
    assert is_consistent(decode(data, SMALL))


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=8),
    st.integers(0, 10**6),
)
def test_any_damage_ends_in_the_same_status_twice(data, flips, cut):
    damaged = bytearray(data)
    for at, bits in flips:
        damaged[at % len(damaged)] ^= bits
    damaged = bytes(damaged[: 1 + cut % (2 * len(damaged))])
    decoded = decode(damaged, SMALL)
    assert is_consistent(decoded)
    assert decode(damaged, SMALL) == decoded


# --- smaller versions -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("side", [40, 700, 2000])
def test_a_jpeg_may_be_decoded_smaller_but_with_enough_pixels(mode: str, side: int):
    picture = Image.effect_noise((side, side // 2), 40).convert(mode)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    whole = decode(data.getvalue())
    enough = 100_000
    small = decode(data.getvalue(), enough_pixels=enough)
    assert small.status is Status.OK
    assert small.rgb is not None and whole.rgb is not None
    pixels, all_pixels = small.rgb.size // 3, whole.rgb.size // 3
    assert min(enough, all_pixels) <= pixels <= max(4 * enough, all_pixels if all_pixels < 4 * enough else 0)
    shrunk = np.asarray(Image.fromarray(whole.rgb).resize(small.rgb.shape[1::-1], Image.Resampling.BOX), np.int16)
    assert np.abs(shrunk - small.rgb).mean() < 6


def test_other_formats_keep_their_size_and_orientation_is_applied():
    png, jpeg, exif = io.BytesIO(), io.BytesIO(), Image.Exif()
    Image.new("RGB", (900, 300), "red").save(png, "PNG")
    assert decode(png.getvalue(), enough_pixels=1000) == decode(png.getvalue())
    exif[0x0112] = 6
    Image.new("RGB", (800, 400), "red").save(jpeg, "JPEG", exif=exif)
    turned = decode(jpeg.getvalue(), enough_pixels=5000).rgb
    assert turned is not None
    assert turned.shape == (100, 50, 3)
