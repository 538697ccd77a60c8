"""Nothing that grows with the input is collected or broadcast, and no join compares everything with everything."""

import ast
from pathlib import Path

import pytest

from curation.config import DedupeConfig
from curation.copies.local_search import ENTRY_ORDER
from curation.pictures.decode import DEFAULT_LIMITS
from jobs.dedupe.pictures import NARROW, PARENT, PictureSet
from jobs.dedupe.stage import Deduplication
from jobs.spark.steps import temporary_steps
from jobs.units.cost import Account
from manifests.format.schema import Stage, schema
from manifests.format.store import open_manifest
from tests.conftest import TOP, Reference
from tests.support.shuffles import shuffles

FETCHES = {"collect", "toArrow", "toPandas", "toLocalIterator", "take", "first", "head", "tail", "collectAsArrow"}
ALLOWED = {
    ("jobs/dedupe/cell_partitions.py", "train_on", "toArrow"): "a sample of at most training_rows",
    ("jobs/dedupe/cell_partitions.py", "train_on", "first"): "one row: how many rows, and their bytes",
    ("jobs/spark/part_tasks.py", "count", "toArrow"): "a count for each digit, a million at most",
    ("jobs/spark/part_tasks.py", "nth_key", "first"): "one row: a maximum",
    ("jobs/dedupe/components.py", "_labelled", "take"): "of an Arrow array, in a worker",
    ("jobs/dedupe/components.py", "placed_in_memory", "take"): "of an Arrow array, in a worker",
    ("jobs/dedupe/components.py", "_smallest_connected", "take"): "of an Arrow array, in a worker",
    ("jobs/dedupe/in_process.py", "read_small", "take"): "of an Arrow table, of a small run",
    ("jobs/dedupe/in_process.py", "to_judge", "take"): "of an Arrow table, of a small run",
    ("jobs/dedupe/stage.py", "_in_process", "toArrow"): "pairs of pictures of a small run",
    ("jobs/dedupe/pictures.py", "__call__", "take"): "of an Arrow table, in a worker",
    ("jobs/setup/doctor.py", "_workers", "first"): "one row: what a worker sees",
    ("jobs/spark/part_stages.py", "write_groups", "collect"): "a name for each part",
    ("jobs/spark/part_stages.py", "joined", "take"): "of an Arrow column, in a worker",
    ("jobs/stages/taken_down.py", "take_down", "collect"): "a name for each part",
    ("jobs/stages/taken_down.py", "_if_else", "take"): "of an Arrow column, in a worker",
    ("jobs/stages/unique_keys.py", "make_keys_unique", "collect"): "a name for each part",
    ("jobs/dedupe/vector_search.py", "_columns", "take"): "of an Arrow column, in a worker",
    ("jobs/stages/shard_order.py", "shard_starts", "toArrow"): "a count for each bucket, a key for each shard",
    ("jobs/spark/engine.py", "fetch", "toArrow"): "what an operation asks for: sums, or rows it limits",
    ("jobs/spark/engine.py", "map_groups", "toArrow"): "a small answer for each group",
    ("jobs/spark/frames.py", "map_units", "collect"): "a name for each unit",
    ("jobs/spark/steps.py", "_made", "collect"): "a receipt for each unit",
}


WIDE = {f.name for f in schema(Stage.SCAN)} - {*NARROW, "source", "member", "offset", "size"} - {"embedding"}


def fetches(tree: ast.AST, function: str = "") -> set[tuple[str, str]]:
    """Return (function, method) of every call of a method that brings rows to the driver."""
    found = set()
    for below in ast.iter_child_nodes(tree):
        inside = below.name if isinstance(below, ast.FunctionDef) else function
        if isinstance(below, ast.Call) and isinstance(below.func, ast.Attribute) and below.func.attr in FETCHES:
            found.add((inside, below.func.attr))
        found |= fetches(below, inside)
    return found


def test_only_what_is_bounded_comes_to_the_driver() -> None:
    found = {
        (path.relative_to(TOP).as_posix(), *each)
        for path in sorted(Path(TOP, "jobs").rglob("*.py"))
        for each in fetches(ast.parse(path.read_text()))
    }
    assert not found - set(ALLOWED), "add each with the reason why it is bounded, or avoid it"


def test_a_fetch_in_a_nested_function_is_seen() -> None:
    tree = ast.parse("def f(frame):\n    def g():\n        return [r for r in frame.where('x').collect()]\n")
    assert fetches(tree) == {("g", "collect")}


@pytest.mark.parametrize("copies", [("exact",), ("exact", "mild"), DedupeConfig().copies])
def test_the_plan_of_dedupe_shuffles_and_never_broadcasts(spark, reference: Reference, copies) -> None:
    """Steps on the way are planned by the same rules; the last plan joins them.

    What is shuffled is narrow: local features for pictures in pairs only, and the codes of keypoints, of which there
    are most, once.
    """
    sets = [PictureSet(manifest=open_manifest(str(reference.output / "scan")), origin=PARENT)]
    before = spark.conf.get("spark.sql.autoBroadcastJoinThreshold")
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    try:
        begin = Account().begin
        with temporary_steps(spark) as steps, shuffles(spark) as found:
            config = DedupeConfig(copies=copies, rows_in_process=0)
            found_copies = Deduplication(sets=sets, config=config, limits=DEFAULT_LIMITS, steps=steps)
            answer = found_copies.assignments(begin=begin)
        plan = answer._jdf.queryExecution().executedPlan().toString()
    finally:
        spark.conf.set("spark.sql.autoBroadcastJoinThreshold", before)
    assert "SortMergeJoin" in plan or "ShuffledHashJoin" in plan
    for never in ("CartesianProduct", "BroadcastNestedLoopJoin", "BroadcastExchange", "BroadcastHashJoin"):
        assert never not in plan
    assert found
    codes = [each.columns for each in found if "code" in each.columns]
    assert codes == [set(ENTRY_ORDER)] * DedupeConfig(copies=copies).needs_local_features
    wide = [each.columns for each in found if each.columns & WIDE]
    assert [each & WIDE for each in wide] == [{"local_points"}] * DedupeConfig(copies=copies).needs_local_features


def test_few_frames_are_broadcast_and_none_grows() -> None:
    hints = {}
    for path in sorted(Path(TOP, "jobs").rglob("*.py")):
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)]
        if count := sum(n.attr == "broadcast" for n in calls):
            hints[path.name] = count
    # Names of parts; a row for each shard.
    assert hints == {"part_stages.py": 1, "shard_order.py": 1}
