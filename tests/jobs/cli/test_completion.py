"""Shell completion: a script for each shell, and what curate answers it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from curation.config_files import load_config
from jobs.cli.completion import SHELLS
from jobs.cli.main import main
from manifests.format.schema import Stage
from tests.support.making import commit_rows

TOP = Path(__file__).resolve().parents[3]


def run(*args, **env):
    return CliRunner(env=env).invoke(main, list(args))


def completed(*words, shell="bash"):
    """What curate offers for the last of `words`."""
    made = get_completion_class(shell)(main, {}, "curate", "_CURATE_COMPLETE")
    return [(item.type, item.value) for item in made.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_its_script(shell):
    done = run("completion", shell)
    assert done.exit_code == 0
    assert f"_CURATE_COMPLETE={shell}_complete" in done.stdout
    assert {"bash": "complete -o nosort", "zsh": "#compdef curate", "fish": "--command curate"}[shell] in done.stdout


def test_without_a_name_it_is_the_shell_in_the_environment():
    assert run("completion", SHELL="/usr/local/bin/fish").stdout == run("completion", "fish").stdout
    for unknown, named in (("/bin/tcsh", "tcsh"), ("", "not set")):
        done = run("completion", SHELL=unknown)
        assert done.exit_code == 2
        assert f"is {named}; name one of bash, zsh, fish" in done.stderr


def test_commands_and_options_are_completed():
    assert completed("sho") == [("plain", "show")]
    assert {("plain", "export"), ("plain", "completion"), ("plain", "scan")} <= set(completed(""))
    assert completed("export", "out/chosen", "--fo") == [("plain", "--format"), ("plain", "--force")]
    assert completed("export", "out/chosen", "--format", "k") == [("plain", "keys")]
    assert completed("completion", "z") == [("plain", "zsh")]
    assert completed("models", "fe") == [("plain", "fetch")]


def test_columns_are_those_of_the_manifest(tmp_path):
    commit_rows(tmp_path / "scan", [[{"key": "a"}]])
    commit_rows(tmp_path / "chosen", [[{"key": "a"}]], Stage.CHOOSE)
    assert completed("cat", str(tmp_path / "chosen"), "--columns", "dro") == [("plain", "drop_reason")]
    assert completed("cat", str(tmp_path / "scan"), "--columns", "dro") == [("file", "dro")]
    assert completed("stats", str(tmp_path / "scan"), "--by", "status,pdq") == [
        ("plain", "status,pdq"),
        ("plain", "status,pdq_quality"),
    ]
    assert ("plain", "text_score") in completed("sample", str(tmp_path / "chosen"), "--weight", "text_")
    assert ("plain", "key,url") not in completed("cat", str(tmp_path / "chosen"), "--columns", "key,url,")
    for unknown in ("s3://bucket/chosen", str(tmp_path / "nothing")):
        assert completed("cat", unknown, "--columns", "shard_in") == [("plain", "shard_index")]


def test_settings_are_completed_with_their_values(tmp_path):
    assert completed("run", "p.yaml", "--set", "choose.kee") == [
        ("plain", f"choose.keep={value}") for value in ("heavy", "light", "all")
    ]
    assert completed("score", "out/deduped", "--set", "score.bounds.read.keep_h") == [
        ("plain", "score.bounds.read.keep_heavy=")
    ]
    assert ("plain", "scan.text_density=false") in completed("scan", "a.tar", "--set", "scan.t")
    assert ("plain", "dedupe.strictness.crop=") in completed("run", "p.yaml", "--set", "")
    every = [value for _, value in completed("run", "p.yaml", "--set", "")]
    assert len(every) == len(set(every))
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text("input: a.tar\noutput: out\n")
    for text in every:  # whatever is offered with its value is a setting
        if not text.endswith("="):
            needed = ["scan.embedding.model=m.pt", "scan.embedding.size=224"] if "embedding" in text else []
            needed += ["dedupe.copies=[exact]"] if text == "dedupe.verify=false" else []
            load_config([str(pipeline)], [*needed, text])


@pytest.mark.parametrize("shell", SHELLS)
def test_paths_are_completed_where_nothing_else_is(shell):
    for words in (("show", "out/"), ("show", ""), ("export", "out/chosen", "-o", "li"), ("run", "pipe")):
        assert completed(*words, shell=shell) == [("file", words[-1])]
    assert completed("nosuchcommand", shell=shell) == []
    assert completed("show", "--nosuch", shell=shell) == []


@pytest.mark.parametrize(("words", "answer"), [("curate sho", b"plain,show\n"), ("curate show out/", b"file,out/\n")])
def test_the_process_that_a_script_starts_answers(words, answer):
    words_of_shell = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    environment = {**os.environ, "_CURATE_COMPLETE": "bash_complete", **words_of_shell}
    command = "from jobs.cli.main import main; main(prog_name='curate')"
    done = subprocess.run([sys.executable, "-c", command], cwd=TOP, env=environment, capture_output=True)
    assert (done.stdout, done.stderr) == (answer, b"")


@pytest.fixture
def curate_on_path(tmp_path):
    """The environment of a shell that finds this curate, and a script for it to source."""
    program = tmp_path / "bin" / "curate"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncd {TOP} && exec {sys.executable} -m jobs "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}


SOURCED = {
    "bash": [
        "--norc",
        "-c",
        'eval "$(curate completion bash)"; complete -p curate; COMP_WORDS=(curate expo); COMP_CWORD=1; '
        '_curate_completion curate; echo "${COMPREPLY[@]}"',
    ],
    "zsh": ["-f", "-c", 'compdef() { echo "$@"; }; eval "$(curate completion zsh)"; functions _curate_completion'],
    "fish": ["--no-config", "-c", "curate completion fish | source; complete -C 'curate expo'"],
}
FOUND = {
    "bash": ["complete -o nosort -F _curate_completion curate", "export"],
    "zsh": ["_curate_completion curate", "_CURATE_COMPLETE=zsh_complete curate"],
    "fish": ["export\tWrite a file for another tool"],
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_takes_its_script(shell, curate_on_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, *SOURCED[shell]], env=curate_on_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for each in FOUND[shell]:
        assert each in done.stdout
