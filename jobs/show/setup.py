"""What `curate doctor` and `curate models` print."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.markup import escape
from rich.table import Table

from jobs.show.basics import human_bytes, print_json, stdout_console

_MARKS = {True: "[green]ok[/green]", False: "[red]missing[/red]"}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of `curate doctor`; `fix` is how to fix what it found."""

    name: str
    is_good: bool
    found: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A file that a text engine loads, with its size in bytes (None when it is missing) and a note."""

    path: str
    size_bytes: int | None
    note: str


@dataclass(frozen=True, kw_only=True)
class EngineModels:
    """The model files of a text engine, or the problem that keeps them from being listed."""

    engine: str
    problem: str | None
    files: tuple[FoundModel, ...]


def print_checks(found: Sequence[Check], *, as_json: bool) -> None:
    """Print what `curate doctor` found, and how to fix what is missing."""
    if as_json:
        print_json([asdict(c) for c in found])
        return
    table = Table(title="curate doctor", title_justify="left")
    for name in ("check", "", "found", "how to fix it"):
        table.add_column(name, overflow="fold")
    for check in found:
        fix = "" if check.is_good else escape(check.fix)
        table.add_row(check.name, _MARKS[check.is_good], escape(check.found), fix)
    stdout_console().print(table)


def print_models(found: Sequence[EngineModels], *, as_json: bool) -> None:
    """Print the files that text engines load, and how to get what is missing."""
    if as_json:
        print_json([asdict(each) for each in found])
        return
    table = Table(title="Model files of the text engines", title_justify="left")
    for name in ("engine", "file", "size", "note"):
        table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    for each in found:
        if each.problem is not None:
            table.add_row(each.engine, "", "", escape(each.problem))
        for file in each.files:
            table.add_row(each.engine, escape(file.path), human_bytes(file.size_bytes), escape(file.note))
    stdout_console().print(table)
