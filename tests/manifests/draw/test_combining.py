"""Selections, merges and patches: manifests made from rows of others."""

import hashlib
import json
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.cli.main import main
from jobs.operations.derive import Piece, plan_pieces
from manifests import exclusive
from manifests.draw.combining import values_digest
from manifests.exchange.comparable_values import ValueKind
from manifests.exchange.key_lists import VALUES
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest
from tests.conftest import rows_of
from tests.jobs.test_object_storage import BUCKET, s3  # noqa: F401 - a fixture
from tests.support.making import commit_rows

pytestmark = pytest.mark.slow  # hundreds of merges and patches

SETTINGS = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COUNTER = iter(range(10**9))
KEYS = st.sampled_from([f"k{n}" for n in range(7)])
ROW = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ok", "truncated"]),
        "width": st.none() | st.integers(1, 3),
        "height": st.none() | st.integers(1, 3),
        "size": st.none() | st.integers(1, 3),
        "caption": st.none() | st.text(max_size=2),
    }
)
TABLE = st.dictionaries(KEYS, ROW, max_size=7)


def run(*args: object, code: int = 0):
    done = CliRunner().invoke(main, [str(a) for a in args])
    assert "Traceback" not in done.output
    assert done.exit_code == code, done.output
    return done


def committed(folder: Path, rows: dict[str, dict], **about) -> Manifest:
    listed = [{"key": k, **v} for k, v in rows.items()]
    return commit_rows(folder / f"m{next(COUNTER)}", [listed[:2], listed[2:]], **about)


def made(folder: Path, *command: object) -> Manifest:
    output = folder / f"out{next(COUNTER)}"
    run(*command, "-o", output, "--quiet")
    return open_manifest(str(output))


# --- merge


@pytest.mark.slow
@SETTINGS
@given(a=TABLE, b=TABLE, c=TABLE)
def test_a_merge_by_the_best_does_not_depend_on_order(tmp_path: Path, a, b, c) -> None:
    x, y, z = (committed(tmp_path, rows) for rows in (a, b, c))
    forward = made(tmp_path, "merge", x.uri, y.uri, z.uri, "--on-conflict", "best")
    backward = made(tmp_path, "merge", z.uri, y.uri, x.uri, "--on-conflict", "best")
    assert forward.digest == backward.digest
    assert rows_of(forward).column("key").to_pylist() == sorted({*a, *b, *c})


@pytest.mark.slow
@SETTINGS
@given(a=TABLE, b=TABLE)
def test_a_merge_of_agreeing_manifests_is_commutative(tmp_path: Path, a, b) -> None:
    agreeing = {key: a.get(key, row) for key, row in b.items()}
    x, y = committed(tmp_path, a), committed(tmp_path, agreeing)
    assert made(tmp_path, "merge", x.uri, y.uri).digest == made(tmp_path, "merge", y.uri, x.uri).digest


@pytest.mark.slow
@settings(SETTINGS, max_examples=10)
@given(a=TABLE, b=TABLE)
def test_a_merge_with_itself_changes_nothing_and_the_first_wins(tmp_path: Path, a, b) -> None:
    x, y = committed(tmp_path, a), committed(tmp_path, b)
    assert made(tmp_path, "merge", x.uri, x.uri).digest == x.digest
    both = rows_of(made(tmp_path, "merge", x.uri, y.uri, "--on-conflict", "first")).to_pylist()
    assert {r["key"]: r["caption"] for r in both} == {k: r["caption"] for k, r in {**b, **a}.items()}


def test_the_best_is_complete_then_large(tmp_path: Path) -> None:
    rows = [
        {"status": "truncated", "width": 9, "height": 9, "caption": "cut"},
        {"status": "ok", "width": 2, "height": 2, "size": 1, "caption": "small"},
        {"status": "ok", "width": 2, "height": 2, "size": 2, "caption": "more bytes"},
    ]
    for best, count in (("cut", 1), ("small", 2), ("more bytes", 3)):
        manifests = [committed(tmp_path, {"k": row}).uri for row in rows[:count]]
        merged = made(tmp_path, "merge", *manifests, *manifests[:1], "--on-conflict", "best")
        assert rows_of(merged).column("caption").to_pylist() == [best]


def test_conflicts_are_refused_by_name(tmp_path: Path) -> None:
    a, b = committed(tmp_path, {"k": {"width": 1}, "l": {}}), committed(tmp_path, {"k": {"width": 2}, "l": {}})
    done = run("merge", a.uri, b.uri, "-o", tmp_path / "out", code=2)
    assert "1 keys have different rows (k)" in done.output
    assert not (tmp_path / "out").exists()


