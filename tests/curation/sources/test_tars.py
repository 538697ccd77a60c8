"""Every member of a tar is read once and is in a sample or counted, or the tar is refused."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import subprocess
import tarfile
import tracemalloc

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.pictures.image_formats import looks_like_image
from curation.sources.byte_ranges import ByteRange, read_ranges, try_ranges
from curation.sources.members import Problem, group_of, is_ignored, split_member
from curation.sources.tar_stream import ustar_header
from curation.sources.tars import TarWriter, read_tar
from manifests.errors import BrokenSource, InputError
from manifests.file_names import name_bytes

JPEG = b"\xff\xd8\xff\xe0" + b"j" * 700
PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 500


def make_tar(members, format=tarfile.USTAR_FORMAT):
    """Return a tar of (name, bytes) pairs or ready TarInfo values."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, data = member
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def special(name, kind, linkname=""):
    header = tarfile.TarInfo(name)
    header.type = kind
    header.linkname = linkname
    return header


class ForwardOnly(io.RawIOBase):
    """A stream that can only be read forward, and records its position."""

    def __init__(self, data):
        self.inner = io.BytesIO(data)
        self.bytes_read = 0

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        block = self.inner.read(size if size < 10 else size - 7)  # short reads are allowed
        self.bytes_read += len(block)
        return block


def read(data, max_image_bytes=1 << 20, on_image=bytes, **options):
    return read_tar(ForwardOnly(data), source="x.tar", max_image_bytes=max_image_bytes, on_image=on_image, **options)


def samples(members, **options):
    data = members if isinstance(members, bytes) else make_tar(members)
    return list(read(data, **options).samples())


def by_member(members, **options):
    return {s.member: s for s in samples(members, **options)}


# --- joining -------------------------------------------------------------------------------------


def test_a_sample_has_its_bytes_its_sidecars_and_their_places():
    data = make_tar([("d/1.jpg", JPEG), ("d/1.txt", "naïve".encode()), ("d/1.json", b'{"uid": "u"}')])
    (s,) = samples(data)
    assert (s.stem, s.member, s.occurrence, s.problem, s.facts) == ("d/1", "d/1.jpg", 0, None, ())
    assert s.result == JPEG == data[s.offset : s.offset + s.size]
    assert data[s.caption_offset : s.caption_offset + s.caption_size].decode() == s.caption == "naïve"
    assert json.loads(data[s.json_offset : s.json_offset + s.json_size]) == s.json == {"uid": "u"}


def test_missing_sidecars_are_none():
    (s,) = samples([("1.jpg", JPEG)])
    assert (s.json, s.json_offset, s.json_size) == (s.caption, s.caption_offset, s.caption_size) == (None,) * 3


def test_long_stem_first_then_the_stem_of_webdataset():
    found = by_member(
        [
            ("photo.json", b'{"n": "short"}'),
            ("photo.2023.jpg", JPEG),
            ("photo.2024.jpg", JPEG),
            ("photo.2023.json", b'{"n": "long"}'),
            ("photo.txt", b"short"),
        ]
    )
    assert found["photo.2023.jpg"].json == {"n": "long"}
    assert found["photo.2024.jpg"].json == {"n": "short"}
    assert found["photo.2023.jpg"].caption == found["photo.2024.jpg"].caption == "short"


def test_sidecar_named_after_the_whole_member():
    (s,) = samples([("a.jpg", JPEG), ("a.jpg.json", b'{"n": 1}')])
    assert s.json == {"n": 1}


def test_folders_belong_to_the_stem():
    found = by_member([("x.y/1.jpg", JPEG), ("z/1.jpg", JPEG), ("x.y/1.txt", b"x"), ("z/1.txt", b"z")])
    assert (found["x.y/1.jpg"].caption, found["z/1.jpg"].caption) == ("x", "z")


def test_extensions_in_any_case():
    (s,) = samples([("A.JPG", JPEG), ("A.Json", b"{}"), ("A.TXT", b"t")])
    assert (s.stem, s.json, s.caption) == ("A", {}, "t")


def test_members_of_a_sample_need_not_be_neighbours():
    names = ("1.jpg", "2.jpg", "2.txt", "3.jpg", "1.txt", "3.txt")
    found = samples([(n, n.encode() if n.endswith("txt") else JPEG) for n in names])
    assert [(s.member, s.caption) for s in found] == [(f"{i}.jpg", f"{i}.txt") for i in (1, 2, 3)]


