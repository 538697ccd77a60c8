"""Parts that were made before: of the same inputs under another number, or in another output."""

import dataclasses
from pathlib import Path

import pytest

from jobs.units.commit import finish
from jobs.units.earlier import with_parts_of
from jobs.units.plan import Plan
from jobs.units.state import begun
from jobs.units.worker import Attempt, Recorder
from manifests import storage
from manifests.format.receipts import Receipt
from manifests.format.store import Manifest, open_manifest
from tests.jobs.test_object_storage import BUCKET, s3  # noqa: F401 - a fixture
from tests.jobs.units.test_protocol import perform, plan_of


class Runs:
    """Runs at one output that count which units were made, and not copied."""

    def __init__(self, output: str) -> None:
        self.output, self.made = output, list[int]()

    def run(self, plan: Plan, units: int | None = None) -> Manifest | None:
        """Do the first `units` of those that are left, or all, and then commit."""
        with begun(plan) as begin:
            recorder = Recorder.of(begin.plan)
            for unit in begin.state.todo[:units]:
                recorder.once(unit, self.perform)
            return finish(begin, 0.0) if units is None else None

    def perform(self, attempt: Attempt) -> Receipt:
        self.made.append(attempt.unit.inputs["n"])
        return perform(attempt, 0, 0)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(storage.absolute(str(tmp_path / "out")))


def test_an_unfinished_run_whose_input_grew_goes_on_with_what_it_has(runs: Runs) -> None:
    runs.run(plan_of(runs.output, 0, 3, first=1), units=2)
    assert runs.made == [1, 2]
    with begun(plan_of(runs.output, 0, 4, first=0)) as begin:
        assert "2 units that are done have other numbers now; their parts are copied" in begin.state.notices
    runs.made.clear()
    made = runs.run(plan_of(runs.output, 0, 4, first=0))
    assert runs.made == [0, 3], "the others are there under other names"
    assert made is not None
    fresh = Runs(f"{runs.output}-fresh")
    again = fresh.run(plan_of(fresh.output, 0, 4, first=0))
    assert again is not None
    assert (made.digest, made.rows, made.counts) == (again.digest, again.rows, again.counts)
    assert [part.name for part in made.parts] == [part.name for part in again.parts]
    assert len(storage.list_names(runs.output)) == len(made.parts) + len({"tar", "manifest", "tables"})


def test_parts_of_another_output_are_copied_and_stay_when_that_is_gone(runs: Runs) -> None:
    earlier = runs.run(plan_of(runs.output, 0, 3, first=1))
    assert earlier is not None
    later = Runs(f"{runs.output}-later")
    plan = with_parts_of(plan_of(later.output, 0, 4, first=1), open_manifest(earlier.uri))
    assert plan.notices == [f"3 of 4 units are copied from {earlier.uri}"]
    made = later.run(plan)
    assert later.made == [4]
    storage.remove(earlier.uri)
    assert made is not None
    assert sum(made.read_part(part).num_rows for part in made.parts) == made.rows == 12


def test_a_part_that_is_a_link_is_copied_whole(runs: Runs, tmp_path: Path) -> None:
    """As in a folder that git-annex or DVC keeps: the new part must not be a link into it."""
    earlier = runs.run(plan_of(runs.output, 0, 1, first=1))
    assert earlier is not None
    path = Path(earlier.part_uri(earlier.parts[0]).removeprefix("file://"))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("../elsewhere")
    later = Runs(f"{runs.output}-later")
    made = later.run(with_parts_of(plan_of(later.output, 0, 1, first=1), earlier))
    assert later.made == []
    assert made is not None
    (tmp_path / "elsewhere").unlink()
    assert made.read_part(made.parts[0]).num_rows == made.rows == 3


def test_parts_are_copied_on_an_object_store(s3) -> None:  # noqa: F811
    runs = Runs(f"s3://{BUCKET}/copied/may")
    earlier = runs.run(plan_of(runs.output, 0, 2, first=1))
    assert earlier is not None
    later = Runs(f"s3://{BUCKET}/copied/june")
    made = later.run(with_parts_of(plan_of(later.output, 0, 3, first=1), open_manifest(earlier.uri)))
    assert later.made == [3]
    assert made is not None
    assert [part.sha256 for part in made.parts[:2]] == [part.sha256 for part in earlier.parts]
    assert sum(made.read_part(part).num_rows for part in made.parts) == made.rows == 9


@pytest.mark.parametrize("damage", [b"", b"other bytes", None])
def test_a_part_that_is_not_what_was_committed_is_made_again(runs: Runs, damage: bytes | None) -> None:
    earlier = runs.run(plan_of(runs.output, 0, 2, first=1))
    assert earlier is not None
    first = earlier.part_uri(earlier.parts[0])
    storage.remove(first)
    if damage is not None:
        storage.write_bytes(first, damage)
    later = Runs(f"{runs.output}-later")
    plan = with_parts_of(plan_of(later.output, 0, 2, first=1), earlier)
    made = later.run(plan)
    assert later.made == [1]
    assert made is not None
    assert made.digest == earlier.digest


def test_other_settings_are_named(runs: Runs) -> None:
    earlier = runs.run(plan_of(runs.output, 0, 2))
    assert earlier is not None
    plan = with_parts_of(plan_of(f"{runs.output}-later", 1, 2), earlier)
    assert plan.notices == [f"0 of 2 units are copied from {earlier.uri}; its settings differ: config.version: 0 → 1"]
    assert not any(unit.made for unit in plan.units)


def test_a_part_that_depends_on_others_is_not_copied(runs: Runs) -> None:
    earlier = runs.run(plan_of(runs.output, 0, 2))
    assert earlier is not None
    parts = [dataclasses.replace(part, fingerprint=None) for part in earlier.parts]
    plan = with_parts_of(plan_of(f"{runs.output}-later", 0, 2), dataclasses.replace(earlier, parts=parts))
    assert not any(unit.made for unit in plan.units)
