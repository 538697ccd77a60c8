"""Writes the pages of the reference from the code.

    python -m docs.generate            write docs/reference/*.md, and the table in docs/concepts/manifest.md
    python -m docs.generate --check    write nothing; exit with 1 and name the pages that are stale

The pages depend on the code alone: not on the terminal, the folder, the time or the machine.
"""

import ast
import inspect
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
from click.testing import CliRunner

from curation.choosing.presets import PRESETS
from curation.config import PipelineConfig
from jobs.cli.main import main as cli
from manifests.format.schema import COLUMNS, DuplicateKind, Status

DOCS = Path(__file__).resolve().parent
TERMINAL_CHARS = 100
NOTICE = "<!-- Written by `python -m docs.generate`; edit the code it is read from. -->"
BLOCK_START = "<!-- columns: written by `python -m docs.generate` -->"
BLOCK_END = "<!-- /columns -->"
ENUMS: Mapping[str, type[StrEnum]] = {"status": Status, "duplicate_kind": DuplicateKind}


def page(title: str, *blocks: str) -> str:
    """Return a page of blocks, each set apart by an empty line."""
    return "\n\n".join([f"# {title}", NOTICE, *blocks]) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# --- the command line


def commands(
    command: click.Command = cli, path: tuple[str, ...] = ("curate",)
) -> Iterator[tuple[str, click.Command]]:
    """Yield (`curate run`, command) for every command, groups before their commands."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from commands(command.commands[name], (*path, name))


def help_text(path: str) -> str:
    """Return what `path --help` prints, at a fixed width."""
    program, *names = path.split()
    done = CliRunner().invoke(
        cli,
        [*names, "--help"],
        prog_name=program,
        terminal_width=TERMINAL_CHARS,
        max_content_width=TERMINAL_CHARS,
        catch_exceptions=False,
    )
    return done.stdout.rstrip()


EXIT_CODES = """\
`curate diff --exit-code` and `curate verify` exit with 1 where they find differences or faults; an error of a diff
is 2. An empty value, as an unset shell variable leaves it, is refused."""
STREAMS = """\
stdout and stderr may have any encoding: a character that it lacks is shown as a similar ASCII character or as an
escape. CSV, `export -o -` and `init` are always UTF-8, JSON is ASCII where stdout is not UTF-8. Names of files
are read as UTF-8 in every locale. When the reader of a pipe stops, as `head` does, curate stops printing and
exits with the code that it would have had.

Every command has `-v`, `-q`, `--log-file` and `--traceback`, which may also be given before its name. With `-q`,
commands that make something print no summary, unless it is requested with `--json`; answers, as of `show`, are
printed. `diff --quiet --exit-code` prints nothing. A log file contains all messages, also those of Spark."""


def cli_page() -> str:
    """Return the page of every command's `--help`."""
    blocks = [f"## `{path}`\n\n```text\n{help_text(path)}\n```" for path, _ in commands()]
    return page(
        "Command line",
        "What `--help` prints, command by command. Answers go to stdout, everything else to stderr.",
        table(
            ("exit code", "meaning"),
            [
                ("0", "done, or nothing was left to do"),
                (
                    "1",
                    "a stage could not finish (what was done is kept), a disk is full, or a check found faults",
                ),
                ("2", "refused before any work: wrong option, configuration, input, output or manifest"),
                ("130", "interrupted; the same command goes on from there"),
            ],
        ),
        EXIT_CODES,
        STREAMS,
        *blocks,
    )


# --- the pipeline file


VALUES = """\
Files and the values of `--set` are YAML 1.1: `yes`, `no`, `on` and `off` are true and false, `010` is 8, `1:30` is
90. Quote a text that looks like another value: `salt: '010'`. In a file `1e-3` is a number only for a setting that is
a number; for the arguments of an engine or a filter write `1.0e-3`. A date is a text. Nothing in a text is replaced:
`${HOME}` stays as it is. A key that is set twice is refused, and so are tags such as `!!binary`.

Of several files the later ones win, then `--set`, then the options of a command. Mappings are merged at every depth;
lists and all other values are replaced: `--set dedupe.copies=[exact,mild]`."""


PRESETS_ARE = """\
What `choose.preset` decides. A setting that is given wins over the preset, in whichever file or option it is given;
`null` lifts a limit of the preset."""


def config_page() -> str:
    """Return the page of every setting of a pipeline file."""
    schema = PipelineConfig.model_json_schema()
    own, blocks = [], []
    for name, field in schema["properties"].items():
        section = schema["$defs"].get(field.get("$ref", "").rsplit("/", 1)[-1])
        if section is None:
            own.append((name, field))
            continue
        rows = _setting_rows(section["properties"], schema["$defs"])
        blocks.append(
            f"## `{name}`\n\n{section['description']}\n\n{table(('name', 'type', 'default', 'meaning'), rows)}"
        )
    return page(
        "Configuration",
        "The settings of a pipeline file, which `--set section.name=value` overrides. `curate init` prints such a "
        "file with every default. Other names are refused, with the nearest known name.",
        VALUES,
        "## Top level\n\n" + table(("name", "type", "default", "meaning"), _setting_rows(dict(own), schema["$defs"])),
        *blocks,
        f"## Presets\n\n{PRESETS_ARE}\n\n"
        + table(("preset", "keep", "kinds", "max_text_score", "keeps"), _preset_rows()),
    )


