"""Manifests and other tools: plain Parquet for any reader, and lists of samples in and out."""

import bz2
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.sources.keys import declared_key
from jobs.cli.main import main
from manifests import storage
from manifests.errors import InputError, ManifestError
from manifests.exchange.comparable_values import ValueKind
from manifests.exchange.exports import LISTED, Export, Format, export
from manifests.exchange.key_lists import VALUES, read_keys
from manifests.exchange.uid_pairs import UID_PAIR, pairs_of, uids_of
from manifests.format.commit import commit
from manifests.format.receipts import Receipt, write_part
from manifests.format.schema import Stage, schema
from manifests.format.store import Provenance, lanes_of
from tests.docs.test_docs import blocks

CHOSEN = schema(Stage.CHOOSE)
GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/interop.md"
CAPTIONS = ("a chart", "Grüße, 世界 🙂", 'say "hi",\nthen go', "", None, "tab\tand \u2028 line")


def uid(n):
    """Return a uid like DataComp's: 32 hexadecimal digits."""
    return hashlib.md5(str(n).encode()).hexdigest()  # noqa: S324 - no secret


def rows_of(numbers):
    """Rows with every kind of value: nulls, unicode, bytes that are not text, the largest numbers."""
    return pa.Table.from_pylist([row_of(n) for n in numbers], CHOSEN)


def row_of(n):
    is_read = n % 4 != 3
    more = {
        "width": 100 + n,
        "height": 2**31 - 1 - n,
        "orientation": n % 8 + 1,
        "url": f"https://example.org/{n // 2}.jpg?a=1,2#ü",  # each twice
        "sha256": hashlib.sha256(str(n).encode()).hexdigest(),
        "pdq": hashlib.sha256(b"pdq%d" % n).digest(),
        "local_points": bytes(range(n)) + b"\x00\xff",
        "embedding": np.full(4, n / 8, "<f2").tobytes(),
        "text_density": n / 7,
        "text_score": float("nan") if n == 2 else 1 / (n + 1),
        "text_class": "heavy",
    }
    return {
        "key": uid(n),
        "source": f"file:///data/{n // 10:05d}.tar",
        "member": f"{n:09d}.jpg",
        "offset": 2**40 + 512 * n,
        "size": n,
        "status": "ok" if is_read else "undecodable",
        "caption": CAPTIONS[n % len(CAPTIONS)],
        "cluster_id": uid(n),
        "keep": n % 3 == 0,
        "drop_reason": None if n % 3 == 0 else "not_heavy",
        **(more if is_read else {"error": "not an image"}),
    }


def write_manifest(place, parts, columns=CHOSEN, stage=Stage.CHOOSE):
    """Commit a manifest with one part for each of these tables."""
    uri = storage.absolute(str(place))
    receipts = []
    for number, table in enumerate(parts):
        name = f"part-{number:05d}.parquet"
        part = write_part(storage.join(uri, name), table.to_batches(), columns, roots=())
        measured = {"rows": part.rows, "size_bytes": part.size_bytes, "sha256": part.sha256, "counts": part.counts}
        lanes = lanes_of(part.lanes.tolist())
        receipts.append(Receipt(unit=name, fingerprint="f", part=name, lanes=lanes, **measured))
    about = Provenance(stage=stage, config={}, software={}, inputs={}, parents=[], roots=[], funnel=[])
    return commit(uri, receipts, about, created="2025-01-01T00:00:00+00:00")


@pytest.fixture
def chosen(tmp_path):
    """Commit a manifest of four parts, one without rows."""
    parts = [rows_of(range(7)), rows_of([]), rows_of(range(7, 12)), rows_of([12])]
    return write_manifest(tmp_path / "out/chosen", parts)


@pytest.fixture
def folder(chosen):
    return chosen.uri.removeprefix("file://")


def run(*args):
    return CliRunner().invoke(main, [str(each) for each in args])


# --- a manifest is plain Parquet


