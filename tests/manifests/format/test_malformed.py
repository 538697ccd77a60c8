"""Damaged manifests: every command that reads one reports a sentence, never a traceback.

A row of DAMAGES is a way to damage a manifest, a row of COMMANDS a command line; every command meets every damage.
"""

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs.cli.main import main
from manifests.format.schema import FORMAT_VERSION, Stage
from tests.support.making import commit_rows

pytestmark = pytest.mark.slow  # a thousand commands

STAGE = Stage.CHOOSE


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line. `{manifest}` is damaged, `{other}` is valid, `{output}` does not exist.

    `reads_rows`: it reads parts, at least the first one.
    """

    line: str
    reads_rows: bool = True


COMMANDS = [
    Command(line="verify {manifest} --quick"),
    Command(line="verify {manifest} --json"),
    Command(line="verify {manifest} --deep --fraction 0"),
    Command(line="show {manifest} --rows 4"),
    Command(line="show {manifest} --json"),
    Command(line="stats {manifest}"),
    Command(line="query {manifest} SELECT(count(width))FROM(manifest)"),
    Command(line="cat {manifest} --keys a"),
    Command(line="explain {manifest} a"),
    Command(line="log {manifest}", reads_rows=False),
    Command(line="diff {manifest} {other} --engine duckdb"),
    Command(line="diff {other} {manifest} --engine duckdb"),
    Command(line="sample {manifest} -o {output} --fraction 0.5 --engine duckdb"),
    Command(line="sample {manifest} -o {output} --count 2 --engine duckdb"),
    Command(line="select {manifest} --keys {other} -o {output} --engine duckdb"),
    Command(line="merge {manifest} {other} -o {output} --on-conflict first --engine duckdb"),
    Command(line="takedown {manifest} --keys {other} -o {output} --allow-unmatched --engine duckdb"),
    Command(line="export {manifest} -o {output}.txt --format keys --all"),
]


def document(folder: Path) -> Path:
    return folder / "_manifest.json"


def fields(**changes: Any) -> Callable[[Path], None]:
    """Return a function that changes fields of `_manifest.json`."""

    def change(folder: Path) -> None:
        document(folder).write_text(json.dumps({**json.loads(document(folder).read_text()), **changes}))

    return change


def content(text: str | bytes) -> Callable[[Path], None]:
    """Return a function that replaces the content of `_manifest.json`."""
    return lambda folder: document(folder).write_bytes(text if isinstance(text, bytes) else text.encode()) and None


def lacking(name: str) -> Callable[[Path], None]:
    """Return a function that removes a field from `_manifest.json`."""

    def change(folder: Path) -> None:
        fields = json.loads(document(folder).read_text())
        del fields[name]
        document(folder).write_text(json.dumps(fields))

    return change


def columns(*, last: Mapping[str, str] | None = None, **types: str) -> Callable[[Path], None]:
    """Return a function that adds a column to the schema in `_manifest.json`, or changes the types of columns."""

    def change(folder: Path) -> None:
        fields = json.loads(document(folder).read_text())
        fields["schema"] = [{**c, "type": types.get(c["name"], c["type"])} for c in fields["schema"]]
        fields["schema"] += [last] if last else []
        document(folder).write_text(json.dumps(fields))

    return change


def part(change: Callable[[bytes], bytes | None], name: str = "part-00000.parquet") -> Callable[[Path], None]:
    """Return a function that changes the bytes of a part, or removes it if none are left."""

    def damage(folder: Path) -> None:
        left = change((folder / name).read_bytes())
        (folder / name).unlink()
        if left is not None:
            (folder / name).write_bytes(left)

    return damage


def flipped(data: bytes) -> bytes:
    """Return a part with one value altered: in the middle of its largest column, where no header of a page is."""
    group = pq.read_metadata(io.BytesIO(data)).row_group(0)
    largest = max(map(group.column, range(group.num_columns)), key=lambda chunk: chunk.total_compressed_size)
    at = largest.data_page_offset + largest.total_compressed_size // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


NOT_UNDERSTOOD: dict[str, Callable[[Path], None]] = {
    "no document": lambda folder: document(folder).unlink(),
    "empty": content(""),
    "cut off": lambda folder: document(folder).write_bytes(document(folder).read_bytes()[:-40]) and None,
    "not JSON": content("rows: 7"),
    "not text": content(b"\xff\xfe\x00"),
    "a list": content("[]"),
    "a number": content("7"),
    "no object at all": content("null"),
    "another format": fields(format_version=FORMAT_VERSION + 1),
    "a format that is no number": fields(format_version="one"),
    "an unknown stage": fields(stage="dream"),
    "an unknown column": columns(last={"name": "mood", "type": "string", "description": "of the picture"}),
    "a column of another type": columns(width="string"),
    "a column without a type": columns(last={"name": "mood"}),
    **{f"without {name}": lacking(name) for name in ("rows", "digest", "parts", "schema", "counts", "roots")},
    "parts that are a number": fields(parts=7),
    "parts that are texts": fields(parts=["part-00000.parquet"]),
    "parts without hashes": fields(parts=[{"name": "part-00000.parquet", "rows": 1}]),
    "lanes that are no numbers": fields(
        parts=[{"name": "a", "rows": 1, "size_bytes": 1, "sha256": "", "files": {}, "lanes": ["x"] * 4}]
    ),
    "parents that are texts": fields(parents=["file:///before"]),
    "a schema that is a number": fields(schema=7),
}
WRONG_TYPES: dict[str, Callable[[Path], None]] = {
    "rows that are a text": fields(rows="many"),
    "rows below zero": fields(rows=-1),
    "a digest that is a number": fields(digest=7),
    "counts that are a list": fields(counts=[1]),
    "counts that are texts": fields(counts={"status": {"ok": "all"}}),
    "a funnel that is a text": fields(funnel="narrow"),
    "roots that are a number": fields(roots=7),
    "a derivation that is a list": fields(derivation=[]),
    "inputs that are null": fields(inputs=None),
    "a cost that is a text": fields(cost="high"),
    "a phase of the cost that is a text": fields(cost={"phases": {"units": "long"}}),
    "a part whose name is a number": fields(
        parts=[{"name": 7, "rows": 1, "size_bytes": 1, "sha256": "", "lanes": [0] * 4, "files": {}}]
    ),
    "a part whose rows are a text": fields(
        parts=[{"name": "a", "rows": "1", "size_bytes": 1, "sha256": "", "lanes": [0] * 4, "files": {}}]
    ),
    "a part whose files are a list": fields(
        parts=[{"name": "a", "rows": 1, "size_bytes": 1, "sha256": "", "lanes": [0] * 4, "files": [1]}]
    ),
}
NOT_READABLE: dict[str, Callable[[Path], None]] = {
    "a missing part": part(lambda data: None),
    "an empty part": part(lambda data: b""),
    "a truncated part": part(lambda data: data[:-7]),
    "a part that is no Parquet": part(lambda data: b"x" * len(data)),
}
NOT_NOTICED_BY_ALL: dict[str, Callable[[Path], None]] = {
    "an altered part": part(flipped),
    "an altered last part": part(flipped, "part-00001.parquet"),
    "a missing last part": part(lambda data: None, "part-00001.parquet"),
    "other sums": fields(rows=8, digest="0" * 64),
}


def make(folder: Path, keys: str = "abcdefg", width: int = 40) -> None:
    rows = [{"key": key, "caption": f"caption of {key} " * 9, "width": width + n} for n, key in enumerate(keys)]
    commit_rows(folder, [rows[:3], rows[3:]], STAGE)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the valid manifests `manifest`, `repeated`, which has a key twice, and `other`."""
    folder = tmp_path_factory.mktemp("valid")
    make(folder / "manifest")
    make(folder / "repeated", "abcdafg")
    make(folder / "other", width=50)
    return folder


