"""Arguments that name nothing, or a place where nothing can be written: refused with a sentence before any work."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from jobs.cli.main import main
from jobs.spark import session
from jobs.units.failures import note_failure
from jobs.units.lease import acquire, work_uri
from jobs.units.output_place import require_file, require_folder
from jobs.units.plan import Plan
from jobs.units.running import explain_failure
from manifests import storage
from manifests.errors import InputError, is_failure, sentence_in, sentence_of
from manifests.format.schema import Stage
from tests.support.making import commit_rows

IS_ROOT = os.geteuid() == 0


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a manifest `m`, a larger `large`, and a file `file`; Spark cannot be started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "start", None)
    commit_rows("m", [[{"key": f"k{i}", "url": "http://h"} for i in range(9)]], Stage.CHOOSE)
    Path("file").write_text("mine")
    return tmp_path


# --- empty values


def commands(
    group: click.Group = main, before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


EMPTY = [
    (name, command, parameter)
    for name, command in commands()
    for parameter in command.params
    if not (getattr(parameter, "is_flag", False) or getattr(parameter, "count", False))
]


def filled(command: click.Command, empty: click.Parameter) -> list[str]:
    """Return arguments that give every required parameter a value, and `empty` none."""
    line: list[str] = []
    for parameter in command.params:
        if parameter is not empty and not parameter.required:
            continue
        value = "" if parameter is empty else next(iter(getattr(parameter.type, "choices", ["x"])))
        line += [max(parameter.opts, key=len), value] if isinstance(parameter, click.Option) else [value]
    return line


@pytest.mark.parametrize(
    ("name", "command", "parameter"), EMPTY, ids=[f"{' '.join(n)} {p.name}" for n, _, p in EMPTY]
)
def test_every_empty_value_is_refused(
    place: Path, name: tuple[str, ...], command: click.Command, parameter: click.Parameter
) -> None:
    before = sorted(place.rglob("*"))
    done = run(*name, *filled(command, parameter))
    assert done.exit_code == 2
    option = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else None
    named = option or (parameter.metavar or parameter.human_readable_name).split()[0].rstrip(".")
    is_text = isinstance(parameter.type, click.types.StringParamType)
    if not is_text:  # click says that '' is no number, or none of the choices
        assert "Invalid value for" in done.output
    else:
        assert f"curate: {' '.join(name)}: {named} is empty; is a shell variable unset?" in done.output
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("text", ["input: ''", "input: ['']", "input: [a.tar, '']", "input: a.tar\noutput: ''"])
def test_an_empty_place_in_a_pipeline_file_is_refused(place: Path, text: str) -> None:
    Path("p.yaml").write_text(text if "output" in text else f"{text}\noutput: out")
    Path("a.tar").write_bytes(bytes(10240))
    done = run("run", "p.yaml")
    assert done.exit_code == 2
    assert "an empty path" in done.output


@pytest.mark.parametrize(
    "line",
    ["show ~nouser/x", "scan ~nouser/a.tar -o out", "sample m -o ~nouser/x --count 1", "export m -o ~nouser/a.txt"],
)
def test_the_home_of_an_unknown_user_is_refused(place: Path, line: str) -> None:
    done = run(*line.split())
    assert done.exit_code == 2
    assert "~nouser" in done.output
    assert done.output.count("\n") == 1


# --- places


FOLDERS = [
    "sample m -o {} --count 1",
    "sample m -o {} --count 1 --dry-run",
    "merge m m -o {}",
    "select m --keys m -o {}",
    "shard m -o {}",
    "shard m -o {} --dry-run",
    "diff m m --out {}",
    "cat m --keys k1 --images {}",
    "package -o {}",
]
FILES = ["export m -o {}.txt", "query m FROM(m) --out {}.parquet", "calibrate x.csv --manifest m -o {}.yaml"]
FILES += ["embed m --model x -o {}.parquet"]
LONG = "x" * 300


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("file", "file: a file, not a folder; name another output"),
        ("file/below/it", "/file is a file, not a folder; name another output"),
        (LONG, f"{LONG}: the name is too long for the file system; use a shorter one"),
        (f"{LONG}/a", "the name is too long for the file system; use a shorter one"),
        ("a/" * 2040, "the name is too long for the file system; use a shorter one"),
    ],
    ids=["a file", "below a file", "too long a name", "below too long a name", "too long a path"],
)
@pytest.mark.parametrize("line", FOLDERS)
def test_no_folder_can_be_there(place: Path, line: str, where: str, said: str) -> None:
    done = run(*line.format(where).split())
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert done.output.count("\n") == 1
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("line", FILES)
@pytest.mark.parametrize(
    ("where", "said"), [("file/a", "/file is a file, not a folder"), (LONG, "too long for the file system")]
)
def test_no_file_can_be_there(place: Path, line: str, where: str, said: str) -> None:
    done = run(*line.format(where).split())
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert done.output.count("\n") == 1


def test_a_name_as_long_as_the_file_system_takes_is_written(place: Path) -> None:
    name = "x" * 251 + ".txt"
    assert run("export", "m", "-o", name).exit_code == 0
    assert Path(name).read_text()
    assert run("export", "m", "-o", "é" * 124 + ".txt").exit_code == 0


def test_a_folder_is_no_file(place: Path) -> None:
    Path("folder.txt").mkdir()
    assert "a folder" in run("export", "m", "-o", "folder.txt").output
    with pytest.raises(InputError, match="a folder, not a file; name a file in it"):
        require_file(storage.absolute("folder.txt"))
    require_folder(storage.absolute("folder.txt"))
    require_folder(storage.absolute("new/folder"))
    require_file(storage.absolute("new/folder/file.txt"))


def test_links_in_a_circle(place: Path) -> None:
    Path("circle").symlink_to("circle")
    done = run("sample", "m", "-o", "circle/out", "--count", "1")
    assert done.exit_code == 2
    assert "links that lead in a circle" in done.output


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
@pytest.mark.parametrize(
    "line", ["sample m -o shut/out --count 1", "export m -o shut/a.txt", "diff m m --out shut/d"]
)
def test_a_folder_that_may_not_be_written(place: Path, line: str) -> None:
    Path("shut").mkdir(mode=0o555)
    done = run(*line.split())
    assert done.exit_code == 2
    assert "permission denied; check who may read or write it" in done.output


# --- a full disk


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system with no more than 64 kB left."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("sample large -o {}/out --fraction 1", 1),
        ("export large -o {}/keys.txt --force", 1),
        ("query large FROM(m) --out {}/rows.parquet", 1),
        ("diff m large --out {}/diff", 2),
        ("package -o {}/dist", 1),
    ],
)
def test_a_full_disk_is_one_sentence(place: Path, full: Path, line: str, code: int) -> None:
    """Nothing that looks complete is left; only a diff exits with 2, since its 1 means a difference."""
    commit_rows("large", [[{"key": os.urandom(16).hex()} for i in range(9000)]], Stage.CHOOSE)
    done = run(*line.format(full).split())
    assert done.exit_code == code, done.output
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"curate: {full}/")
    assert last.endswith(": no space left on the device; free some, or write to another place")
    assert ".tmp" not in last
    assert not list(full.rglob("*.tmp"))
    assert not list(full.rglob("_*.json"))


# --- sentences


NUMBERS = [errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES]
NUMBERS += [errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.ELOOP, errno.ENOENT]


@pytest.mark.parametrize("number", NUMBERS, ids=[errno.errorcode[number] for number in NUMBERS])
def test_every_error_of_a_file_has_a_sentence_of_its_own(number: int) -> None:
    error = OSError(number, os.strerror(number), "/data/out")
    said = sentence_of(error)
    assert said.startswith("/data/out: ")
    assert "; " in said
    assert "credentials" not in said
    assert said not in [sentence_of(OSError(other, "", "/data/out")) for other in NUMBERS if other != number]
    assert sentence_in(f"{type(error).__name__}: {error}") == said, "as it comes from a worker's traceback"


def test_an_error_of_an_object_store_is_about_credentials() -> None:
    for error in (PermissionError(errno.EACCES, "Access Denied"), OSError("no route"), TimeoutError()):
        assert "credentials" in sentence_of(error)
        assert not is_failure(error)
    assert sentence_in("ValueError: nothing of the kind") is None


def test_a_temporary_name_is_not_shown() -> None:
    temporary = f"/data/.part-00000.parquet.{'0' * 32}.tmp"
    assert sentence_of(OSError(errno.EACCES, "", temporary)).startswith("/data/part-00000.parquet: permission denied")


def plan(output: str) -> Plan:
    """A plan without units, whose work has begun."""
    return Plan(
        stage=Stage.SCAN, config={}, software={}, inputs={}, parents=[], roots=[], funnel=[], output=output, units=[],
        options={}, fence=acquire(work_uri(output)).fence,
    )  # fmt: skip


def test_what_failed_in_a_worker_is_reported_in_a_sentence(tmp_path: Path) -> None:
    output = storage.absolute(str(tmp_path))
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/part-00000.parquet")
    raised = Exception(f"Traceback:\n  File x\nOSError: {error}")
    said = "/data/part-00000.parquet: no space left on the device"
    begun = plan(output)
    assert said in explain_failure(begun, raised), "not even a note could be left"
    note_failure(begun.run, "part-00000", error)
    assert said in explain_failure(begun, Exception("something of Java's"))


def test_a_note_that_cannot_be_left_hides_nothing(full: Path) -> None:
    fence = plan(storage.absolute(str(full))).run
    (full / "filler").write_bytes(bytes(60_000))
    note_failure(fence, "part-00000", ValueError("x" * 10_000))


# --- options that become settings


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("choose m -o out --target-fraction 1.3", "--target-fraction 1.3: Input should be less than or equal to 1"),
        ("choose m -o out --target-fraction 0.3 --target-count 3", "--target-fraction and --target-count exclude"),
        ("choose m -o out --min-side -1", "--min-side -1: "),
        ("choose m -o out --max-aspect 0.5", "--max-aspect 0.5: "),
        ("dedupe m -o out --copies exact,foo", "--copies foo: "),
        ("dedupe m -o out --copies mild", "--copies: "),
        ("dedupe m -o out --no-verify", "--no-verify finds only exact and mild"),
        ("dedupe m -o out --max-distance 99", "--max-distance 99: "),
        ("dedupe m -o out --min-cosine 0", "--min-cosine 0.0: "),
        ("scan a.tar -o out --unit-bytes 0", "--unit-bytes 0: "),
        ("scan a.tar -o out --max-broken-tars -1", "--max-broken-tars -1: "),
        ("shard m -o out --samples-per-shard 0", "--samples-per-shard 0: "),
        ("shard m -o out --target-shard-bytes 0", "--target-shard-bytes 0: "),
    ],
)
def test_a_bad_value_is_blamed_on_the_option_that_gave_it(place: Path, line: str, said: str) -> None:
    done = run(*line.split())
    assert done.exit_code == 2
    assert done.output.startswith(f"curate: {said}"), done.output
    assert done.output.count("\n") == 1


def test_settings_and_options_are_each_named_as_they_were_given(place: Path) -> None:
    done = run("choose", "m", "-o", "out", "--min-side", "-1", "--set", "choose.keepp=3")
    assert done.exit_code == 2
    assert "\n  --min-side -1: Input should be greater than or equal to 0\n" in done.output
    assert "\n  choose.keepp: unknown; did you mean keep?\n" in done.output


def test_values_that_a_stage_refuses_are_blamed_on_their_options(place: Path) -> None:
    commit_rows("d", [[{"key": "k"}]], Stage.DEDUPE)
    commit_rows("s", [[{"key": "k"}]], Stage.SCORE)
    for line, said in (
        (["choose", "s", "--where", "big=widht > 3"], "--where big: 'widht > 3' is refused"),
        (["score", "d", "--engine", "rapidocrr"], "--engine: text engine 'rapidocrr' is not known"),
        (["stats", "d", "--columns", "nope"], "--columns: "),
        (["stats", "d", "--by", "nope"], "--by: "),
        (["cat", "d", "--keys", "k", "--columns", "nope"], "--columns: "),
        (["export", "d", "--columns", "nope", "-o", "a.csv"], "--columns: "),
        (["select", "d", "--keys", "nothing"], "--keys: "),
        (["sample", "d", "--count", "1", "--stratify-by", "nope"], "--stratify-by nope: "),
    ):
        output = ["-o", "out"] if line[0] in ("choose", "score", "select", "sample") else []
        done = run(*line, *output)
        assert done.exit_code == 2
        assert done.output.startswith(f"curate: {said}"), done.output