def same_rows(found, names=None):
    """Return whether `found`, a list of dicts, has the values and types that were written."""

    def comparable(row):
        row = {name: bytes(v) if isinstance(v, bytearray) else v for name, v in row.items()}
        return {name: "nan" if isinstance(v, float) and np.isnan(v) else v for name, v in row.items()}

    written = {row["key"]: row for row in rows_of(range(13)).select(names or CHOSEN.names).to_pylist()}
    assert len(found) == len(written)
    for row in found:
        want, have = comparable(written[row["key"]]), comparable(row)
        assert have == want
        assert {name: type(v) for name, v in have.items()} == {name: type(v) for name, v in want.items()}


def test_duckdb_reads_it(folder):
    import duckdb

    found = duckdb.sql(f"SELECT * FROM '{folder}/*.parquet'")
    names = found.columns
    same_rows([dict(zip(names, row, strict=True)) for row in found.fetchall()])


def test_polars_reads_it(folder):
    import polars

    same_rows(polars.read_parquet(f"{folder}/*.parquet").to_dicts())
    lazy = polars.scan_parquet(f"{folder}/*.parquet").filter(polars.col("keep")).select("key", "pdq")
    assert lazy.collect().height == 5


def test_pandas_reads_it(folder):
    import pandas

    found = pandas.read_parquet(folder, dtype_backend="pyarrow")
    same_rows(pa.Table.from_pandas(found, preserve_index=False).to_pylist())
    # Without a null for integers, pandas reads them as floats.
    assert pandas.read_parquet(folder)["width"].dtype == "float64"


def test_pyarrow_reads_it(folder):
    import pyarrow.dataset as ds

    found = ds.dataset(folder, format="parquet").to_table()
    assert found.schema.equals(CHOSEN)
    assert found.schema.field("pdq").metadata[b"description"].startswith(b"PDQ fingerprint")
    same_rows(found.to_pylist())