def meet(command: Command, valid: Path, tmp_path: Path, change: Callable[[Path], None], name: str = "manifest"):
    """Damage a manifest, run the command on it, check that its output is readable, and return its exit code."""
    shutil.copytree(valid / name, tmp_path / "manifest")
    change(tmp_path / "manifest")
    places = {"manifest": tmp_path / "manifest", "other": valid / "other", "output": tmp_path / "output"}
    done = CliRunner().invoke(main, [word.format(**places) for word in command.line.split()])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    assert "Traceback" not in done.output
    if done.exit_code == 2:
        (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("curate: ")]
        assert str(tmp_path / "manifest") in sentence
    return done.exit_code


def is_verify(command: Command) -> bool:
    return command.line.startswith("verify ")


each_command = pytest.mark.parametrize("command", COMMANDS, ids=[c.line for c in COMMANDS])


@each_command
def test_a_valid_manifest_is_read(command, valid, tmp_path):
    assert meet(command, valid, tmp_path, lambda folder: None) == 0


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
@each_command
def test_what_cannot_be_understood_is_refused(command, name, valid, tmp_path):
    assert meet(command, valid, tmp_path, NOT_UNDERSTOOD[name]) == 2


@pytest.mark.parametrize("name", WRONG_TYPES)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_fields_of_other_types_are_refused(command, name, valid, tmp_path):
    assert meet(command, valid, tmp_path, WRONG_TYPES[name]) == 2


@pytest.mark.parametrize("name", NOT_READABLE)
@each_command
def test_parts_that_cannot_be_read_are_reported(command, name, valid, tmp_path):
    expected = 1 if is_verify(command) else 2 if command.reads_rows else 0
    assert meet(command, valid, tmp_path, NOT_READABLE[name]) == expected


@pytest.mark.parametrize("name", NOT_NOTICED_BY_ALL)
@each_command
def test_what_only_verify_checks(command, name, valid, tmp_path):
    assert meet(command, valid, tmp_path, NOT_NOTICED_BY_ALL[name]) in ([1] if is_verify(command) else [0, 1, 2])


@each_command
def test_keys_that_are_not_unique(command, valid, tmp_path):
    assert meet(command, valid, tmp_path, lambda folder: None, "repeated") in (
        [1] if is_verify(command) else [0, 1, 2]
    )


@pytest.mark.parametrize("at", range(0, 9000, 900))
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_any_byte_of_the_document_may_be_damaged(command, at, valid, tmp_path):
    def change(folder: Path) -> None:
        data = bytearray(document(folder).read_bytes())
        data[at % len(data)] = ord("?")
        document(folder).write_bytes(data)

    assert meet(command, valid, tmp_path, change) in (0, 1, 2)
