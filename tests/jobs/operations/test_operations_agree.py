"""Both engines give samples, diffs, selections, merges and patches the same rows in the same bytes."""

import dataclasses
import functools
import itertools
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from pyspark import cloudpickle

from jobs.operations import derive, requests
from jobs.operations.derive import Request, derived_from
from jobs.spark.engine import SparkEngine, _translated
from jobs.units.progress import Reporter
from manifests import storage
from manifests.compare import diff as diffs
from manifests.compare.diff import Comparison, Diff, DiffOptions, diff
from manifests.compare.diff_set import open_diff
from manifests.draw import sampling
from manifests.draw.combining import OnConflict, pick_listed, pick_merged, unmatched
from manifests.draw.sampling import Draw, local_condition, pick_sample
from manifests.draw.selectivity import selectivity
from manifests.errors import InputError
from manifests.exchange.comparable_values import ValueKind
from manifests.exchange.key_lists import VALUES
from manifests.format.integrity import require_intact
from manifests.format.schema import COLUMNS, Stage
from manifests.format.store import Manifest, Parent, open_manifest
from manifests.sql.engine import DuckEngine, Engine, GroupWork
from tests.conftest import TOP, curate, curate_process, rows_of
from tests.support.making import commit_rows

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
Engines = tuple[Engine, Engine]
TEXTS = [None, "", "plain", "é", "e\u0301", "\U0001f600 b", "\uffee a", 'it\'s \\n ${user.name} "b" `c`', "a\0b"]
FLOATS = [None, 0.0, -0.0, math.nan, 0.1, math.inf, -1.5, -math.inf, 5e-324]
ROOT = "file:///data"
QUIET = Reporter(quiet=True)


class PicklingDuck(DuckEngine):
    """DuckDB, but work goes through pickle as it does on its way to workers: no lambdas, and not much of it."""

    sent_bytes = 0

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """See Engine."""
        sent = pickle.dumps(work)
        self.sent_bytes = len(sent)
        yield from super().map_groups(sql, group, order, pickle.loads(sent))  # noqa: S301 - our own


@pytest.fixture
def engines(spark) -> Iterator[Engines]:
    """DuckDB, and Spark with few partitions, for small groups."""
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    with PicklingDuck(threads=2) as duck, SparkEngine(spark, {}) as sparkling:
        yield duck, sparkling
    spark.conf.set("spark.sql.shuffle.partitions", before)


def awkward_row(n: int, **more: Any) -> dict[str, Any]:
    """Return a row of a chosen manifest whose values follow from its number."""
    return {
        "key": f"k{n:03d}{(TEXTS[n % 7] or '')}",
        "source": f"{ROOT}/{n // 10}.tar",
        "member": f"{n}.jpg",
        "offset": 512 * n,
        "size": n % 5 * 100,
        "sha256": None if n % 9 == 5 else f"{n // 2:064x}",
        "status": ("ok", "truncated", "ok", "undecodable")[n % 4],
        "format": (None, "JPEG", "PNG")[n * n % 3],
        "width": None if n % 4 == 3 else 100 + n * 37 % 50,
        "height": 100 + n % 3,
        "orientation": n % 9,
        "url": None if n % 6 == 1 else f"https://example.org/{n // 3}?{TEXTS[n % len(TEXTS)]}",
        "caption": TEXTS[n % len(TEXTS)],
        "pdq": None if n % 5 == 2 else bytes([n, 255 - n]) * 16,
        "local_points": None if n % 7 == 1 else bytes([n % 256]) * (n % 4),
        "text_density": FLOATS[n % len(FLOATS)],
        "text_score": FLOATS[n * 7 % len(FLOATS)],
        "cluster_id": f"k{n - n % 3:03d}",
        "text_chars": None if n % 8 == 0 else n * 31 % 200,
        "text_class": ("none", None, "light", "heavy")[n % 4],
        "keep": n % 3 != 1,
        "drop_reason": "not_heavy" if n % 3 == 1 else None,
        **more,
    }