def test_two_images_of_one_stem_are_two_samples_that_share_sidecars():
    found = samples([("a.jpg", JPEG), ("a.png", PNG), ("a.json", b'{"n": 1}')])
    assert [(s.member, s.occurrence, s.json) for s in found] == [
        ("a.jpg", 0, {"n": 1}),
        ("a.png", 0, {"n": 1}),
    ]


def test_the_nth_image_of_a_name_has_the_nth_sidecar_or_the_last():
    found = read(
        make_tar(
            [
                ("a.jpg", b"0"),
                ("a.txt", b"t0"),
                ("a.jpg", b"1"),
                ("a.txt", b"t1"),
                ("a.jpg", b"2"),
                ("a.json", b"{}"),
            ]
        )
    )
    rows = list(found.samples())
    assert [(s.occurrence, s.result, s.caption, s.json) for s in rows] == [
        (0, b"0", "t0", {}),
        (1, b"1", "t1", {}),
        (2, b"2", "t1", {}),
    ]
    assert len({s.offset for s in rows}) == 3
    assert found.unused_sidecars == 0


def test_sidecars_without_an_image_are_samples():
    found = samples([("a.json", b'{"n": 1}'), ("b.jpg", JPEG), ("a.txt", b"t"), ("c.txt", b"c"), ("c.txt", b"d")])
    lonely = [(s.member, s.problem, s.size, s.json, s.caption, s.occurrence) for s in found]
    assert lonely == [
        ("a.json", "no image", 0, {"n": 1}, "t", 0),
        ("b.jpg", None, len(JPEG), None, None, 0),
        ("c.txt", "no image", 0, None, "c", 0),
        ("c.txt", "no image", 0, None, "d", 1),
    ]


def test_a_sidecar_that_is_not_used_is_counted():
    contents = read(make_tar([("a.jpg", JPEG), ("a.json", b"{}"), ("a.json", b"[]"), ("a.meta.json", b"{}")]))
    assert (len(contents), contents.unused_sidecars, contents.other_members) == (1, 2, 0)


def test_stems_that_only_share_their_first_word_are_not_one():
    found = by_member([("www.a.com.jpg", JPEG), ("www.b.com.json", b"{}")])
    assert found["www.b.com.json"].problem == "no image"


# --- sidecar contents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"{", "json sidecar is not valid JSON"),
        (b"\xff\xfe\x00", "json sidecar is not valid JSON"),
        (b"[" * 100_000, "json sidecar is not valid JSON"),
        (b"", "json sidecar is not valid JSON"),
        (b"[1]", "json sidecar is not a JSON object"),
        (b"{}" + b" " * (1 << 20), "json sidecar is larger than 1 MiB, not read"),
    ],
)
def test_json_that_cannot_be_used_is_a_fact(content, fact):
    (s,) = samples([("a.jpg", JPEG), ("a.json", content)])
    assert (s.json, s.facts, s.json_size) == (None, (fact,), len(content))


def test_large_caption_is_a_fact():
    (s,) = samples([("a.jpg", JPEG), ("a.txt", b"x" * ((1 << 20) + 1))])
    assert (s.caption, s.facts) == (None, ("txt sidecar is larger than 1 MiB, not read",))


def test_texts_can_always_be_stored_as_utf8():
    (s,) = samples(
        [
            ("a.jpg", JPEG),
            ("a.txt", b"\xef\xbb\xbfa\xff"),
            ("a.json", rb'{"\ud800": ["\udc00x", "\ud83d\ude00"]}'),
        ]
    )
    assert s.caption == "a\ufffd"
    assert s.json == {"\ufffd": ["\ufffdx", "\U0001f600"]}


# --- which members are images --------------------------------------------------------------------

MAGIC = {
    "jpeg": JPEG,
    "png": PNG,
    "gif": b"GIF89a" + bytes(60),
    "webp": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(60),
    "bmp": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" + bytes(60),
    "tiff": b"II*\0\x08\0\0\0" + bytes(60),
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(60),
    "heic": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(60),
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
    "psd": b"8BPS\0\x01" + bytes(60),
    "ico": b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0" + bytes(60),
}


