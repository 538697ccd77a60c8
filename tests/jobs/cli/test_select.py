"""select takes rows by any of their names: typed, or in a list."""

from pathlib import Path

import pytest

from tests.conftest import curate, rows_of
from tests.support.making import commit_rows


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A manifest of ten samples as img2dataset names them, below a folder."""
    rows = [
        {"key": f"key{n}", "member": f"{n:09d}.jpg", "sha256": f"{n:064x}", "url": f"https://example.org/{n}"}
        for n in range(10)
    ]
    commit_rows(tmp_path / "m", [rows])
    return tmp_path


def taken(place: Path, *options: object, check: int = 0) -> list[str]:
    curate("select", place / "m", "-o", place / "picked", "--quiet", "--restart", *options, check=check)
    return rows_of(place / "picked").column("key").to_pylist()


def test_rows_are_taken_by_typed_names(place: Path):
    names = ("key1", "000000002", "0.tar/000000003.jpg", "https://example.org/4", f"{5:064x}")
    assert taken(place, *(option for name in names for option in ("--key", name))) == [f"key{n}" for n in range(1, 6)]
    assert len(taken(place, "--key", "000000002", "--invert")) == 9


def test_a_typed_name_of_no_row_or_of_several_is_refused(place: Path):
    done = curate("select", place / "m", "-o", place / "new", "--key", "key1", "--key", "000000012", check=2)
    assert "the nearest is 000000002" in done.stderr or "the nearest is 00000001" in done.stderr
    assert not (place / "new").exists()
    assert "several rows" in curate("select", place / "m", "-o", place / "new", "--key", "key", check=2).stderr
    for options in ((), ("--key", "key1", "--keys", "l.txt")):
        assert "--keys" in curate("select", place / "m", "-o", place / "new", *options, check=2).stderr


def test_a_list_that_does_not_say_what_it_has_may_have_any_names(place: Path):
    (place / "l.txt").write_text(f"key1\n000000002\n{3:064x}\nhttps://example.org/4\nkey\n")
    assert taken(place, "--keys", place / "l.txt") == ["key1", "key2", "key3", "key4"]
    assert (
        "1 of 5 listed are in no row"
        in curate(
            "select", place / "m", "-o", place / "strict", "--keys", place / "l.txt", "--strict", check=2
        ).stderr
    )
    (place / "keys.csv").write_text("key\nkey1\n000000002\n")
    assert taken(place, "--keys", place / "keys.csv") == ["key1"], "a column of keys has keys alone"
    assert taken(place, "--keys", place / "l.txt", "--by", "key") == ["key1"]
