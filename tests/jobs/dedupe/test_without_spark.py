"""A small dedupe on one machine starts no Spark, and finds what Spark's tasks find."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

import curate
from jobs.dedupe.whole_components import PAIR, PICTURE, small_units
from jobs.spark.run import context
from manifests.format.store import EVIDENCE_FOLDER, open_manifest
from tests.conftest import curate_process, rows_of
from tests.jobs.dedupe.test_dedupe import scanned

__all__ = ["scanned"]
pytestmark = pytest.mark.spark


def evidence(folder: Path) -> set[str]:
    """Return the names of files with evidence, which contain hashes of their content."""
    return set(os.listdir(folder / EVIDENCE_FOLDER))  # noqa: PTH208


@pytest.mark.parametrize("copies", ["exact", "exact,mild", None])
def test_without_java_it_finds_what_spark_finds(spark, scanned: Path, tmp_path: Path, copies: str | None) -> None:
    given = [] if copies is None else [f"--set=dedupe.copies={json.dumps(copies.split(','))}"]
    nowhere = {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}
    done = curate_process("dedupe", scanned / "scan", "-o", tmp_path / "here", *given, env=nowhere)
    settings = {} if copies is None else {"copies": copies.split(",")}
    there = curate.dedupe(str(scanned / "scan"), str(tmp_path / "there"), spark=spark, **settings)
    here = open_manifest(str(tmp_path / "here"))
    assert here.digest == there.digest
    assert rows_of(tmp_path / "here").equals(rows_of(tmp_path / "there"))
    if copies != "exact":
        assert evidence(tmp_path / "here") == evidence(tmp_path / "there")
        assert "pairs compared" in done.stderr
        assert here.cost["phases"]["matching"] > 0, "workers are counted"


@pytest.mark.parametrize("sizes", [[1], [200], [1, 63, 1, 300, 2, 64, 5] * 3])
def test_units_are_whole_components_and_none_is_empty(sizes: list[int]) -> None:
    names = [bytes([number]) for number, size in enumerate(sizes) for _ in range(size)]
    pictures = pa.table({"component": [bytes([n]) for n in range(len(sizes))], "row": [PICTURE] * len(sizes)})
    rows = pa.concat_tables([pictures, pa.table({"component": names, "row": [PAIR] * len(names)})])
    numbers, units = small_units(rows)
    of_component = set(zip(rows.column("component").to_pylist(), numbers.to_pylist(), strict=True))
    assert len(of_component) == len(sizes)
    assert {unit for _, unit in of_component} == set(range(units))


def test_a_session_that_starts_in_a_phase_leaves_the_phase_as_it_was(spark) -> None:
    with context(given=spark) as ctx:
        ctx.account.begin("candidates")
        assert ctx.spark is spark
        assert ctx.account.phase == "candidates"


def test_evidence_of_an_earlier_run_is_taken(scanned: Path, tmp_path: Path) -> None:
    curate_process("dedupe", scanned / "scan", "-o", tmp_path / "first")
    onto = ("--onto", tmp_path / "first", "--set", "dedupe.strictness.mild=0.97")
    again = curate_process("dedupe", scanned / "scan", "-o", tmp_path / "again", *onto)
    assert "0 pairs compared" in again.stderr
    fresh = curate_process("dedupe", scanned / "scan", "-o", tmp_path / "fresh", *onto[2:])
    assert " 0 pairs compared" not in fresh.stderr
    digests = {open_manifest(str(tmp_path / name)).digest for name in ("again", "fresh")}
    assert len(digests) == 1