def _preset_rows() -> list[tuple[str, ...]]:
    """Return a row for each preset: its name, its values as JSON, and what it keeps."""
    return [
        (f"`{name}`", *(f"`{json.dumps(value)}`" for value in (p.keep, p.kinds, p.max_text_score)), p.description)
        for name, p in PRESETS.items()
    ]


def _setting_rows(
    settings: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "", defaults: Mapping[str, Any] | None = None
) -> list[tuple[str, str, str, str]]:
    """Return a row for each setting, those of a section inside a section with its name before theirs."""
    rows = []
    for name, field in settings.items():
        field = field | {"default": defaults[name]} if defaults else field  # noqa: PLW2901 - the default of the outer section
        inner = known.get(field.get("$ref", "").rsplit("/", 1)[-1], {}).get("properties")
        if inner:
            rows += _setting_rows(inner, known, f"{prefix}{name}.", field["default"])
            continue
        rows.append((f"`{prefix}{name}`", _type(field, known), _default(field), field.get("description", "")))
        for optional in (each["$ref"].rsplit("/", 1)[-1] for each in field.get("anyOf", ()) if "$ref" in each):
            rows += _setting_rows(known[optional]["properties"], known, f"{prefix}{name}.")
    return rows


def _default(field: Mapping[str, Any]) -> str:
    if "default" in field:
        return f"`{json.dumps(field['default'])}`"
    if field.get("minItems") or field.get("minLength"):
        return "required"
    return "`{}`" if field.get("type") == "object" else "by `preset`"


def _type(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return a JSON schema's type in words."""
    if "$ref" in field:
        return _type(known[field["$ref"].rsplit("/", 1)[-1]], known)
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_type(each, known) for each in field["anyOf"])
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])} × {_type(field['prefixItems'][0], known)}"
    if field.get("type") == "array":
        return (
            "text, or list of texts"
            if field["items"] == {"type": "string"}
            else f"list of {_type(field['items'], known)}"
        )
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return f"mapping to {_type(values, known)}" if isinstance(values, Mapping) else "mapping"
    names = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
    return names[field["type"]] + _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return "".join(f" {sign} {field[name]:,}" for name, sign in signs.items() if name in field)


# --- the columns


def columns_page() -> str:
    """Return the page of every column, stage by stage, and of the values a column may have."""
    blocks = []
    for stage, fields in COLUMNS.items():
        rows = [(f"`{f.name}`", f"`{f.type}`", "" if f.nullable else "yes", _meaning(f)) for f in fields]
        blocks.append(f"## Added by `{stage}`\n\n{table(('column', 'Arrow type', 'always set', 'meaning'), rows)}")
    for column, enum in ENUMS.items():
        values = [(f"`{value}`", meaning) for value, meaning in _members(enum)]
        blocks.append(
            f"## Values of `{column}`\n\n{(enum.__doc__ or '').strip()}\n\n{table(('value', 'meaning'), values)}"
        )
    return page(
        "Columns",
        "The columns of a manifest. A stage's manifest has its own columns and those of all stages before it, in "
        "this order; no column is ever renamed.",
        *blocks,
    )


def _meaning(field: pa.Field) -> str:
    meaning: bytes = (field.metadata or {})[b"description"]
    return meaning.decode()


def _members(enum: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Yield (value, meaning) of each member; the meaning is the docstring below it."""
    body = ast.parse(inspect.getsource(enum)).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{enum.__name__} is no class")
    for statement, below in itertools.pairwise(body.body):
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            if not (isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)):
                raise ValueError(f"{enum.__name__}: {statement.value.value!r} has no docstring below it")
            yield str(statement.value.value), str(below.value.value)


def columns_block() -> str:
    """Return the short table of columns that docs/concepts/manifest.md shows."""
    rows = [(f"`{stage}`", ", ".join(f"`{f.name}`" for f in fields)) for stage, fields in COLUMNS.items()]
    return table(("stage", "adds"), rows)


# --- writing


def with_block(text: str) -> str:
    """Return a page's `text` with the columns between its markers replaced."""
    before, start, rest = text.partition(BLOCK_START)
    _, end, after = rest.partition(BLOCK_END)
    if not (start and end):
        raise ValueError(f"docs/concepts/manifest.md: put {BLOCK_START} and {BLOCK_END} around the table of columns")
    return f"{before}{BLOCK_START}\n\n{columns_block()}\n\n{BLOCK_END}{after}"


PAGES: Mapping[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/config.md": config_page,
    "reference/columns.md": columns_page,
    "concepts/manifest.md": lambda: with_block((DOCS / "concepts/manifest.md").read_text()),
}


def stale() -> dict[str, str]:
    """Return page → its new text, for each page that differs from the code."""
    made = {name: make() for name, make in PAGES.items()}
    return {
        name: text for name, text in made.items() if not (DOCS / name).is_file() or (DOCS / name).read_text() != text
    }


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when a page is stale.")
def main(*, check: bool) -> None:
    """Write the pages of the reference that differ from the code."""
    found = stale()
    for name, text in found.items():
        if not check:
            (DOCS / name).write_text(text)
        click.echo(f"docs/{name}: {'stale; run python -m docs.generate' if check else 'written'}")
    if check and found:
        sys.exit(1)


if __name__ == "__main__":
    main()
