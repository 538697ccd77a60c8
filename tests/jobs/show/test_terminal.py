"""With any encoding, any reader, any disk behind stdout: no traceback, the right exit code, valid results."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.show import terminal
from manifests.format.schema import Stage
from tests.conftest import TOP
from tests.support.making import commit_rows

pytestmark = pytest.mark.slow  # hundreds of processes

CAPTION = "日本 – naïve… :smile: ‘x’"
ISO = "en_US.ISO-8859-1"
PYTHON = [sys.executable, "-m", "jobs"]
NOISE = ("Traceback", "Exception ignored", "UnicodeEncodeError", "BrokenPipeError")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifests: `m`; `n`, with some of its rows; `long`, which fills every pipe; and `faulty`."""
    folder = tmp_path_factory.mktemp("naïve 日本")
    rows = [
        {"key": f"k{i:03d}", "caption": CAPTION, "url": f"http://h/{i}", "width": i, "text_class": "heavy"}
        for i in range(9)
    ]
    commit_rows(folder / "m", [rows], Stage.CHOOSE)
    commit_rows(folder / "n", [rows[:-2]], Stage.CHOOSE)
    commit_rows(folder / "long", [[{**row, "key": f"{row['key']}-{n}"} for n in range(2000) for row in rows]])
    commit_rows(folder / "faulty", [rows], Stage.CHOOSE)
    (folder / "faulty/part-00000.parquet").unlink()
    return folder


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a locale that is not UTF-8."""
    folder = tmp_path_factory.mktemp("locales")
    try:
        subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / ISO)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs localedef")
    if not (folder / ISO).is_dir():
        pytest.skip("needs the locales' sources")
    return {"LOCPATH": str(folder), "LC_ALL": ISO}


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without the variables that decide encodings, with `changes`."""
    decides = ("PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "LANG", "LC_ALL", "LC_CTYPE", "LOCPATH")
    kept = {name: value for name, value in os.environ.items() if name not in decides}
    return {**kept, "PYTHONPATH": str(TOP), **changes}


def run(cwd: Path, line: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run the command line; stdout and stderr are bytes."""
    env = env or environment(LC_ALL="C.UTF-8")
    return subprocess.run([*PYTHON, *line], cwd=cwd, env=env, capture_output=True)


def shell(cwd: Path, text: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run a line of bash, in which `curate` is the command line."""
    defined = f'curate() {{ "{sys.executable}" -m jobs "$@"; }}; {text}'
    return subprocess.run(
        ["bash", "-c", defined], cwd=cwd, env=env or environment(LC_ALL="C.UTF-8"), capture_output=True
    )


def is_quiet(done: subprocess.CompletedProcess) -> bool:
    """Return whether nothing was printed that a person should never see."""
    return not any(noise.encode() in (done.stdout or b"") + (done.stderr or b"") for noise in NOISE)


# --- characters


@pytest.mark.parametrize("encoding", ["ascii", terminal._ASCII, "latin-1", "cp437", "cp1252", "koi8-r", "utf-8"])
@given(text=st.text(st.characters(codec=None)))
def test_any_text_can_be_written(encoding: str, text: str) -> None:
    written = text.encode(encoding, terminal.PLAIN).decode(encoding)
    assert written == "".join(c if c.encode(encoding, "ignore") else terminal.ascii_for(c) for c in text)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_characters_that_we_draw_with_keep_their_width(encoding: str) -> None:
    """Tables, bars, spinners and typographic characters become one character each, so that columns stay aligned."""
    drawn = "…–—→≈×·✓▁▂▃▄▅▆▇█" + "".join(map(chr, [*range(0x2500, 0x2580), *range(0x2800, 0x2900)]))
    assert len(drawn.encode(encoding, terminal.PLAIN).decode(encoding)) == len(drawn)


def test_json_with_half_a_character_stays_json() -> None:
    """A name that is not UTF-8 contains lone surrogates."""
    written = json.dumps("caf\udce9 \ud83d", ensure_ascii=False).encode("utf-8", terminal.PLAIN)
    assert json.loads(written) == "caf\udce9 \ud83d"


ENCODINGS = ["ascii", "latin-1", "utf-8"]
LINES = [
    (0, ["show", "m"]),
    (0, ["show", "m", "--json"]),
    (0, ["stats", "m"]),
    (0, ["log", "m"]),
    (0, ["cat", "m", "--keys", "k001"]),
    (1, ["cat", "m", "--keys", "k001,日本"]),
    (0, ["explain", "m", "k001"]),
    (1, ["explain", "m", "日本…"]),
    (0, ["show", "."]),
    (1, ["diff", "m", "n", "--exit-code"]),
    (0, ["diff", "m", "n", "--md"]),
    (0, ["query", "m", "SELECT caption FROM m"]),
    (1, ["verify", "faulty"]),
    (2, ["show", "日本…"]),
    (2, ["show", "m", "--nonsense…"]),
    (0, ["--help"]),
    (0, ["sample", "m", "-o", "new-日本", "--count", "1", "--dry-run"]),
]


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
@pytest.mark.parametrize(("code", "line"), LINES, ids=[" ".join(line) for _, line in LINES])
def test_every_encoding(place: Path, encoding: str, code: int, line: list[str]) -> None:
    done = run(place, line, environment(LC_ALL="C.UTF-8", PYTHONIOENCODING=encoding))
    assert done.returncode == code, done.stderr
    assert is_quiet(done)
    (done.stdout + done.stderr).decode(encoding)


@pytest.mark.parametrize("env", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {}, None])
def test_every_locale(place: Path, env: Mapping[str, str] | None, request: pytest.FixtureRequest) -> None:
    """The names in a result do not depend on the locale, although it decodes file names and arguments."""
    env = request.getfixturevalue("locales") if env is None else env
    found = run(place, ["cat", "m", "--keys", "k001", "--json", "--columns", "caption"], environment(**env))
    assert json.loads(found.stdout) == {"caption": CAPTION}
    shown = run(place, ["show", str(place / "m"), "--json"], environment(**env))
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["uri"] == f"file://{place / 'm'}"
    assert run(place, ["show", "日本"], environment(**env)).returncode == 2


def test_a_locale_decides_the_encoding_of_tables(place: Path, locales: Mapping[str, str]) -> None:
    done = run(place, ["query", "m", "SELECT caption FROM m LIMIT 1"], environment(**locales))
    assert done.returncode == 0, done.stderr
    assert "naïve".encode("latin-1") in done.stdout
    widths = {len(line) for line in done.stdout.splitlines()}
    assert len(widths) == 1, "the lines of a table are equally long"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_results_for_programs_lose_nothing(place: Path, encoding: str) -> None:
    env = environment(LC_ALL="C.UTF-8", PYTHONIOENCODING=encoding)
    sql = "SELECT caption FROM m ORDER BY key"
    as_json = run(place, ["query", "m", sql, "--json"], env)
    assert [row["caption"] for row in json.loads(as_json.stdout.decode(encoding))] == [CAPTION] * 9
    as_csv = run(place, ["query", "m", sql, "--csv"], env)
    rows = list(csv.reader(io.StringIO(as_csv.stdout.decode("utf-8"))))
    assert rows == [["caption"]] + [[CAPTION]] * 9
    exported = run(place, ["export", "m", "-o", "-", "--format", "csv", "--columns", "caption"], env)
    assert list(csv.reader(io.StringIO(exported.stdout.decode("utf-8")))) == rows
    init = run(place, ["init"], env)
    assert init.stdout == run(place, ["init"]).stdout


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_keys_on_stdin_are_utf8(place: Path, encoding: str) -> None:
    env = environment(LC_ALL="C.UTF-8", PYTHONIOENCODING=encoding)
    line = [*PYTHON, "cat", "m", "--keys", "@-", "--columns", "key", "--json"]
    done = subprocess.run(line, cwd=place, env=env, input="k001\nk日本\n".encode(), capture_output=True)
    assert done.returncode == 1
    assert done.stdout == b'{"key": "k001"}\n'
    assert is_quiet(done)


def test_text_is_taken_literally(place: Path) -> None:
    """rich would print a picture for :smile:."""
    for line in (["query", "m", "SELECT caption FROM m"], ["cat", "m", "--keys", "k001"], ["show", "m"]):
        assert b":smile:" in run(place, line).stdout


# --- readers that stop reading


PIPED = [
    (0, "curate show long"),
    (0, "curate show long --json"),
    (0, "curate query long 'SELECT * FROM m' --csv"),
    (0, "curate query long 'SELECT * FROM m' --json"),
    (0, "curate query long 'SELECT * FROM m' --limit 9000"),
    (0, "curate export long -o - --format csv"),
    (0, "curate --help"),
    (1, "curate verify faulty"),
    (1, "curate diff m n --exit-code"),
    (1, "curate cat m --keys k001,nope"),
    (2, "curate show nothing"),
]


@pytest.mark.parametrize("reader", ["| head -1", "2>&1 | true", ">&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("code", "line"), PIPED, ids=[line for _, line in PIPED])
def test_readers_that_stop_reading_change_no_exit_code(place: Path, code: int, line: str, reader: str) -> None:
    done = shell(place, f"{line} {reader}; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == code, done.stderr
    assert is_quiet(done), done.stderr


def test_a_query_ends_with_its_reader(place: Path) -> None:
    """The result has 324 million rows; the query ends when its reader does."""
    query = "curate query long 'SELECT a.key FROM m a, m b' --csv"
    done = shell(place, f"{query} | head -2; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == b"key"


# --- a full disk behind stdout


FULL = [
    "show m",
    "show m --json",
    "query m 'FROM m' --csv",
    "export m -o - --format urls",
    "--help",
    "init",
    "verify m",
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("line", FULL)
def test_a_full_disk_behind_stdout_is_one_sentence(place: Path, line: str) -> None:
    done = shell(place, f"curate {line} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith(b"curate: stdout: no space left on the device; ")
    assert done.stderr.count(b"\n") == 1
    assert shell(place, f"curate {line} > /dev/full 2>&1").returncode == 1
    assert shell(place, f"curate {line} 2> /dev/full").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_diff_that_cannot_be_printed_is_an_error(place: Path) -> None:
    assert shell(place, "curate diff m n --exit-code > /dev/full").returncode == 2
    assert shell(place, "curate diff m m --exit-code > /dev/full").returncode == 2
