"""What a run costs: its manifests record the processor time that the kernel counts, of all processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from curation.config import PipelineConfig
from jobs.stages.scan import plan_scan
from jobs.units.cost import EARLIER_RUNS
from jobs.units.state import inspect
from manifests.format.cost import UNITS
from manifests.format.store import open_manifest
from tests.conftest import STAGES, TOP, Reference, curate, write_pipeline
from tests.support.burning import Burning

pytestmark = pytest.mark.spark

WORKED = {"scan": "rows", "deduped": "status", "scored": "text_step", "chosen": "rows", "shards": "rows"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process wait for all")
def test_stages_add_up_to_the_kernels_count(corpus: Path, tmp_path: Path) -> None:
    """With a filter that burns in the workers and their children, Spark's shuffles, and a start of everything."""
    conf = {"spark.python.daemon.module": "tests.support.waited_daemon", "spark.sql.shuffle.partitions": "2"}
    spark = {"master": "local[2]", "conf": conf}
    scan = {"filters": {"burning": "tests.support.burning:Burning"}}
    pipeline = write_pipeline(tmp_path / "p.yaml", [corpus / "*.tar"], tmp_path / "out", spark=spark, scan=scan)
    command = [sys.executable, "-m", "tests.support.waited", sys.executable, "-m", "jobs", "run", str(pipeline)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    by_kernel = json.loads(done.stdout)["seconds"]

    manifests = {stage: open_manifest(f"{tmp_path}/out/{stage}") for stage in STAGES}
    costs = {stage: manifest.cost for stage, manifest in manifests.items()}
    recorded = sum(cost["core_seconds"] + cost["starting_core_seconds"] for cost in costs.values())
    assert recorded == pytest.approx(by_kernel, rel=0.15), costs
    assert costs["scan"]["starting_core_seconds"] > 0
    assert not any(cost["starting_core_seconds"] for stage, cost in costs.items() if stage != "scan")
    measured = manifests["scan"].counts["status"]["ok"]
    assert costs["scan"]["phases"][UNITS] >= measured * Burning.SECONDS
    assert {"reading", "candidates", "matching", "clusters", "writing"} <= set(costs["deduped"]["phases"])


def test_phases_add_up_and_the_funnel_divides_by_what_was_worked_on(reference: Reference) -> None:
    for stage, what in WORKED.items():
        manifest = open_manifest(f"{reference.output}/{stage}")
        cost, row = manifest.cost, manifest.funnel[-1]
        assert cost["core_seconds"] == row["core_seconds"] == pytest.approx(sum(cost["phases"].values()))
        if what == "status":
            worked = manifest.counts["status"]["ok"] + manifest.counts["status"].get("truncated", 0)
        else:
            worked = manifest.rows if what == "rows" else sum(manifest.counts[what].values())
        assert row["images_worked"] == worked > 0
    dedupe = open_manifest(f"{reference.output}/scored").funnel[1]
    score = open_manifest(f"{reference.output}/scored").funnel[2]
    assert score["images_worked"] < dedupe["images_worked"], "copies are not scored"


def test_a_resumed_run_counts_what_receipts_say_of_earlier_units(corpus: Path, tmp_path: Path) -> None:
    good, broken, output = tmp_path / "a.tar", tmp_path / "b.tar", tmp_path / "scan"
    good.write_bytes((corpus / "00000.tar").read_bytes())
    broken.write_bytes((corpus / "00001.tar").read_bytes()[:50_000])
    arguments = ["scan", good, broken, "-o", output, "--unit-bytes", "1"]
    curate(*arguments, check=1)

    config = PipelineConfig(input=[str(good), str(broken)], output=str(output), scan={"unit_bytes": 1})
    (receipt,) = inspect(plan_scan(config, str(output))).receipts.values()
    assert receipt.seconds > 0
    curate(*arguments, "--max-broken-tars", "1")
    cost = open_manifest(str(output)).cost
    assert cost["phases"][EARLIER_RUNS] == round(receipt.seconds, 3)
    assert cost["core_seconds"] == pytest.approx(sum(cost["phases"].values()))
