"""Parts, receipts and the commit: complete or absent, the same bytes again, and one clear sentence when damaged."""

import dataclasses
import hashlib
import itertools
import json

import duckdb
import pandas
import psutil
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests import storage
from manifests.errors import ManifestError
from manifests.format.commit import commit
from manifests.format.digest import combine, digest, row_lanes
from manifests.format.merged_receipts import read_receipts
from manifests.format.receipts import (
    ROW_GROUP_ROWS,
    Receipt,
    add_counts,
    count_values,
    create_receipt,
    receipt_uri,
    write_part,
)
from manifests.format.schema import FORMAT_VERSION, Stage, schema
from manifests.format.store import Parent, Provenance, is_committed, lanes_of, open_manifest, read_batches
from manifests.redaction import REDACTED, redact

SCAN = schema(Stage.SCAN)
ROOTS = ("file:///data",)


def scan_rows(count, first=0):
    """Return rows of a scan: every fifth is not an image, and captions vary."""
    return pa.Table.from_pylist(
        [
            {
                "key": f"k{n:05d}",
                "source": f"file:///data/{n // 10:05d}.tar",
                "member": f"{n:09d}.jpg",
                "offset": 512 * n,
                "size": n,
                "status": "undecodable" if n % 5 == 4 else "ok",
                "caption": None if n % 3 else f"caption {n} é",
                "pdq": n.to_bytes(32, "big"),
                "text_density": n / 7,
            }
            for n in range(first, first + count)
        ],
        SCAN,
    )


def write_unit(output, unit, table, **more):
    """Write a unit like a stage: its part, then its receipt."""
    name = f"{unit}.parquet"
    part = write_part(storage.join(output, name), table.to_batches(), SCAN, roots=ROOTS)
    receipt = Receipt(
        unit=unit,
        fingerprint="f",
        part=name,
        rows=part.rows,
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        lanes=lanes_of(part.lanes.tolist()),
        counts=part.counts,
        **more,
    )
    storage.make_folder(storage.join(run_of(output), "receipts"))
    create_receipt(run_of(output), receipt)
    return receipt


def run_of(output):
    """The folder of the first run at an output."""
    return storage.join(output, "_work/runs/000001")


ABOUT = Provenance(
    stage=Stage.SCAN,
    config={"max_image_bytes": 1},
    software={"decoder": "1"},
    inputs={"sources": {"file:///data/00000.tar": "etag"}},
    parents=[Parent(uri="file:///before", stage="scan", digest="0")],
    roots=list(ROOTS),
    funnel=[],
)
CREATED = "2025-01-01T00:00:00+00:00"


@pytest.fixture
def output(tmp_path):
    return storage.absolute(str(tmp_path / "manifest"))


@pytest.fixture
def committed(output):
    """Commit a manifest with parts of 12 and 5 rows, written in reverse order."""
    receipts = [
        write_unit(output, "part-00001", scan_rows(5, first=12), seconds=0.5, peak_memory_bytes=7, facts={"x": 1}),
        write_unit(output, "part-00000", scan_rows(12), seconds=1.0, broken_sources={"file:///b.tar": "cut off"}),
    ]
    made = commit(output, receipts, ABOUT, created=CREATED)
    storage.remove(storage.join(output, "_work"))
    return made


# --- parts ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 40), max_size=6))
@settings(max_examples=20)
def test_a_parts_bytes_do_not_depend_on_its_batches(sizes):
    table = scan_rows(40)
    edges = [0, *sorted(set(sizes) - {40}), 40]
    batches = [b for a, z in itertools.pairwise(edges) for b in table.slice(a, z - a).to_batches()]
    whole = write_part("memory://parts/a.parquet", table.to_batches(), SCAN, roots=ROOTS)
    cut = write_part("memory://parts/b.parquet", batches, SCAN, roots=ROOTS)
    assert storage.read_bytes("memory://parts/a.parquet") == storage.read_bytes("memory://parts/b.parquet")
    assert (whole.sha256, whole.lanes.tolist(), whole.counts) == (cut.sha256, cut.lanes.tolist(), cut.counts)


def test_row_groups_are_full_for_any_batches(output):
    table = pa.table({"n": pa.array(range(2 * ROW_GROUP_ROWS + 10), pa.int64())})
    for size in (7_000, ROW_GROUP_ROWS, 10 * ROW_GROUP_ROWS):
        part = write_part(storage.join(output, "p"), table.to_batches(size), table.schema, roots=())
        with storage.open_input(storage.join(output, "p")) as f:
            meta = pq.ParquetFile(f).metadata
        groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        assert (part.rows, groups) == (table.num_rows, [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 10])


