"""Contract of `manifests.format.stand_ins`: stand-ins are named with advice, and no real file is mistaken for one."""

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.pictures.decode import decode
from manifests.format.schema import Status
from manifests.format.stand_ins import HEAD_BYTES, name_absent, name_stand_in, name_wrapped


def picture(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, format)
    return buffer.getvalue()


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("picture.jpg", data)
    return buffer.getvalue()


def tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("picture.jpg")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def table() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"key": ["a"]}), buffer)
    return buffer.getvalue()


JPEG = picture("JPEG")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s12345--" + b"4d7a" * 16 + b".jpg\n"
LINK = b"../../.git/annex/objects/Xk/9q/SHA256E-s1--4d7a.jpg/SHA256E-s1--4d7a.jpg"

ABSENT = {
    "lfs": (LFS, "git lfs pull"),
    "lfs-byte-order-mark": (b"\xef\xbb\xbf" + LFS, "git lfs pull"),
    "lfs-windows": (LFS.replace(b"\n", b"\r\n"), "git lfs pull"),
    "annex": (ANNEX, "git annex get"),
    "annex-link": (LINK, "git annex get"),
    "html": (b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>", "web page"),
    "html-bare": (b"<html><head><title>403 Forbidden</title></head></html>", "web page"),
    "xml": (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>', "XML"),
}
WRAPPED = {
    "gzip": (gzip.compress(JPEG), "gzip"),
    "zstandard": (pa.compress(JPEG, "zstd", asbytes=True), "zstandard"),
    "lz4": (pa.compress(JPEG, "lz4", asbytes=True), "lz4"),
    "bzip2": (bz2.compress(JPEG), "bzip2"),
    "bzip2-empty": (bz2.compress(b""), "bzip2"),
    "xz": (lzma.compress(JPEG), "xz"),
    "zip": (zipped(JPEG), "zip"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24), "7z"),
    "rar": (b"Rar!\x1a\x07\x01\x00" + bytes(24), "rar"),
    "data-uri": (b"data:image/jpeg;base64," + base64.b64encode(JPEG), "data: URI"),
    **{f"base64-{name}": (base64.b64encode(picture(name)), "base64") for name in ("JPEG", "PNG", "GIF", "WEBP")},
}
REAL = {
    **{name: picture(name) for name in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000")},
    "tar": tarred(JPEG),
    "parquet": table(),
    "csv": b"key,url\na,https://example.org/a.jpg\n",
    "jsonl": b'{"key": "a", "url": "https://example.org/a.jpg"}\n',
    "list": b"/data/annex/a.tar\n../b.tar\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "empty": b"",
}


@pytest.mark.parametrize("name", ABSENT)
def test_what_points_elsewhere_is_named_and_is_undecodable(name):
    data, words = ABSENT[name]
    named = name_stand_in(data)
    assert named is not None and words in named
    assert (name_absent(data), name_wrapped(data)) == (named, None)
    decoded = decode(data)
    assert (decoded.status, decoded.error) == (Status.UNDECODABLE, named)


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_packed_is_named_and_is_unsupported(name):
    data, words = WRAPPED[name]
    named = name_stand_in(data)
    assert named is not None and words in named
    assert (name_absent(data), name_wrapped(data)) == (None, named)
    decoded = decode(data)
    assert (decoded.status, decoded.error) == (Status.UNSUPPORTED, named)


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_is_no_stand_in(name):
    assert name_stand_in(REAL[name]) is None


@given(st.binary(max_size=600))
def test_any_head_is_judged_by_its_first_bytes(head):
    assert name_stand_in(head) == name_stand_in(head[:HEAD_BYTES])
