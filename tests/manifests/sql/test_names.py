"""What a person has in hand finds its row: key, beginning, member, URL, hash or file; or the nearest is named."""

import hashlib

import pytest

from manifests.sql.engine import DuckEngine
from manifests.sql.lookup import rows_at
from manifests.sql.names import MAX_CANDIDATES, find_named
from tests.support.making import commit_rows

KEYS = ["0b5c7d61e2a94f03", "0b5c7d61ffffffff", "77aa01c2d3e4f506", "123456789", "copy-of-77aa"]
MEMBERS = ["000000209.jpg", "shots/cat.input.png", "./000000300.jpg", "000000209.jpg", "again.png"]
SOURCES = ["0.tar", "0.tar", "0.tar", "1.tar", "loose/"]
CONTENT = [b"zero", b"one", b"two", b"three", b"two"]


def sha256(n: int) -> str:
    return hashlib.sha256(CONTENT[n]).hexdigest()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    rows = [
        {
            "key": key,
            "member": MEMBERS[n],
            "source": f"file:///data/{SOURCES[n]}",
            "url": None if n == 3 else f"https://example.org/{n},a?x=1",
            "sha256": sha256(n),
        }
        for n, key in enumerate(KEYS)
    ]
    return commit_rows(tmp_path_factory.mktemp("named") / "m", [rows[:2], rows[2:]])


def named(manifest, *typed, listed=()):
    with DuckEngine() as engine:
        return find_named(manifest, typed, engine, listed=listed)


def problem_of(manifest, *typed, listed=()) -> str:
    found = named(manifest, *typed, listed=listed)
    assert found.places.num_rows == 0
    (problem,) = found.problems(manifest.uri)
    return problem


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (KEYS[1], [1]),
        ("77", [2]),
        ("123456789", [3]),
        ("1", [3]),
        ("shots/cat.input.png", [1]),
        ("cat.input.png", [1]),
        ("shots/cat", [1]),
        ("cat", [1]),
        ("000000300", [2]),
        ("./000000300.jpg", [2]),
        ("0.tar/000000209", [0]),
        ("1.tar/000000209.jpg", [3]),
        ("/data/1.tar/000000209.jpg", [3]),
        ("file:///data/1.tar/000000209.jpg", [3]),
        ("loose/again", [4]),
        ("https://example.org/1,a?x=1", [1]),
        (sha256(1), [1]),
        (sha256(1).upper(), [1]),
        (sha256(1)[:9], [1]),
        (sha256(2), [2, 4]),
        (sha256(2)[:8], [2, 4]),
    ],
)
def test_a_name_of_any_kind_finds_its_rows(manifest, text, rows):
    found = named(manifest, text)
    assert found.keys == {text: sorted(KEYS[n] for n in rows)}
    assert not found.missing
    assert not found.ambiguous
    read = [row["key"] for table in rows_at(manifest, found.places, ["key"]) for row in table.to_pylist()]
    assert read == [KEYS[n] for n in rows]


def test_a_file_finds_the_rows_with_its_bytes(manifest, tmp_path):
    (tmp_path / "any name.bin").write_bytes(b"two")
    assert named(manifest, str(tmp_path / "any name.bin")).places.column("key").to_pylist() == [KEYS[2], KEYS[4]]
    (tmp_path / "other.bin").write_bytes(b"no picture of this crawl")
    assert "no row is" in problem_of(manifest, str(tmp_path / "other.bin"))
    assert "no row is" in problem_of(manifest, str(tmp_path))


def test_a_file_whose_name_is_a_member_of_another_row_is_ambiguous(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "again.png").write_bytes(b"one")
    problem = problem_of(manifest, "again.png")
    assert KEYS[1] in problem
    assert KEYS[4] in problem
    (tmp_path / "again.png").write_bytes(b"two")  # the same picture: both are rows of it
    assert named(manifest, "again.png").keys == {"again.png": sorted([KEYS[2], KEYS[4]])}


@pytest.mark.parametrize(("text", "rows"), [("0b5c", [0, 1]), ("000000209", [0, 3]), ("000000209.jpg", [0, 3])])
def test_what_names_several_rows_is_refused_with_each_of_them(manifest, text, rows):
    problem = problem_of(manifest, text)
    assert f"{text!r} names several rows" in problem
    for n in rows:
        assert f"{KEYS[n]} ({SOURCES[n]}: {MEMBERS[n]})" in problem


def test_of_very_many_rows_some_are_shown(tmp_path):
    rows = [
        {"key": f"k{n:04d}", "url": "https://example.org/placeholder", "sha256": f"{n:064x}"} for n in range(2000)
    ]
    many = commit_rows(tmp_path / "m", [rows])
    for text in ("k", "https://example.org/placeholder", "a"):
        assert problem_of(many, text).count("k0") == MAX_CANDIDATES


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("0b5c7d61e2a94f33", KEYS[0]),
        ("000000208", "000000209"),
        ("shots/dat.input.png", f"shots/cat.input.png (key {KEYS[1]})"),
        ("77aa01c2d3e4f506 ", KEYS[2]),
    ],
)
def test_the_nearest_name_is_said(manifest, text, near):
    assert f"the nearest is {near}" in problem_of(manifest, text)


def test_where_nothing_is_near_the_advice_is_to_look(manifest):
    for text in ("nonsense", "' OR 1=1 --", "%", "é" * 5000, "\x1b[31m"):
        assert "curate show" in problem_of(manifest, text)
        assert "\x1b" not in problem_of(manifest, text)


def test_names_of_members_do_not_control_a_terminal(tmp_path):
    rows = [{"key": f"k{n}", "member": f"\x1b[31m{n}.jpg", "source": "file:///\x1b]0;0.tar"} for n in range(2)]
    hostile = commit_rows(tmp_path / "m", [rows])
    for text in ("k", "\x1b[31m7.jpg"):
        problem = problem_of(hostile, text)
        assert problem.isprintable()
        assert "·[31m" in problem


def test_a_listed_key_that_is_not_there_finds_no_other_by_its_beginning(manifest, tmp_path):
    (tmp_path / "0").write_bytes(b"one")
    assert named(manifest, listed=["12345678", "0b5c7d61e2a94f0", str(tmp_path / "0")]).places.num_rows == 0
    exact = named(manifest, listed=["cat", sha256(3), KEYS[0]])
    assert exact.places.column("key").to_pylist() == [KEYS[0], KEYS[1], KEYS[3]]


def test_many_missing_are_one_sentence(manifest):
    found = named(manifest, KEYS[0], listed=[f"none{n}" for n in range(30)])
    assert found.places.num_rows == 1
    (problem,) = found.problems(manifest.uri)
    assert problem.startswith("30 of 31 keys are not in")
    assert problem.endswith("… and 20 more")
