"""Sharding orders all kept rows by their place, and shuffles complete rows once: those of shards that are left."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

import curate
from curation.shards.indexes import DATASET_INDEXES
from curation.shards.plan import plan_shards, shuffle_place
from curation.shards.shuffle import shuffle_facts, shuffle_statistic
from jobs.cli.main import main
from jobs.spark import frames, part_stages
from jobs.stages import shard_order, shard_reading
from jobs.units.accepted import read_run
from manifests.errors import StageFailed
from manifests.format.receipts import add_counts
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest
from manifests.inspect.verify import Findings, Resources, check_files
from tests.conftest import tar_hashes
from tests.support.making import commit_rows, rows_of_tar, tar_bytes
from tests.support.shuffles import Shuffle, shuffles

IMAGES = 30


@settings(max_examples=5)
@given(
    rows=st.tuples(st.integers(2, 60), st.integers(0, 60)),
    salt=st.sampled_from(["a", "b"]),
    division=st.tuples(st.integers(1, 25), st.none() | st.integers(50, 2_000)),
    per_bucket=st.integers(1, 30),
)
def test_shards_are_runs_of_the_kept_rows_in_the_order_of_their_places(
    spark, tmp_path_factory, rows, salt, division, per_bucket
) -> None:
    """However the rows are divided into parts and buckets. `division`: samples, or bytes, of a shard."""
    count, cut = rows
    rows = [{"key": f"k{n}", "keep": n % 3 != 0} for n in range(count)]
    chosen = commit_rows(tmp_path_factory.mktemp("m") / "chosen", [rows[:cut], rows[cut:]], Stage.CHOOSE)
    kept = [row["key"] for row in rows if row["keep"]]
    per_shard, shard_bytes = division
    plan = plan_shards(len(kept), 100 * len(kept), samples_per_shard=per_shard, target_shard_bytes=shard_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_order, "SAMPLES_PER_BUCKET", per_bucket)
        starts = shard_order.shard_starts(spark, chosen, salt, plan, {})
    find = shard_order.FindShards(salt=salt, starts=starts, wanted=frozenset(range(plan.shards)))
    placed = shard_reading.place_rows(spark, chosen, find, {}).toArrow().sort_by("place")
    assert placed.column("key").to_pylist() == sorted(kept, key=lambda key: shuffle_place(salt, key))
    assert placed.column("to_shard").to_pylist() == [n for n, size in enumerate(plan.sizes()) for _ in range(size)]


def test_a_shard_may_begin_between_keys_with_equal_places() -> None:
    at = shuffle_place("s", "m")
    rows = pa.table({"key": ["m"], "keep": [True], frames.PART: ["part-00000.parquet"]})
    for keys, wanted in ((("a", "z"), 1), (("a", "m"), 2), (("n", "z"), 0)):
        starts = [(b"", ""), *((at, key) for key in keys)]
        find = shard_order.FindShards(salt="s", starts=starts, wanted=frozenset(range(3)))
        assert find(rows).column("to_shard").to_pylist() == [wanted]


def png(colour: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(out, "png")
    return out.getvalue()


@pytest.fixture
def chosen(tmp_path: Path) -> Manifest:
    """A chosen manifest of images in a tar, in two parts, two of three images kept."""
    data = tar_bytes([(f"{n}.png", png(n)) for n in range(IMAGES)])
    (tmp_path / "0.tar").write_bytes(data)
    rows = [{**row, "keep": n % 3 != 0} for n, row in enumerate(rows_of_tar(f"file://{tmp_path}/0.tar", data))]
    return commit_rows(tmp_path / "chosen", [rows[:20], rows[20:]], Stage.CHOOSE)


def of_complete_rows(found: list[Shuffle]) -> list[int]:
    """Return how many rows each shuffle moved, of those that move more than keys and places."""
    narrow = {"key", "place", "bucket", "rows", "task", "count"}
    return [each.rows for each in found if not each.columns <= narrow]


def test_complete_rows_are_shuffled_once(spark: SparkSession, chosen: Manifest, tmp_path: Path) -> None:
    with shuffles(spark) as found:
        curate.shard(chosen.uri, str(tmp_path / "shards"), samples_per_shard=7, spark=spark)
    assert of_complete_rows(found) == [20]
    assert Shuffle(columns=frozenset({"key", "place", "bucket"}), rows=20) in found


def test_a_few_tasks_write_many_shards(
    spark: SparkSession, chosen: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curate.shard(chosen.uri, str(tmp_path / "one each"), samples_per_shard=3, spark=spark)
    monkeypatch.setattr(part_stages, "MAX_GROUP_TASKS", 2)
    curate.shard(chosen.uri, str(tmp_path / "in two"), samples_per_shard=3, spark=spark)
    assert tar_hashes(tmp_path / "in two") == tar_hashes(tmp_path / "one each")


def test_a_resumed_run_shuffles_the_rows_of_the_shards_that_are_left(
    spark: SparkSession, chosen: Manifest, tmp_path: Path
) -> None:
    """The last shard to be written fails, because one of its images is not the one that was scanned."""
    output, tar = tmp_path / "shards", tmp_path / "0.tar"
    size = 2
    curate.shard(chosen.uri, str(tmp_path / "whole"), samples_per_shard=size, spark=spark)
    shards = IMAGES * 2 // 3 // size
    tasks = spark.range(shards).select("id", F.pmod(F.hash("id"), F.lit(shards)).alias("task")).collect()
    last = max(tasks, key=lambda row: row["task"])["id"]
    (row, *_) = pq.read_table(tmp_path / f"whole/{last:05d}.parquet").to_pylist()
    data = tar.read_bytes()
    tar.write_bytes(data[: row["offset"]] + b"?" * row["size"] + data[row["offset"] + row["size"] :])
    with pytest.raises(StageFailed, match="changed since the scan"):
        curate.shard(chosen.uri, str(output), samples_per_shard=size, spark=spark)
    tar.write_bytes(data)
    (run,) = output.glob("_work/runs/*")
    done = sum(receipt.rows for receipt in read_run(f"file://{run}").values())
    with shuffles(spark) as found:
        curate.shard(chosen.uri, str(output), samples_per_shard=size, spark=spark)
    assert done > 0
    assert of_complete_rows(found) == [20 - done]
    assert tar_hashes(output) == tar_hashes(tmp_path / "whole")


def test_a_manifest_that_counts_other_rows_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    chosen = commit_rows(tmp_path / "chosen", [[{"key": "a"}, {"key": "b", "keep": False}]], Stage.CHOOSE)
    plan = plan_shards(2, 0, samples_per_shard=7, target_shard_bytes=None)
    with pytest.raises(StageFailed, match="1 rows are kept, 2 when it was committed"):
        shard_order.shard_starts(spark, chosen, "s", plan, {})


def files_of(folder: Path) -> set[str]:
    """Return the paths of the files of shards, without those that every manifest has."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(("_tables", "_manifest"))}