def test_hugging_face_datasets_reads_it(folder, tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    datasets = pytest.importorskip("datasets")
    files = f"{folder}/*.parquet"
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    same_rows(found.to_list())
    streamed = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    same_rows(list(streamed))


def test_spark_reads_it(folder, spark):
    same_rows([row.asDict() for row in spark.read.parquet(folder).collect()])


# --- reading lists


KEYS = [uid(n) for n in range(5)]


def as_npy(uids, kind=UID_PAIR):
    """Return a subset as DataComp's code writes it."""
    return np.array([(int(u[:16], 16), int(u[16:], 16)) for u in uids], kind)


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def parquet_bytes(columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"
UUID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def read(name, data):
    uri = f"memory://lists/{name}"
    storage.write_bytes(uri, data)
    found = read_keys(uri)
    assert found.values.schema == VALUES
    return found.column, found.values.column("value").to_pylist()


def kinds_of(name, data):
    """Return the type of a list, and its values with their kinds."""
    uri = f"memory://lists/{name}"
    storage.write_bytes(uri, data)
    found = read_keys(uri)
    return found.type, [(each["value"], ValueKind(each["kind"])) for each in found.values.to_pylist()]


@pytest.mark.parametrize(
    ("name", "data", "column", "values"),
    [
        ("a.txt", b"k1\nk2\n", None, ["k1", "k2"]),
        ("a.txt", b"\xef\xbb\xbf k1 \r\n\r\n# no\n  # no\n\tk2\nk1", None, ["k1", "k2"]),
        ("a", b"k1\n", None, ["k1"]),
        ("a.lst", b'say "x",y\n', None, ['say "x",y']),
        ("a.txt", b"", None, []),
        ("a.txt", b"\n#\n\n", None, []),
        ("a.txt", b"https://a/1,2\ns3://b\n", "url", ["https://a/1,2", "s3://b"]),
        ("a.txt", b"https://a/1\nk\n", None, ["https://a/1", "k"]),
        ("a.txt.gz", gzip.compress(b"k1\nk2", mtime=0), None, ["k1", "k2"]),
        ("a.csv", b'n,uid\n1,"a\nb"\n2,\n3,007\n4,NA\n', "key", ["a\nb", "007", "NA"]),
        ("a.csv", b"url,key\nu,k\n", "key", ["k"]),
        ("a.csv", b"URL,TEXT\nu,t\n", "url", ["u"]),
        ("a.csv.gz", gzip.compress(b"sha256\nff\n", mtime=0), "sha256", ["ff"]),
        ("a.tsv", b"x\tsha256\r\n1\tff\r\n", "sha256", ["ff"]),
        ("a.json", b'["b", "a", null, 3]', None, ["b", "a", "3"]),
        ("a.json", b'[{"x": 1, "uid": "b"}, {"uid": 7}, {}]', "key", ["b", "7"]),
        ("a.json", b'{"rows": 2, "url": ["u", "v"]}', "url", ["u", "v"]),
        ("a.json", b'{"key": "a"}\n{"key": "b"}\n', "key", ["a", "b"]),
        ("a.jsonl", b'\n{"key": "a"}\n{"key": null}\n{"x": 1}\n{"key": "\xc3\xa9"}', "key", ["a", "é"]),
        ("a.jsonl", b'"a"\n"b"\n', None, ["a", "b"]),
        ("a.jsonl", b"", None, []),
        ("a", b'{"key": "a"}\n', "key", ["a"]),
        ("a", b'["a"]', None, ["a"]),
        ("a.npy", npy_bytes(as_npy(KEYS)), "key", KEYS),
        ("a.npy", npy_bytes(as_npy(KEYS, ">u8,>u8")), "key", KEYS),
        ("a.npy", npy_bytes(as_npy([KEYS[0]] * 3)), "key", [KEYS[0]]),
        ("a.npy", npy_bytes(np.array(["b", "a"])), None, ["b", "a"]),
        ("a.npy", npy_bytes(np.array([], UID_PAIR)), "key", []),
        ("a.bin", npy_bytes(as_npy(KEYS)), "key", KEYS),
        ("a.parquet", parquet_bytes({"url": ["u"], "key": ["k"], "uid": ["i"]}), "key", ["k"]),
        ("a.parquet", parquet_bytes({"sha256": ["ff", None, "", "ff"]}), "sha256", ["ff"]),
        ("a.parquet", parquet_bytes({"uid": pa.array(["a", "a"]).dictionary_encode()}), "key", ["a"]),
        ("a.parquet", parquet_bytes({"uid": pa.array([5, 6])}), "key", ["5", "6"]),
        ("a.txt", parquet_bytes({"url": ["u"]}), "url", ["u"]),
    ],
)
def test_lists_of_every_form_are_read(name, data, column, values):
    assert read(name, data) == (column, values)


TEXT, INTEGER, UUID = ValueKind


@pytest.mark.parametrize(
    ("name", "data", "kind", "values"),
    [
        ("a.txt", b"007\n", "text", [("007", TEXT)]),
        ("a.csv", b"key\n1.0\n", "text", [("1.0", TEXT)]),
        ("a.json", b'["1", 1, 1.0, 2.5, 1e3, -0.0, NaN, null]', None, "1t 1 2.5 1000 0"),
        ("a.json", b'{"key": [1, 2.0]}', None, "1 2"),
        (
            "a.jsonl",
            b'{"key": 9007199254740993}\n{"key": 9007199254740992.0}',
            None,
            "9007199254740993 9007199254740992.0",
        ),
        ("a.npy", npy_bytes(np.array([5, -6], ">i8")), "int64", "5 -6"),
        ("a.npy", npy_bytes(np.array([2**64 - 1], "u8")), "uint64", f"{2**64 - 1}"),
        ("a.npy", npy_bytes(np.array([5, np.nan, 2.5, 1e20])), "float64", "5 2.5 1e+20"),
        ("a.npy", npy_bytes(np.array([5, 2**24], "f4")), "float32", "5 16777216.0"),
        ("a.npy", npy_bytes(np.array(["é".encode(), b"k1"])), "text", [("é", TEXT), ("k1", TEXT)]),
        ("a.npy", npy_bytes(as_npy(KEYS[:1])), "text", [(KEYS[0], TEXT)]),
        ("a.parquet", parquet_bytes({"key": pa.array([5, None, 5], pa.uint8())}), "uint8", "5"),
        ("a.parquet", parquet_bytes({"key": pa.array([5.0, None, np.nan])}), "double", "5"),
        ("a.parquet", parquet_bytes({"key": pa.array([5]).cast(pa.decimal128(21, 2))}), "decimal128(21, 2)", "5"),
        ("a.parquet", parquet_bytes({"key": pa.array(["5"], pa.large_string())}), "large_string", [("5", TEXT)]),
        ("a.parquet", parquet_bytes({"key": pa.array(["5"], pa.string_view())}), "string_view", [("5", TEXT)]),
        ("a.parquet", parquet_bytes({"key": ["é".encode()]}), "binary", [("é", TEXT)]),
        ("a.parquet", parquet_bytes({"key": pa.array([b"5" * 16], pa.binary(16))}), None, [("5" * 16, TEXT)]),
        ("a.parquet", parquet_bytes({"key": [bytes(range(16)), None]}), "binary", [(UUID_TEXT, UUID)]),
        ("a.parquet", parquet_bytes({"key": pa.array([bytes(range(16))], pa.uuid())}), None, [(UUID_TEXT, UUID)]),
        ("a.parquet", parquet_bytes({"sha256": [bytes(range(32))]}), "binary", [(bytes(range(32)).hex(), TEXT)]),
        ("a.parquet", parquet_bytes({"key": pa.nulls(3)}), "null", []),
    ],
)
def test_values_keep_their_kind(name, data, kind, values):
    if isinstance(values, str):
        values = [(each.rstrip("t"), TEXT if each.endswith("t") else INTEGER) for each in values.split()]
    found, read_values = kinds_of(name, data)
    assert read_values == values
    assert found == kind or (kind is None and name.endswith("parquet"))


def test_parquet_of_img2dataset_is_read_by_uid_or_url():
    """Its `key` is a row number in a shard, not the key of a sample."""
    table = {"key": ["000000000"], "status": ["success"], "error_message": [""], "sha256": ["f"], "url": ["u"]}
    assert read("00000.parquet", parquet_bytes({**table, "uid": ["i"]})) == ("key", ["i"])
    assert read("00000.parquet", parquet_bytes(table)) == ("url", ["u"])


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.txt", b"caf\xe9\n", "invalid UTF8"),
        ("a.txt", b"a\x01b\n", "not readable as a list of keys"),
        ("a.txt.gz", b"k1", "not readable as a list of keys"),
        ("a.txt.gz", gzip.compress(b"k1\n" * 1000, mtime=0)[:-9], "not readable as a list of keys"),
        ("a.bz2", bz2.compress(b"k1\n"), "not readable as a list of keys"),
        ("a.csv", b"name,size\n1,2\n", "no column key, uid, url or sha256, only name, size"),
        ("a.csv", b"", "only none"),
        ("a.csv", b"key,x\na\n", "not readable as a list of keys"),
        ("a.json", b"{", "not readable as a list of keys"),
        ("a.json", b'{"size": 1}', "no column key"),
        ("a.json", b'[["a"]]', 'entry 1 is \\["a"\\], not a text'),
        ("a.json", b'["a", {"key": "b"}]', "entry 2: objects and other values are mixed"),
        ("a.json", b"[true]", "entry 1 is true"),
        ("a.json", b'["\\ud800"]', "not readable as a list of keys"),
        ("a.jsonl", b'{"key": "a"}\n{oops\n', "line 2 is not JSON"),
        ("a.npy", b"junk", "not readable as a list of keys"),
        ("a.npy", npy_bytes(np.array([True])), "an array of bool"),
        ("a.npy", npy_bytes(np.array([1], "M8[s]")), "an array of datetime64"),
        ("a.npy", npy_bytes(np.array([b"\xff\xfe"])), "not readable as a list of keys"),
        ("a.npy", npy_bytes(np.zeros((2, 2), "u8")), r"an array of uint64 and shape \(2, 2\)"),
        ("a.npy", npy_bytes(np.array(["a", 1], object)), "an array of object"),
        ("a.npy", npy_bytes(as_npy(KEYS))[:-1], "ends before its 5 entries do"),
        ("a.parquet", b"PAR1", "not readable as a list of keys"),
        (
            "a.parquet",
            parquet_bytes({"key": [b"\xff"]}),
            "column key has bytes that are neither UTF-8 text nor UUIDs",
        ),
        (
            "a.parquet",
            parquet_bytes({"key": [b"k1", b"\0" * 16]}),
            "column key has bytes that are neither UTF-8 text nor UUIDs",
        ),
        (
            "a.parquet",
            parquet_bytes({"uid": [True, None]}),
            "column uid has values of bool, which cannot name samples; write",
        ),
        (
            "a.parquet",
            parquet_bytes({"url": [["u"]]}),
            "column url has values of list<.*>, which cannot name samples",
        ),
        ("a.parquet", parquet_bytes({"key": pa.array([1], pa.timestamp("s"))}), "cannot name samples"),
        ("a.parquet", LFS, "a Git LFS pointer, not the file itself; run git lfs pull"),
        ("a.txt", LFS, "a Git LFS pointer, not the file itself; run git lfs pull"),
        ("a", LFS, "a Git LFS pointer, not the file itself; run git lfs pull"),
        ("a.txt.gz", LFS, "not readable as a list of keys"),
        ("a.txt", b"<!DOCTYPE html><html>404</html>", "a web page, not the file itself"),
        ("a.parquet", parquet_bytes({"id": ["a"]}), "no column key, uid, url or sha256, only id"),
    ],
)
def test_other_files_are_refused_in_one_sentence(name, data, why):
    with pytest.raises(InputError, match=why) as error:
        read(name, data)
    assert str(error.value).startswith(f"memory://lists/{name}: ")
    assert "\n" not in str(error.value)