def test_what_is_recorded_of_a_part_is_true(output):
    uri, table = storage.join(output, "part-00000.parquet"), scan_rows(10)
    part = write_part(uri, table.to_batches(max_chunksize=3), SCAN, roots=ROOTS)
    data = storage.read_bytes(uri)
    assert (part.rows, part.size_bytes, part.sha256) == (10, len(data), hashlib.sha256(data).hexdigest())
    assert part.lanes.tolist() == row_lanes(table, ROOTS).tolist()
    assert part.counts == {"status": {"ok": 8, "undecodable": 2}}
    read = pa.Table.from_batches(list(read_batches(uri)))
    assert read.equals(table)
    assert read.schema.equals(SCAN, check_metadata=True)


def test_a_part_without_rows(output):
    uri = storage.join(output, "part-00000.parquet")
    part = write_part(uri, [], SCAN, roots=ROOTS)
    assert (part.rows, part.lanes.tolist(), part.counts) == (0, [0, 0, 0, 0], {})
    assert sum(b.num_rows for b in read_batches(uri)) == 0


def test_a_part_that_fails_is_absent(output):
    def broken():
        yield from scan_rows(3).to_batches()
        raise ValueError("a tar broke")

    with pytest.raises(ValueError, match="a tar broke"):
        write_part(storage.join(output, "part-00000.parquet"), broken(), SCAN, roots=ROOTS)
    assert storage.list_names(output) == []


def test_rows_that_break_the_schema_are_refused(output):
    without_key = scan_rows(2).set_column(0, "key", pa.array(["a", None]))
    with pytest.raises(ValueError, match="key"):
        write_part(storage.join(output, "p"), without_key.to_batches(), SCAN, roots=ROOTS)
    with pytest.raises(ValueError, match=r"schema|field"):
        write_part(storage.join(output, "p"), scan_rows(2).drop_columns("caption").to_batches(), SCAN, roots=ROOTS)
    assert storage.list_names(output) == []


def test_counts_leave_nulls_out_and_add_up():
    kept = pa.table({"keep": [True, False, True], "drop_reason": [None, "aspect", None], "other": [1, 2, 3]})
    once = count_values(kept)
    assert once == {"keep": {"true": 2, "false": 1}, "drop_reason": {"aspect": 1}}
    assert add_counts([once, once, {}]) == {"drop_reason": {"aspect": 2}, "keep": {"false": 2, "true": 4}}


# --- receipts ------------------------------------------------------------------------------------


def test_receipts_round_trip(output):
    written = write_unit(
        output,
        "part-00003",
        scan_rows(4),
        files={"00003.tar": {"bytes": 1}},
        broken_sources={"a": "b"},
        facts={"n": 2},
    )
    assert read_receipts(run_of(output)) == {"part-00003": written}
    assert Receipt.from_json(written.to_json()) == written
    assert written.row_lanes.tolist() == list(written.lanes)
    assert read_receipts(output + "-not-there") == {}


