"""Connected components and duplicate clusters on real Spark: an oracle, and independence of partitions."""

import hashlib

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.components import connected_components
from jobs.dedupe import _representatives, nodes
from manifests.schema import Stage, schema

PAIRS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40)


def oracle(pairs: list[tuple[int, int]]) -> dict[bytes, bytes]:
    """Return member → smallest connected member, by union-find."""
    parent: dict[int, int] = {}

    def find(x: int) -> int:
        while parent[x] != x:
            x = parent[x]
        return x

    for a, b in pairs:
        parent.setdefault(a, a)
        parent.setdefault(b, b)
        low, high = sorted((find(a), find(b)))
        parent[high] = low
    met = {x for a, b in pairs if a != b for x in (a, b)}
    return {_node(x): _node(find(x)) for x in met}


def _node(x: int) -> bytes:
    return x.to_bytes(32, "big")


def frame(spark, pairs: list[tuple[int, int]], partitions: int):
    table = pa.table(
        {
            "a": pa.array([_node(a) for a, _ in pairs], pa.binary()),
            "b": pa.array([_node(b) for _, b in pairs], pa.binary()),
        }
    )
    return spark.createDataFrame(table).repartition(partitions)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=PAIRS, partitions=st.integers(1, 4))
def test_components_agree_with_union_find(spark, pairs, partitions) -> None:
    found = connected_components(frame(spark, pairs, partitions)).collect()
    assert {bytes(r["member"]): bytes(r["component"]) for r in found} == oracle(pairs)
    assert len(found) == len({bytes(r["member"]) for r in found})


@pytest.mark.parametrize("shape", ["chain", "star", "two rings"])
def test_long_shapes_settle(spark, shape: str) -> None:
    pairs = {
        "chain": [(i, i + 1) for i in range(60)],
        "star": [(60, i) for i in range(60)],
        "two rings": [(i, (i + 1) % 20) for i in range(20)] + [(30 + i, 30 + (i + 1) % 20) for i in range(20)],
    }[shape]
    found = connected_components(frame(spark, pairs, 3)).collect()
    assert {bytes(r["member"]): bytes(r["component"]) for r in found} == oracle(pairs)


def rows(*many: dict) -> pa.Table:
    narrow = ("key", "sha256", "status", "width", "height", "size", "pdq", "pdq_quality", "text_density")
    fields = pa.schema([*(schema(Stage.SCAN).field(n) for n in narrow), ("part", pa.string())])
    base = {"status": "ok", "width": 10, "height": 10, "size": 100, "pdq": bytes(32), "pdq_quality": 100, "part": "p"}
    filled = [{**base, "sha256": hashlib.sha256(r["key"].encode()).hexdigest(), **r} for r in many]
    return pa.Table.from_pylist(filled, fields)


def test_what_cannot_be_told_apart_is_one_node() -> None:
    table = rows(
        {"key": "a"},
        {"key": "b"},  # same trusted fingerprint as a
        {"key": "c", "pdq_quality": 10, "sha256": "same"},
        {"key": "d", "pdq_quality": 10, "sha256": "same"},  # plain: only its bytes count
        {"key": "e", "pdq_quality": 10},
        {"key": "f", "status": "undecodable", "pdq": None, "pdq_quality": None, "width": None, "height": None},
        {"key": "g", "status": "empty", "pdq": None, "pdq_quality": None, "sha256": None},
    )
    found = dict(zip("abcdefg", nodes(table, near=True, min_quality=50).column("node").to_pylist(), strict=True))
    assert found["a"] == found["b"] == bytes(32)
    assert found["c"] == found["d"] != found["e"]
    assert len(set(found.values())) == 5
    only_bytes = nodes(table, near=False, min_quality=50)
    assert not any(only_bytes.column("is_near").to_pylist())
    assert only_bytes.column("node")[0] != only_bytes.column("node")[1]


def test_the_representative_is_whole_then_large_then_heavy_then_first(spark) -> None:
    table = rows(
        {"key": "truncated", "status": "truncated", "width": 99, "height": 99},
        {"key": "small", "width": 5},
        {"key": "light", "size": 50},
        {"key": "z"},
        {"key": "m"},
    )
    placed = nodes(table, near=True, min_quality=50)
    grouped = spark.createDataFrame(placed).withColumnRenamed("node", "group")
    found = {r["key"]: r for r in _representatives(grouped).collect()}
    assert found["m"]["duplicate_of"] is None
    assert {r["duplicate_of"] for k, r in found.items() if k != "m"} == {"m"}
    assert {r["cluster_id"] for r in found.values()} == {"light"}, "a cluster is named by its smallest key"
    assert {r["duplicate_kind"] for k, r in found.items() if k != "m"} == {"near"}