def test_nothing_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="nothing: no such file"):
        read_keys(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"a folder without _manifest\.json"):
        read_keys(str(tmp_path))


def test_a_manifest_is_a_list_of_its_keys(chosen, folder):
    found = read_keys(folder)
    assert found.column == "key"
    assert found.values.column(0).to_pylist() == [uid(n) for n in range(13)]
    part = read_keys(f"{folder}/part-00002.parquet")
    assert (part.column, part.values.column(0).to_pylist()) == ("key", [uid(n) for n in range(7, 12)])
    storage.remove(f"{chosen.uri}/part-00002.parquet")
    with pytest.raises(ManifestError, match=r"part-00002\.parquet: missing"):
        read_keys(folder)


# A key has no space, no # and no colon; other texts may be anything.
plain_keys = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
uids = st.integers(0, 2**128 - 1).map("{:032x}".format)


@pytest.mark.slow
@given(st.lists(plain_keys, max_size=30), st.sampled_from(["txt", "csv", "tsv", "json", "jsonl", "npy", "parquet"]))
@settings(max_examples=60, deadline=None)
def test_every_form_of_a_list_has_the_same_values(keys, form):
    written = {
        "txt": lambda: "\n".join(keys).encode(),
        "csv": lambda: "".join(f"{k}\n" for k in ["key", *keys]).encode(),
        "tsv": lambda: "".join(f"1\t{k}\n" for k in ["key", *keys]).encode(),
        "json": lambda: json.dumps(keys).encode(),
        "jsonl": lambda: "".join(json.dumps({"key": k}) + "\n" for k in keys).encode(),
        "npy": lambda: npy_bytes(np.array(keys, "U64")),
        "parquet": lambda: parquet_bytes({"key": pa.array(keys, pa.string())}),
    }
    _, found = read(f"law.{form}", written[form]())
    assert found == list(dict.fromkeys(keys))


