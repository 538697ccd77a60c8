"""Commands are imported when they are called, and what their work needs when it runs."""

import inspect
import subprocess
import sys

import click
import pytest

from filters.protocol import BUILT_IN_ENGINES
from jobs.cli.export import FORMATS
from jobs.cli.lazy import load
from jobs.cli.main import SECTIONS, main
from jobs.cli.models import ENGINES
from manifests.exchange.exports import Format
from tests.conftest import TOP

HEAVY = (
    *("pyspark", "py4j", "cv2", "onnxruntime", "duckdb", "pyarrow", "pandas", "scipy", "numpy", "faiss", "pydantic"),
    *("matplotlib", "PIL", "rich", "fsspec", "torch"),
)


def leaves(group: click.Group, before: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every command that is no group, with its name."""
    found = []
    for name, command in group.commands.items():
        path = (*before, name)
        found += leaves(command, path) if isinstance(command, click.Group) else [(path, command)]
    return found


LEAVES = leaves(main)


def in_a_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True).stdout


def test_help_and_completion_import_nothing_heavy() -> None:
    code = f"""
import sys
from click.shell_completion import get_completion_class
from click.testing import CliRunner
from jobs.cli.main import main

def loaded():
    ours = ("jobs.cli.", "jobs.commands")
    return sorted(m for m in sys.modules if m.split(".")[0] in {HEAVY!r} or m.startswith(ours))

assert CliRunner().invoke(main, ["--help"]).exit_code == 0
completion = get_completion_class("bash")(main, {{}}, "curate", "_CURATE_COMPLETE")
assert "verify" in [item.value for item in completion.get_completions([], "")]
print(loaded())
for name in main.commands:
    assert "--traceback" in CliRunner().invoke(main, [name, "--help"]).output or name == "models"
    assert completion.get_completions([name], "--")
print([m for m in loaded() if not m.startswith("jobs.cli.")])
"""
    assert (
        in_a_new_process(code)
        == "['jobs.cli.completing', 'jobs.cli.lazy', 'jobs.cli.main', 'jobs.cli.options']\n[]\n"
    )


@pytest.mark.parametrize(("name", "listed"), [each for section in SECTIONS.values() for each in section.items()])
def test_the_list_of_commands_says_what_their_help_says(name: str, listed) -> None:
    command = main.commands[name]
    assert command.name == name
    assert command.get_short_help_str(limit=200) == listed.short_help
    assert len(name) + len(listed.short_help) <= 74, "fits on a line of 80 characters"


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_the_work_of_a_command_takes_its_parameters(path: tuple[str, ...], command: click.Command) -> None:
    target = getattr(command.callback, "target", None)
    work = load(target) if target else command.callback
    exposed = {each.name: None for each in command.params if each.expose_value}
    inspect.signature(work).bind(**exposed)


def test_names_in_options_are_those_of_the_code() -> None:
    assert set(FORMATS) == set(Format)
    assert set(ENGINES) == set(BUILT_IN_ENGINES)


def test_an_unknown_command_is_refused_with_its_neighbours() -> None:
    with pytest.raises(click.UsageError, match="No such command 'shwo'"):
        main.main(["shwo"], standalone_mode=False)
