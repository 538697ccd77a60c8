"""The command line as a person or a script meets it: refusals, exit codes, one sentence instead of a traceback."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs import session
from jobs.cli import main
from jobs.doctor import checks


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("input: a.tar\noutput: out\nscore: {enginee: rapidocr}\n", "did you mean engine?"),
        ("input: a.tar\noutput: out\nshards: {}\n", "did you mean shard?"),
        ("input: a.tar\noutput: out\nscore: {engine: rapidocrr}\n", "rapidocr"),
        ("input: a.tar\noutput: out\nchoose: {where: {big: 'widht > 3'}}\n", "width"),
        ("input: missing.tar\noutput: out\n", "missing.tar"),
        ("input: a.tar.gz\noutput: out\n", "gunzip"),
        ("input: 's3://key:hunter2@b/a.tar'\noutput: out\n", "credentials"),
        ("output: out\n", "input"),
        ("- a\n", "mapping"),
        ("input: [", "pipeline.yaml"),
    ],
)
def test_a_bad_pipeline_is_refused_before_anything_starts(tmp_path: Path, monkeypatch, text: str, named: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "start", None)  # nothing may get as far as Spark
    Path("a.tar").write_bytes(bytes(10240))
    Path("pipeline.yaml").write_text(text)
    done = run("run", "pipeline.yaml")
    assert done.exit_code == 2
    assert named in done.output
    assert "hunter2" not in done.output
    assert "Traceback" not in done.output
    assert not Path("out").exists()


def test_show_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    done = run("show", str(tmp_path))
    assert done.exit_code == 2
    assert "no manifest here" in done.output


def test_a_stage_refuses_the_wrong_parent(tmp_path: Path) -> None:
    done = run("choose", str(tmp_path), "-o", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "no manifest here" in done.output


def test_where_needs_a_name() -> None:
    done = run("choose", "scored", "-o", "out", "--where", "width > 3")
    assert done.exit_code == 2
    assert "NAME=SQL" in done.output


def test_init_prints_a_pipeline_that_loads(tmp_path: Path) -> None:
    from curation.config import PipelineConfig, load_config

    path = tmp_path / "pipeline.yaml"
    path.write_text(run("init").output)
    loaded = load_config(str(path))
    assert loaded == PipelineConfig(input=("data/{00000..00007}.tar",), output="out")


def test_doctor_names_what_is_missing_and_how_to_mend_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(session, "JAVA_FOLDERS", str(tmp_path))
    done = run("doctor", "--json", "--engine", "rapidocrr", "--storage", "/proc/nothing")
    assert done.exit_code == 1
    found = {c["name"]: c for c in json.loads(done.stdout)}
    assert not found["Java"]["is_good"]
    assert "openjdk-17-jre-headless" in found["Java"]["mend"]
    assert "rapidocr" in found["text engine rapidocrr"]["mend"]
    assert not found["storage /proc/nothing"]["is_good"]


def test_doctor_finds_this_machine_well() -> None:
    found = checks(engine="rapidocr", places=[], master="local[1]", with_spark=False)
    assert all(c.is_good for c in found if not c.name.startswith("free disk")), found