@given(st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_receipts_are_left_out(output, data):
    storage.remove(run_of(output))
    good = write_unit(output, "part-00000", scan_rows(1))
    whole = dataclasses.replace(good, unit="part-00001").to_json()
    fields = json.loads(whole)
    damaged = data.draw(
        st.one_of(
            st.integers(0, len(whole) - 1).map(lambda n: whole[:n]),
            st.binary(max_size=20),
            st.sampled_from(sorted({"unit", "part", "rows", "lanes", "counts"})).map(
                lambda name: json.dumps({k: v for k, v in fields.items() if k != name}).encode()
            ),
            st.sampled_from([[], [1, 2, 3], [1, 2, 3, 4, 5], ["a"] * 4, None, 4]).map(
                lambda lanes: json.dumps({**fields, "lanes": lanes}).encode()
            ),
            st.just(json.dumps({**fields, "of_a_later_version": 1}).encode()),
            st.just(json.dumps({**fields, "unit": "part-00009"}).encode()),
            st.just(json.dumps([fields]).encode()),
        )
    )
    storage.write_bytes(receipt_uri(run_of(output), "part-00001"), damaged)
    assert read_receipts(run_of(output)) == {"part-00000": good}


def test_the_first_receipt_of_a_unit_counts(output):
    first = write_unit(output, "part-00000", scan_rows(4))
    assert not create_receipt(run_of(output), dataclasses.replace(first, attempt="another"))
    assert create_receipt(run_of(output), first), "an answer that was lost: the receipt is there"
    assert read_receipts(run_of(output)) == {"part-00000": first}


def test_without_the_folder_of_its_run_no_receipt_is_written(output):
    receipt = write_unit(output, "part-00000", scan_rows(4))
    with pytest.raises(FileNotFoundError):
        create_receipt(run_of(output) + "-of-a-run-that-is-over", receipt)


# --- commit and open -----------------------------------------------------------------------------


def test_commit_then_open(committed, output):
    assert open_manifest(output) == committed
    assert open_manifest(output + "/") == committed
    assert open_manifest(output.removeprefix("file://")) == committed
    assert is_committed(output)
    assert storage.list_names(output) == ["_manifest.json", "_tables", "part-00000.parquet", "part-00001.parquet"]


def test_the_numbers_of_a_manifest_add_up(committed):
    everything = pa.concat_tables(committed.read_part(p) for p in committed.parts)
    assert everything.equals(scan_rows(17))
    assert committed.rows == sum(p.rows for p in committed.parts) == 17
    assert committed.counts == {"status": {"ok": 14, "undecodable": 3}}
    assert [p.name for p in committed.parts] == ["part-00000.parquet", "part-00001.parquet"]
    lanes = combine(row_lanes(committed.read_part(p), ROOTS) for p in committed.parts)
    assert lanes.tolist() == row_lanes(everything, ROOTS).tolist()
    assert [list(p.lanes) for p in committed.parts] == [
        row_lanes(committed.read_part(p), ROOTS).tolist() for p in committed.parts
    ]
    assert committed.digest == digest(lanes, 17, SCAN)
    for part in committed.parts:
        data = storage.read_bytes(committed.part_uri(part))
        assert (part.size_bytes, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert committed.broken_sources == {"file:///b.tar": "cut off"}
    assert committed.facts == {"x": 1}
    assert committed.cost["core_seconds"] == 1.5
    assert committed.cost["peak_worker_memory_bytes"] == 7
    (row,) = committed.funnel
    assert (row["stage"], row["rows"], row["status"]) == ("scan", 17, committed.counts["status"])


def test_the_digest_does_not_depend_on_the_parts(committed, tmp_path):
    other = storage.absolute(str(tmp_path / "other"))
    one = commit(other, [write_unit(other, "part-00000", scan_rows(17))], ABOUT, created="later")
    assert one.digest == committed.digest


def test_the_json_has_format_and_columns(committed, output):
    document = json.loads(storage.read_bytes(f"{output}/_manifest.json"))
    assert document["format_version"] == FORMAT_VERSION
    assert [c["name"] for c in document["schema"]] == SCAN.names
    assert all(c["description"] for c in document["schema"])


def test_columns_can_be_picked(committed):
    part = committed.parts[1]
    assert committed.read_part(part, ["size", "key"]).to_pydict() == {
        "size": [12, 13, 14, 15, 16],
        "key": [f"k{n:05d}" for n in range(12, 17)],
    }


def test_a_manifest_of_no_rows(output):
    manifest = commit(output, [write_unit(output, "part-00000", SCAN.empty_table())], ABOUT, created=CREATED)
    assert (manifest.rows, manifest.counts) == (0, {})
    assert manifest.read_part(manifest.parts[0]).schema.names == SCAN.names
    assert manifest.read_part(manifest.parts[0], ["key"]).schema.names == ["key"]
    assert open_manifest(output) == manifest


def test_a_committed_manifest_is_never_modified(committed, output):
    before = storage.read_bytes(f"{output}/_manifest.json")
    with pytest.raises(ManifestError, match="there is a committed manifest already, which is never modified"):
        commit(output, [write_unit(output, "part-00000", scan_rows(1))], ABOUT, created="later")
    assert storage.read_bytes(f"{output}/_manifest.json") == before


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_keeps_the_columns_before_it(stage):
    stages = list(Stage)
    names = schema(stage).names
    assert len(names) == len(set(names))
    if stage is not stages[0]:
        before = schema(stages[stages.index(stage) - 1]).names
        assert names[: len(before)] == before


# --- errors are one sentence ---------------------------------------------------------------------


def refusal(uri):
    with pytest.raises(ManifestError) as error:
        open_manifest(uri)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("file://")
    return message


def test_nothing_there(output, tmp_path):
    assert refusal(output) == f"{output}: no manifest here (_manifest.json is missing)"
    (tmp_path / "file").write_text("x")
    assert "no manifest here" in refusal(str(tmp_path / "file"))


def test_unfinished(output):
    write_unit(output, "part-00000", scan_rows(3))
    assert refusal(output) == f"{output}: unfinished; run the command that makes it again to resume it"
    assert not is_committed(output)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"not json"])
