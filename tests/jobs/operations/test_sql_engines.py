"""Both engines return the same results: views, tables, groups, errors, and every construct of their common SQL."""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark import cloudpickle

from jobs.spark.engine import SparkEngine, spark_sql
from manifests import storage
from manifests.errors import CurateError, InputError, ManifestError, StageFailed
from manifests.format.commit import commit
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, open_manifest
from manifests.sql.engine import DuckEngine, columns_of, sql_text
from tests.manifests.format.test_store import ABOUT, CREATED, write_unit

SCAN = schema(Stage.SCAN)
TEXTS = [
    None,
    "",
    "plain",
    "é",
    "e\u0301",
    "\U0001f600 b",
    "\uffee a",
    "it's \\n a \\u0041 ${user.name}",
    'a "b" `c`',
    "Z",
]
FLOATS = [None, 0.0, -0.0, float("nan"), 0.1, float("inf"), -1.5]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
Engines = tuple[DuckEngine, SparkEngine]


@pytest.fixture
def engines(spark) -> Iterator[Engines]:
    """DuckDB, and Spark."""
    with DuckEngine(threads=2) as duck, SparkEngine(spark, {}) as sparkling:
        yield duck, sparkling


def scan_row(n: int) -> dict[str, Any]:
    return {
        "key": f"k{n:05d}",
        "source": "file:///data/0.tar",
        "member": f"{n}.jpg",
        "offset": 512 * n,
        "size": n % 7,
        "status": "undecodable" if n % 5 == 4 else "ok",
        "caption": TEXTS[n % len(TEXTS)],
        "width": None if n % 3 else n,
        "orientation": n % 4,
        "pdq": None if n % 11 == 3 else n.to_bytes(32, "big"),
        "local_points": bytes([n % 256]) * (n % 4),
        "text_density": FLOATS[n % len(FLOATS)],
    }


def make_manifest(folder: Path, parts: Sequence[int]) -> Manifest:
    """Commit a manifest with parts of these numbers of rows."""
    receipts, first = [], 0
    for place, rows in enumerate(parts):
        table = pa.Table.from_pylist([scan_row(n) for n in range(first, first + rows)], SCAN)
        receipts.append(write_unit(str(folder), f"part-{place:05d}", table))
        first += rows
    return commit(str(folder), receipts, ABOUT, created=CREATED)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_manifest(tmp_path_factory.mktemp("manifest"), [40, 0, 1, 19_000, 30])


def sorted_rows(table: pa.Table) -> list[str]:
    """Return the rows as sorted texts, which distinguish -0.0 from 0.0 and make NaN equal to NaN."""
    return sorted(map(repr, table.to_pylist()))


def check(engines: Engines, sql: str, *, is_ordered: bool = False) -> pa.Table:
    """Return the result of `sql`, after comparing rows, names and types from both engines."""
    duck, sparkling = (engine.fetch(sql) for engine in engines)
    assert sparkling.schema == duck.schema, sql
    if is_ordered:
        assert list(map(repr, sparkling.to_pylist())) == list(map(repr, duck.to_pylist())), sql
    assert sorted_rows(sparkling) == sorted_rows(duck), sql
    return duck


def test_views(engines: Engines, manifest: Manifest) -> None:
    def compare(columns, *, rows: int, **which: Any) -> pa.Table:
        for engine in engines:
            engine.view("seen", manifest, columns, **which)
        found = check(engines, "SELECT * FROM seen")
        assert found.num_rows == rows
        return found

    total = sum(p.rows for p in manifest.parts)
    everything = compare(columns_of(manifest.schema.names), rows=total)
    assert everything.schema.names == ["part", "row", *manifest.schema.names]
    assert [everything.schema.field(n).type for n in ("part", "row")] == [pa.int32(), pa.int64()]
    compare({}, rows=total)
    compare(
        {
            "digest": "md5(caption)",
            "hashed": "hash(key, pdq, text_density)",
            "row key": "upper(Key) || '''' || \"offset\"",
            "group": "size % 3",
            "is_small": "width < 20",
            "raw": "pdq[1:1]",
        },
        rows=total,
    )
    compare({"key": "key"}, rows=71, parts=[4, 0, 1, 2])
    compare({"key": "key"}, rows=0, parts=[])
    compare({"key": "key"}, rows=0, parts=[1])
    compare({"n": "text_density"}, rows=30, parts=[4], where="row >= 0 AND part = 4")
    compare({"key": "key"}, rows=3, where="caption IS NULL AND size > 2", parts=[0, 2])
    compare({"key": "key"}, rows=1, where="key = 'k00040'")
    compare({"key": "key"}, rows=0, where="false")