@pytest.mark.parametrize("kind", MAGIC)
@pytest.mark.parametrize("name", ["photo", "photo.cls", "photo.2023", ".hidden"])
def test_images_without_a_known_extension_are_recognised_by_their_first_bytes(kind, name):
    data = MAGIC[kind]
    (s,) = samples([(name, data)])
    assert (s.member, s.result) == (name, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"B",
        b"BMW is a car, and no bitmap",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        b"\0\0\1\0",
    ],
)
def test_other_files_are_counted(data):
    assert not looks_like_image(data[:64])
    contents = read(make_tar([("a.cls", data), ("b", data)]))
    assert (len(contents), contents.other_members) == (0, 2)


@pytest.mark.parametrize(
    "extension",
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "avif", "heic", "jp2", "tga", "svg"],
)
def test_files_with_known_extensions_are_images_whatever_they_contain(extension):
    (s,) = samples([(f"a.{extension}", b"")])
    assert (s.result, s.size, s.problem) == (b"", 0, None)


def test_byproducts_are_not_samples():
    names = [
        "._a.jpg",
        "d/._a.jpg",
        "__MACOSX/a.jpg",
        "d/__MACOSX/x/a.txt",
        "__meta__",
        "__meta__/a.json",
        "./__m__/a.jpg",
    ]
    contents = read(make_tar([(n, JPEG) for n in names] + [("__a.jpg", JPEG), ("_", b"")]))
    assert [s.member for s in contents.samples()] == ["__a.jpg"]
    assert contents.other_members == len(names) + 1


def test_directories_and_devices_are_counted():
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    contents = read(
        make_tar([special("d.jpg", tarfile.DIRTYPE), *(special("x.jpg", k) for k in kinds), ("a.jpg", JPEG)])
    )
    assert (contents.directories, contents.other_members, len(contents)) == (1, 3, 1)


def test_links_are_records_and_never_followed():
    found = by_member(
        [
            ("a.jpg", JPEG),
            special("s.jpg", tarfile.SYMTYPE, "a.jpg"),
            special("h.jpg", tarfile.LNKTYPE, "a.jpg"),
            special("passwd", tarfile.SYMTYPE, "/etc/passwd"),
            ("s.txt", b"s"),
            special("a.json", tarfile.SYMTYPE, "/etc/passwd"),
        ]
    )
    assert {m: (s.problem, s.size, s.result) for m, s in found.items()} == {
        "a.jpg": (None, len(JPEG), JPEG),
        "s.jpg": (Problem.SYMBOLIC_LINK, 0, None),
        "h.jpg": (Problem.HARD_LINK, 0, None),
    }
    assert found["s.jpg"].caption == "s"
    assert found["a.jpg"].json_offset is None
    assert found["a.jpg"].facts == ("json sidecar is a symbolic link, not followed",)


def test_names_never_become_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["/etc/passwd.jpg", "../../x.jpg", "a/../b.jpg", "c:\\d.jpg"]
    assert [s.member for s in samples([(n, JPEG) for n in names])] == names
    assert list(tmp_path.iterdir()) == []


def test_images_over_the_limit_are_located_and_not_read():
    seen = []
    data = make_tar([("a.jpg", JPEG), ("b.jpg", JPEG + b"1"), ("b.txt", b"t"), ("c", JPEG + b"12")])
    found = samples(data, max_image_bytes=len(JPEG), on_image=seen.append)
    assert seen == [JPEG]
    assert [(s.member, s.problem, s.size) for s in found] == [
        ("a.jpg", None, len(JPEG)),
        ("b.jpg", "too large", len(JPEG) + 1),
        ("c", "too large", len(JPEG) + 2),
    ]
    assert data[found[2].offset :].startswith(JPEG + b"12")
    assert found[1].caption == "t"


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_every_format(format):
    name = "f" * 90 + "/" + "g" * 60 + ".jpg"
    data = make_tar([(name, JPEG), (name[:-3] + "json", b'{"n": 1}')], format)
    (s,) = samples(data)
    assert (s.member, s.json, data[s.offset : s.offset + s.size]) == (name, {"n": 1}, JPEG)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_very_long_and_non_ascii_names(format):
    name = "é" * 300 + ".jpg"
    assert [s.member for s in samples(make_tar([(name, JPEG)], format))] == [name]


