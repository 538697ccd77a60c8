"""Connected components, pictures and the answer on real Spark: an oracle, and independence of partitions."""

import hashlib
import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.dedupe.components import connected_components, in_components
from jobs.dedupe.pictures import EXISTING, NARROW, PARENT, REFERENCE, pictures_of, rows_of
from jobs.dedupe.stage import duplicate_columns
from jobs.spark.steps import temporary_steps
from manifests.format.schema import Stage, schema

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


def found_in(spark, pairs: list[tuple[int, int]], partitions: int, **limits: int) -> list:
    with temporary_steps(spark) as steps:
        made = connected_components(frame(spark, pairs, partitions), steps, "components", most=len(pairs), **limits)
        return made.frame().collect()


@pytest.mark.parametrize("limits", [{}, {"in_one_task": -1}], ids=["in one task", "in rounds"])
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=PAIRS, partitions=st.integers(1, 4))
def test_components_agree_with_union_find(spark, limits, pairs, partitions) -> None:
    found = found_in(spark, pairs, partitions, **limits)
    assert {bytes(r["member"]): bytes(r["component"]) for r in found} == oracle(pairs)
    assert len(found) == len({bytes(r["member"]) for r in found})


@pytest.mark.parametrize("limits", [{}, {"in_one_task": -1}], ids=["in one task", "in rounds"])
@pytest.mark.parametrize("shape", ["chain", "star", "two rings"])
def test_long_shapes_settle(spark, shape: str, limits) -> None:
    pairs = {
        "chain": [(i, i + 1) for i in range(60)],
        "star": [(60, i) for i in range(60)],
        "two rings": [(i, (i + 1) % 20) for i in range(20)] + [(30 + i, 30 + (i + 1) % 20) for i in range(20)],
    }[shape]
    found = found_in(spark, pairs, 3, **limits)
    assert {bytes(r["member"]): bytes(r["component"]) for r in found} == oracle(pairs)


@pytest.mark.parametrize("limits", [{}, {"in_one_task": -1}], ids=["in one task", "in rounds"])
def test_pairs_and_nodes_are_placed_in_their_components(spark, limits) -> None:
    pairs = [(0, 1), (1, 2), (0, 1), (5, 6), (7, 9), (7, 8), (8, 9)]
    with temporary_steps(spark) as steps:
        made = in_components(frame(spark, pairs, 3), steps, "placed", most=len(pairs), large=2, **limits)
        found = {
            (bytes(r["a"]), r["b"] and bytes(r["b"]), bytes(r["component"]), r["is_large"])
            for r in made.frame().collect()
        }
        assert made.rows == len(found)
        assert (made.total("pairs"), made.total("large_pairs")) == (6, 3)
    of = oracle(pairs)
    large = {_node(n) for n in (7, 8, 9)}
    wanted = {(_node(a), _node(b), of[_node(a)], _node(a) in large) for a, b in pairs}
    assert found == wanted | {(node, None, component, node in large) for node, component in of.items()}


# --- rows as pictures ----------------------------------------------------------------------------


def table_of(*many: dict, more: pa.Schema | None = None) -> pa.Table:
    fields = [*(schema(Stage.SCAN).field(n) for n in NARROW), *(more or ()), ("part", pa.string())]
    base = {"status": "ok", "width": 10, "height": 10, "size": 100, "pdq": bytes(32), "pdq_quality": 100, "part": "p"}
    filled = [{**base, "sha256": hashlib.sha256(r["key"].encode()).hexdigest(), **r} for r in many]
    return pa.Table.from_pylist(filled, pa.schema(fields))


def test_rows_with_the_same_bytes_or_pixels_are_one_picture() -> None:
    plain = {"pdq_quality": 10, "pixels": b"p" * 32}
    nothing = {"pdq": None, "pdq_quality": None}
    table = table_of(
        {"key": "a", "sha256": "ab" * 32},
        {"key": "b", "sha256": "ab" * 32},  # the same bytes
        {"key": "c"},  # the same fingerprint: a candidate, but another picture
        {"key": "d", **plain},
        {"key": "e", **plain},  # other bytes, the same pixels
        {"key": "f", "pdq_quality": 10, "pixels": b"q" * 32},
        {"key": "g", "status": "undecodable", "width": None, "height": None, **nothing},
        {"key": "h", "status": "empty", "sha256": None, "size": None, "width": None, "height": None, **nothing},
    )
    found = rows_of(table, min_quality=50)
    node = dict(zip("abcdefgh", found.column("node").to_pylist(), strict=True))
    assert node["a"] == node["b"] == bytes.fromhex("ab" * 32)
    assert node["d"] == node["e"] == b"p" * 32
    assert len(set(node.values())) == 6
    trusted = [pdq is not None for pdq in found.column("pdq").to_pylist()]
    assert trusted == [True, True, True, False, False, False, False, False]
    assert found.column("negative_area_pixels").to_pylist()[-2:] == [0, 0]
    assert found.column("negative_size_bytes").to_pylist()[-2:] == [-100, 0]