@given(st.lists(uids, max_size=40))
def test_pairs_and_digits_are_each_others_inverse(given_uids):
    pairs = pairs_of(pa.array(given_uids, pa.string()))
    assert pairs.tolist() == as_npy(given_uids).tolist()
    assert uids_of(pairs).to_pylist() == given_uids
    ascending = np.sort(pairs)
    assert uids_of(ascending).to_pylist() == sorted(given_uids)


# --- exports


def exported(manifest, **wanted):
    """Return the bytes of an export, after comparing them with its summary."""
    uri = "memory://exports/file"
    with storage.write_atomically(uri) as sink:
        done = export(manifest, Export(**wanted), sink)
    data = storage.read_bytes(uri)
    assert (done.size_bytes, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    return data, done


@pytest.fixture(scope="module")
def uid_rows():
    return rows_of(range(13))


@pytest.mark.slow
@given(st.permutations(range(13)), st.sets(st.integers(0, 13), max_size=4), st.sampled_from(list(Format)))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_bytes_do_not_depend_on_order_and_parts(tmp_path_factory, uid_rows, order, cuts, form):
    shuffled = uid_rows.take(order)
    edges = [0, *sorted(cuts), 13]
    parts = [shuffled.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    folder = tmp_path_factory.mktemp("parts")
    one, other = write_manifest(folder / "one", [uid_rows]), write_manifest(folder / "other", parts)
    assert exported(one, format=form)[0] == exported(other, format=form)[0]


@pytest.mark.slow
@given(st.sets(uids, max_size=30))
@settings(max_examples=25, deadline=None)
def test_datacomp_round_trip(tmp_path_factory, keys):
    rows = pa.Table.from_pylist([{**row_of(0), "key": k} for k in keys], CHOSEN)
    manifest = write_manifest(tmp_path_factory.mktemp("law") / "m", [rows])
    data, done = exported(manifest, format=Format.DATACOMP)
    assert data == npy_bytes(np.sort(as_npy(sorted(keys))))
    assert read("law.npy", data) == ("key", sorted(keys))
    assert (done.rows, done.left_out) == (len(keys), 0)


@pytest.mark.parametrize("form", [Format.KEYS, Format.URLS, Format.SHA256])
def test_lists_round_trip(chosen, form):
    column = LISTED[form]
    data, done = exported(chosen, format=form)
    want = sorted({v for v in rows_of(range(13)).column(column).to_pylist() if v is not None})
    assert data.decode() == "".join(f"{each}\n" for each in want)
    assert read("list.txt", data)[1] == want
    assert (done.rows, done.left_out) == (len(want), 13 - len(want))


def test_tables_round_trip(chosen):
    data, _ = exported(chosen, format=Format.CSV)
    assert read("t.csv", data) == ("key", sorted(uid(n) for n in range(13)))
    options = pa.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""])
    table = pa.csv.read_csv(
        pa.BufferReader(data), pa.csv.ReadOptions(), pa.csv.ParseOptions(newlines_in_values=True), options
    )
    written = rows_of(range(13)).sort_by("key")
    for name in ("key", "caption", "url", "keep", "offset", "height"):
        assert table.column(name).to_pylist() == written.column(name).to_pylist()
    assert not {"pdq", "embedding"} & set(table.column_names)
    lines, _ = exported(chosen, format=Format.JSONL, columns=("caption", "pdq", "text_score", "keep"))
    for line, row in zip(lines.decode().split("\n"), written.to_pylist(), strict=False):
        is_nan = row["text_score"] is None or np.isnan(row["text_score"])
        want = {"caption": row["caption"], "pdq": row["pdq"] and row["pdq"].hex()}
        assert json.loads(line) == {**want, "text_score": None if is_nan else row["text_score"], "keep": row["keep"]}


