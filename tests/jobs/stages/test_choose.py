"""Choosing refuses what the scoring did not measure, and records the preset with the values that result."""

from pathlib import Path

import pytest

import curate
from curation.config import PipelineConfig, check_config
from jobs.stages.choose import plan_choose
from manifests.errors import InputError
from manifests.format.schema import Stage
from tests.support.making import commit_rows

ROWS = [[{"key": "a", "text_score": 0.9, "text_lines": 1, "text_kind": "document"}]]


def configured(**choose: object) -> PipelineConfig:
    return check_config({"input": "a.tar", "output": "out", "choose": choose}, origin="test")


@pytest.mark.parametrize(
    ("choose", "setting"),
    [
        ({"keep": "light"}, "choose.keep: light"),
        ({"preset": "websl-light"}, "choose.preset: websl-light"),
        ({"preset": "no-text"}, "choose.preset: no-text"),
        ({"max_text_score": 0.1}, "choose.max_text_score: 0.1"),
    ],
)
def test_any_text_is_not_known_after_scoring_rich_text_alone(tmp_path: Path, choose: dict, setting: str) -> None:
    heavy = commit_rows(tmp_path / "heavy", ROWS, Stage.SCORE, config={"ask": "heavy"})
    with pytest.raises(InputError, match=f"score.ask: heavy, so light is not known, which {setting} needs"):
        plan_choose(configured(**choose), heavy.uri, str(tmp_path / "out"))
    both = commit_rows(tmp_path / "both", ROWS, Stage.SCORE, config={"ask": "light"})
    plan_choose(configured(**choose), both.uri, str(tmp_path / "out"))


def test_a_plan_records_the_preset_and_what_results(tmp_path: Path) -> None:
    scored = commit_rows(tmp_path / "scored", ROWS, Stage.SCORE, config={"ask": "light"})
    plan = plan_choose(configured(preset="documents", kinds=["map"]), scored.uri, str(tmp_path / "out"))
    recorded = {name: plan.config[name] for name in ("preset", "keep", "kinds", "max_text_score")}
    assert recorded == {"preset": "documents", "keep": "heavy", "kinds": ["map"], "max_text_score": None}


def test_another_preset_is_another_plan_even_where_the_values_are_the_same(tmp_path: Path) -> None:
    scored = commit_rows(tmp_path / "scored", ROWS, Stage.SCORE, config={"ask": "light"})
    plans = [
        plan_choose(configured(**choose), scored.uri, str(tmp_path / "out"))
        for choose in ({}, {"preset": "documents", "kinds": None}, {"preset": "websl-heavy", "keep": "heavy"})
    ]
    assert plans[0].fingerprint == plans[2].fingerprint != plans[1].fingerprint


def test_a_preset_from_python_wins_over_defaults_of_a_configuration(tmp_path: Path) -> None:
    heavy = commit_rows(tmp_path / "heavy", ROWS, Stage.SCORE, config={"ask": "heavy"})
    with pytest.raises(curate.InputError, match=r"which choose\.preset: no-text needs"):
        curate.choose(heavy.uri, str(tmp_path / "out"), config=configured(min_side=3), preset="no-text")
    assert not (tmp_path / "out").exists()
