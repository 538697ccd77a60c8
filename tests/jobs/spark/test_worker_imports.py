"""What workers import: nothing that only a driver needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.spark.session import ONE_THREAD, WORKER_DAEMON
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


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_what_workers_are_forked_from_has_one_thread():
    """A fork would lose others; jemalloc, in Arrow, starts its own again."""
    code = f"import pathlib, {WORKER_DAEMON}; "
    code += "print(*(each.read_text().strip() for each in pathlib.Path('/proc/self/task').glob('*/comm')), sep='|')"
    single = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, env=single, capture_output=True, text=True, check=True
    )
    assert len([name for name in done.stdout.strip().split("|") if not name.startswith("jemalloc")]) == 1
