"""-v, -q, --log-file and --traceback, which every command has: what is printed, and where."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.cli.main import main
from jobs.show import logs
from manifests.format.schema import Stage
from tests.support.making import commit_rows


def run(line: str) -> Result:
    return CliRunner().invoke(main, line.split())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder with two manifests, `m` and `n`, that differ in one row."""
    monkeypatch.chdir(tmp_path)
    for name, count in (("m", 9), ("n", 8)):
        commit_rows(name, [[{"key": f"k{i}", "url": "http://h"} for i in range(count)]], Stage.CHOOSE)
    yield tmp_path
    logs.configure()


def test_quiet_prints_nothing_but_errors(place: Path) -> None:
    for line in (
        "sample m -o s --count 3 -q",
        "merge m n -o j --on-conflict first --quiet",
        "select m --keys n -o p -q",
        "-q export m -o keys.txt",
        "query m FROM(m) --out rows.parquet -q",
        "diff m n --out d -q --exit-code",
        "package -o dist -q",
    ):
        done = run(line)
        assert (done.exit_code, done.output) == (1 if line.startswith("diff") else 0, ""), line
    done = run("show nothing -q")
    assert done.exit_code == 2
    assert done.stderr.startswith("curate: ")


def test_quiet_keeps_the_answer_that_was_requested(place: Path) -> None:
    assert json.loads(run("sample m -o s --count 3 -q --json").stdout)["rows"] == 3
    assert "would have 3 rows" in run("sample m -o t --count 3 -q --dry-run").stdout
    assert "k1" in run("cat m --keys k1 --csv -q").stdout
    assert "1 removed" in run("diff m n --stat -q").stdout


@pytest.mark.parametrize(("pair", "code"), [("m m", 0), ("m n", 1)])
def test_a_diff_with_quiet_and_exit_code_is_silent(place: Path, pair: str, code: int) -> None:
    done = run(f"diff {pair} --exit-code --quiet")
    assert (done.exit_code, done.output) == (code, "")
    assert run(f"diff {pair} --exit-code").stdout
    assert json.loads(run(f"diff {pair} --exit-code --quiet --json").stdout)


@pytest.mark.parametrize("line", ["{} show nothing", "show nothing {}", "show {} nothing"])
def test_messages_go_to_a_log_file_too(place: Path, line: str) -> None:
    done = run(line.format("--log-file curate.log"))
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    written = Path("curate.log").read_text()
    assert " ERROR jobs.cli.main: " in written
    assert done.stderr.removeprefix("curate: ").strip() in written


def test_a_log_file_that_cannot_be_written_is_blamed_on_its_option(place: Path) -> None:
    Path("file").write_text("")
    for line in ("--log-file file/log show m", "show m --log-file file/log"):
        done = run(line)
        assert done.exit_code == 2
        assert "'--log-file'" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", ["--traceback show nothing", "show nothing --traceback"])
def test_a_traceback_is_shown_on_request_alone(place: Path, line: str) -> None:
    assert "Traceback" not in run("show nothing").output
    stderr = run(line).stderr
    assert stderr.startswith("Traceback")
    assert "manifests/format/store.py" in stderr
    assert stderr.splitlines()[-1].startswith("curate: ")


@pytest.mark.parametrize(
    ("flags", "level"),
    [("", logging.WARNING), ("-v", logging.INFO), ("-vv", logging.DEBUG), ("-v -q", logging.ERROR)],
)
def test_flags_set_the_level_for_one_command(place: Path, flags: str, level: int) -> None:
    for line in (f"show m {flags}", f"{flags} show m"):
        assert run(line).exit_code == 0
        assert logs.worker_level() == level
    run("show m")
    assert logs.worker_level() == logging.WARNING
