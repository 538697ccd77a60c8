"""A path is literal: nothing in the name of a folder or file is a pattern, a partition, an escape or an option."""

import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from curation.sources.sources import expand
from jobs.cli.main import main
from jobs.commands.reference_sets import named_sets
from manifests import storage
from manifests.errors import InputError
from manifests.file_names import name_bytes, name_text
from manifests.format.store import open_manifest
from manifests.sql.engine import DuckEngine, columns_of
from manifests.sql.query import run_query
from tests.support.making import commit_rows, rows_of_tar, tar_bytes
from tests.support.object_store import bucket_of

ODD = [
    *("source=laion", "key=5", "size=512", "keep=light", "part=7"),
    *("a[b]c", "[!x]", "q?x", "st*r", "**", "{1,2}", "{a", "#hash", "%20", "100%", "a::b", "s3:", "file:"),
    *(" sp ace ", "~tilde", "-dash", "--help", "a;b", "q'uote", 'q"uote', "back\\slash", "\\[x", "new\nline", "é"),
    *("$HOME", "${x}", "$(x)", "&key=x", "?token=x", "a,b", "@at", "caf\udce9", "\\xe9", ":smile:", "[red]x"),
]


# --- names ---------------------------------------------------------------------------------------


@given(st.binary() | st.lists(st.sampled_from([b"\\", b"x", b"5c", b"\xe9", b"e9", "é".encode()])).map(b"".join))
@example(rb"\xe9")
@example(rb"\x5cxe9")
def test_a_name_of_any_bytes_is_a_text_and_comes_back(raw):
    text = name_text(raw)
    text.encode()
    assert name_bytes(text) == raw
    assert name_text(name_bytes(text)) == text


@given(st.text().filter(lambda text: "\\x" not in text))
def test_names_in_utf8_stay_as_they_are(text):
    assert name_text(text.encode("utf-8", "replace")) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("name", ODD)
def test_a_folder_of_any_name_can_have_files(tmp_path, name):
    folder = storage.absolute(str(tmp_path / name))
    for below in ODD:
        storage.write_bytes(storage.join(folder, name_text(os.fsencode(below))), below.encode("utf-8", "replace"))
    names = storage.list_names(folder)
    assert sorted(map(name_bytes, names)) == sorted(map(os.fsencode, ODD))
    assert sorted(storage.entries(folder)) == sorted(names)
    read = storage.read_many(folder, names)
    assert sorted(read.values()) == sorted(below.encode("utf-8", "replace") for below in ODD)
    storage.remove(folder)
    assert list(tmp_path.iterdir()) == []


# --- manifests -----------------------------------------------------------------------------------


def manifest_at(uri):
    return commit_rows(uri, [[{"key": "a", "size": 1}, {"key": "b", "size": 2}], [{"key": "c", "size": 3}]])


def looked_at(uri):
    """Return the rows that DuckDB reads of a manifest, in both ways that use it."""
    manifest = open_manifest(uri)
    with run_query({"m": manifest}, "select key, source, size from m order by key") as answer:
        rows = [row for batch in answer.batches for row in batch.to_pylist()]
    with DuckEngine() as engine:
        engine.view("rows", manifest, columns_of(["key", "source", "size"]))
        seen = engine.fetch("select part, row, key, source, size from rows order by key").to_pylist()
    return rows, seen


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("is_above", [False, True])
def test_a_manifest_of_any_name_has_its_own_rows(tmp_path, name, is_above):
    expected = looked_at(manifest_at(tmp_path / "plain").uri)
    place = tmp_path / name / "scan" if is_above else tmp_path / name
    manifest_at(place)
    assert looked_at(str(place)) == expected
    assert [row["source"] for row in expected[0]] == ["file:///data/0.tar"] * 3


