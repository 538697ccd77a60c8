"""What workers import: nothing that only a driver needs."""

import subprocess
import sys

from tests.conftest import TOP

OF_WORKERS = (
    "jobs.stages.scan",
    "jobs.stages.score",
    "jobs.operations.choose",
    "jobs.stages.shard",
    "jobs.dedupe.stage",
)
OF_WORKERS += (
    "jobs.dedupe.stage_again",
    "jobs.operations.derive",
    "jobs.spark.frames",
    "jobs.spark.row_query",
    "jobs.worker_daemon",
)
OF_DRIVERS = {"rich", "click", "matplotlib", "sqlglot", "pandas", "polars"}


def test_modules_of_workers_import_nothing_of_drivers_alone():
    code = f"import sys, {', '.join(OF_WORKERS)}; print(*{OF_DRIVERS} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True)
    assert not done.stdout.split()
