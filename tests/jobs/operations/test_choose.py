"""Choosing refuses what the scoring did not measure, and records the preset with the values that result."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import curate
from curation.choosing.verdicts import columns_counted
from curation.config import PipelineConfig, check_config
from jobs.operations.choose import find_selection, plan_choose
from jobs.spark.part_tasks import PartTasks
from jobs.units.part_threads import PartThreads
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.conftest import curate as curate_command
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


def test_the_option_gives_the_preset_and_settings_win_over_it(tmp_path: Path) -> None:
    heavy = commit_rows(tmp_path / "heavy", ROWS, Stage.SCORE, config={"ask": "heavy"})
    line = ("choose", heavy.uri, "-o", tmp_path / "out", "--preset", "no-text", "--dry-run")
    assert "which choose.preset: no-text needs" in curate_command(*line, check=2).stderr
    curate_command(*line, "--set", "choose.max_text_score=null")


PICTURES = {
    "page": {"text_score": 0.9, "text_lines": 4, "text_kind": "document"},
    "chart": {"text_score": 0.8, "text_lines": 2, "text_kind": "chart"},
    "blurred": {"text_score": 0.95, "text_lines": 0, "text_kind": "document"},
    "sign": {"text_score": 0.3, "text_lines": 1, "text_kind": "scene"},
    "sky": {"text_score": 0.001, "text_lines": None, "text_kind": "none"},
    "cat": {"text_score": 0.002, "text_lines": None, "text_kind": "none"},
    "copy": {"duplicate_of": "sky", "duplicate_kind": "mild"},
}
KEPT = {
    "websl-heavy": {"page", "chart"},
    "websl-light": {"page", "chart", "blurred", "sign"},
    "documents": {"page"},
    "no-text": {"sky", "cat"},
}


def test_one_scored_manifest_serves_every_preset(tmp_path: Path, spark: SparkSession) -> None:
    parts = [[{"key": key, **row} for key, row in list(PICTURES.items())[n::2]] for n in range(2)]
    scored = commit_rows(tmp_path / "scored", parts, Stage.SCORE, config={"ask": "light"})
    for preset, kept in KEPT.items():
        chosen = curate.choose(scored.uri, str(tmp_path / preset), preset=preset, spark=spark)
        rows = {row["key"]: row for row in chosen.to_arrow().to_pylist()}
        assert {key for key, row in rows.items() if row["keep"]} == kept
        assert all(row["keep"] == (row["drop_reason"] is None) for row in rows.values())
        assert open_manifest(chosen.uri).config["preset"] == preset
        assert rows["blurred"]["text_class"] == "light"
    reasons = {key: row["drop_reason"] for key, row in rows.items()}
    assert reasons == {
        "page": "has_text", "chart": "has_text", "blurred": "has_text", "sign": "has_text", "sky": None, "cat": None,
        "copy": "duplicate:mild",
    }  # fmt: skip
    best = curate.choose(scored.uri, str(tmp_path / "best"), preset="no-text", target_count=1, spark=spark)
    assert best.to_arrow(["key"], where="keep").column("key").to_pylist() == ["cat"]


def destroy_other_columns(part: Path, columns: list[str]) -> None:
    """Overwrite what a Parquet file stores of all columns but `columns`."""
    group = pq.ParquetFile(part).metadata.row_group(0)
    with part.open("r+b") as f:
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema not in columns:
                f.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
                f.write(b"\xff" * chunk.total_compressed_size)


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_counting_reads_only_the_columns_that_the_rules_name(
    tmp_path: Path, spark: SparkSession, engine: str
) -> None:
    rows = [{"key": f"k{n}", "caption": "c", "text_score": n % 3 / 4, "text_lines": 1} for n in range(40)]
    scored = commit_rows(tmp_path / "scored", [rows[:9], rows[9:]], Stage.SCORE, config={"ask": "light"})
    config = configured(keep="all", target_count=20, where={"said": "Caption = 'c'"}).choose
    workers = PartTasks(spark, {}) if engine == "spark" else PartThreads()
    selection = find_selection(scored, config, workers, print)
    assert selection.digits is not None
    for part in scored.parts:
        destroy_other_columns(tmp_path / "scored" / part.name, columns_counted(config.rules()))
        with pytest.raises(OSError):
            pq.read_table(tmp_path / "scored" / part.name)
    assert find_selection(scored, config, workers, print) == selection