def placed(spark, table: pa.Table, *, origin: int = PARENT, name: str = ""):
    from pyspark.sql import functions as F  # noqa: N812

    rows = spark.createDataFrame(rows_of(table, min_quality=50))
    return rows.withColumns({"origin": F.lit(origin), "set": F.lit(name)})


SAME = {"sha256": "cd" * 32}


def test_the_representative_is_complete_then_large_in_pixels_then_in_bytes_then_first(spark) -> None:
    rows = placed(
        spark,
        table_of(
            {"key": "truncated", "status": "truncated", "width": 99, "height": 99, **SAME},
            {"key": "small", "width": 5, **SAME},
            {"key": "light", "size": 50, **SAME},
            {"key": "z", **SAME},
            {"key": "m", **SAME},
        ),
    )
    (picture,) = pictures_of(rows).collect()
    assert picture["key"] == "m"
    found = {r["key"]: r for r in duplicate_columns(rows, pictures_of(rows), None).collect()}
    assert found["m"]["duplicate_of"] is found["m"]["duplicate_kind"] is found["m"]["duplicate_evidence"] is None
    copies = [r for key, r in found.items() if key != "m"]
    assert {r["duplicate_of"] for r in copies} == {"m"}
    assert {r["cluster_id"] for r in found.values()} == {"light"}, "a cluster is named by its smallest key"
    assert {r["duplicate_kind"] for r in copies} == {"exact"}
    assert {r["duplicate_evidence"] for r in copies} == {'{"kind": "exact", "same": "bytes"}'}


def answered(spark, rows, stars: list[tuple[str, str, str, str]]) -> dict[str, dict]:
    """Return the answer by key, given (member, representative, kind, evidence) by key."""
    pictures = pictures_of(rows)
    nodes = {r["key"]: bytes(r["node"]) for r in pictures.collect()}
    matched = [(nodes[member], nodes[best], kind, evidence) for member, best, kind, evidence in stars]
    copies = spark.createDataFrame(matched, "member binary, representative binary, kind string, evidence string")
    return {r["key"]: r.asDict() for r in duplicate_columns(rows, pictures, copies).collect()}


def test_evidence_is_that_of_the_pair_with_the_representative(spark) -> None:
    plain = {"pdq_quality": 10, "pixels": b"p" * 32}
    rows = placed(
        spark,
        table_of({"key": "a"}, {"key": "b"}, {"key": "c", **plain}, {"key": "d", **plain}, {"key": "e"}),
    )
    found = answered(spark, rows, [("b", "a", "mild", '{"distance": 3}')])
    assert found["b"]["duplicate_of"] == found["b"]["cluster_id"] == found["a"]["cluster_id"] == "a"
    assert json.loads(found["b"]["duplicate_evidence"]) == {"kind": "mild", "distance": 3}
    assert json.loads(found["d"]["duplicate_evidence"]) == {"kind": "exact", "same": "pixels"}
    assert (found["d"]["duplicate_kind"], found["d"]["duplicate_of"]) == ("exact", "c")
    assert [found[k]["duplicate_of"] for k in "ace"] == [None] * 3
    assert len({r["cluster_id"] for r in found.values()}) == 3
    assert {r["reference"] for r in found.values()} == {None}


def test_a_picture_of_a_reference_set_is_named_and_has_no_row_of_its_own(spark) -> None:
    own = placed(spark, table_of({"key": "a", **SAME}, {"key": "b"}, {"key": "c"}))
    test_set = placed(spark, table_of({"key": "t", **SAME}), origin=REFERENCE, name="held_out")
    found = answered(spark, own.unionByName(test_set), [("b", "t", "crop", '{"distance": 90}')])
    assert set(found) == {"a", "b", "c"}
    assert {found[k]["duplicate_of"] for k in "ab"} == {"t"}
    assert {found[k]["duplicate_kind"] for k in "ab"} == {"reference"}
    assert {found[k]["reference"] for k in "abc"} == {"held_out", None}
    assert json.loads(found["a"]["duplicate_evidence"])["kind"] == "exact"
    assert json.loads(found["b"]["duplicate_evidence"]) == {"kind": "crop", "distance": 90}
    assert {found[k]["cluster_id"] for k in "ab"} == {"a"}, "named by the smallest key of the own rows"


def test_a_cluster_keeps_the_name_it_has_in_an_existing_manifest(spark) -> None:
    more = pa.schema([("cluster_id", pa.string()), ("duplicate_of", pa.string())])
    own = placed(spark, table_of({"key": "a", **SAME}, {"key": "c"}))
    there = table_of({"key": "k", "cluster_id": "first", "duplicate_of": None, **SAME}, more=more)
    found = answered(spark, own.unionByName(placed(spark, there, origin=EXISTING, name="x")), [])
    assert set(found) == {"a", "c"}
    assert found["a"]["cluster_id"] == "first"
    assert (found["a"]["duplicate_of"], found["a"]["duplicate_kind"]) == ("k", "exact")
    assert found["a"]["reference"] is None