def test_img2dataset_gets_urls_and_scans_find_the_keys_again(chosen):
    data, done = exported(chosen, format=Format.IMG2DATASET, is_kept=True)
    table = pq.read_table(pa.BufferReader(data))
    assert table.column_names == ["url", "caption", "uid", "sha256", "width", "height"]
    kept = [r for r in rows_of(range(13)).sort_by("key").to_pylist() if r["keep"]]
    assert table.column("uid").to_pylist() == [r["key"] for r in kept if r["url"]]
    assert (done.rows, done.left_out) == (4, 1)  # one is not an image, so has no url here
    # img2dataset writes additional columns into each sample's json.
    assert [declared_key({"uid": u}) for u in table.column("uid").to_pylist()] == table.column("uid").to_pylist()
    assert read("again.parquet", data)[0] == "key"


def test_only_rows_that_are_wanted(chosen):
    data, _ = exported(chosen, format=Format.KEYS, where="size >= 6 -- and more\n", is_kept=True)
    assert data.decode().split() == sorted(uid(n) for n in (6, 9, 12))
    data, done = exported(chosen, format=Format.URLS, where="size < 0")
    assert (data, done.rows) == (b"", 0)
    data, done = exported(chosen, format=Format.DATACOMP, where="size < 0")
    assert data == npy_bytes(np.array([], UID_PAIR))