def test_manifests_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    scan = committed(tmp_path, {"k": {}})
    chosen = commit_rows(tmp_path / "chosen", [[{"key": "k"}]], Stage.CHOOSE)
    assert "of stage choose" in run("merge", scan.uri, chosen.uri, "-o", tmp_path / "o", code=2).output
    shards = commit_rows(
        tmp_path / "shards",
        [[{"key": "k", "shard": "0.tar", "shard_offset": 0, "shard_size": 1, "shard_index": 0}]],
        Stage.SHARD,
    )
    assert "shard again" in run("merge", shards.uri, shards.uri, "-o", tmp_path / "o", code=2).output
    outer = committed(tmp_path, {"a": {"source": "file:///x/y/1.tar"}}, roots=["file:///x"])
    inner = committed(tmp_path, {"b": {"source": "file:///x/y/1.tar"}}, roots=["file:///x/y"])
    assert "sources would be ambiguous" in run("merge", outer.uri, inner.uri, "-o", tmp_path / "o", code=2).output
    assert "at least two" in run("merge", scan.uri, "-o", tmp_path / "o", code=2).output


def test_a_merged_manifest_names_its_parents(tmp_path: Path) -> None:
    a, b = committed(tmp_path, {"a": {}}, roots=["file:///x"]), committed(tmp_path, {"b": {}}, roots=["file:///y"])
    merged = made(tmp_path, "merge", a.uri, b.uri)
    assert [p.digest for p in merged.parents] == [a.digest, b.digest]
    assert (merged.made_by, list(merged.roots)) == ("merge", ["file:///x", "file:///y"])


def test_settings_that_differ_are_not_recorded(tmp_path: Path) -> None:
    for stage, command in ((Stage.CHOOSE, "audit"), (Stage.DEDUPE, "dedupe")):
        a, b = (
            commit_rows(
                tmp_path / f"{stage}-{name}", [[{"key": name}]], stage, config={"keep": name, "copies": [name]}
            )
            for name in ("one", "two")
        )
        merged = made(tmp_path, "merge", a.uri, b.uri)
        assert merged.config == {}
        refused = run(command, merged.uri, "-o", tmp_path / "out", *["--dry-run"] * (command == "dedupe"), code=2)
        assert "merged from manifests" in refused.output
        same = made(tmp_path, "merge", a.uri, a.uri)
        assert same.config == a.config


# --- select


@pytest.mark.slow
@SETTINGS
@given(a=TABLE, wanted=st.sets(KEYS, max_size=4))
def test_a_selection_and_its_inverse_have_all_rows(tmp_path: Path, a, wanted) -> None:
    manifest = committed(tmp_path, a)
    (tmp_path / "keys.txt").write_text("".join(f"{key}\n" for key in sorted(wanted)) or "# none\nnothing\n")
    inside = made(tmp_path, "select", manifest.uri, "--keys", tmp_path / "keys.txt")
    outside = made(tmp_path, "select", manifest.uri, "--keys", tmp_path / "keys.txt", "--invert")
    assert set(rows_of(inside).column("key").to_pylist()) == wanted & set(a)
    assert made(tmp_path, "merge", inside.uri, outside.uri).digest == manifest.digest


def test_uids_urls_and_hashes_select(tmp_path: Path) -> None:
    uid = "0123456789abcdef" * 2
    rows = {uid: {"url": "http://a/1", "sha256": "aa"}, "k": {"url": "http://b/2", "sha256": "bb"}}
    manifest = committed(tmp_path, rows)
    uids = np.array([(int(uid[:16], 16), int(uid[16:], 16))], np.dtype("u8,u8"))
    np.save(tmp_path / "subset.npy", uids)
    (tmp_path / "urls.txt").write_text("http://a/1\nhttp://nowhere/\n")
    (tmp_path / "hashes.csv").write_text("sha256\naa\n")
    for name in ("subset.npy", "urls.txt", "hashes.csv"):
        assert rows_of(made(tmp_path, "select", manifest.uri, "--keys", tmp_path / name))["key"].to_pylist() == [uid]
    done = run("select", manifest.uri, "--keys", tmp_path / "urls.txt", "-o", tmp_path / "u")
    assert "1 of 2 listed are in no row, by url (http://nowhere/)" in done.output
    refused = run("select", manifest.uri, "--keys", tmp_path / "urls.txt", "-o", tmp_path / "v", "--strict", code=2)
    assert "correct the list" in refused.output
    assert not (tmp_path / "v").exists()
    assert (
        "no such file" in run("select", manifest.uri, "--keys", tmp_path / "no", "-o", tmp_path / "w", code=2).output
    )


