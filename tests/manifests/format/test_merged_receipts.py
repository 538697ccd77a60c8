"""Receipts are merged as units end: whatever the order, all are found, and in few files."""

import dataclasses
import random
from pathlib import Path

import pytest

from manifests import exclusive, storage
from manifests.format.merged_receipts import from_lines, group_sizes, merge_receipts, read_receipts, to_lines
from manifests.format.receipts import GROUP_UNITS, GROUPS_IN_BATCH, Receipt, create_receipt, group_of, receipt_uri
from tests.support.making import receipts_of

BATCH_UNITS = GROUP_UNITS * GROUPS_IN_BATCH


@pytest.fixture
def run_folder(tmp_path: Path) -> str:
    (tmp_path / "receipts").mkdir()
    return f"file://{tmp_path}"


def end(run_folder: str, receipts: list[Receipt], todo: list[Receipt]) -> None:
    """Do what workers do that end these units one after the other."""
    sizes = group_sizes(each.unit for each in todo)
    for receipt in receipts:
        assert create_receipt(run_folder, receipt)
        merge_receipts(run_folder, receipt.unit, sizes)


def files_read(run_folder: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many files a resume reads."""
    names: list[str] = []
    read_many = storage.read_many

    def counted(folder: str, some: list[str]) -> dict[str, bytes]:
        names.extend(some)
        return read_many(folder, some)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "read_many", counted)
        read_receipts(run_folder)
    return len(names)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_in_any_order_leaves_few_files(run_folder: str, monkeypatch, seed: int) -> None:
    receipts = receipts_of(2 * BATCH_UNITS + GROUP_UNITS + 5)
    order = list(receipts)
    random.Random(seed).shuffle(order)
    end(run_folder, order, receipts)
    assert read_receipts(run_folder) == {each.unit: each for each in receipts}
    assert files_read(run_folder, monkeypatch) == 3


def test_a_run_that_was_killed_is_read_from_few_files(run_folder: str, monkeypatch) -> None:
    receipts = receipts_of(2 * BATCH_UNITS)
    done = receipts[: BATCH_UNITS + 3 * GROUP_UNITS + 7]
    end(run_folder, done, receipts)
    assert read_receipts(run_folder) == {each.unit: each for each in done}
    assert files_read(run_folder, monkeypatch) == 1 + 3 + 7


def test_units_that_were_done_before_are_not_waited_for(run_folder: str, monkeypatch) -> None:
    """Of a resumed run, a group has only the units that were left."""
    receipts = receipts_of(2 * GROUP_UNITS)[::3]
    end(run_folder, receipts, receipts)
    assert read_receipts(run_folder) == {each.unit: each for each in receipts}
    assert files_read(run_folder, monkeypatch) == 1


def test_a_late_attempt_changes_nothing(run_folder: str) -> None:
    receipts = receipts_of(GROUP_UNITS)
    end(run_folder, receipts, receipts)
    late = dataclasses.replace(receipts[0], attempt="late", rows=7)
    assert not create_receipt(run_folder, late)
    merge_receipts(run_folder, late.unit, group_sizes(each.unit for each in receipts))
    assert read_receipts(run_folder)[late.unit] == receipts[0]


def test_a_damaged_receipt_keeps_its_group_from_being_merged(run_folder: str) -> None:
    receipts = receipts_of(3)
    exclusive.make_subfolder(f"{run_folder}/receipts/{group_of(receipts[0].unit)}")
    storage.write_bytes(receipt_uri(run_folder, receipts[0].unit), b"{")
    end(run_folder, receipts[1:], receipts)
    assert read_receipts(run_folder) == {each.unit: each for each in receipts[1:]}


@pytest.mark.parametrize(
    ("unit", "group"),
    [
        ("part-00000", "00000"),
        ("part-00063", "00000"),
        ("part-00064", "00001"),
        ("part-123456", "01929"),
        ("00064", "00001"),
        ("part-00064.unique", "00001.unique"),
        ("rest", "others"),
    ],
)
def test_the_group_of_a_unit_follows_from_its_name(unit: str, group: str) -> None:
    assert group_of(unit) == group


def test_lines_round_trip() -> None:
    receipts = receipts_of(3, broken_sources={"s3://a\nb": 'cut "off"'})
    data = to_lines(receipts)
    assert from_lines(data) == receipts
    assert from_lines(data + b"{\n") == receipts
    assert len(data.splitlines()) == 3
