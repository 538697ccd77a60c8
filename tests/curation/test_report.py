"""The funnel adds up: the rows that came in, those that left and why, and those that went on."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.report import FunnelRow, funnel
from manifests.format.schema import Stage


def stage(name, rows, seconds=1.0, **counted):
    return {"stage": str(name), "rows": rows, "core_seconds": seconds, **counted}


scanned_rows = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ok", "ok", "ok", "truncated", "empty", "undecodable", "too_large"]),
        "is_copy": st.booleans(),
        "passes": st.booleans(),
        "is_drawn": st.booleans(),
    }
)


def counted(name, rows, is_deduped, is_chosen, **more):
    """What a manifest of these rows counts, as manifests.format.receipts.count_values does."""
    verdicts = [verdict(row) for row in rows]
    counts = {"status": Counter(row["status"] for row in rows)}
    if is_deduped:
        counts["duplicate_kind"] = Counter("mild" for row in rows if is_copy(row))
    if is_chosen:
        counts["keep"] = Counter("false" if each else "true" for each in verdicts)
        counts["drop_reason"] = Counter(each for each in verdicts if each)
    return stage(name, len(rows), **{column: dict(values) for column, values in counts.items()}, **more)


def has_pixels(row):
    return row["status"] in ("ok", "truncated")


def is_copy(row):
    return row["is_copy"] and has_pixels(row)


def verdict(row):
    if row["status"] != "ok":
        return f"status:{row['status']}"
    return "duplicate:mild" if is_copy(row) else None if row["passes"] else "not_heavy"


def remaining(rows, is_deduped, is_chosen):
    if is_chosen:
        return sum(verdict(row) is None for row in rows)
    return sum(has_pixels(row) and not (is_deduped and is_copy(row)) for row in rows)


def whole_run(rows):
    """The counts for each stage of a run over these rows, as its last manifest carries them."""
    scored = sum(has_pixels(row) and not is_copy(row) for row in rows)
    kept = [row for row in rows if verdict(row) is None]
    return [
        counted(Stage.SCAN, rows, False, False),
        counted(Stage.DEDUPE, rows, True, False),
        counted(Stage.SCORE, rows, True, False, text_step={"read": scored} if scored else {}),
        counted(Stage.CHOOSE, rows, True, True),
        counted(Stage.SHARD, kept, True, True),
    ]


@given(st.lists(scanned_rows, max_size=30), st.integers(1, 5))
def test_rows_form_a_chain_and_reasons_add_up(rows, count):
    stages = whole_run(rows)[:count]
    found = funnel(stages)
    assert [row.stage for row in found] == [s["stage"] for s in stages]
    assert found[0].came_in == len(rows)
    for row in found:
        assert row.came_in - row.left == row.went_on >= 0
        assert sum(row.reasons.values()) == row.left
        assert row.core_milliseconds >= 0
    for before, after in itertools.pairwise(found):
        assert after.came_in == before.went_on
    assert found[-1].went_on == remaining(rows, count >= 2, count >= 4)


@given(st.lists(scanned_rows, max_size=30))
def test_later_stages_change_no_number_of_earlier_ones(rows):
    stages = whole_run(rows)
    for count in range(1, 6):
        assert funnel(stages[:count]) == funnel(stages)[:count]


@given(st.lists(scanned_rows, max_size=30))
def test_the_notes_of_a_stage_add_up_to_what_came_in(rows):
    score = funnel(whole_run(rows))[2]
    assert sum(score.notes.values()) == score.came_in


STATUS = {"ok": 80, "truncated": 5, "empty": 10, "undecodable": 5}
BEFORE = [
    stage(Stage.SCAN, 100, 2.0, status=STATUS),
    stage(Stage.DEDUPE, 100, 0.5, status=STATUS, duplicate_kind={"exact": 12, "mild": 8}),
    stage(Stage.SCORE, 100, 30.0, status=STATUS, text_step={"density": 50, "detect": 5, "read": 10}),
]
CHOOSE = stage(
    Stage.CHOOSE, 100, 0.1,
    keep={"true": 30, "false": 70}, text_class={"heavy": 31},
    drop_reason={"status:empty": 10, "status:undecodable": 5, "status:truncated": 5, "duplicate:exact": 12,
                 "duplicate:mild": 7, "too_small": 1, "not_heavy": 30},
)  # fmt: skip


def test_before_choose_rows_without_pixels_and_copies_have_left():
    scan, dedupe, score = funnel(BEFORE)
    assert scan == FunnelRow(
        stage="scan",
        came_in=100,
        left=15,
        went_on=85,
        reasons={"status:empty": 10, "status:undecodable": 5},
        core_milliseconds=20.0,
    )
    assert (dedupe.came_in, dedupe.left, dedupe.went_on) == (85, 20, 65)
    assert dedupe.reasons == {"duplicate:exact": 12, "duplicate:mild": 8}
    assert (score.came_in, score.left, score.went_on, score.reasons) == (65, 0, 65, {})
    assert score.notes == {"density": 50, "detect": 5, "read": 10}


def test_after_choose_truncated_pictures_leave_there_unless_they_were_copies():
    scan, dedupe, score, choose, shard = funnel([*BEFORE, CHOOSE, stage(Stage.SHARD, 30, 0.3)])
    assert [scan, dedupe, score] == funnel(BEFORE)
    assert (choose.came_in, choose.left, choose.went_on) == (65, 35, 30)
    assert choose.reasons == {"too_small": 1, "not_heavy": 30, "status:truncated": 4}, "one of five is a copy"
    assert (shard.came_in, shard.left, shard.went_on) == (30, 0, 30)


def test_the_cost_is_that_of_an_image_that_the_stage_worked_on():
    """Manifests of earlier versions do not say on how many; then it is that of a row."""
    (before,) = funnel([stage(Stage.SCORE, 100, 30.0)])
    (now,) = funnel([stage(Stage.SCORE, 100, 30.0, images_worked=60)])
    (nothing,) = funnel([stage(Stage.SCORE, 100, 0.5, images_worked=0)])
    assert (before.core_milliseconds, now.core_milliseconds, nothing.core_milliseconds) == (300.0, 500.0, 500.0)


def test_nothing_and_no_rows():
    assert funnel([]) == []
    (row,) = funnel([stage(Stage.SCAN, 0, 0.0)])
    assert (row.came_in, row.left, row.went_on, row.core_milliseconds) == (0, 0, 0, 0.0)


@pytest.mark.parametrize("kept", [0, 100])
def test_all_kept_and_none_kept(kept):
    reasons = {"drop_reason": {"not_heavy": 100 - kept}} if kept < 100 else {}
    found = funnel([stage(Stage.SCAN, 100, status={"ok": 100}), stage(Stage.CHOOSE, 100, **reasons)])
    assert [row.went_on for row in found] == [100, kept]


# --- operations on manifests


@given(st.lists(scanned_rows, max_size=30), st.integers(1, 5), st.sampled_from(["sample", "select"]))
def test_a_subset_taken_anywhere_keeps_the_chain(rows, place, operation):
    """Stages, with an operation that takes some rows after the first `place` of them."""
    stages, went_on = [], []
    for number, name in enumerate([*Stage][:4], start=1):
        is_deduped, is_chosen = number >= 2, number >= 4
        stages.append(counted(name, rows, is_deduped, is_chosen))
        if number == place:
            went_on.append(None)  # what went on here depends on whether `choose` has run
            rows = [row for row in rows if row["is_drawn"]]
            stages.append(counted(operation, rows, is_deduped, is_chosen))
        went_on.append(remaining(rows, is_deduped, is_chosen))
    found = funnel(stages)
    assert [row.stage for row in found] == [each["stage"] for each in stages]
    for row in found:
        assert row.came_in + row.added - row.left == row.went_on >= 0
        assert sum(row.reasons.values()) == row.left
        assert row.added == 0
    for before, after in itertools.pairwise(found):
        assert after.came_in == before.went_on
    if place < 5:
        taken = next(row for row in found if row.stage == operation)
        assert taken.went_on == went_on[place]
        assert set(taken.reasons) <= {"not drawn" if operation == "sample" else "not selected"}
    assert found[-1].went_on == went_on[-1]


def test_a_merge_begins_anew_and_a_patch_may_bring_rows_back():
    merged = stage("merge", 100, status=STATUS, keep={"true": 30, "false": 70}, drop_reason={"not_heavy": 70})
    patched = stage("patch", 100, status=STATUS, keep={"true": 45, "false": 55}, drop_reason={"not_heavy": 55})
    first, second, shard = funnel([merged, patched, stage(Stage.SHARD, 45)])
    assert (first.came_in, first.left, first.went_on, first.reasons) == (100, 70, 30, {"not_heavy": 70})
    assert (second.came_in, second.added, second.left, second.went_on) == (30, 15, 0, 45)
    assert (shard.came_in, shard.went_on) == (45, 45)


def test_a_merge_of_scans_counts_rows_without_pixels():
    (row,) = funnel([stage("merge", 100, status=STATUS)])
    assert (row.came_in, row.went_on) == (100, 85)
    assert row.reasons == {"status:empty": 10, "status:undecodable": 5}


def test_an_operation_of_a_later_curate_is_shown_by_its_name():
    _, row = funnel([stage(Stage.SCAN, 10, status={"ok": 10}), stage("shrink", 4, status={"ok": 4})])
    assert (row.stage, row.left, row.reasons) == ("shrink", 6, {"not in the shrink": 6})
