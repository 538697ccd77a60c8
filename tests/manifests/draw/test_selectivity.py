"""Which rows a draw is made among by default, and what is said of conditions that cannot tell, or leave no row."""

import json
from pathlib import Path

import pytest

import curate as api
from manifests.draw.sampling import Draw
from manifests.draw.selectivity import selectivity
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest
from manifests.sql.engine import DuckEngine
from tests.conftest import curate, rows_of
from tests.support.making import commit_rows

STEPS = ("density", "detect_small", "read", None)
LINES = {"density": None, "detect_small": 12, "read": 300, None: None}


def some_rows(count: int = 40) -> list[dict]:
    """Rows of which each fourth was read, each fourth settled before, and half of them kept."""
    return [
        {
            "key": f"k{n:02}",
            "cluster_id": f"k{n:02}",
            "width": 100 + n,
            "text_step": STEPS[n % 4],
            "text_chars": LINES[STEPS[n % 4]],
            "text_score": n / 100,
            "text_class": "heavy",
            "keep": n % 4 in (1, 2),
            "drop_reason": None if n % 4 in (1, 2) else "not_heavy",
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    rows = some_rows()
    return commit_rows(tmp_path_factory.mktemp("m") / "chosen", [rows[:15], rows[15:]], Stage.CHOOSE)


@pytest.mark.parametrize(
    ("asked", "kept", "dropped"),
    [
        (["--fraction", 1], 20, 0),
        (["--fraction", 1, "--from", "kept"], 20, 0),
        (["--fraction", 1, "--from", "dropped"], 0, 20),
        (["--fraction", 1, "--from", "all"], 20, 20),
        (["--count", 1000], 20, 0),
        (["--count", 1000, "--from", "dropped", "--stratify-by", "drop_reason"], 0, 20),
        (["--where", "drop_reason = 'not_heavy'"], 0, 20),
        (["--where", "not Keep", "--count", 5], 0, 5),
        (["--count", 40, "--stratify-by", "keep"], 20, 20),
        (["--where", "drop_reason = 'not_heavy'", "--from", "kept"], 0, 0),
    ],
)
def test_the_kept_rows_are_drawn_unless_others_are_asked_for(
    chosen: Manifest, tmp_path: Path, asked: list, kept: int, dropped: int
) -> None:
    curate("sample", chosen.uri, "-o", tmp_path / "s", *asked)
    verdicts = rows_of(tmp_path / "s").column("keep").to_pylist()
    assert (verdicts.count(True), verdicts.count(False)) == (kept, dropped)


def test_without_verdicts_all_rows_are_drawn_and_none_can_be_asked_for(tmp_path: Path) -> None:
    names = ("keep", "drop_reason", "text_class")
    rows = [{name: value for name, value in row.items() if name not in names} for row in some_rows()]
    scored = commit_rows(tmp_path / "scored", [rows], Stage.SCORE)
    assert len(api.sample(scored.uri, str(tmp_path / "s"), fraction=1)) == 40
    for among in ("kept", "dropped"):
        with pytest.raises(InputError, match=f"--from {among}: .*`curate choose` decides"):
            Draw(fraction=1, among=among).settled(scored)


def test_a_draw_records_among_what_it_was_made(chosen: Manifest, tmp_path: Path) -> None:
    for among, recorded in ((None, "kept"), ("dropped", "dropped"), ("all", None)):
        made = api.sample(chosen.uri, str(tmp_path / str(among)), fraction=1, among=among)
        assert open_manifest(made.uri).operation_settings.get("among") == recorded


def test_a_condition_counts_what_it_can_tell(chosen: Manifest) -> None:
    with DuckEngine() as engine:
        found = selectivity(chosen, "text_chars > 50", "keep", engine)
        assert (found.asked, found.met, found.unmeasured, found.one_line) == (20, 10, {}, {"text_chars": 10})
        found = selectivity(chosen, "text_chars > 50 AND width > 0", "true", engine)
        assert (found.asked, found.met) == (40, 10)
        assert (found.unmeasured, found.one_line) == ({"text_chars": 20}, {"text_chars": 10})
        found = selectivity(chosen, "drop_reason = 'x' OR text_chars IS NULL", "true", engine)
        assert found.unmeasured == {}, "null is an answer there"


def test_the_trap_is_named(chosen: Manifest, tmp_path: Path) -> None:
    """A page that detection settled has one line of text only, however much is written on it."""
    for more in ([], ["--dry-run"]):
        said = curate("sample", chosen.uri, "-o", tmp_path / "s", "--where", "text_chars > 50", *more).stderr
        assert "text_chars counts one line alone in 10 of 20 kept rows" in said
    said = curate("sample", chosen.uri, "-o", tmp_path / "t", "--where", "text_chars > 50", "--from", "all").stderr
    assert "text_chars was not measured for 20 of 40 rows, which are left out" in said
    quiet = curate("sample", chosen.uri, "-o", tmp_path / "u", "--where", "text_score >= 0.1").stderr
    assert "--where" not in quiet


def test_no_rows_are_a_warning_with_what_the_condition_leaves(chosen: Manifest, tmp_path: Path) -> None:
    line = ("sample", chosen.uri, "-o", tmp_path / "s", "--count", "5", "--where", "text_score >= 0.39")
    for more in (["--dry-run"], []):
        said = curate(*line, *more).stderr
        assert "no row was drawn: --where is true for 0 of 20 kept rows, and for 1 of all 40" in said
    answer = curate(*line, "--restart", "--json")
    assert json.loads(answer.stdout)["rows"] == 0
    assert (
        "no row was drawn from the kept rows"
        in curate("sample", chosen.uri, "-o", tmp_path / "t", "--count", 0).stderr
    )
