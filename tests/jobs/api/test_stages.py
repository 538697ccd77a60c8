"""Stages from Python: the digests of the command line, on a session of the caller's that stays as it was."""

from pathlib import Path

import pytest

import curate
from tests.conftest import Reference

SETTINGS = {"choose": {"keep": "light"}, "shard": {"samples_per_shard": 7}}


def test_a_run_on_the_callers_session_gives_the_digests_of_the_command_line(
    reference: Reference, tmp_path: Path, spark
):
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "12345")
    before = dict(spark.conf.getAll)
    seen: list[curate.Progress] = []
    config = {"input": str(reference.corpus / "*.tar"), "output": str(tmp_path / "out"), **SETTINGS}
    shards = curate.run(config, spark=spark, progress=seen.append)
    assert shards.digest == reference.digests["shards"]
    assert dict(spark.conf.getAll) == before
    assert spark.range(3).count() == 3
    last = {each.stage: each for each in seen}
    assert list(last) == ["scan", "dedupe", "score", "choose", "shard"]
    assert all(each.units_done == each.units for each in last.values())
    assert len(shards.images(limit=3)) == 3
    spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")


def test_a_stage_needs_only_its_own_settings(reference: Reference, tmp_path: Path, spark):
    scored = curate.open(str(reference.output / "scored"))
    chosen = curate.choose(scored, str(tmp_path / "chosen"), keep="light")  # finds the session by itself
    assert chosen.digest == reference.digests["chosen"]
    shards = curate.shard(chosen, str(tmp_path / "shards"), config=SETTINGS, spark=spark)
    assert shards.digest == reference.digests["shards"]
    assert spark.range(3).count() == 3


def test_a_failing_progress_function_stops_nothing(reference: Reference, tmp_path: Path, spark):
    def fail(_: curate.Progress) -> None:
        raise ValueError("of the caller")

    scored = str(reference.output / "scored")
    assert len(curate.choose(scored, str(tmp_path / "all"), keep="all", spark=spark, progress=fail)) > 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"keap": "light"}, r"choose\.keap: unknown; did you mean keep"),
        ({"target_fraction": 1.3}, r"choose\.target_fraction"),
        ({"config": {"chose": {}}}, "chose: unknown; did you mean choose"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(tmp_path: Path, arguments, problem: str):
    with pytest.raises(curate.InputError, match=problem):
        curate.choose(str(tmp_path), str(tmp_path / "out"), **arguments)
    assert not (tmp_path / "out").exists()