def test_a_manifest_without_parts(engines: Engines, tmp_path: Path) -> None:
    empty = make_manifest(tmp_path, [])
    for engine in engines:
        engine.view("seen", empty, columns_of(["key", "pdq", "text_density", "orientation"]))
    assert check(engines, "SELECT * FROM seen").num_rows == 0


def given_tables(engines: Engines) -> None:
    count = 60
    rows = pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "part": pa.array([n % 4 for n in range(count)], pa.int32()),
            "row": pa.array([None if n % 9 == 0 else n * 7 % 50 for n in range(count)], pa.int64()),
            "key": [TEXTS[n % len(TEXTS)] for n in range(count)],
            "group": pa.array([n % 3 for n in range(count)], pa.int8()),
            "x": [FLOATS[n % len(FLOATS)] for n in range(count)],
            "pdq": pa.array([None if n % 5 == 0 else bytes([n, 255 - n]) * 16 for n in range(count)], pa.binary(32)),
            "hashed": pa.array([(1 << 64) - 1 - n // 2 for n in range(count)], pa.uint64()),
            "yes": [None if n % 6 == 0 else n % 2 == 0 for n in range(count)],
        }
    )
    other = pa.table({"key": ["é", "plain", None, "nowhere", "plain"], "n": pa.array([1, 2, 3, 4, None], pa.int32())})
    for engine in engines:
        engine.table("t", rows)
        engine.table("other", other)
        engine.table("nothing", rows.slice(0, 0))
        engine.keep("kept", "SELECT key, count(*) AS n, min(id) AS least FROM t GROUP BY key")


COMMON_SQL = [
    "SELECT * FROM t",
    "SELECT * FROM nothing",
    "SELECT * FROM kept",
    'SELECT part, row, key, "group", "row" AS "key", t."part" AS "a ""b"" c" FROM t',
    "SELECT key, count(*), sum(part), min(key), max(pdq), count(row), max(hashed) IS NULL FROM t GROUP BY key",
    "SELECT count(*) AS n, sum(row), min(row), max(x) FROM nothing",
    'SELECT "group", hashed, count(*) AS n FROM t GROUP BY "group", hashed HAVING count(*) > 0',
    "SELECT x, count(*) AS n FROM t WHERE x IS NULL OR x = 0.1 GROUP BY x",
    "SELECT t.id, other.n FROM t JOIN other ON t.key = other.key",
    "SELECT t.id, other.n FROM t LEFT JOIN other ON t.key = other.key AND other.n > 1",
    "SELECT t.id, o.n FROM t FULL OUTER JOIN other AS o ON t.key = o.key",
    "SELECT t.id, o.n FROM t JOIN other o ON t.key IS NOT DISTINCT FROM o.key",
    "SELECT a.id, b.id AS other FROM t a JOIN t b ON a.hashed = b.hashed",
    "SELECT a.id, b.id AS other FROM t a JOIN t b ON a.x = b.x AND a.pdq < b.pdq",
    "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM other WHERE other.key = t.key)",
    "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM other WHERE other.key = t.key)",
    "SELECT id FROM t WHERE key IN (SELECT key FROM other)",
    "SELECT id FROM t WHERE key NOT IN (SELECT key FROM other WHERE key IS NOT NULL)",
    "SELECT id, row_number() OVER (PARTITION BY part ORDER BY row, key, id) AS n FROM t",
    "SELECT id, row_number() OVER (ORDER BY key DESC, pdq, x, row NULLS FIRST, id) AS n FROM t",
    "SELECT sum(n) OVER (PARTITION BY key ORDER BY n, key) AS s FROM other WHERE n IS NOT NULL",
    "SELECT id, coalesce(row, 7) AS r, coalesce(key, '-') AS k, CASE WHEN 9 > row THEN '<' ELSE key END AS c FROM t",
    "SELECT id, substr(key, 1, 2) AS a, substr(key, 2, 9) AS b, md5(key) AS m, substr(md5(key), 1, 7) AS h FROM t",
    "SELECT concat(key, '-', key) AS a, key || '-' AS b, Concat (key, id, concat(key)) AS c FROM t",
    "SELECT CAST(row AS BIGINT) AS a, CAST(id AS STRING) AS b, CAST('12' AS BIGINT) AS c, row::INTEGER AS d FROM t",
    "SELECT id % 7 AS a, -id % 7 AS b, id - part * 3 AS c, 3000000000 AS d, 1 AS e, TRUE AS f, NULL AS g FROM t",
    "SELECT id FROM t WHERE key < 'e' AND row <> 3 AND NOT (part = 2) AND pdq IS NOT NULL AND yes",
    "SELECT id FROM t WHERE key = 'it''s \\n a \\u0041 ${user.name}' OR key <> 'a \"b\" `c`'",
    "WITH a AS (SELECT key, id FROM t ORDER BY key, id LIMIT 7), b AS (SELECT * FROM a) SELECT * FROM b UNION ALL "
    "SELECT key, n FROM other",
    "SELECT DISTINCT key, yes FROM t",
    "SELECT count(DISTINCT key) AS a, count(*) FILTER (WHERE part = 1) AS b FROM t",
    "SELECT key FROM t UNION SELECT key FROM other",
    "SELECT id FROM t WHERE part BETWEEN 1 AND 2 AND row IN (1, 2, 3, 7)",
]
ORDERED_SQL = [
    "SELECT key, id FROM t ORDER BY key, id",
    "SELECT key, id FROM t ORDER BY key DESC, id LIMIT 11",
    "SELECT pdq FROM (SELECT pdq, id FROM t ORDER BY (coalesce(row, 3)), pdq DESC, id LIMIT 20) ORDER BY pdq, id",
    "SELECT x FROM t WHERE x <> 0.0 ORDER BY x",
    'SELECT id FROM t ORDER BY yes, "group" DESC, row ASC, id',
    "SELECT row, count(*) AS n FROM t GROUP BY row ORDER BY n DESC, row",
]