def test_the_order_of_a_list_does_not_matter(tmp_path: Path) -> None:
    manifest = committed(tmp_path, {"a": {}, "b": {}, "c": {}})
    for text in ("a\nb\n", "b\n\na\nb\n"):
        (tmp_path / "keys.txt").write_text(text)
        done = run("select", manifest.uri, "--keys", tmp_path / "keys.txt", "-o", tmp_path / "out")
    assert "up to date" in done.output


def write_list(folder: Path, values: pa.Array, name: str = "key") -> Path:
    pq.write_table(pa.table({name: values}), folder / "list.parquet")
    return folder / "list.parquet"


NUMBERS = st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True)
TYPES = [
    pa.int8(),
    pa.uint64(),
    pa.float16(),
    pa.float64(),
    pa.decimal128(12, 3),
    pa.dictionary(pa.int8(), pa.int64()),
]


@pytest.mark.slow
@settings(SETTINGS, max_examples=4)
@given(has=NUMBERS, wanted=NUMBERS, width=st.integers(2, 9), is_inverted=st.booleans())
def test_every_encoding_of_keys_selects_the_same(tmp_path: Path, has, wanted, width: int, is_inverted: bool) -> None:
    manifest = committed(tmp_path, {f"{n:0{width}d}": {} for n in has})
    options = ["--invert"] * is_inverted
    texts = pa.array([f"{n:0{width}d}" for n in wanted])
    lists = [texts.cast(pa.binary()), pa.array([float(n) for n in wanted] + [None, float("nan")])]
    for kind in TYPES:
        numbers = pa.array(wanted, pa.int64())
        encoded = numbers.dictionary_encode() if pa.types.is_dictionary(kind) else numbers.cast(pa.int8())
        lists.append(encoded.cast(kind))
    expected = made(tmp_path, "select", manifest.uri, "--keys", write_list(tmp_path, texts), *options).digest
    for each in lists:
        got = made(tmp_path, "select", manifest.uri, "--keys", write_list(tmp_path, each), *options)
        assert got.digest == expected, each.type
    np.save(tmp_path / "list.npy", np.array(wanted))
    (tmp_path / "list.json").write_text(json.dumps(wanted))
    for name in ("list.npy", "list.json"):
        assert made(tmp_path, "select", manifest.uri, "--keys", tmp_path / name, *options).digest == expected


@pytest.mark.slow
@settings(SETTINGS, max_examples=5)
@given(uuids=st.lists(st.uuids(), min_size=1, max_size=4, unique=True), is_upper=st.booleans(), form=st.booleans())
def test_uuids_select_keys_with_and_without_dashes(tmp_path: Path, uuids, is_upper: bool, form: bool) -> None:
    keys = [each.hex if form else str(each) for each in uuids]
    keys = [key.upper() if is_upper else key for key in keys]
    manifest = committed(tmp_path, {**{key: {} for key in keys}, "other": {}})
    raw = pa.array([each.bytes for each in uuids[1:]] + [b"\xff" * 16], pa.binary(16))
    for values in (raw, raw.cast(pa.binary()), pa.ExtensionArray.from_storage(pa.uuid(), raw)):
        got = made(tmp_path, "select", manifest.uri, "--keys", write_list(tmp_path, values, "uid"))
        assert set(rows_of(got)["key"].to_pylist()) == set(keys[1:])


def test_hashes_in_bytes_select(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"picture").digest()
    manifest = committed(tmp_path, {"a": {"sha256": digest.hex()}, "b": {"sha256": "ff"}})
    for values in (pa.array([digest]), pa.array([digest], pa.binary(32)), pa.array([digest.hex().encode()])):
        got = made(tmp_path, "select", manifest.uri, "--keys", write_list(tmp_path, values, "sha256"))
        assert rows_of(got)["key"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("keys", "values", "selected", "notice"),
    [
        (
            ["01", "001", "7"],
            [1, 7],
            ["7"],
            "1 of 2 listed are in no row, by key (1); ambiguous, as the value of sev",
        ),
        (["1", "01"], [1], ["1"], ""),
        (["1", "01"], ["1"], ["1"], ""),
        (
            ["01", "001"],
            [1],
            [],
            "0 of 1 values matched on key: int64 1 against 001; ambiguous, as the value of seve",
        ),
        (
            ["000000001"],
            [7, 8],
            [],
            "0 of 2 values matched on key: int64 7 against 000000001; write them as in the",
        ),
        (
            ["000000001"],
            ["1"],
            [],
            "0 of 1 values matched on key: string 1 against 000000001; write them as in the",
        ),
        (["000000001"], [1.5], [], "0 of 1 values matched on key: double 1.5 against 000000001; write"),
        ([], [1], [], "0 of 1 values matched on key: int64 1 against no value at all; write"),
        (["1e20", "100000000000000000000"], [1e20], [], "0 of 1 values matched on key: double 1e+20 against 100000"),
        (["1"], [], [], ""),
    ],
)
def test_what_was_not_matched_is_reported(tmp_path: Path, keys, values, selected, notice: str) -> None:
    manifest = committed(tmp_path, {key: {} for key in keys})
    path = write_list(tmp_path, pa.array(values) if values else pa.array([], pa.int64()))
    done = run("select", manifest.uri, "--keys", path, "-o", tmp_path / "out")
    assert rows_of(tmp_path / "out")["key"].to_pylist() == selected
    assert f"select: {notice}" in done.stderr if notice else "matched" not in done.stderr
    strict = ("select", manifest.uri, "--keys", path, "-o", tmp_path / "strict", "--strict")
    assert "correct the list" in run(*strict, code=2).stderr if notice else run(*strict)


