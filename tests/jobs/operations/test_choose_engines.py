"""Choosing gives the same bytes in this process and on Spark, and starts no JVM for few rows."""

import json
import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import curate
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest
from tests.conftest import curate as curate_command
from tests.conftest import curate_process
from tests.support.making import commit_rows

SETTINGS: dict[str, dict] = {
    "default": {},
    "rules": {"min_side": 100, "max_aspect": 3.0, "where": {"said": "caption <> ''"}, "kinds": ["document", "chart"]},
    "target": {"keep": "all", "target_count": 17},
    "tied": {"keep": "all", "target_fraction": 0.5, "salt": "x"},
    "more than pass": {"target_count": 1000},
    "nothing": {"keep": "all", "target_count": 0},
}


def scored(folder: Path) -> Manifest:
    """Sixty rows in parts of different sizes, one without rows, with few different scores."""
    rows = [
        {
            "key": f"k{n:02}",
            "status": "ok" if n % 11 else "truncated",
            "width": 40 * n,
            "height": 300,
            "caption": ["", "c", None][n % 3],
            "duplicate_of": "k01" if n % 7 == 3 else None,
            "duplicate_kind": "mild" if n % 7 == 3 else None,
            "text_score": [0.9, 0.3, 0.9, None, 0.05, 0.7][n % 6],
            "text_lines": n % 4,
            "text_kind": ["document", "chart", "scene", "none"][n % 4],
            "cluster_id": f"k{n:02}",
        }
        for n in range(60)
    ]
    return commit_rows(folder, [rows[:5], [], rows[5:37], rows[37:]], Stage.SCORE, config={"ask": "light"})


def content(manifest: str) -> dict[str, str]:
    return {part.name: part.sha256 for part in open_manifest(manifest).parts}


@pytest.mark.parametrize("name", SETTINGS)
def test_both_engines_write_the_same_bytes(tmp_path: Path, spark: SparkSession, name: str) -> None:
    source = scored(tmp_path / "scored").uri
    here = curate.choose(source, str(tmp_path / "here"), **SETTINGS[name])
    there = curate.choose(source, str(tmp_path / "there"), spark=spark, **SETTINGS[name])
    assert content(here.uri) == content(there.uri)
    assert here.digest == there.digest
    assert open_manifest(here.uri).fingerprint == open_manifest(there.uri).fingerprint


def test_counting_ahead_gives_what_choosing_gives(tmp_path: Path) -> None:
    source = scored(tmp_path / "scored").uri
    for name, settings in SETTINGS.items():
        given = [f"--set=choose.{key}={json.dumps(value)}" for key, value in settings.items()]
        (ahead,) = json.loads(curate_command("choose", source, "--dry-run", "--json", *given).stdout)
        counts = curate.choose(source, str(tmp_path / name), **settings).counts
        assert ahead["kept"] == counts["keep"].get("true", 0)
        assert ahead["reasons"] == counts["drop_reason"]


def test_few_rows_start_no_java(tmp_path: Path) -> None:
    """Java is not there: whatever started it would fail."""
    source = scored(tmp_path / "scored").uri
    env = {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}
    curate_process("choose", source, "-o", tmp_path / "out", "--min-heavy-score", "0.8", env=env)
    assert open_manifest(str(tmp_path / "out")).counts["keep"]["true"] > 0


def test_choosing_imports_no_spark(tmp_path: Path) -> None:
    source = scored(tmp_path / "scored").uri
    (tmp_path / "without" / "pyspark").mkdir(parents=True)
    (tmp_path / "without" / "pyspark" / "__init__.py").write_text("raise ImportError('pyspark is not needed')")
    path = os.pathsep.join([str(tmp_path / "without"), os.environ.get("PYTHONPATH", "")])
    for more in (["-o", tmp_path / "out"], ["--dry-run"], ["--what-if", "min_heavy_score=0.5"]):
        curate_process("choose", source, *more, env={"PYTHONPATH": path})


def test_what_if_prints_a_line_for_each_value(tmp_path: Path) -> None:
    source = scored(tmp_path / "scored").uri
    line = ("choose", source, "--what-if", "min_heavy_score=0.6,0.8", "--what-if", "min_side=0,200")
    found = json.loads(curate_command(*line, "--json").stdout)
    assert [each["settings"] for each in found] == [
        {"min_heavy_score": score, "min_side": side} for score in (0.6, 0.8) for side in (0, 200)
    ]
    for each in found:
        chosen = curate.choose(source, str(tmp_path / str(each["settings"])), **each["settings"])
        assert each["kept"] == chosen.counts["keep"].get("true", 0)
        assert each["reasons"] == chosen.counts["drop_reason"]
    table = curate_command(*line).stdout
    assert "too_small" in table and "in each case dropped: " in table


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        ("min_heavy=0.5", "did you mean min_heavy_score"),
        ("min_heavy_score=2", "less than or equal to 1"),
        ("min_heavy_score", "write NAME=VALUE,..."),
        ("min_side=" + ",".join(map(str, range(1001))), "1,001 combinations"),
    ],
)
def test_what_if_refuses_what_choose_refuses(tmp_path: Path, tried: str, said: str) -> None:
    source = scored(tmp_path / "scored").uri
    refused = curate_command("choose", source, "--what-if", tried, check=2)
    assert said in refused.stderr and "--what-if" in refused.stderr


def test_options_of_the_thresholds_are_settings(tmp_path: Path) -> None:
    source = scored(tmp_path / "scored").uri
    curate_command("choose", source, "-o", tmp_path / "out", "--min-heavy-score", 0.95, "--min-light-score", 0.2)
    config = open_manifest(str(tmp_path / "out")).config
    assert (config["min_heavy_score"], config["min_light_score"]) == (0.95, 0.2)
    wrong = curate_command("choose", source, "-o", tmp_path / "x", "--min-heavy-score", 1.5, check=2)
    assert "--min-heavy-score 1.5" in wrong.stderr


def test_without_an_output_only_counting_is_possible(tmp_path: Path) -> None:
    source = scored(tmp_path / "scored").uri
    assert "-o" in curate_command("choose", source, check=2).stderr
    (ahead,) = json.loads(curate_command("choose", source, "--dry-run", "--json").stdout)
    assert ahead["rows"] == 60 and "output" not in ahead
