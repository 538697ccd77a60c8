"""Deciding again: copies that still count stay as they are, others are released, and no row is lost."""

import dataclasses
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.copies.kinds import Evidence, Strictness
from curation.copies.redecide import DECIDED, Decision, kinds, redecide
from manifests.format.schema import Stage, schema

KINDS = ("exact", "mild", "overlay", "crop", "turn", "mirror")
WHOLE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
LEFT, RIGHT = (0.5, 0.0, 0.0, 0.0, 1.0, 0.0), (0.5, 0.0, 0.5, 0.0, 1.0, 0.0)
READ = ("key", "sha256", "status", "width", "height", "size", *DECIDED)
ROWS = pa.schema([*(pa.field(n, schema(Stage.DEDUPE).field(n).type) for n in READ), ("part", pa.string())])


def evidence(matrix=WHOLE, **changes):
    share = matrix[0] * matrix[4]
    found = Evidence(
        is_mirrored=False,
        matrix=matrix,
        turn_degrees=0.0,
        share_first=1.0,
        share_second=share,
        inliers=40,
        patches=100,
        texture=0.5,
        differing=0.0,
        region_share=0.0,
        region_area=0.0,
        sameness=0.9,
        colour=0.0,
    )
    return dataclasses.asdict(dataclasses.replace(found, **changes))


def row(key, kind=None, recorded=None, **more):
    is_copy = kind is not None
    base = {"key": key, "sha256": key, "status": "ok", "width": 10, "height": 10, "size": 1, "cluster_id": "a"}
    decided = {
        "duplicate_of": "head" if is_copy else None,
        "duplicate_kind": kind,
        "duplicate_evidence": json.dumps({"kind": kind, **(recorded or {})}) if is_copy else None,
        "part": "p",
    }
    return {**base, **decided, **more}


def decided(*rows, copies=KINDS, **strictness):
    decision = Decision(copies=frozenset(copies), strictness=Strictness(**strictness))
    table = pa.Table.from_pylist(list(rows), ROWS)
    answer = {r["key"]: r for r in redecide(table, decision).to_pylist()}
    assert answer.keys() == {r["key"] for r in rows}
    for before, kind in zip(rows, kinds(table, decision).to_pylist(), strict=True):
        if before["duplicate_of"] is None or kind is not None:
            after = answer[before["key"]]
            assert (after["duplicate_of"], after["duplicate_kind"]) == (before["duplicate_of"], kind)
    return answer


HEAD = row("head", width=99)
MILD, HALF, SAME_HALF = (
    row("mild", "mild", evidence()),
    row("half", "crop", evidence(LEFT), width=5),
    row("same-half", "crop", evidence(LEFT), width=4),
)
OTHER_HALF = row("other-half", "crop", evidence(RIGHT), width=5)


def test_the_same_decision_changes_nothing():
    answer = decided(HEAD, MILD, HALF, OTHER_HALF)
    assert {k: r["duplicate_of"] for k, r in answer.items() if k != "head"} == dict.fromkeys(
        ("mild", "half", "other-half"), "head"
    )
    assert {r["cluster_id"] for r in answer.values()} == {"a"}


def test_released_parts_that_show_the_same_are_copies_of_each_other():
    answer = decided(HEAD, MILD, HALF, SAME_HALF, OTHER_HALF, copies=("exact", "mild"))
    assert answer["mild"]["duplicate_of"] == "head"
    assert answer["half"]["duplicate_of"] is answer["other-half"]["duplicate_of"] is None
    assert (answer["same-half"]["duplicate_of"], answer["same-half"]["duplicate_kind"]) == ("half", "mild")
    assert answer["same-half"]["cluster_id"] == answer["half"]["cluster_id"] == "half"
    assert answer["other-half"]["cluster_id"] == "other-half"
    assert answer["head"]["cluster_id"] == answer["mild"]["cluster_id"] == "head"


def test_equal_bytes_stay_together_under_any_decision():
    twin = row("twin", "crop", evidence(LEFT), sha256="half", width=5)
    answer = decided(HEAD, HALF, twin, copies=("exact",))
    assert (answer["twin"]["duplicate_of"], answer["twin"]["duplicate_kind"]) == ("half", "exact")
    exact = row("exact", "exact", {"same": "bytes"}, sha256="head")
    assert decided(HEAD, exact, copies=("exact",))["exact"]["duplicate_of"] == "head"


@pytest.mark.parametrize(("strictness", "is_copy"), [(0.75, True), (0.95, False)])
def test_strictness_is_applied_to_the_evidence(strictness, is_copy):
    recorded = evidence(differing=0.1, region_share=1.0, region_area=0.1, sameness=0.99)
    answer = decided(HEAD, row("written", "overlay", recorded), overlay=strictness)
    assert (answer["written"]["duplicate_of"] == "head") is is_copy


def test_a_copy_of_a_reference_is_released_by_its_own_kind():
    recorded = {**evidence(LEFT), "kind": "crop"}
    row_ = {**row("part", "reference", recorded), "reference": "charts"}
    kept, gone = decided(row_)["part"], decided(row_, copies=("exact", "mild"))["part"]
    assert (kept["duplicate_kind"], kept["reference"], kept["cluster_id"]) == ("reference", "charts", "a")
    assert (gone["duplicate_of"], gone["reference"], gone["cluster_id"]) == (None, None, "part")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["mild", "half", "same", "other"]), max_size=8), st.sets(st.sampled_from(KINDS[1:])))
def test_laws(shapes, copies):
    made = {"mild": ("mild", WHOLE), "half": ("crop", LEFT), "same": ("crop", LEFT), "other": ("crop", RIGHT)}
    rows = [row(f"{n}-{s}", made[s][0], evidence(made[s][1]), width=n + 1) for n, s in enumerate(shapes)]
    counted = ("exact", *copies)
    answer = decided(HEAD, *rows, copies=counted)
    assert answer == decided(*reversed(rows), HEAD, copies=counted), "in any order"
    others = [{**each, "key": f"b-{each['key']}", "cluster_id": "b"} for each in (HEAD, *rows)]
    both = decided(*others, HEAD, *rows, copies=counted)
    assert {key: both[key] for key in answer} == answer, "whatever is decided in other clusters"
    for found in answer.values():
        if found["duplicate_of"] is not None:
            head = answer[found["duplicate_of"]]
            assert head["duplicate_of"] is None, "a representative is no duplicate"
            assert head["cluster_id"] == found["cluster_id"]
            assert found["duplicate_kind"] in counted
