"""Steps: what has a receipt is never made again, and what is in a unit depends on content alone."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.spark import frames
from jobs.spark.steps import UNIT, UNIT_BYTES, Making, temporary_steps, unit_of_hash, units_for
from manifests import storage

NUMBERS = pa.schema([("n", pa.int64())])


def numbers(spark, count: int, partitions: int = 3):
    return spark.createDataFrame(pa.table({"n": pa.array(range(count), pa.int64())})).repartition(partitions)


def values(table) -> list[int]:
    return sorted(row["n"] for row in table.frame().collect())


@dataclasses.dataclass(frozen=True)
class FailsOnce:
    """Passes batches on, but fails in unit 2 unless there is a file."""

    marker: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if frames.partition_number() == 2 and not Path(self.marker).exists():
            raise RuntimeError("not yet")
        yield from batches


def test_units_do_not_depend_on_partitions(spark) -> None:
    found = []
    for partitions in (1, 5):
        with temporary_steps(spark) as steps:
            made = steps.keep("numbers", numbers(spark, 500, partitions), NUMBERS, ["n"], units=4)
            found.append([(receipt.unit, receipt.sha256, receipt.rows) for receipt in made.receipts])
            assert values(made) == list(range(500))
            assert made.rows == 500
    assert found[0] == found[1]


def test_only_units_without_a_receipt_are_made(spark, tmp_path: Path) -> None:
    making = Making(name="numbers", schema=NUMBERS, units=4, function=FailsOnce(str(tmp_path / "now")), order=("n",))
    rows = numbers(spark, 500).withColumn(UNIT, unit_of_hash(["n"], 4))
    with temporary_steps(spark) as steps:
        with pytest.raises(Exception, match="not yet"):
            steps.make(rows, making)
        (tmp_path / "now").touch()
        folder = storage.filesystem(steps.folder)[1]
        before = {path.name: path.read_bytes() for path in Path(folder).rglob("numbers-*.json")}
        assert before
        assert "numbers-00002.json" not in before
        made = steps.make(rows, making)
        after = {path.name: path.read_bytes() for path in Path(folder).rglob("numbers-*.json")}
        assert values(made) == list(range(500))
        assert {name: after[name] for name in before} == before


def test_a_lost_part_is_made_again(spark) -> None:
    with temporary_steps(spark) as steps:
        made = steps.keep("numbers", numbers(spark, 100), NUMBERS, ["n"], units=2)
        Path(storage.filesystem(storage.join(made.folder, made.receipts[1].part))[1]).unlink()
        assert values(steps.keep("numbers", numbers(spark, 100), NUMBERS, ["n"], units=2)) == list(range(100))


def test_a_step_without_rows_has_all_its_units(spark) -> None:
    with temporary_steps(spark) as steps:
        made = steps.keep("numbers", numbers(spark, 0), NUMBERS, ["n"], units=3)
        assert [receipt.rows for receipt in made.receipts] == [0, 0, 0]
        assert values(made) == []


def test_units_are_sized_by_bytes_and_capped() -> None:
    assert units_for(0, 100) == 1
    assert units_for(10 * UNIT_BYTES // 100, 100) == 10
    assert units_for(10**12, 1_000) == 20_000