def test_what_does_not_fit_is_counted_and_shown(tmp_path):
    odd = [{**row_of(0), "key": key, "url": url} for key, url in (("plain", "u\nv"), (uid(1), "w"), ("A" * 32, "x"))]
    manifest = write_manifest(tmp_path / "m", [pa.Table.from_pylist(odd, CHOSEN)])
    with pytest.raises(InputError, match=r"2 of 3 keys do not fit, such as 'A{32}': DataComp's uids have 32"):
        exported(manifest, format=Format.DATACOMP)
    with pytest.raises(InputError, match=r"1 of 3 urls do not fit, such as 'u\\nv': a line cannot"):
        exported(manifest, format=Format.URLS)
    data, _ = exported(manifest, format=Format.CSV, columns=("url",))
    assert sorted(read("u.csv", data)[1]) == ["u\nv", "w", "x"]


def test_manifests_and_files_on_any_storage(chosen):
    far = write_manifest("memory://far/chosen", [rows_of(range(7)), rows_of(range(7, 13))])
    for form in Format:
        assert exported(far, format=form)[0] == exported(chosen, format=form)[0]
    done = run("export", far.uri, "-o", "memory://far/subset.npy", "--all")
    assert done.exit_code == 0, done.output
    assert read_keys("memory://far/subset.npy").values.sort_by("value") == read_keys(far.uri).values.sort_by("value")


def test_a_part_that_was_altered_is_noticed(chosen):
    storage.write_bytes(chosen.part_uri(chosen.parts[0]), b"PAR1")
    with pytest.raises(ManifestError, match=r"part-00000\.parquet: 4 bytes"):
        exported(chosen, format=Format.KEYS)


# --- the command