def in_parts(rows: Sequence[Mapping[str, Any]], *cuts: int) -> list[list[Mapping[str, Any]]]:
    """Return the rows in parts that begin at the cuts."""
    return [list(rows[first:end]) for first, end in itertools.pairwise([0, *cuts, len(rows)])]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Sixty rows in five parts, one of them empty, out of order."""
    rows = [awkward_row(n * 7 % 61) for n in range(60)]
    return commit_rows(tmp_path_factory.mktemp("m") / "m", in_parts(rows, 25, 25, 26, 41), Stage.CHOOSE, roots=[ROOT])


def comparable(made: Manifest) -> dict[str, Any]:
    """Return the content of `_manifest.json` without times and costs."""
    document = json.loads(json.dumps(made.document()))
    for name in ("created", "cost"):
        del document[name]
    for step in document["funnel"]:
        step.pop("core_seconds", None)
    return document


def make(engine: Engine, request: Request, output: Path) -> Manifest:
    """Make the requested manifest with this engine in a folder of its own, and check its parts."""
    at = dataclasses.replace(request, output=storage.absolute(str(output / engine.name)))
    made = derive.derive(at, lambda: engine, QUIET)
    require_intact(made, is_hashed=True)
    return made


def same(engines: Engines, request: Request, output: Path) -> Manifest:
    """Return the manifest that DuckDB makes, after comparing it with the one that Spark makes."""
    duck, sparkling = (make(engine, request, output) for engine in engines)
    assert sparkling.digest == duck.digest
    assert [(p.name, p.rows, p.sha256) for p in sparkling.parts] == [(p.name, p.rows, p.sha256) for p in duck.parts]
    assert comparable(sparkling) == comparable(duck)
    return duck


# --- groups


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ids:
    """Returns the value of a group's first row, and the ids of all."""

    group: str

    def __call__(self, rows: pa.Table) -> Any:
        return [repr(rows.column(self.group)[0].as_py()), rows.column("id").to_pylist()]


@pytest.mark.parametrize("length", [1, 9000])
def test_groups_by_nulls_and_numbers(engines: Engines, length: int) -> None:
    """A group without a value is one, whatever the type; with the longer one, groups are cut by batches."""
    largest = (1 << 62) + 1  # no float is like it
    values = {
        "n": pa.array([None, 3, largest, 3, None, largest - 1], pa.int64()),
        "small": pa.array([None, None, 0, 0, 1, 1], pa.int8()),
        "x": [math.nan, None, 0.5, math.nan, None, 0.5],
        "t": ["", None, "é", None, "", "e\u0301"],
        "yes": [None, True, False, None, False, True],
        "b": [b"", None, b"\0", b"", b"\0", None],
    }
    rows = pa.concat_tables([pa.table(values)] * length)
    rows = rows.append_column("id", pa.array(range(rows.num_rows), pa.int64()))
    for engine in engines:
        engine.table("t", rows)
    for group in values if length == 1 else ("n", "x"):
        work = Ids(group=group)
        sql = "SELECT * FROM t" if length == 1 else f"SELECT id, {group} FROM t"
        duck, sparkling = (sorted(engine.map_groups(sql, group, "id", work)) for engine in engines)
        assert sparkling == duck
        assert len(duck) == len(set(map(repr, rows.column(group).to_pylist())))


# --- how Spark joins