def test_common_sql(engines: Engines) -> None:
    given_tables(engines)
    for sql in COMMON_SQL:
        check(engines, sql)
    for sql in ORDERED_SQL:
        check(engines, sql, is_ordered=True)
    texts = [each for each in TEXTS if each is not None]
    texts += [
        "\\",
        "\\'",
        "''",
        "'\\''",
        "\\\\",
        "$",
        "${",
        "\\u0041",
        "\n\t\r",
        "%",
        "\\%",
        "a\\",
        "-- b",
        ";",
        "?",
        ":a",
    ]
    literals = ", ".join(f"{sql_text(text)} AS t{n}" for n, text in enumerate(texts))
    assert list(check(engines, f"SELECT {literals}").to_pylist()[0].values()) == texts


def test_buckets(engines: Engines, manifest: Manifest) -> None:
    for engine in engines:
        engine.view("seen", manifest, {"key": "key"})
        engine.keep("placed", f"SELECT key, {engine.bucket('key', 13)} AS bucket FROM seen")
    found = check(engines, "SELECT bucket, count(*) AS n, min(key) AS least FROM placed GROUP BY bucket")
    assert sorted(found.column("bucket").to_pylist()) == list(range(13))


def test_kept_rows_are_those_of_their_time(engines: Engines) -> None:
    """What a kept table was made of may be renamed, and the table itself made again from itself."""
    for engine in engines:
        engine.table("t", pa.table({"n": [1, 2, 3]}))
        engine.keep("mine", "SELECT n FROM t")
        engine.table("t", pa.table({"n": [10]}))
        engine.keep("mine", "SELECT n + 1 AS n FROM mine UNION ALL SELECT n FROM t")
    assert sorted(check(engines, "SELECT n FROM mine").column("n").to_pylist()) == [2, 3, 4, 10]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Describe:
    """Returns what a group looks like to the work on it."""

    columns: Sequence[str]

    def __call__(self, rows: pa.Table) -> Any:
        return {
            "types": [str(t) for t in rows.schema.types],
            "rows": [repr(r) for r in rows.select(self.columns).to_pylist()],
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refuse:
    """Raises an error of ours on one group."""

    part: int

    def __call__(self, rows: pa.Table) -> Any:
        if rows.column("part")[0].as_py() == self.part:
            raise InputError(f"part {self.part}: 'é' is not wanted; leave it out")
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Break:
    """Fails on every group, like a broken machine or a programming error."""

    is_killed: bool

    def __call__(self, rows: pa.Table) -> Any:
        if self.is_killed:
            os._exit(3)
        raise KeyError("a\nb")


def test_groups(engines: Engines, manifest: Manifest) -> None:
    given_tables(engines)

    def compare(sql: str, group: str, order: str) -> list[Any]:
        work = Describe(columns=engines[0].fetch(sql).column_names)
        duck, sparkling = (sorted(e.map_groups(sql, group, order, work), key=json.dumps) for e in engines)
        assert sparkling == duck
        return duck

    everything = compare("SELECT * FROM t", "part", "key, x, pdq, row, id")
    assert len(everything) == 4
    assert all(len(each["rows"]) == 15 for each in everything)
    for order in ("x, id", "pdq, id", "hashed, id", "yes, id", '"row", id'):
        compare("SELECT * FROM t", "part", order)
    numbered = compare(
        'SELECT key, "group", row_number() OVER (PARTITION BY key ORDER BY id) AS n, hashed, '
        "sum(part) OVER (PARTITION BY key) AS s, 1 AS one, NULL AS none FROM t WHERE key IS NOT NULL",
        "key",
        "n",
    )
    assert len(numbered) == len(TEXTS) - 1
    assert [len(each["rows"]) for each in compare("SELECT id, part FROM t WHERE id = 7", "id", "part")] == [1]
    assert compare("SELECT id, part FROM nothing", "part", "id") == []
    for engine in engines:
        engine.view("seen", manifest, {"key": "key", "caption": "caption", "digest": "md5(caption)"}, parts=[3, 0])
        engine.keep("placed", f"SELECT seen.*, {engine.bucket('key', 3)} AS bucket FROM seen")
    assert (
        sum(len(each["rows"]) for each in compare("SELECT * FROM placed", "bucket", "caption, part, row")) == 19_040
    )


def errors_of(engines: Engines, do) -> list[CurateError]:
    found = []
    for engine in engines:
        with pytest.raises(CurateError) as caught:
            do(engine)
        found.append(caught.value)
        assert "\n" not in str(caught.value)
    assert type(found[0]) is type(found[1])
    return found


def test_errors(engines: Engines, tmp_path: Path) -> None:
    given_tables(engines)
    manifest = make_manifest(tmp_path, [5, 6, 7, 8])
    refused = errors_of(engines, lambda e: list(e.map_groups("SELECT * FROM t", "part", "id", Refuse(part=2))))
    assert [(type(e), str(e)) for e in refused] == [(InputError, "part 2: 'é' is not wanted; leave it out")] * 2

    def number_of_a_text(engine) -> None:
        engine.view("seen", manifest, {"key": "key"}, where="status::BIGINT > 3")
        engine.fetch("SELECT * FROM seen")

    for error in errors_of(engines, number_of_a_text):
        assert type(error) is InputError
        assert "Could not convert string 'ok'" in str(error)
    for error in errors_of(engines, lambda e: e.view("seen", manifest, {"key": "nonsense"})):
        assert "nonsense" in str(error)
    errors_of(engines, lambda e: e.fetch("SELECT nonsense FROM t"))
    errors_of(engines, lambda e: e.keep("wrong", "SELECT id FROM nowhere"))

    cut = Path(storage.filesystem(manifest.part_uri(manifest.parts[1]))[1])
    cut.write_bytes(cut.read_bytes()[:-100])
    Path(storage.filesystem(manifest.part_uri(manifest.parts[2]))[1]).unlink()
    again = open_manifest(manifest.uri.replace("file://", ""))
    for part, what in ((1, "bytes"), (2, "missing")):
        for engine in engines:
            engine._checked.clear()
        found = errors_of(engines, lambda e, part=part: e.view("seen", again, {"key": "key"}, parts=[0, part]))
        assert str(found[0]) == str(found[1])
        assert what in str(found[0])
    for engine in engines:
        engine.view("seen", again, {"key": "key"}, parts=[0, 3])
    assert check(engines, "SELECT * FROM seen").num_rows == 13


def test_a_part_that_is_lost_after_it_was_checked(engines: Engines, tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, [5, 6])
    for engine in engines:
        engine.view("seen", manifest, {"key": "key"})
    Path(storage.filesystem(manifest.part_uri(manifest.parts[1]))[1]).unlink()
    for error in errors_of(engines, lambda e: e.fetch("SELECT * FROM seen")):
        assert type(error) is ManifestError
        assert "part-00001.parquet" in str(error)


@pytest.mark.parametrize(("is_killed", "why"), [(True, "Python worker exited"), (False, r"KeyError: 'a\nb'")])
def test_what_spark_cannot_finish(engines: Engines, is_killed: bool, why: str) -> None:
    engines[1].table("t", pa.table({"a": [1, 2], "b": [1, 2]}))
    with pytest.raises(StageFailed) as caught:
        list(engines[1].map_groups("SELECT * FROM t", "a", "b", Break(is_killed=is_killed)))
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_views_of_an_engine_end_with_it(spark) -> None:
    with SparkEngine(spark, {}) as engine:
        engine.table("for_a_while", pa.table({"n": [1]}))
        assert spark.catalog.tableExists("for_a_while")
    assert not spark.catalog.tableExists("for_a_while")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("SELECT 'order by x', a FROM t ORDER BY a", "SELECT 'order by x', a FROM t ORDER BY a NULLS LAST"),
        ('SELECT "a,b" FROM t ORDER BY "a,b" DESC', "SELECT `a,b` FROM t ORDER BY `a,b` DESC"),
        ("SELECT '' || concat(a, b) FROM t", "SELECT '' || CONCAT(COALESCE(a, ''), COALESCE(b, '')) FROM t"),
        (r"SELECT 'a\b' || ''''", r"SELECT 'a\\b' || '\''"),
    ],
)
def test_sql_for_spark(given: str, wanted: str) -> None:
    assert spark_sql(given) == wanted