def test_the_command_writes_and_reports(folder, tmp_path):
    target = tmp_path / "new" / "subset.npy"
    done = run("export", folder, "-o", target, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert {"format": "datacomp", "rows": 5, "kept": True, "left_out": 0}.items() <= answer.items()
    subset = np.load(target, allow_pickle=False)
    assert subset.dtype == np.dtype("u8,u8")
    assert uids_of(subset).to_pylist() == sorted(uid(n) for n in (0, 3, 6, 9, 12))
    done = run("export", folder, "-o", target, "--all", "--force")
    assert done.stdout == f"datacomp: 13 rows, 336 bytes at file://{target}\n"
    assert [p.name for p in target.parent.iterdir()] == ["subset.npy"]


def test_only_manifests_with_keep_export_kept_rows(tmp_path):
    scan = schema(Stage.SCAN)
    write_manifest(tmp_path / "scan", [rows_of(range(6)).select(scan.names).cast(scan)], scan, Stage.SCAN)
    done = run("export", tmp_path / "scan", "-o", "-", "--format", "keys")
    assert done.stdout.split() == sorted(uid(n) for n in range(6))
    assert done.stderr == "keys: 6 rows, 198 bytes at stdout\n"
    done = run("export", tmp_path / "scan", "-o", "-", "--format", "keys", "--kept")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "has no column keep" in done.stderr


def test_formats_follow_the_name(folder, tmp_path):
    for name in ("a.npy", "a.txt", "a.csv", "a.jsonl", "a.parquet"):
        assert run("export", folder, "-o", tmp_path / name).exit_code == 0
        assert read_keys(str(tmp_path / name)).values.num_rows == (4 if name == "a.parquet" else 5)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["-o", "there.txt"], "exists already; add --force"),
        (["-o", "out", "--format", "keys"], "a folder, not a file; name a file in it"),
        (["-o", "out/chosen/keys.txt"], "is a manifest, which is never modified"),
        (["-o", "a.xyz"], "no format has its extension; add --format"),
        (["-o", "a.csv", "--columns", "key,nope"], "no column nope; there are key, source"),
        (["-o", "a.txt", "--columns", "key"], "--columns: keys has its own"),
        (["-o", "a.txt", "--where", "widht > 3"], "widht"),
        (["-o", "a.txt", "--where", "(SELECT true)"], "looks beyond its row"),
        (["-o", "a.txt", "--where", "url::INTEGER > 3"], "fails on a row"),
        (["-o", "-", "--format", "datacomp"], "datacomp is a binary format"),
        (["-o", "-", "--format", "keys", "--json"], "--json needs stdout, too"),
        (["-o", "nosuch://b/a.txt"], "nosuch"),
    ],
)
def test_the_command_refuses(folder, tmp_path, monkeypatch, args, why):
    monkeypatch.chdir(tmp_path)
    Path("there.txt").write_text("mine\n")
    before = sorted(tmp_path.rglob("*"))
    done = run("export", folder, *args)
    assert done.exit_code == 2, done.output
    assert why in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
    assert Path("there.txt").read_text() == "mine\n"


def test_texts_of_others_cannot_control_the_terminal(tmp_path):
    rows = pa.Table.from_pylist([{**row_of(0), "url": "https://e/\x1b[2J\x9b1m"}], CHOSEN)
    write_manifest(tmp_path / "m", [rows])
    terminal, end = os.openpty()
    command = [sys.executable, "-m", "jobs", "export", str(tmp_path / "m"), "-o", "-", "--format", "urls"]
    subprocess.run(command, cwd=GUIDE.parent.parent.parent, stdout=end, stderr=subprocess.PIPE, check=True)
    assert os.read(terminal, 1000).decode() == "https://e/\ufffd[2J\ufffd1m\r\n"


# --- the guide


@pytest.mark.parametrize("number", range(len(blocks(GUIDE, "python"))))
def test_the_code_of_the_guide_works(number, chosen, tmp_path, monkeypatch, spark):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert run("export", "out/chosen", "-o", "subset.npy").exit_code == 0
    code = blocks(GUIDE, "python")[number].replace('"out/', f'"{tmp_path}/out/')  # Spark has its own working folder
    exec(compile(code, f"{GUIDE}:{number}", "exec"), {"spark": spark})  # noqa: S102 - ours


def test_the_commands_of_the_guide_work(chosen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = [
        c for block in blocks(GUIDE, "console") for c in re.findall(r"^\$ curate (export .*)$", block, re.MULTILINE)
    ]
    assert len(typed) >= 5
    for command in typed:
        done = run(*shlex.split(command.split(" | ")[0]))
        assert done.exit_code == 0, f"{command}\n{done.output}"