def test_no_manifest_is_sent_to_every_worker_on_a_guess(spark, manifest: Manifest) -> None:
    """Spark takes what Python makes of a part for a row or two."""
    before = spark.conf.get("spark.sql.autoBroadcastJoinThreshold")
    with SparkEngine(spark, {}) as engine:
        engine.view("seen", manifest, {"key": "key"})
        engine.keep("kept", "SELECT key FROM seen")
        for sql in (
            "SELECT a.key FROM seen a JOIN kept b ON a.key = b.key",
            "SELECT a.key AS key, b.key AS other FROM seen a FULL OUTER JOIN seen b ON a.key = b.key",
            "SELECT key FROM seen WHERE NOT EXISTS (SELECT 1 FROM kept WHERE kept.key = seen.key)",
        ):
            plan = spark.sql(sql)._jdf.queryExecution().executedPlan().toString()
            assert "Join" in plan
            assert "Broadcast" not in plan
    assert spark.conf.get("spark.sql.autoBroadcastJoinThreshold") == before


def test_errors_of_the_jvm_are_reported() -> None:
    message = (
        "An error occurred while calling o1.f.\n: org.apache.spark.SparkException: Not enough memory.\n\tat x.y(z:1)"
    )
    assert "SparkException: Not enough memory.; remove" in str(_translated(message))


# --- sample

DRAWS = {
    "fraction": Draw(fraction=0.7, where="text_density > 0 or caption is null"),
    "none": Draw(count=0),
    "all": Draw(count=1000, salt="it's ${x} \\ é"),
    "count": Draw(count=23, stratify_by=("text_density", "keep")),
    "per cluster": Draw(per_cluster=1),
    "top": Draw(top=12, by="text_score", stratify_by=("text_class",), per_cluster=2, where="status <> 'x'", salt="b"),
    "weight": Draw(fraction=0.4, weight="text_chars + 0.5"),
    "equal": Draw(fraction=0.5, stratify_by=("caption", "format"), shares="equal"),
}


