"""What is done in memory, and what steps do with tables, is the same: candidates, judged pairs, the answer."""

import functools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from curation.config import DedupeConfig
from curation.pictures.decode import DEFAULT_LIMITS
from examples.corpus.charts import pie_chart
from jobs.dedupe.candidates import local_candidates
from jobs.dedupe.in_process import read_small
from jobs.dedupe.pictures import EXISTING, PARENT, REFERENCE, PictureSet, read_set
from jobs.dedupe.stage import Deduplication
from jobs.spark.steps import temporary_steps
from jobs.units.cost import Account
from manifests.format.store import open_manifest
from tests.conftest import curate
from tests.jobs.dedupe.test_dedupe import LOCAL, dedupe, encoded, planted_members, scanned, write_tar
from tests.support.copying import paint

__all__ = ["scanned"]
pytestmark = pytest.mark.spark
ALL_WHOLE, SOME_WHOLE, NONE_WHOLE = 1_000, 4, 0


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[PictureSet]:
    """A reference set, and an earlier manifest, with some of the planted pictures."""
    folder = tmp_path_factory.mktemp("others")
    members = planted_members()
    write_tar(folder / "0.tar", {name: data for name, data in members.items() if name in ("city_crop75.jpg",)})
    write_tar(folder / "1.tar", {name: data for name, data in members.items() if name.startswith("code_")})
    for name in ("0", "1"):
        curate("scan", folder / f"{name}.tar", "-o", folder / name, *LOCAL)
    dedupe(folder / "1", folder / "deduped")
    return [
        PictureSet(manifest=open_manifest(str(folder / "0")), origin=REFERENCE, name="held out"),
        PictureSet(manifest=open_manifest(str(folder / "deduped")), origin=EXISTING, name="deduped"),
    ]


def answer(
    spark, sets: Sequence[PictureSet], config: DedupeConfig | None = None, *, large: int, in_process: bool = False
) -> tuple[list, list, set[str]]:
    """Return the rows of the answer, what was found when pairs were compared, and in which steps."""
    config = (config or DedupeConfig()).model_copy(update={} if in_process else {"rows_in_process": 0})
    with temporary_steps(spark) as steps:
        found = Deduplication(sets=sets, config=config, limits=DEFAULT_LIMITS, steps=steps, large=large)
        assigned = found.assignments(begin=Account().begin)
        assert isinstance(assigned, pa.Table) == (in_process and large != NONE_WHOLE)
        rows = assigned.to_pylist() if isinstance(assigned, pa.Table) else [r.asDict() for r in assigned.collect()]
        columns = ("member", "representative", "first_sha256", "second_sha256", "evidence", "described")
        evidence = [tuple(row.values()) for table in found.judged for row in table.read(*columns).to_pylist()]
        names = {receipt.unit.rpartition("-")[0] for table in found.judged for receipt in table.receipts}
    return sorted(map(repr, rows)), sorted(map(repr, evidence)), names


def test_local_candidates_in_memory_and_shuffled_agree(spark, scanned: Path) -> None:
    sets = [PictureSet(manifest=open_manifest(str(scanned / "scan")), origin=PARENT)]
    config = DedupeConfig()
    with temporary_steps(spark) as steps:
        read = functools.partial(read_set, spark, options={})
        shuffled = local_candidates(sets, config, read, steps).toArrow()
    in_memory = read_small(sets, config, with_keypoints=True).local_pairs(config)
    pairs = [sorted(tuple(sorted(row.values())) for row in each.to_pylist()) for each in (shuffled, in_memory)]
    assert pairs[0] == pairs[1]
    assert pairs[0]


@pytest.mark.parametrize(
    "config",
    [
        DedupeConfig(),
        DedupeConfig(copies=("exact",)),
        DedupeConfig(copies=("exact", "mild"), verify=False, max_distance=60, max_text_distance=0),
    ],
    ids=["all kinds", "exact", "fingerprints alone"],
)
@pytest.mark.parametrize("with_others", [False, True], ids=["alone", "with fixed pictures"])
def test_a_small_run_in_process_and_shuffles_agree(
    spark, scanned: Path, others: list[PictureSet], config: DedupeConfig, with_others: bool
) -> None:
    sets = [PictureSet(manifest=open_manifest(str(scanned / "scan")), origin=PARENT), *(others * with_others)]
    found = [answer(spark, sets, config, large=ALL_WHOLE, in_process=each) for each in (False, True)]
    assert found[0] == found[1]
    assert any("duplicate_of': '" in row for row in found[0][0])


def test_a_small_run_with_a_large_component_is_shuffled(spark, scanned: Path) -> None:
    sets = [PictureSet(manifest=open_manifest(str(scanned / "scan")), origin=PARENT)]
    rows, _, steps = answer(spark, sets, large=NONE_WHOLE, in_process=True)
    assert steps
    assert "judged" not in steps
    assert rows == answer(spark, sets, large=ALL_WHOLE, in_process=True)[0]


@pytest.mark.parametrize("with_others", [False, True], ids=["alone", "with fixed pictures"])
def test_whole_components_and_rounds_agree(spark, scanned: Path, others: list[PictureSet], with_others: bool) -> None:
    sets = [PictureSet(manifest=open_manifest(str(scanned / "scan")), origin=PARENT), *(others * with_others)]
    rows, evidence, steps = answer(spark, sets, large=ALL_WHOLE)
    assert steps == {"judged"}
    again, found, steps = answer(spark, sets, large=NONE_WHOLE)
    assert again == rows
    assert found == evidence
    assert steps
    assert "judged" not in steps


def test_a_crowd_in_rounds_and_a_whole_pair_in_one_run(spark, tmp_path: Path) -> None:
    """Of two components one is above the limit: the answer is that of judging both in tasks, or both in rounds."""
    crowd = {name: data for name, data in planted_members().items() if name.startswith("city")}
    drawing = paint(pie_chart, seed=7)
    pair = {"pie.png": encoded(drawing), "pie.jpg": encoded(drawing, "jpeg", quality=60)}
    write_tar(tmp_path / "0.tar", crowd | pair)
    curate("scan", tmp_path / "0.tar", "-o", tmp_path / "scan", *LOCAL)
    sets = [PictureSet(manifest=open_manifest(str(tmp_path / "scan")), origin=PARENT)]
    rows, evidence, steps = answer(spark, sets, large=SOME_WHOLE)
    assert steps > {"judged"}
    for large in (ALL_WHOLE, NONE_WHOLE):
        again, found, steps = answer(spark, sets, large=large)
        assert (again, found) == (rows, evidence)
        assert ("judged" in steps) == (large == ALL_WHOLE)