def test_what_a_pattern_would_match_is_not_read_instead(tmp_path):
    for decoy in ("abc", "qax", "staar", "1"):
        commit_rows(tmp_path / decoy, [[{"key": "wrong"}]])
    for name in ("a[b]c", "q?x", "st*r", "{1,2}"):
        manifest_at(tmp_path / name)
        assert [row["key"] for row in looked_at(str(tmp_path / name))[0]] == ["a", "b", "c"]


@pytest.fixture(scope="module")
def bucket():
    """Start an object store on this machine."""
    with bucket_of("odd"):
        yield "s3://odd"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["source=laion", "a[b]c", "q?x", "st*r", "{1,2}", "#hash", "%20", "a::b", "sp ace", "é"]
)
def test_on_object_storage_too(bucket, tmp_path, name):
    expected = looked_at(manifest_at(tmp_path / "plain").uri)
    manifest_at(f"{bucket}/{name}/scan")
    assert looked_at(f"{bucket}/{name}/scan") == expected


# --- sources -------------------------------------------------------------------------------------


def keys_of(patterns):
    return sorted((source.name, source.size_bytes) for source in expand(patterns))


@pytest.mark.parametrize("name", ODD)
def test_a_working_folder_of_any_name_is_no_part_of_a_pattern(tmp_path, monkeypatch, name):
    for folder in (tmp_path / "plain", tmp_path / name):
        folder.mkdir()
        for number in range(3):
            (folder / f"{number}.tar").write_bytes(b"x" * number)
        (folder / "photos").mkdir()
        (folder / "photos" / "a.jpg").write_bytes(b"x")
        (folder / "list").write_text("*.tar\nphotos/\n")
    found = []
    for folder in (tmp_path / "plain", tmp_path / name):
        monkeypatch.chdir(folder)
        found.append(
            [keys_of(["*.tar"]), keys_of(["{0..2}.tar"]), keys_of(["[01].tar", "photos/"]), keys_of(["@list"])]
        )
    assert found[0] == found[1]
    monkeypatch.chdir("/")
    typed = ("*.tar", "{0..2}.tar", "[01].tar", "photos/")
    plain, odd = ([keys_of([f"{tmp_path}/{each}/{end}"]) for end in typed] for each in ("plain", name))
    assert odd == plain, "a part of the pattern that exists is literal, too"
    listed = expand([f"@{tmp_path / name}/list"])
    assert [source.name for source in listed] == ["0.tar", "1.tar", "2.tar", "photos/"]


@pytest.mark.parametrize("name", ODD)
def test_an_existing_name_wins_over_a_pattern(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for decoy in ("abc", "qax", "staar", "1", "2", "x"):
        Path(f"{decoy}.tar").write_bytes(b"decoy")
    tar, folder = Path(f"{name}.tar"), Path(name)
    tar.write_bytes(b"1234")
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"12")
    prefix = "./" if name.startswith("file:") else ""
    for typed in (f"{prefix}{name}.tar", f"{tmp_path}/{name}.tar"):
        (source,) = expand([typed])
        assert source.size_bytes == 4
        assert name_bytes(source.name) == os.fsencode(f"{name}.tar")
    for typed in (f"{prefix}{name}/", f"{tmp_path}/{name}"):
        (source,) = expand([typed])
        assert (source.is_folder, source.size_bytes) == (True, 2)


def test_lists_can_have_names_of_any_kind(tmp_path):
    for name in ODD:
        (tmp_path / f"{name}.tar").write_bytes(b"x")
    lines = [name for name in ODD if "\n" not in name and not name.startswith("#")]
    written = [f"./{name}.tar" if name.startswith(("file:", "s3:")) else f"{name}.tar" for name in lines]
    (tmp_path / "list").write_bytes(b"\n".join(map(os.fsencode, written)))
    found = expand([f"@{tmp_path}/list"])
    assert sorted(name_bytes(source.name) for source in found) == sorted(os.fsencode(f"{name}.tar") for name in lines)