def test_not_json(output, content):
    storage.write_bytes(f"{output}/_manifest.json", content)
    assert refusal(output).startswith(f"{output}/_manifest.json: not JSON (")


def test_a_pointer_in_place_of_a_manifest_is_named(output):
    storage.write_bytes(f"{output}/_manifest.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n")
    assert "not JSON but a Git LFS pointer" in refusal(output)


@pytest.mark.parametrize(
    "content", [{}, {"format_version": FORMAT_VERSION + 1}, {"format_version": "1"}, [], 7, None]
)
def test_of_another_format(output, content):
    storage.write_bytes(f"{output}/_manifest.json", json.dumps(content).encode())
    assert refusal(output).endswith(f"this curate reads {FORMAT_VERSION}; upgrade curate")


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "frobnicate"},
        {"stage": None},
        {"parts": None},
        {"parts": [1]},
        {"parts": [{"name": "part-00000.parquet"}]},
        {"parents": [{}]},
    ],
)
def test_damaged(committed, output, change):
    document = json.loads(storage.read_bytes(f"{output}/_manifest.json"))
    storage.write_bytes(f"{output}/_manifest.json", json.dumps({**document, **change}).encode())
    assert refusal(output).startswith(f"{output}/_manifest.json: damaged (")


@pytest.mark.parametrize("name", ["rows", "digest", "parts", "funnel", "created"])
def test_an_entry_is_missing(committed, output, name):
    document = json.loads(storage.read_bytes(f"{output}/_manifest.json"))
    del document[name]
    storage.write_bytes(f"{output}/_manifest.json", json.dumps(document).encode())
    assert f"damaged (KeyError('{name}'))" in refusal(output)


def test_a_missing_part_is_named(committed):
    part = committed.parts[1]
    storage.remove(committed.part_uri(part))
    with pytest.raises(ManifestError, match=r"part-00001\.parquet: missing; restore it"):
        committed.read_part(part)
    assert committed.read_part(committed.parts[0]).num_rows == 12


@pytest.mark.parametrize("kept_bytes", [0, 3, 100, -1])
def test_a_truncated_part_is_named(committed, kept_bytes):
    uri = committed.part_uri(committed.parts[0])
    storage.write_bytes(uri, storage.read_bytes(uri)[:kept_bytes])
    with pytest.raises(ManifestError, match=r"part-00000\.parquet: not readable Parquet \("):
        committed.read_part(committed.parts[0])


# --- other tools read it ---------------------------------------------------------------------------


def test_parts_are_plain_parquet(committed):
    folder = committed.uri.removeprefix("file://")
    keys = [f"k{n:05d}" for n in range(17)]
    assert sorted(pandas.read_parquet([f"{folder}/{p.name}" for p in committed.parts])["key"]) == keys
    query = f"SELECT key, text_density FROM read_parquet('{folder}/*.parquet') ORDER BY key"
    assert [k for k, _ in duckdb.sql(query).fetchall()] == keys
    dataset = pyarrow.dataset.dataset(folder, format="parquet")  # skips names that begin with _
    assert dataset.schema.equals(SCAN)
    assert sorted(dataset.to_table().column("key").to_pylist()) == keys
    assert dataset.count_rows(filter=pyarrow.dataset.field("status") == "ok") == 14


# --- secrets -------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "url", "n"]), below, max_size=3)
    ),
    max_leaves=8,
)


@given(plain)
def test_redact_leaves_the_rest_as_it_is(value):
    assert redact(value) == value


@given(
    st.lists(st.sampled_from(["a", 0]), max_size=4),
    st.sampled_from(["secret", "AWS_SECRET_ACCESS_KEY", "password", "sas_token", "Authorization", "credentials"]),
    st.sampled_from(["S3CR3T", ["S3CR3T"], {"id": "S3CR3T", "deep": [{"a": "S3CR3T"}]}, ("S3CR3T", 1)]),
)
def test_redact_finds_secrets_at_any_depth(path, name, secret):
    value = {name: secret, "endpoint_url": "http://x"}
    for step in path:
        value = {step: value} if isinstance(step, str) else [1, value]
    shown = json.dumps(redact(value))
    assert "S3CR3T" not in shown
    assert REDACTED in shown
    assert "http://x" in shown


def test_redact_keeps_null_and_the_original():
    value = {"secret": None, "key": "x"}
    assert redact(value) == {"secret": None, "key": REDACTED}
    assert value["key"] == "x"


def test_no_descriptor_is_left_open(committed):
    before = psutil.Process().num_fds()
    for _ in range(5):
        for part in committed.parts:
            next(read_batches(committed.part_uri(part)))
            committed.read_part(part)
    assert psutil.Process().num_fds() <= before