def test_urls_are_not_matched_by_value(tmp_path: Path) -> None:
    manifest = committed(tmp_path, {"01": {"url": "01"}})
    path = write_list(tmp_path, pa.array([1]), "url")
    done = run("select", manifest.uri, "--keys", path, "-o", tmp_path / "out")
    assert (
        "0 of 1 values matched on url: int64 1 against 01; write them as in the manifest, or name another column"
        in done.stderr
    )
    assert open_manifest(str(tmp_path / "out")).rows == 0


def test_the_digest_of_values_depends_on_kinds_and_not_on_order() -> None:
    def digest(*pairs: tuple[str, ValueKind]) -> str:
        columns = list(zip(*pairs, strict=True)) or [[], []]
        return values_digest(
            pa.table([pa.array(columns[0], pa.string()), pa.array(columns[1], pa.int8())], schema=VALUES)
        )

    one, two, number = ("1", ValueKind.TEXT), ("2", ValueKind.TEXT), ("1", ValueKind.INTEGER)
    assert digest(one, two, number) == digest(number, two, one)
    assert (
        len({digest(*each) for each in ([], [one], [number], [one, number], [two, number], [("1", ValueKind.UUID)])})
        == 6
    )
    assert digest(one, two) == hashlib.sha256(b"1\n2\n").hexdigest()  # as in versions without kinds


# --- the result


def test_later_stages_take_a_derived_manifest(tmp_path: Path) -> None:
    chosen = commit_rows(
        tmp_path / "chosen",
        [[{"key": "a", "size": 5, "keep": True}, {"key": "b", "size": 7, "keep": False}]],
        Stage.CHOOSE,
    )
    made_one = made(tmp_path, "sample", chosen.uri, "--fraction", "1", "--from", "all")
    assert made_one.digest == chosen.digest
    assert made_one.facts == {"kept_image_bytes": 5}
    assert (made_one.stage, made_one.config) == (chosen.stage, chosen.config)
    twice = made(tmp_path, "sample", made_one.uri, "--count", "1")
    funnel = json.loads(run("show", twice.uri, "--json").stdout)["funnel"]
    assert [row["stage"] for row in funnel][-2:] == ["sample", "sample"]


@pytest.mark.parametrize("options", [[], ["--restart"]])
def test_a_corpus_named_by_mistake_as_the_output_is_left_alone(tmp_path: Path, options: list[str]) -> None:
    manifest, corpus = committed(tmp_path, {"a": {}}), tmp_path / "corpus"
    corpus.mkdir()
    for name in ("00000.tar", "00000.parquet", "00000_stats.json", "part-00000.parquet"):
        (corpus / name).write_bytes(b"precious")
    done = run("sample", manifest.uri, "--fraction", "1", "-o", corpus, *options, code=2)
    assert "not empty and not curate's" in done.output
    assert sorted(p.read_bytes() for p in corpus.iterdir()) == [b"precious"] * 4


def test_a_restart_that_is_killed_while_it_discards_can_be_repeated(tmp_path: Path, monkeypatch) -> None:
    manifest, output = committed(tmp_path, {"a": {}, "b": {}, "c": {}}), tmp_path / "out"
    run("sample", manifest.uri, "--count", 1, "-o", output)
    remove = exclusive.remove_through

    def killed(uri: str, folder: str) -> None:
        if uri.endswith(".parquet"):
            raise KeyboardInterrupt
        remove(uri, folder)

    with monkeypatch.context() as patched:
        patched.setattr(exclusive, "remove_through", killed)
        run("sample", manifest.uri, "--count", 2, "-o", output, "--restart", code=130)
    assert "unfinished" in run("show", output, code=2).output or "no manifest" in run("show", output, code=2).output
    run("sample", manifest.uri, "--count", 2, "-o", output)
    assert open_manifest(str(output)).rows == 2
    (part,) = open_manifest(str(output)).parts
    assert sorted(p.name for p in output.iterdir()) == ["_manifest.json", "_tables", part.name]