def drawing(source: Manifest, draw: Draw) -> Request:
    """Return the request of a sample."""
    draw.check(source)
    how: dict[str, Any] = (
        {"where": local_condition(draw), "share": draw.fraction or 1.0}
        if draw.is_local
        else {"decide": functools.partial(pick_sample, manifest=source, draw=draw)}
    )
    return Request(about=derived_from([source], "sample", draw.settings), sources=[source], output="", **how)


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_samples(engines: Engines, manifest: Manifest, tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.setattr(derive, "ROWS_PER_PART", 9)
    request = drawing(manifest, DRAWS[name])
    made = same(engines, request, tmp_path)
    if name in ("fraction", "per cluster"):
        assert [derive.count_expected_rows(request, engine) for engine in engines] == [made.rows] * 2
    assert made.rows == {"none": 0, "all": 60, "count": 23, "top": 12}.get(name, made.rows)
    assert name == "none" or 0 < made.rows <= 60


def test_what_conditions_leave(engines: Engines, manifest: Manifest) -> None:
    for where in ("text_chars > 50", "text_score > 0.5 OR width > 120", "caption = 'a' AND keep"):
        found = [selectivity(manifest, where, "status <> 'truncated'", engine) for engine in engines]
        assert found[0] == found[1]
        assert 0 < found[0].asked < 60


def test_samples_whose_last_row_is_found_digit_by_digit(
    engines: Engines, manifest: Manifest, tmp_path: Path, monkeypatch
) -> None:
    draw = Draw(count=14, weight="size", stratify_by=("status",))
    by_rank = make(engines[0], drawing(manifest, draw), tmp_path / "ranked")
    monkeypatch.setattr(sampling, "MAX_RANKED", 0)
    monkeypatch.setattr(sampling, "_VALUE_DIGITS", (64,))
    monkeypatch.setattr(sampling, "_HASH_DIGITS", (32,))
    assert same(engines, drawing(manifest, draw), tmp_path).digest == by_rank.digest


@pytest.mark.slow
@pytest.mark.parametrize("draw", [Draw(fraction=0.5), Draw(count=100)])
def test_workers_get_only_their_own_parts(tmp_path: Path, draw: Draw) -> None:
    """With many thousands of parts, a task would be too large if it named all of them."""
    sent = []
    for parts in (2, 200):
        rows = [[{"key": f"k{place}-{n}"} for n in range(4)] for place in range(parts)]
        source = commit_rows(tmp_path / f"m{parts}", rows)
        with PicklingDuck(threads=2) as engine:
            make(engine, drawing(source, draw), tmp_path / f"s{parts}")
            sent.append(engine.sent_bytes)
    assert sent[1] < sent[0] + 100


class Stopping(DuckEngine):
    """DuckDB, interrupted after the first unit."""

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """See Engine."""
        yield next(super().map_groups(sql, group, order, work))
        raise KeyboardInterrupt


def test_what_one_engine_began_the_other_ends(
    engines: Engines, manifest: Manifest, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(derive, "ROWS_PER_PART", 4)
    request = drawing(manifest, Draw(count=31))
    whole = make(engines[0], request, tmp_path / "whole")
    assert len(whole.parts) == 3
    with Stopping(threads=1) as stopping, pytest.raises(KeyboardInterrupt):
        derive.derive(
            dataclasses.replace(request, output=storage.absolute(str(tmp_path / "spark"))), lambda: stopping, QUIET
        )
    done = [name for name in storage.list_names(str(tmp_path / "spark")) if name.endswith(".parquet")]
    assert 0 < len(done) < 3
    ended = make(engines[1], request, tmp_path)
    assert [(p.name, p.sha256) for p in ended.parts] == [(p.name, p.sha256) for p in whole.parts]


# --- diff


@dataclasses.dataclass(frozen=True, kw_only=True)
class Editions:
    """Two editions of one collection, as chosen manifests and the shards of each; their sources have other roots."""

    may: Manifest
    june: Manifest
    may_shards: Manifest
    june_shards: Manifest


OTHER_ROOT = "s3://two/data"


def june_row(n: int) -> dict[str, Any]:
    """Return what became of a row: most are the same but for zeros, others changed, moved, or were dropped."""
    row = awkward_row(n)
    row |= {"source": row["source"].replace(ROOT, OTHER_ROOT)}
    if row["text_density"] == 0:
        row["text_density"] = -row["text_density"]  # no difference
    if n % 8 == 1:
        row |= {"offset": n, "member": f"é/{n}.jpg"}
    if n % 8 == 2:
        row |= {"caption": TEXTS[(n + 1) % len(TEXTS)], "local_points": b"", "text_score": FLOATS[n % len(FLOATS)]}
    if n % 8 == 3:
        row |= {"keep": False, "drop_reason": "duplicate:exact", "duplicate_of": awkward_row(n + 36)["key"]}
    if n % 8 == 4:
        row |= {
            "keep": True,
            "drop_reason": None,
            "duplicate_of": awkward_row(n // 2)["key"],
            "duplicate_kind": "crop",
        }
    return row


def shard_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of shards: those that are kept."""
    kept = [row for row in rows if row["keep"]]
    return [
        {**row, "shard": f"{i // 20:05d}.tar", "shard_offset": 512 * i, "shard_size": 9, "shard_index": i % 20}
        for i, row in enumerate(kept)
    ]


@pytest.fixture(scope="module")
def editions(tmp_path_factory: pytest.TempPathFactory) -> Editions:
    """Rows 0 to 59, and rows 12 to 71 of which 40 to 51 are the same part."""
    folder = tmp_path_factory.mktemp("editions")
    made = {}
    for name, root, rows in (
        ("may", ROOT, [awkward_row(n) for n in range(60)]),
        ("june", OTHER_ROOT, [*map(june_row, range(12, 72))]),
    ):
        if name == "june":
            rows[28:40] = [{**awkward_row(n), "source": f"{OTHER_ROOT}/{n // 10}.tar"} for n in range(40, 52)]
        cuts = (40, 52, 52) if name == "may" else (28, 40)
        chosen = commit_rows(folder / name, in_parts(rows, *cuts), Stage.CHOOSE, roots=[root])
        above = Parent(uri=chosen.uri, stage="choose", digest=chosen.digest)
        made[name] = chosen
        made[f"{name}_shards"] = commit_rows(
            folder / f"{name}_shards",
            in_parts(shard_rows(rows), 20),
            Stage.SHARD,
            roots=[root],
            parents=[above],
            inputs={"parent": chosen.digest},
        )
    return Editions(**made)


def same_diff(engines: Engines, a: Manifest, b: Manifest, comparison: Comparison, folder: Path) -> Diff:
    """Return the diff that DuckDB finds, after comparing it and its files with those of Spark."""
    found_by, files = [], []
    for engine in engines:
        out = storage.absolute(str(folder / engine.name))
        found = diff(lambda engine=engine: engine, a, b, comparison, DiffOptions(limit=9, out=out))
        found_by.append(
            json.dumps([found.tally.to_json(), list(found.first), found.is_proven, list(found.notes)], sort_keys=True)
        )
        files.append(storage.read_many(out, storage.list_names(out)))
    assert found_by[1] == found_by[0]
    assert sorted(files[1]) == sorted(files[0])
    assert files[1] == files[0]
    return found


def reasons(found: Diff) -> set[tuple[str, str]]:
    return {(change, reason) for change, counts in found.tally.reasons.items() for reason in counts}


def test_a_diff_by_key_with_reasons_from_ancestors(
    engines: Engines, editions: Editions, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(diffs, "ROWS_PER_PART", 7)
    found = same_diff(engines, editions.may_shards, editions.june_shards, Comparison(), tmp_path)
    assert found.is_proven
    assert len(open_diff(str(tmp_path / "duckdb")).parts) > 3
    assert len(found.first) == 9
    assert {
        ("removed", "not in its input"),
        ("removed", "duplicate:exact"),
        ("removed", "duplicate:exact of an added image"),
        ("added", "new"),
        ("added", "was not_heavy"),
    } <= reasons(found)


def test_a_diff_with_parts_in_common(engines: Engines, editions: Editions, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(diffs, "ROWS_PER_PART", 20)
    assert diffs.shared_parts(editions.may, editions.june) == ({1}, {1})
    found = same_diff(engines, editions.may, editions.june, Comparison(), tmp_path)
    assert found.is_proven
    assert {"added", "removed", "changed", "moved"} == set(found.tally.reasons)
    assert "text_density" not in found.tally.columns


@pytest.mark.parametrize("by", ["sha256", "url", "image"])
def test_a_diff_by_what_several_rows_have(
    engines: Engines, editions: Editions, tmp_path: Path, monkeypatch, by: str
) -> None:
    monkeypatch.setattr(diffs, "ROWS_PER_PART", 20)
    found = same_diff(engines, editions.june, editions.may, Comparison(by=by), tmp_path)
    assert found.is_proven == (by != "image")
    assert found.tally.columns["key"] >= 0
    assert found.tally.rows


def test_diffs_across_stages_and_of_some_columns(engines: Engines, editions: Editions, tmp_path: Path) -> None:
    later = same_diff(engines, editions.may, editions.june_shards, Comparison(), tmp_path / "later")
    assert set(later.new_columns) == {field.name for field in COLUMNS[Stage.SHARD]}
    narrow = Comparison(columns=("caption", "text_score", "local_points"), where="text_class IS NOT NULL OR keep")
    some = same_diff(engines, editions.may, editions.june, narrow, tmp_path / "some")
    assert set(some.tally.columns) <= set(narrow.columns)
    assert not some.is_proven


# --- select, merge, patch

LISTED = {
    "key": [awkward_row(n)["key"] for n in (1, 2, 3, 30, 59)],
    "url": [awkward_row(8)["url"], "https://example.org/1?"],
}


def listed(values: Sequence[str], kinds: Sequence[ValueKind]) -> pa.Table:
    return pa.table([pa.array(values, pa.string()), pa.array(kinds, pa.int8())], schema=VALUES)


@pytest.mark.parametrize(("column", "is_inverted"), [("key", False), ("url", False), ("url", True)])
def test_selections(engines: Engines, manifest: Manifest, tmp_path: Path, column: str, is_inverted: bool) -> None:
    texts = [*LISTED[column], "nowhere", "", "\U0001f600", "\uffee"]
    values = listed(texts, [ValueKind.TEXT] * len(texts))
    missing = []

    def choose(engine: Engine) -> None:
        pick_listed(engine, manifest, column, values, is_inverted=is_inverted)
        missing.append(unmatched(engine))

    about = derived_from([manifest], "select", {"by": column})
    made = same(engines, Request(about=about, sources=[manifest], output="", decide=choose), tmp_path)
    assert missing[0] == missing[1]
    assert missing[0].first[0] == ""
    assert made.rows == {"key": 5, "url": made.rows}[column]
    assert made.rows > (40 if is_inverted else 0)


@pytest.mark.parametrize("is_inverted", [False, True])
def test_selections_by_value(engines: Engines, tmp_path: Path, is_inverted: bool) -> None:
    some, other = UUID(int=2**127 + 10), UUID(int=2**127 + 11)
    keys = ["1", "01", "007", "008", "8é", "0", "09", "009", some.hex.upper(), other.hex, str(other), "9" * 30]
    source = commit_rows(tmp_path / "m", in_parts([awkward_row(n, key=key) for n, key in enumerate(keys)], 3, 9))
    integers = ["1", "7", "8", "00", "9", "-1", "9" * 30]  # 9 is two keys, 1 is written like one of two
    texts = ["8", "007", some.hex]
    values = listed(
        [*integers, *texts, str(some), str(other)],
        [ValueKind.INTEGER] * len(integers) + [ValueKind.TEXT] * len(texts) + [ValueKind.UUID] * 2,
    )
    found = []

    def choose(engine: Engine) -> None:
        pick_listed(engine, source, "key", values, is_inverted=is_inverted)
        found.append(unmatched(engine))

    about = derived_from([source], "select", {})
    made = same(engines, Request(about=about, sources=[source], output="", decide=choose), tmp_path)
    assert found[0] == found[1]
    assert (found[0].values, found[0].ambiguous, found[0].first) == (5, 1, ["-1", "00", "8"])
    matched = {"1", "007", "008", "9" * 30, some.hex.upper(), str(other)}
    expected = set(keys) - matched if is_inverted else matched
    assert set(rows_of(made).column("key").to_pylist()) == expected


@pytest.mark.parametrize("is_inverted", [False, True])
def test_selections_by_names(engines: Engines, tmp_path: Path, is_inverted: bool) -> None:
    rows = [
        awkward_row(n, key=f"k{n}", source=f"{ROOT}/{n // 10}.tar", member=f"a b/{n % 20}.x.jpg") for n in range(30)
    ]
    rows[21] |= {"sha256": "f" * 64, "member": "it's.\\n"}
    rows[22] |= {"sha256": "f" * 64, "url": "https://example.org/other,one"}
    source = commit_rows(tmp_path / "m", in_parts(rows, 3, 9))
    expected = {"k4": "k4", "1.tar/a b/15": "k15", "it's": "k21", "f" * 64: "k21 k22", "12": "k12"}
    expected |= {"https://example.org/other,one": "k22", "a b/13.x.jpg": "k13"}
    values = listed([*expected, "5", "k", "nowhere", "", "F" * 63], [ValueKind.TEXT] * (len(expected) + 5))
    found = []

    def choose(engine: Engine) -> None:
        pick_listed(engine, source, "key", values, is_inverted=is_inverted, by_names=True)
        found.append(unmatched(engine))

    made = same(
        engines,
        Request(about=derived_from([source], "select", {}), sources=[source], output="", decide=choose),
        tmp_path,
    )
    assert found[0] == found[1]
    assert (found[0].values, found[0].ambiguous) == (5, 1)  # 5 is a member of two tars
    matched = set(" ".join(expected.values()).split())
    wanted = {row["key"] for row in rows} - matched if is_inverted else matched
    assert set(rows_of(made).column("key").to_pylist()) == wanted


@pytest.mark.parametrize("rule", [OnConflict.BEST, OnConflict.FIRST, OnConflict.REFUSE])
def test_merges(engines: Engines, tmp_path: Path, monkeypatch, rule: OnConflict) -> None:
    monkeypatch.setattr(derive, "ROWS_PER_PART", 25)
    rows = [june_row(n) for n in range(60)]
    for n in (20, 21, 30):  # of other bytes, or worse, or the same size
        rows[n] |= {"size": n, "status": "truncated", "width": 5}
    rows[25] |= {"width": None}
    given = {ROOT: [awkward_row(n) for n in range(30)], OTHER_ROOT: rows[15:45], "file:///three": rows[29:31]}
    sources = [
        commit_rows(tmp_path / f"m{i}", in_parts(each, 3), Stage.CHOOSE, roots=[root], config={"i": i})
        for i, (root, each) in enumerate(given.items())
    ]
    counts: list[tuple[int, int]] = []
    about = derived_from(sources, "merge", {"on_conflict": str(rule)})

    def request(of: Sequence[Manifest]) -> Request:
        return Request(
            about=about,
            sources=of,
            output="",
            decide=lambda engine: counts.append(pick_merged(engine, of, rule)),
        )

    if rule is not OnConflict.REFUSE:
        made = same(engines, request(sources), tmp_path / "out")
        assert made.rows == 45
    else:
        messages = []
        for engine in engines:
            with pytest.raises(InputError) as caught:
                make(engine, request(sources), tmp_path / "refused")
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
        assert "keys have different rows" in messages[0]
        counts.clear()
        alike = [
            commit_rows(
                tmp_path / f"n{i}",
                [[{**r, "source": f"{root}/0.tar"} for r in rows[first : first + 9]]],
                Stage.CHOOSE,
                roots=[root],
            )
            for i, (root, first) in enumerate([(ROOT, 0), (OTHER_ROOT, 5)])
        ]
        assert same(engines, request(alike), tmp_path / "out").rows == 14
        assert counts[0] == (4, 0)
    assert counts[0] == counts[1]
    assert counts[0][0] > 0


@pytest.mark.parametrize("stages", ["chosen", "shards", "both"])
def test_patches(engines: Engines, editions: Editions, tmp_path: Path, monkeypatch, stages: str) -> None:
    """Rows that stay get the other root; those of the diff are written to parts of their own."""
    monkeypatch.setattr(diffs, "ROWS_PER_PART", 20)
    a, b = {
        "chosen": (editions.may, editions.june),
        "shards": (editions.may_shards, editions.june_shards),
        "both": (editions.june_shards, editions.may),
    }[stages]
    out = str(tmp_path / "diff")
    diff(lambda: engines[0], a, b, Comparison(), DiffOptions(out=storage.absolute(out)))
    made = same(engines, requests.patch(a, open_diff(out), "replaced", {}), tmp_path)
    assert made.digest == b.digest
    assert len(made.parts) > 2


def test_expressions_that_fail_on_a_row(engines: Engines, manifest: Manifest, tmp_path: Path) -> None:
    for draw in (Draw(where="caption::INT > 3"), Draw(count=3, where="caption::INT > 3")):
        messages = []
        for engine in engines:
            with pytest.raises(InputError, match="Could not convert string") as caught:
                make(engine, drawing(manifest, draw), tmp_path / ("local" if draw.is_local else "counted"))
            messages.append(str(caught.value))
        assert "\n" not in "".join(messages)


# --- the command line


def pipeline(path: Path, **sections: Any) -> Path:
    """Write a pipeline file in which only these sections matter."""
    path.write_text(json.dumps({"input": ["nowhere"], "output": "nowhere", **sections}))
    return path


@pytest.mark.spark
def test_commands_on_both_engines(editions: Editions, tmp_path: Path) -> None:
    """Spark and storage, also in workers, are configured by the pipeline file."""
    events = tmp_path / "events"
    events.mkdir()
    commit_rows(tmp_path / "stored" / "m", [[awkward_row(n)] for n in range(9)], Stage.CHOOSE, roots=[ROOT])
    config = pipeline(
        tmp_path / "pipeline.yaml",
        spark={
            "master": "local[2]",
            "conf": {
                "spark.eventLog.enabled": "true",
                "spark.eventLog.dir": events.as_uri(),
                "spark.eventLog.compress": "false",
            },
        },
        storage={"dir": {"path": str(tmp_path / "stored"), "target_protocol": "file"}},
    )
    for engine, run in (("duckdb", curate), ("spark", curate_process)):
        arguments = ("--count", 5, "--where", "width > 0", "--quiet", "--json", "--engine", engine)
        run("sample", "dir://m", "-o", f"dir://{engine}", "--config", config, *arguments)
    made = [open_manifest(str(tmp_path / "stored" / name)) for name in ("duckdb", "spark")]
    assert [p.sha256 for p in made[0].parts] == [p.sha256 for p in made[1].parts]
    assert made[0].rows == 5
    logged = "".join(path.read_text() for path in events.rglob("*") if path.is_file())
    assert '"spark.master":"local[2,4]"' in logged

    answers = {}
    for engine in ("duckdb", "spark"):
        out = tmp_path / f"{engine}.diff"
        arguments = ("--out", out, "--engine", engine, "--master", "local[2]", "--json", "--quiet")
        command = ("diff", editions.may_shards.uri, editions.june_shards.uri, *arguments)
        answers[engine] = {**json.loads(curate(*command).stdout), "out": None}
        assert (out / "_diff.json").read_bytes() == (tmp_path / "duckdb.diff" / "_diff.json").read_bytes()
    assert answers["spark"] == answers["duckdb"]


WITHOUT_SPARK = """
import sys
from click.testing import CliRunner
from jobs.cli.main import main
assert not any(name.split(".")[0] == "pyspark" for name in sys.modules), "the command line itself"
for line in sys.stdin.read().splitlines():
    done = CliRunner().invoke(main, line.split("|"))
    assert done.exit_code == 0, (line, done.output, done.exception)
    assert not any(name.split(".")[0] in ("pyspark", "py4j") for name in sys.modules), line
"""


@pytest.mark.slow
def test_what_runs_on_duckdb_never_loads_spark(editions: Editions, tmp_path: Path) -> None:
    a, b, duck = editions.may.uri, editions.june.uri, ("--engine", "duckdb")
    keys = tmp_path / "keys.txt"
    keys.write_text("\n".join(awkward_row(n)["key"] for n in range(2, 9, 6)))
    commands: list[tuple[object, ...]] = [
        ("show", a),
        ("stats", a),
        ("log", editions.june_shards.uri),
        ("query", a, "select count(*) from manifest"),
        ("cat", a, "--keys", "k002plain"),
        ("verify", a),
        ("export", a, "-o", tmp_path / "keys.csv"),
        ("sample", a, "-o", tmp_path / "sample", "--count", 5, *duck),
        ("sample", a, "-o", tmp_path / "fraction", "--fraction", 0.5),  # and of itself, for so few rows
        ("select", a, "-o", tmp_path / "select", "--keys", keys, *duck),
        ("merge", tmp_path / "sample", tmp_path / "select", "-o", tmp_path / "merge", *duck),
        ("diff", a, b, "--out", tmp_path / "diff", *duck),
        ("patch", a, tmp_path / "diff", "-o", tmp_path / "patch", *duck),
        ("verify", tmp_path / "patch"),
    ]
    lines = "\n".join("|".join(map(str, command)) for command in commands)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SPARK], input=lines, cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
