"""What a manifest records of its cost."""

import pytest

from manifests.format.cost import Spent, cost_of, images_worked
from manifests.format.receipts import Receipt
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.support.making import commit_rows

ROWS = [
    {"key": "a", "text_step": "read"},
    {"key": "b", "text_step": "density"},
    {"key": "c", "duplicate_of": "a", "status": "truncated"},
    {"key": "d", "status": "empty"},
]


@pytest.mark.parametrize(
    ("stage", "worked"),
    [(Stage.SCAN, 4), (Stage.DEDUPE, 3), (Stage.SCORE, 2), (Stage.CHOOSE, 4)],
)
def test_the_funnel_says_on_how_many_images_a_stage_worked(stage, worked, tmp_path) -> None:
    commit_rows(tmp_path / "made", [ROWS], stage)
    assert open_manifest(str(tmp_path / "made")).funnel[-1]["images_worked"] == worked


def test_an_operation_works_on_all_rows(tmp_path) -> None:
    made = commit_rows(tmp_path / "drawn", [ROWS], Stage.SCORE, derivation={"operation": "sample"})
    assert made.funnel[-1]["images_worked"] == 4
    assert images_worked("sample", 0, {}) == 0


def receipt(seconds: float) -> Receipt:
    nothing = (0, 0, 0, 0)
    return Receipt(
        unit="", fingerprint="", part="", rows=0, size_bytes=0, sha256="", lanes=nothing, counts={}, seconds=seconds
    )


def test_phases_add_up_to_the_cost_of_an_image() -> None:
    spent = Spent(phases={"units": 1.5, "keys": 0.25}, starting_seconds=9.0, wall_seconds=3.0)
    cost = cost_of([receipt(1.0)], 10, spent)
    assert cost["core_seconds"] == sum(cost["phases"].values()) == 1.75
    assert (cost["core_milliseconds_per_image"], cost["starting_core_seconds"]) == (175.0, 9.0)


def test_where_nothing_else_is_known_receipts_say_what_units_cost() -> None:
    assert cost_of([receipt(1.0), receipt(2.0)], 0, Spent())["phases"] == {"units": 3.0}