def test_a_manifest_derived_from_shards_finds_its_tars(tmp_path: Path) -> None:
    row = {"key": "k", "shard": "0.tar", "shard_offset": 0, "shard_size": 1, "shard_index": 0}
    shards = commit_rows(tmp_path / "shards", [[row]], Stage.SHARD)
    small = made(tmp_path, "sample", made(tmp_path, "sample", shards.uri, "--fraction", "1").uri, "--fraction", "1")
    assert small.shards_uri == shards.uri
    assert small.digest == shards.digest


def test_parts_are_grouped_in_order_and_by_size(tmp_path: Path, monkeypatch) -> None:
    from jobs.operations import derive

    monkeypatch.setattr(derive, "ROWS_PER_PART", 10)
    source = commit_rows(tmp_path / "m", [[{"key": f"{p}-{n}"} for n in range(4)] for p in range(6)])
    assert plan_pieces([source], [{0: 4, 1: 4, 2: 4, 4: 20, 5: 1}]) == [
        Piece(source=0, places=(0, 1)),
        Piece(source=0, places=(2,)),
        Piece(source=0, places=(4,)),
        Piece(source=0, places=(5,)),
    ]


@pytest.mark.parametrize("command", ["sample {} --fraction 0.5", "select {} --keys {}", "merge {} {}"])
def test_an_altered_part_is_not_copied(tmp_path: Path, command: str) -> None:
    manifest = committed(tmp_path, {f"k{n}": {"caption": "x" * n} for n in range(7)})
    part = Path(manifest.uri.removeprefix("file://")) / "part-00001.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2 + 60] ^= 1
    part.write_bytes(bytes(data))
    done = run(*command.replace("{}", manifest.uri).split(), "-o", tmp_path / "out", code=2)
    assert "part" in done.output
    assert not (tmp_path / "out" / "_manifest.json").exists()


@pytest.mark.slow
def test_everything_on_object_storage(s3, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    endpoint = s3["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")  # the pipeline file names it instead
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    (tmp_path / "p.yaml").write_text(
        yaml.safe_dump({"input": "a.tar", "output": "out", "storage": {"s3": {"endpoint_url": endpoint}}})
    )
    top, settings = f"s3://{BUCKET}/combined", ("-c", tmp_path / "p.yaml", "--quiet")
    monkeypatch.setattr("fsspec.config.conf", {"s3": {"endpoint_url": endpoint}})
    a = commit_rows(f"{top}/a", [[{"key": "k1", "width": 1}, {"key": "k2"}], [{"key": "k3", "caption": "é'\n"}]])
    b = commit_rows(f"{top}/b", [[{"key": "k1", "width": 2}], [{"key": "k3", "caption": "é'\n"}, {"key": "k4"}]])
    monkeypatch.setattr("fsspec.config.conf", {})
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    done = run("diff", a.uri, b.uri, "--out", f"{top}/diff", *settings)
    assert done.stdout.startswith("1 added, 1 removed, 1 changed, 0 moved, 1 the same; proven")
    run("patch", a.uri, f"{top}/diff", "-o", f"{top}/patched", *settings)
    assert open_manifest(f"{top}/patched").digest == b.digest
    run("merge", a.uri, b.uri, "--on-conflict", "first", "-o", f"{top}/merged", *settings)
    run("sample", f"{top}/merged", "--count", 3, "-o", f"{top}/sample", *settings)
    run("select", f"{top}/merged", "--keys", f"{top}/sample", "-o", f"{top}/selected", *settings)
    assert open_manifest(f"{top}/merged").rows == 4
    assert open_manifest(f"{top}/sample").digest == open_manifest(f"{top}/selected").digest
    local = commit_rows(
        tmp_path / "a", [[{"key": "k1", "width": 1}, {"key": "k2"}], [{"key": "k3", "caption": "é'\n"}]]
    )
    assert made(tmp_path, "sample", local.uri, "--count", 2).digest != a.digest
    run("sample", a.uri, "--count", 2, "-o", f"{top}/two", *settings)
    assert open_manifest(f"{top}/two").digest == made(tmp_path, "sample", local.uri, "--count", 2).digest
