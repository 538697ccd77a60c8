"""The documentation says what the code does: generated pages, help texts, links, pipeline files and commands."""

import importlib
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from curation.config_files import load_config
from docs import generate

TOP = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path for path in (TOP / "README.md", TOP / "CONTRIBUTING.md", *(TOP / "docs").rglob("*.md")) if path.is_file()
)
COMMANDS = list(generate.commands())


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of `language` in a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def anchor(heading: str) -> str:
    """Return the anchor that Markdown renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


# --- generated pages


def test_generated_pages_are_up_to_date():
    assert not generate.stale(), "run python -m docs.generate"


def test_check_names_stale_pages(monkeypatch):
    monkeypatch.setattr(generate, "PAGES", {"reference/cli.md": lambda: "old"})
    done = CliRunner().invoke(generate.main, ["--check"])
    assert done.exit_code == 1
    assert "docs/reference/cli.md: stale" in done.stdout
    assert (TOP / "docs/reference/cli.md").read_text() != "old"


def test_pages_do_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert not generate.stale()


# --- help texts


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_command_and_option_has_help_and_an_example(path: str, command: click.Command):
    assert command.help, f"{path} has no help"
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{path} {option.opts[-1]} has no help"
    assert f"{path} " in f"{command.epilog or ''} ".replace("\n", " "), f"the epilog of {path} has no example"


# --- pages


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(TOP)) for p in PAGES])
def test_relative_links_resolve(page: Path):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.relative_to(TOP)}: {target} leads nowhere"
        if heading:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert heading in map(anchor, headings), f"{page.relative_to(TOP)}: {target} has no such heading"


CODE = ("benchmarks", "curation", "docs", "examples", "filters", "jobs", "manifests", "scripts", "tests")
MODULES = ("curation", "filters", "jobs", "manifests")


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(TOP)) for p in PAGES])
def test_files_named_in_pages_exist(page: Path):
    named = re.findall(rf"`((?:{'|'.join(CODE)})(?:/[\w.-]+)+/?|curate\.py)`", page.read_text())
    assert [name for name in named if not (TOP / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(TOP)) for p in PAGES])
def test_names_of_modules_in_pages_exist(page: Path):
    for name in re.findall(rf"`((?:{'|'.join(MODULES)})(?:\.\w+)+)`", page.read_text()):
        module, _, attribute = name.rpartition(".")
        if not _is_module(name):
            assert _is_module(module), f"{page.relative_to(TOP)}: {name}"
            assert hasattr(importlib.import_module(module), attribute), f"{page.relative_to(TOP)}: {name}"


def _is_module(name: str) -> bool:
    path = TOP / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_the_map_names_every_folder_of_the_code():
    page = (TOP / "docs/concepts/flow.md").read_text()
    folders = [path.parent.relative_to(TOP) for top in MODULES for path in (TOP / top).glob("*/__init__.py")]
    assert [str(folder) for folder in folders if f"| `{folder}/` |" not in page] == []


def test_every_page_is_in_the_index():
    index = (TOP / "docs/README.md").read_text()
    pages = [p.relative_to(TOP / "docs").as_posix() for p in (TOP / "docs").rglob("*.md")]
    assert [p for p in pages if p != "README.md" and f"({p})" not in index] == []


def test_pipeline_examples_load(tmp_path: Path):
    found = [(page, text) for page in PAGES for text in blocks(page, "yaml")]
    assert found
    for page, text in found:
        pipeline = tmp_path / "pipeline.yaml"
        pipeline.write_text(text)
        last = {} if re.search(r"^output:", text, re.MULTILINE) else {"input": ["a.tar"], "output": "out"}
        try:
            load_config(str(pipeline), last=last)
        except Exception as e:
            raise AssertionError(f"{page.relative_to(TOP)}: this does not load:\n{text}") from e


def test_commands_in_pages_exist():
    known = {path.removeprefix("curate "): command for path, command in COMMANDS}
    words = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    for page in PAGES:
        for block in blocks(page, "console") + blocks(page, "bash") + blocks(page, "sh"):
            for typed in re.findall(r"^\$? ?curate (\w.*)$", block.replace("\\\n", " "), re.MULTILINE):
                command = re.match(rf"({words})(?!\S)(.*)", typed)
                assert command, f"{page.relative_to(TOP)}: curate {typed}"
                name, rest = command.groups()
                options = {o for p in known[name].params for o in p.opts} | {"--help"}
                used = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", re.sub(r"'[^']*'|\s#.*$|[|>].*$", "", rest)))
                assert used <= options, f"{page.relative_to(TOP)}: curate {name}{rest}"
