"""A query reads only the manifests that it is given, on every storage; errors are one sentence."""

import csv
import io
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from jobs.cli.main import main
from manifests import storage
from manifests.errors import InputError, ManifestError
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from manifests.sql.query import run_query
from tests.conftest import TOP
from tests.jobs.test_object_storage import BUCKET, s3  # noqa: F401 - a fixture
from tests.support.making import commit_rows

pytestmark = pytest.mark.slow  # hundreds of queries

ROWS = [
    {"key": f"k{n}", "width": n, "caption": f"[b]\x1b{n}", "keep": n % 2 == 0, "pdq": bytes([n] * 32)}
    for n in range(6)
]


def run(*arguments) -> Result:
    return CliRunner().invoke(main, ["query", *map(str, arguments)])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with the manifest `m` of ROWS in two parts, and `other` with some of their keys."""
    commit_rows(tmp_path / "m", [ROWS[:4], ROWS[4:]], Stage.CHOOSE)
    commit_rows(tmp_path / "other", [ROWS[:2]], Stage.SCAN)
    return tmp_path


def rows(uri, sql, **options):
    opened = open_manifest(str(uri))
    with run_query({"manifest": opened, "m": opened}, sql, **options) as answer:
        return [row for batch in answer.batches for row in batch.to_pylist()]


def test_forms_of_the_answer(place: Path):
    sql = "select keep, count(*) n, sum(width) s from manifest group by keep order by keep"
    wanted = [{"keep": False, "n": 3, "s": 9}, {"keep": True, "n": 3, "s": 6}]
    assert json.loads(run(place / "m", sql, "--json").stdout) == wanted
    assert list(csv.reader(io.StringIO(run(place / "m", sql, "--csv").stdout))) == [
        ["keep", "n", "s"],
        ["false", "3", "9"],
        ["true", "3", "6"],
    ]
    table = run(place / "m", sql).stdout
    assert all(word in table for word in ("keep", "false", "9"))
    out = place / "answer.parquet"
    assert run(place / "m", sql, "--out", out).exit_code == 0
    assert pq.read_table(out).column("n").to_pylist() == [3, 3]
    assert json.loads(run(place / "m", "from m where width > 100", "--json").stdout) == []


def test_values_that_json_and_terminals_cannot_show(place: Path):
    sql = "select pdq, 1e308 * 10 as big, [1.5::decimal(4, 2)] as l, date '2025-01-02' as d, null as n from m limit 1"
    assert json.loads(run(place / "m", sql, "--json").stdout) == [
        {"pdq": "00" * 32, "big": None, "l": [1.5], "d": "2025-01-02", "n": None}
    ]
    output = run(place / "m", "select caption from m order by key limit 1").stdout
    assert "\x1b" not in output
    assert "[b]·0" in output


def test_columns_with_equal_names_are_numbered(place: Path):
    (row,) = rows(place / "m", "select key, key, key as key_1 from m where width = 1")
    assert row == {"key": "k1", "key_1": "k1", "key_1_1": "k1"}


def test_limits(place: Path):
    big = place / "big"
    commit_rows(big, [[{"key": f"k{n:03d}"} for n in range(150)]])
    done = run(big, "select key from m order by key desc")
    assert "k050" in done.stdout
    assert "k049" not in done.stdout
    assert "--limit" in done.stderr
    assert "k000" in run(big, "select key from m", "--limit", 150).stdout
    assert len(json.loads(run(big, "select key from m", "--json").stdout)) == 150
    assert json.loads(run(big, "select key from m order by key desc", "--json", "--limit", 1).stdout) == [
        {"key": "k149"}
    ]
    assert run(big, "select key from m", "--limit", 0).exit_code == 0


def test_joins_with_other_manifests(place: Path):
    sql = "select key from m anti join old using (key) order by key"
    done = run(place / "m", sql, "--with", f"old={place / 'other'}", "--csv")
    assert done.stdout.split() == ["key", "k2", "k3", "k4", "k5"]
    for wrong, named in (("old", "NAME=URI"), (f"m={place / 'other'}", "another name"), ("a=nowhere", "no manifest")):
        done = run(place / "m", "select 1", "--with", wrong)
        assert done.exit_code == 2
        assert named in done.stderr


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("select widht from m", '"width"'),
        ("select * from nothing", "nothing"),
        ("selec 1", "selec"),
        (";", "0 statements"),
        ("select 1; select 2", "2 statements"),
        ("create table t as select 1", "CREATE"),
        ("insert into m values (1)", "INSERT"),
        ("set threads = 1", "SET"),
        ("attach 'x.db'", "ATTACH"),
        ("install httpfs", "LOAD"),
        ("pragma database_list", "PRAGMA"),
        ("copy (select 1) to 'x.csv'", "COPY"),
        ("export database 'x'", "EXPORT"),
        ("select caption::int from m", "Could not convert"),
        ("select case when key = 'k5' then caption::int end from m", "Could not convert"),
    ],
)
def test_other_statements_are_refused_in_one_line(place: Path, sql: str, named: str):
    done = run(place / "m", sql, "--json")
    assert done.exit_code == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.output


def foreign(place: Path, secret: str) -> list[str]:
    """Return queries that try to read the file `secret`, to write, or to use the network."""
    return [
        f"select * from read_csv('{secret}')",
        f"select * from '{secret}'",
        f"select * from read_text('{secret}')",
        f"select * from read_blob('file://{secret}')",
        f"select * from read_parquet('{place}/other/part-00000.parquet')",
        f"select * from parquet_metadata('{place}/other/part-00000.parquet')",
        f"select * from glob('{place}/*')",
        f"select * from read_parquet(['{place}/m/part-00000.parquet', '{place}/other/part-00000.parquet'])",
        f"select * from read_parquet('{place}/m/../other/part-00000.parquet')",
        f"select * from read_json('{place}/m/_manifest.json')",
        f"select * from query('select * from read_text(''{secret}'')')",
        f"select * from sniff_csv('{secret}')",
        "select * from read_csv('http://127.0.0.1:9/a.csv')",
        "select * from read_parquet('s3://bucket/a.parquet')",
        "select * from duckdb_secrets()",
        "select * from opened",  # a variable of this program
        "select getenv('HOME')",
    ]


def test_nothing_else_is_read(place: Path):
    secret = place / "secret.csv"
    secret.write_text("hunter2,hunter2\n")
    for sql in foreign(place, str(secret)):
        with pytest.raises(InputError) as refused:
            rows(place / "m", sql)
        assert "hunter2" not in str(refused.value), sql
    assert sorted(p.name for p in place.iterdir()) == ["m", "other", "secret.csv"], "nothing was written"


def test_the_settings_cannot_be_undone(place: Path):
    for sql in ("select set_config('enable_external_access', 'true', false)", "reset enable_external_access"):
        with pytest.raises(InputError):
            rows(place / "m", sql)
    (row,) = rows(place / "m", "select current_setting('enable_external_access') as a, current_setting('lock_configuration') as b")  # fmt: skip  # noqa: E501
    assert row == {"a": False, "b": True}


def test_an_answer_is_only_written_to_a_new_file(place: Path):
    taken = place / "taken.parquet"
    taken.write_text("mine")
    done = run(place / "m", "select 1", "--out", taken)
    assert done.exit_code == 2
    assert taken.read_text() == "mine"
    done = run(place / "m", "select 1", "--out", place / "m" / "answer.parquet")
    assert done.exit_code == 2
    assert not (place / "m" / "answer.parquet").exists()
    done = run(place / "m", "select caption::int from m", "--out", place / "new.parquet")
    assert done.exit_code == 2
    assert not (place / "new.parquet").exists()
    assert run(place / "m", "select 1", "--csv", "--json").exit_code == 2
    assert run(place / "m", "select 1", "--csv", "--out", place / "new.parquet").exit_code == 2


def test_damage_is_reported_before_reading(place: Path):
    (place / "m" / "part-00001.parquet").unlink()
    with pytest.raises(ManifestError, match=r"part-00001.parquet: missing"):
        rows(place / "m", "select 1")


def test_no_parts_and_no_rows(tmp_path: Path):
    commit_rows(tmp_path / "none", [], Stage.CHOOSE)
    commit_rows(tmp_path / "empty", [[]], Stage.CHOOSE)
    for name in ("none", "empty"):
        assert rows(tmp_path / name, "select count(*) n, sum(width) s from m") == [{"n": 0, "s": None}]
        assert rows(tmp_path / name, "select key, pdq, keep from m") == []


def test_in_memory_and_with_odd_names(tmp_path: Path):
    for folder in (f"memory://queried/{uuid.uuid4().hex}", str(tmp_path / "it's [1] *odd*")):
        commit_rows(folder + "/m", [ROWS[:4], ROWS[4:]], Stage.CHOOSE)
        commit_rows(folder + "/other", [ROWS[:2]])
        assert rows(folder + "/m", "select sum(width) s from m") == [{"s": 15}]
        other = storage.join(storage.absolute(folder), "other", "part-00000.parquet").removeprefix("file://")
        quoted = other.replace("'", "''")
        for spelt in (quoted, quoted.replace("memory://", "memory:///")):
            with pytest.raises(InputError, match="nothing else"):
                rows(folder + "/m", f"select * from read_parquet('{spelt}')")


def test_on_object_storage(s3, place: Path):  # noqa: F811
    uri = f"s3://{BUCKET}/queried"
    commit_rows(uri + "/m", [ROWS[:4], ROWS[4:]], Stage.CHOOSE)
    commit_rows(uri + "/other", [ROWS[:2]])
    assert rows(uri + "/m", "select sum(width) s from m") == [{"s": 15}]
    with pytest.raises(InputError, match="nothing else"):
        rows(uri + "/m", f"select * from read_parquet('{uri}/other/part-00000.parquet')")
    done = run(uri + "/m", "select key from m join local using (key)", "--with", f"local={place / 'other'}", "--json")
    assert len(json.loads(done.stdout)) == 2
    assert run(uri + "/m", "select key from m", "--out", uri + "/answer.parquet").exit_code == 0
    assert pa.parquet.read_table(io.BytesIO(storage.read_bytes(uri + "/answer.parquet"))).num_rows == 6


def test_a_reader_that_stops_reading_is_no_error(place: Path):
    commit_rows(place / "big", [[{"key": f"k{n}"} for n in range(50_000)]])
    sql = "select key from m"
    command = f"{sys.executable} -m jobs query {place / 'big'} '{sql}' --csv | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=TOP)
    assert (done.stdout.split(), done.stderr) == (["key", "0"], "")
