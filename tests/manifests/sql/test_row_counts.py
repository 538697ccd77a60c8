"""A bare count of rows is answered from what the manifest records, exactly as DuckDB answers it."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from manifests.format.store import Manifest, open_manifest
from manifests.sql.query import run_query
from manifests.sql.row_counts import row_count
from tests.support.making import commit_rows

BARE = [
    "select count(*) from manifest",
    "SELECT COUNT() AS n FROM Manifest m",
    'select count(*) as "a""b", count(*) from manifest t(x);',
    "from manifest select count(*)",
    "select all count(*) from manifest -- all of them",
]
MORE = [
    "select count(*) from manifest where key = 'a'",
    "select count(distinct key) from manifest",
    "select count(key) from manifest",
    "select count(*), max(key) from manifest",
    "select count(*) from manifest, manifest b",
    "select count(*) filter (key = 'a') from manifest",
    "select count(*) over () from manifest",
    "select count(*) from manifest limit 0",
    "select count(*) from manifest group by key",
    "select count(*) from manifest having count(*) > 3",
    "select count(*) from manifest tablesample 50%",
    "select count(*) from (select 1)",
    "with manifest as (select 1) select count(*) from manifest",
    "select (select count(*) from manifest) + 1",
    "describe select count(*) from manifest",
    "from manifest",
]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return commit_rows(tmp_path / "m", [[{"key": "a"}, {"key": "b"}], [{"key": "c"}]])


def answer(manifest: Manifest, sql: str) -> pa.Table:
    with run_query({"manifest": manifest}, sql) as found:
        return pa.Table.from_batches(list(found.batches), found.schema)


@pytest.mark.parametrize("sql", BARE)
def test_a_bare_count_opens_no_part(manifest: Manifest, sql: str) -> None:
    db = duckdb.connect()
    db.execute("create table manifest as select unnest(['a', 'b', 'c']) as key")
    wanted = db.sql(sql).to_arrow_table()
    for part in manifest.parts:
        Path(manifest.part_uri(part).removeprefix("file://")).unlink()
    found = answer(open_manifest(manifest.uri), sql)
    assert found.schema.equals(wanted.schema)
    assert found.equals(wanted)


@pytest.mark.parametrize("sql", MORE)
def test_a_query_that_does_more_is_left_to_duckdb(manifest: Manifest, sql: str) -> None:
    assert row_count(sql, {"manifest": manifest}) is None
    answer(manifest, sql)