def test_a_source_that_was_printed_can_be_named(tmp_path):
    for name in ODD:
        (tmp_path / f"{name}.tar").write_bytes(b"x")
        (source,) = expand([f"{tmp_path}/{name}.tar"])
        assert expand([source.uri])[0].uri == source.uri
        assert storage.read_bytes(source.uri) == b"x"


def test_a_text_or_a_list_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pictures.txt").mkdir()
    Path("pictures.txt/a.jpg").write_bytes(b"x")
    Path("@photos").mkdir()
    Path("@photos/a.jpg").write_bytes(b"x")
    Path("a.tar").write_bytes(b"x")
    Path("@list.txt").write_text("a.tar\n")
    assert [source.uri.rsplit("/", 2)[1] for source in expand(["pictures.txt", "@photos"])] == [
        "@photos",
        "pictures.txt",
    ]
    assert [source.name for source in expand(["@list.txt"])] == ["a.tar"]


# --- arguments of commands -------------------------------------------------------------------------


def test_home_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert storage.absolute("~") == "file:///home/me"
    assert storage.absolute("~/x") == "file:///home/me/x"
    assert storage.absolute("./~") == storage.absolute(f"{tmp_path}/~")
    with pytest.raises(InputError, match=r"~nobody-here/x: there is no user 'nobody-here'.*write \./~nobody-here/x"):
        storage.absolute("~nobody-here/x")
    Path("~nobody-here").mkdir()
    assert storage.absolute("~nobody-here/x") == storage.absolute(f"{tmp_path}/~nobody-here/x")
    with pytest.raises(InputError, match="an empty path"):
        storage.absolute("")


def test_a_reference_set_in_a_folder_with_an_equals_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest_at(tmp_path / "source=laion" / "scan")
    assert named_sets(["source=laion/scan"]) == {"source=laion": "source=laion/scan"}
    assert named_sets(["mine=source=laion/scan"]) == {"mine": "source=laion/scan"}


def run(*args):
    done = CliRunner().invoke(main, list(args))
    assert done.exit_code in (0, 1), done.output
    return done.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["source=laion", "key=5", "a[b]c*", "{1,2} #%?::", "caf\udce9", "\\xe9\\[", "${x}"])
def test_commands_see_the_same_in_a_folder_of_any_name(tmp_path, monkeypatch, name):
    answers = []
    for folder in (tmp_path / "plain", tmp_path / name):
        folder.mkdir()
        monkeypatch.chdir(folder)
        members = [(f"{n}.jpg", b"\xff\xd8" + bytes([n])) for n in range(4)]
        Path("0.tar").write_bytes(tar_bytes(members))
        uri = storage.absolute("0.tar")
        root = uri.removesuffix("0.tar")
        commit_rows("scan", [rows_of_tar(uri, io.BytesIO(tar_bytes(members)).read())], roots=[root])
        Path("keys*.txt").write_text("0/1.jpg\n0/2.jpg\n")
        answers.append(
            [
                run("query", "scan", "select key, member, size, sha256 from manifest order by key", "--json"),
                json.loads(run("sample", "scan", "-o", "sample", "--count", "2", "--json", "-q"))["digest"],
                json.loads(run("select", "scan", "--keys", "keys*.txt", "-o", "picked", "--json", "-q"))["digest"],
                json.loads(run("merge", "picked", "sample", "-o", "both", "--json", "-q"))["digest"],
                run("verify", "sample", "--deep").replace(name, "plain"),
                run("cat", "scan", "--keys", "0/1.jpg", "--columns", "key,size", "--csv"),
                run("export", "scan", "-o", "out[1].txt", "--format", "keys").split(" at ")[0],
                json.loads(run("stats", "scan", "--columns", "size", "--json"))["groups"],
                Path("out[1].txt").read_text(),
            ]
        )
    assert answers[0][:4] == answers[1][:4]
    assert answers[0][5:] == answers[1][5:]
    assert ": valid" in answers[1][4]