def test_indexes_are_recorded_verified_and_replaced(spark: SparkSession, chosen: Manifest, tmp_path: Path) -> None:
    output = tmp_path / "shards"
    curate.shard(chosen.uri, str(output), samples_per_shard=5, spark=spark)
    made = open_manifest(str(output))
    assert tuple(made.files) == DATASET_INDEXES
    assert sorted(made.parts[0].files) == ["00000.idx", "00000.tar", "00000.tar.idx", "00000_stats.json"]
    assert verified(made) == []
    (output / ".nv-meta/split.yaml").write_text("split_parts: {}")
    (output / "wids-meta.json").unlink()
    (output / "00001.idx").write_text("")
    assert sorted(verified(made)) == ["00001.idx", "split.yaml", "wids-meta.json"]
    (output / ".nv-meta/index.sqlite").write_text("of energon prepare")
    curate.shard(chosen.uri, str(output), samples_per_shard=20, layout="original", restart=True, spark=spark)
    again = open_manifest(str(output))
    assert verified(again) == []
    expected = {name for part in again.parts for name in (part.name, *part.files)} | set(again.files)
    assert files_of(output) == expected | {".nv-meta/index.sqlite"}
    assert b"CrudeWebdataset" in (output / ".nv-meta/dataset.yaml").read_bytes()


def verified(manifest: Manifest) -> list[str]:
    """Return the names of the files in which verification finds faults."""
    found = Findings()
    check_files(manifest, found, Resources(threads=2))
    return [fault.where.rsplit("/", 1)[-1] for fault in found.faults]


def test_the_shuffle_is_measured_over_all_tars(spark: SparkSession, tmp_path: Path) -> None:
    parts = []
    for tar in range(4):
        data = tar_bytes([(f"{tar}-{n}.png", png(10 * tar + n)) for n in range(10)])
        (tmp_path / f"{tar}.tar").write_bytes(data)
        rows = rows_of_tar(f"file://{tmp_path}/{tar}.tar", data)
        parts.append([{**row, "key": row["key"].replace("/", "-").replace(".", "-")} for row in rows])
    roots = [f"file://{tmp_path}"]
    chosen = commit_rows(tmp_path / "chosen", parts, Stage.CHOOSE, roots=roots)
    curate.shard(chosen.uri, str(tmp_path / "shards"), samples_per_shard=9, spark=spark)
    made = open_manifest(str(tmp_path / "shards"))
    rows = [row for part in made.parts for row in made.read_part(part, ["source", "shard"]).to_pylist()]
    names = sorted({row["shard"] for row in rows})
    tars = [[row["source"].removeprefix(f"{roots[0]}/") for row in rows if row["shard"] == name] for name in names]
    facts = add_counts({"facts": shuffle_facts(tar)} for tar in tars)["facts"]
    assert made.shuffle == shuffle_statistic(facts, 40)
    assert abs(made.shuffle["distance"] - 1) < 4 * made.shuffle["deviation"]
    shown = CliRunner().invoke(main, ["show", str(tmp_path / "shards"), "--rows", "0"]).stdout
    assert (
        f"sources of neighbours are {made.shuffle['distance']:.3f} times as far apart as in a random order" in shown
    )
