"""The command line as a person or a script meets it: refusals, exit codes, one sentence instead of a traceback."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import fsspec.config
import pytest
from click.testing import CliRunner, Result

from jobs.cli.main import main
from jobs.setup.doctor import checks
from jobs.spark import session
from tests.support.easyocr_weights import needs_easyocr


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


def test_help_lists_every_command_once() -> None:
    listed = main.list_commands(None)
    assert sorted(listed) == sorted(main.commands)
    text = run("--help").output
    assert all(f"\n  {name} " in text for name in listed)


def commands(group: click.Group, path: str = "curate") -> Iterator[tuple[str, click.Command]]:
    yield path, group
    for name, each in group.commands.items():
        yield from commands(each, f"{path} {name}") if isinstance(each, click.Group) else [(f"{path} {name}", each)]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_help_is_cut(columns: int) -> None:
    """Click ends what does not fit in a list of commands with three dots."""
    for path, command in commands(main):
        done = CliRunner().invoke(main, [*path.split()[1:], "--help"], terminal_width=columns)
        assert done.exit_code == 0
        words = " ".join(done.output.split())
        assert "..." not in words.partition("Options:")[2].partition("Examples:")[0].replace(",...", ""), path
        if isinstance(command, click.Group):
            for each in command.commands.values():
                assert each.help.split("\n\n")[0].replace("\n", " ") in words, path


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
    from curation.config import PipelineConfig
    from curation.config_files import load_config

    path = tmp_path / "pipeline.yaml"
    path.write_text(run("init").output)
    loaded = load_config(str(path))
    assert loaded == PipelineConfig(input=("data/{00000..00007}.tar",), output="out")


def test_doctor_names_what_is_missing_and_how_to_fix_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(session, "JAVA_FOLDERS", str(tmp_path))
    done = run("doctor", "--json", "--engine", "rapidocrr", "--storage", "/proc/nothing")
    assert done.exit_code == 1
    found = {c["name"]: c for c in json.loads(done.stdout)}
    assert not found["Java"]["is_good"]
    assert "openjdk-17-jre-headless" in found["Java"]["fix"]
    assert "rapidocr" in found["text engine rapidocrr"]["fix"]
    assert not found["storage /proc/nothing"]["is_good"]


def test_doctor_tries_what_the_pipeline_file_names(tmp_path: Path) -> None:
    pipeline, output = tmp_path / "pipeline.yaml", tmp_path / "out"
    text = (
        f"input: a.tar\noutput: {output}\nstorage: {{curate-test: {{anything: 1}}}}\n"
        "score: {engine: 'examples.row_engine:RowEngine', engine_options: {min_step: 48}}\n"
    )
    pipeline.write_text(text)
    arguments = ("doctor", "-c", str(pipeline), "--no-spark", "--json")
    found = {c["name"]: c for c in json.loads(run(*arguments).stdout)}
    assert "min_step=48" in found["text engine examples.row_engine:RowEngine"]["found"]
    assert found[f"storage {output}"]["is_good"]
    assert not any(output.iterdir()), "what was tried is gone again"
    assert fsspec.config.conf["curate-test"] == {"anything": 1}
    found = {c["name"]: c for c in json.loads(run(*arguments, "--engine", "rapidocr").stdout)}
    assert found["text engine rapidocr"]["is_good"], "another engine is tried without the file's options"
    pipeline.write_text(text.replace("min_step", "minstep"))
    done = run(*arguments)
    assert done.exit_code == 1
    assert "its options are" in done.output


def test_doctor_refuses_a_pipeline_file_that_does_not_load(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text("input: a.tar\noutput: out\nscore: {enginee: easyocr}\n")
    done = run("doctor", "-c", str(pipeline), "--no-spark")
    assert done.exit_code == 2
    assert "did you mean engine?" in done.output


@needs_easyocr
def test_doctor_names_the_missing_weights_and_their_places(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(tmp_path))
    done = run("doctor", "--engine", "easyocr", "--no-spark", "--json")
    assert done.exit_code == 1
    found = {c["name"]: c for c in json.loads(done.stdout)}["text engine easyocr"]
    assert str(tmp_path / "model" / "craft_mlt_25k.pth") in found["fix"]
    assert "curate models fetch easyocr" in found["fix"]
    assert "EASYOCR_MODULE_PATH" in found["fix"]


def test_doctor_finds_nothing_missing_here() -> None:
    found = checks(engine="rapidocr", engine_options={}, places=[], spark=None)
    assert all(c.is_good for c in found if not c.name.startswith("free disk")), found