def test_names_that_are_not_utf8_stay_text():
    data = make_tar([("x\xe9.jpg", JPEG)]).replace("x\xe9.jpg".encode(), b"x\xe9.jpg\0")
    header = bytearray(data[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (s,) = samples(bytes(header) + data[512:])
    assert s.member == "x\\xe9.jpg"
    assert name_bytes(s.member) == b"x\xe9.jpg"


def gnu_tar(folder, *arguments):
    subprocess.run(["tar", "-C", folder, "-cf", folder / "out.tar", *arguments], check=True)
    return (folder / "out.tar").read_bytes()


@pytest.mark.parametrize("format", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_tars_made_by_gnu_tar(tmp_path, format):
    folder = tmp_path / "in" / "sub"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(JPEG)
    (folder / "a.txt").write_text("t")
    (folder / "b.jpg").symlink_to("a.jpg")
    (folder / "c.jpg").hardlink_to(folder / "a.jpg")
    data = gnu_tar(tmp_path, f"--format={format}", "--sort=name", "in")
    contents = read(data)
    found = {s.member: s for s in contents.samples()}
    a = found["in/sub/a.jpg"]
    assert contents.directories == 2
    assert data[a.offset : a.offset + a.size] == JPEG == a.result
    assert a.caption == "t"
    assert [found[f"in/sub/{n}.jpg"].problem for n in "bc"] == ["symbolic link", "hard link"]


@pytest.mark.parametrize(
    "options", [["--format=gnu"], *(["--format=pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))]
)
@pytest.mark.parametrize("holes", [2, 40])
def test_sparse_members_are_records(tmp_path, options, holes):
    with (tmp_path / "s.jpg").open("wb") as f:
        for i in range(holes):
            f.seek(i * 65536)
            f.write(JPEG)
        f.truncate(holes * 65536 + 65536)
    (tmp_path / "s.txt").write_bytes(b"s")
    (tmp_path / "t.jpg").write_bytes(JPEG)
    data = gnu_tar(tmp_path, "--sparse", *options, "s.jpg", "s.txt", "t.jpg")
    found = by_member(data)
    assert len(data) < holes * 65536
    assert (found["s.jpg"].problem, found["s.jpg"].size, found["s.jpg"].caption) == ("sparse", 0, "s")
    t = found["t.jpg"]
    assert data[t.offset : t.offset + t.size] == JPEG == t.result


# --- broken tars ---------------------------------------------------------------------------------

THREE = [("a.jpg", JPEG), ("b.json", b"{}"), ("b.png", PNG)]


def whole_tar(format=tarfile.PAX_FORMAT):
    return make_tar([*THREE, ("é" * 80 + ".jpg", JPEG)], format)


def test_a_tar_without_members_is_fine():
    contents = read(make_tar([]))
    assert (len(contents), contents.directories, contents.other_members) == (0, 0, 0)


def test_the_whole_stream_is_read_once():
    stream = ForwardOnly(whole_tar())
    read_tar(stream, source="x.tar", max_image_bytes=10, on_image=len)
    assert stream.bytes_read == len(whole_tar())


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_tar_truncated_anywhere_is_broken(data):
    format = data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    tar = whole_tar(format)
    last = tar.rstrip(b"\0")
    end = -(-len(last) // 512) * 512 + 512  # up to and with the first block of the end
    cut = data.draw(st.integers(0, end - 1) | st.sampled_from(range(0, end, 512)))
    with pytest.raises(BrokenSource) as error:
        read(tar[:cut])
    assert error.value.source == "x.tar"
    assert str(error.value).startswith("x.tar: ")


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        (0, "empty file"),
        (100, "truncated: it ends at byte 100, inside the header at byte 0"),
        (512 + 100, "truncated: it ends at byte 612, inside member 'a.jpg' (header at byte 0)"),
        (1536, "no end-of-archive marker at byte 1536"),
        (1536 + 3, "truncated: it ends at byte 1539, inside the header at byte 1536"),
    ],
)
def test_truncation_is_reported_with_its_place(cut, reason):
    with pytest.raises(BrokenSource) as error:
        read(make_tar(THREE)[:cut])
    assert reason in str(error.value)


def test_truncated_sparse_and_long_headers_are_broken(tmp_path):
    with (tmp_path / "s.jpg").open("wb") as f:
        for i in range(60):
            f.seek(i * 65536)
            f.write(b"x")
    for options in (["--format=gnu"], ["--format=pax", "--sparse-version=1.0"]):
        data = gnu_tar(tmp_path, "--sparse", *options, "s.jpg")
        for cut in range(512, 6 * 512, 256):
            with pytest.raises(BrokenSource):
                read(data[:cut])


def test_damage_in_the_middle_is_not_mistaken_for_the_end():
    data = bytearray(make_tar(THREE))
    data[1536 + 10] ^= 1
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as lenient:
        assert len(lenient.getmembers()) == 1  # what this project must not do
    with pytest.raises(BrokenSource, match="damaged: bad header at byte 1536"):
        read(bytes(data))


def test_data_after_the_end_is_not_dropped():
    for rest in (b"x", b"not a header" * 100, JPEG):
        with pytest.raises(BrokenSource, match="the archive ends at byte 1536, but there is data at byte 10240"):
            read(make_tar([("a.jpg", JPEG)]) + rest)
    hole = bytearray(make_tar(THREE))
    hole[1536:2048] = bytes(512)
    with pytest.raises(BrokenSource, match="the archive ends at byte 1536, but there is data at byte 2048"):
        read(bytes(hole))


def test_concatenated_tars_are_named_and_read_on_demand():
    one, two = make_tar([("a.jpg", JPEG), ("a.txt", b"first")]), make_tar([("b.jpg", PNG), ("a.txt", b"second")])
    begins = len(one)
    with pytest.raises(
        BrokenSource, match=rf"concatenated tar: .*another begins at byte {begins}.*ignore_zeros=true"
    ):
        read(one + two)
    data = one + two + one
    found = list(read(data, ignore_zeros=True).samples())
    assert [(s.member, s.occurrence, s.caption) for s in found] == [
        ("a.jpg", 0, "first"),
        ("b.jpg", 0, None),
        ("a.jpg", 1, "second"),
    ]
    assert all(data[s.offset : s.offset + s.size] == s.result for s in found)
    assert [s.result for s in read(one, ignore_zeros=True).samples()] == [JPEG]
    with pytest.raises(BrokenSource, match="there is data at byte"):
        read(one + b"no tar" * 100, ignore_zeros=True)
    with pytest.raises(BrokenSource, match="truncated"):
        read(one + two[:1000], ignore_zeros=True)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "a Git LFS pointer.*git lfs pull",
        ),
        (b"/annex/objects/SHA256E-s9--00.tar\n", "a git-annex pointer.*git annex get"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"PK\x03\x04" + bytes(600), "a zip archive"),
    ],
)
def test_what_stands_in_for_a_tar_is_named(content, named):
    with pytest.raises(BrokenSource, match=f"x.tar: not a tar but {named}"):
        read(content)


def test_an_unfinished_preallocated_file_is_broken():
    read(make_tar(THREE) + bytes(1 << 20))
    with pytest.raises(BrokenSource, match="only zeros from byte"):
        read(make_tar(THREE) + bytes(6 << 20))


@pytest.mark.parametrize(
    ("compress", "name"),
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bzip2"),
        (lzma.compress, "xz"),
        (lambda d: b"\x28\xb5\x2f\xfd" + d, "zstandard"),
    ],
)
def test_compressed_tars_are_named(compress, name):
    with pytest.raises(BrokenSource, match=f"not a tar but {name} data; decompress it first"):
        read(compress(make_tar(THREE)))


@pytest.mark.parametrize("data", [JPEG, b"x", b"<html>" * 1000, bytes(range(256)) * 40])
def test_not_a_tar(data):
    with pytest.raises(BrokenSource, match=r"not a tar|truncated"):
        read(data)


def test_impossible_sizes_are_damage():
    for size in (-512, -5):
        header = tarfile.TarInfo("a.jpg")
        header.size = size
        with pytest.raises(BrokenSource, match="damaged"):
            read(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    huge = tarfile.TarInfo("././@PaxHeader")
    huge.type, huge.size = tarfile.XHDTYPE, 1 << 40
    with pytest.raises(BrokenSource, match="extended header"):
        read(huge.tobuf(tarfile.GNU_FORMAT) + bytes(10240))


@given(st.binary(max_size=3000), st.integers(0, 4), st.integers(0, 3000))
@settings(max_examples=150, deadline=None)
def test_noise_is_read_or_broken_and_nothing_else(noise, kind, at):
    format = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)[kind % 2]
    tar = bytearray(whole_tar(format))
    tar[at : at + len(noise)] = noise
    try:
        read(bytes(tar))
    except BrokenSource:
        return


def test_errors_of_the_caller_are_not_caught():
    with pytest.raises(ZeroDivisionError):
        read(make_tar(THREE), on_image=lambda data: 1 // 0)


# --- laws and sizes ------------------------------------------------------------------------------

names = st.text("ab./_é-", min_size=1, max_size=12).filter(lambda n: n.strip("/."))
members = st.lists(
    st.tuples(names, st.sampled_from(["", ".jpg", ".PNG", ".json", ".txt", ".cls"]), st.binary(max_size=1500)),
    max_size=12,
)


@given(members, st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
@settings(max_examples=150, deadline=None)
def test_index_to_bytes_round_trips_and_no_member_is_lost(drawn, format):
    data = make_tar([(name + extension, content) for name, extension, content in drawn], format)
    contents = read(data)
    rows = list(contents.samples())
    sidecars = set()
    for s in rows:
        assert data[s.offset : s.offset + s.size] == (s.result or b"")
        sidecars |= {offset for offset in (s.json_offset, s.caption_offset) if offset is not None}
    images = sum(s.problem is None for s in rows)
    assert images + len(sidecars) + contents.other_members + contents.unused_sidecars == len(drawn)
    assert [s.offset for s in rows] == sorted(s.offset for s in rows)
    assert len({(s.member, s.occurrence) for s in rows}) == len(rows)
    found = {s.member for s in rows}
    for name, extension, _ in drawn:
        is_named = extension in (".jpg", ".PNG") and not name.endswith("/") and not is_ignored(name + extension)
        assert not is_named or name + extension in found


@pytest.mark.slow
def test_memory_per_sample_is_small():
    count = 4_000
    sidecar = b'{"url": "http://example.com/' + b"x" * 200 + b'"}'
    parts = []
    for i in range(count):
        for extension, content in (("jpg", b""), ("json", sidecar)):
            header = tarfile.TarInfo(f"{i:08}.{extension}")
            header.size = len(content)
            parts.append(header.tobuf() + content + bytes(-len(content) % 512))
    data = b"".join(parts) + bytes(1024)
    tracemalloc.start()
    contents = read(data, on_image=len)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(contents) == count
    assert used / count < 1500


def test_memory_does_not_grow_with_the_images():
    image = b"\xff\xd8\xff" + bytes(1 << 20)
    data = make_tar([(f"{i}.jpg", image) for i in range(30)])
    tracemalloc.start()
    read(data, max_image_bytes=2 << 20, on_image=len)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_stems():
    assert split_member("a.b/c") == ("a.b/c", "")
    assert split_member("a/.hidden") == ("a/.hidden", "")
    assert split_member("a/b.C.JPG") == ("a/b.C", "jpg")
    assert group_of("x.y/photo.2023.jpg") == "x.y/photo"
    assert group_of("a/.hidden.jpg") == "a/.hidden"
    assert group_of("a") == "a"


# --- layouts of other tools ---------------------------------------------------------------------------


def test_metaclip_layout():
    side = {"uuid": "8f14e45f", "url": "http://x/y.jpg", "texts": [["alt", "a cat"]]}
    (s,) = samples([("0/8f14e45f.jpeg", JPEG), ("0/8f14e45f.json", json.dumps(side).encode())])
    assert (s.json, s.caption) == (side, None)


@pytest.mark.parametrize("extra", [{"uid": "f2a1", "sha256": "0"}, {"key": "000000001", "status": "success"}])
def test_img2dataset_and_datacomp_layouts(tmp_path, extra):
    path = tmp_path / "00000.tar"
    with webdataset.TarWriter(str(path), encoder=True) as tar:
        for i in range(3):
            tar.write({"__key__": f"{i:09}", "jpg": JPEG, "txt": f"caption {i}", "json": {**extra, "n": i}})
    data = path.read_bytes()
    for i, s in enumerate(samples(data)):
        assert (s.member, s.caption, s.json) == (f"{i:09}.jpg", f"caption {i}", {**extra, "n": i})
        assert data[s.offset : s.offset + s.size] == JPEG


# --- ranges and writing --------------------------------------------------------------------------


def test_read_ranges(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))

    def range_of(offset, size, name="x"):
        return ByteRange(uri=f"file://{tmp_path}/{name}", offset=offset, size_bytes=size)

    ranges = [range_of(10, 5), range_of(100, 0), range_of(0, 100), range_of(3, 1)]
    assert read_ranges(ranges) == [bytes(range(10, 15)), b"", path.read_bytes(), b"\3"]
    for offset, size in ((95, 6), (100, 1), (500, 1), (0, 1 << 60)):
        with pytest.raises(BrokenSource, match="has changed"):
            read_ranges([range_of(10, 5), range_of(offset, size)])
    with pytest.raises(BrokenSource, match="missing"):
        read_ranges([range_of(0, 1, "y")])
    short, missing = try_ranges([range_of(95, 6), range_of(0, 1, "y")])
    assert short == path.read_bytes()[95:] and isinstance(missing, FileNotFoundError)


def write(members):
    out = io.BytesIO()
    with TarWriter(out) as tar:
        places = [tar.add(name, data) for name, data in members]
    return out.getvalue(), places


@given(st.lists(st.tuples(st.text("abé-", min_size=1, max_size=30), st.binary(max_size=2000)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_written_tars_are_reproducible_and_read_back(drawn):
    written = [(f"{i}/{name}.jpg", data) for i, (name, data) in enumerate(drawn)]
    tar, places = write(written)
    assert tar == write(written)[0]
    assert len(tar) % 10240 == 0
    assert [tar[offset : offset + size] for offset, size in places] == [data for _, data in drawn]
    assert [(s.member, s.result, s.offset) for s in samples(tar)] == [
        (name, data, offset) for (name, data), (offset, _) in zip(written, places, strict=True)
    ]


@given(st.text("ab.-é/", min_size=1, max_size=120), st.sampled_from([0, 1, 511, 8**11 - 1, 8**11, 1 << 40]))
def test_headers_are_those_of_the_standard_library(name, size):
    wanted = tarfile.TarInfo(name)
    wanted.size, wanted.mode = size, 0o644
    try:
        header = ustar_header(name, size)
    except InputError:
        return
    assert header == wanted.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def test_written_bytes_never_change():
    tar, places = write([("k.jpg", JPEG), ("d" * 120 + "/k.json", b"{}")])
    assert places == [(512, len(JPEG)), (2048, 2)]
    assert hashlib.sha256(tar).hexdigest() == "cc14bd4502bbd3693a5dc5f8e8ac84cb5965d75479091b54f7b2519bd04d94fd"


def test_written_tars_are_readable_by_gnu_tar_and_webdataset(tmp_path):
    long = "d" * 150 + "/" + "k" * 90
    path = tmp_path / "x.tar"
    path.write_bytes(write([("a.jpg", JPEG), ("a.txt", b"t"), (f"{long}.jpg", PNG)])[0])
    listing = subprocess.run(["tar", "tvf", path], check=True, capture_output=True, text=True, env={"TZ": "UTC"})
    assert listing.stderr == ""
    first, _, last = listing.stdout.splitlines()
    assert first.split() == ["-rw-r--r--", "0/0", str(len(JPEG)), "1970-01-01", "00:00", "a.jpg"]
    assert last.endswith(f"{long}.jpg")
    read_back = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [(r["__key__"], r["jpg"]) for r in read_back] == [("a", JPEG), (long, PNG)]


@pytest.mark.parametrize("name", ["x" * 101, "d" * 156 + "/x", "/a", "a/../b", "a//b", "a/", "", "a\0", "\ud800"])
def test_names_that_ustar_cannot_store_are_refused(name):
    out = io.BytesIO()
    with pytest.raises(InputError):
        TarWriter(out).add(name, b"")
    assert out.getvalue() == b""


def test_a_writer_that_failed_leaves_no_complete_tar():
    out = io.BytesIO()
    with pytest.raises(ZeroDivisionError), TarWriter(out) as tar:
        tar.add("a.jpg", bytes(2 << 20))
        raise ZeroDivisionError
    with pytest.raises(BrokenSource, match="no end-of-archive marker"):
        read(out.getvalue())
