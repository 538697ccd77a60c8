"""The whole pipeline by spark-submit on a real standalone cluster, the project sent along as a zip."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyspark
import pytest

from manifests.format.store import open_manifest
from tests.conftest import (
    JVM_OPTIONS,
    JVM_VARIABLES,
    TOP,
    Reference,
    curate,
    curate_process,
    digests,
    tar_hashes,
    write_pipeline,
)
from tests.support.processes import is_running

SPARK = Path(pyspark.__file__).parent


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running master, a Python that has the dependencies but not the project, and the folder of the workers."""

    url: str
    python: Path
    folder: Path
    environment: Mapping[str, str]


def bare_python(folder: Path) -> Path:
    """Return a Python that sees this environment's packages but not what is installed in editable mode."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    packages.joinpath("dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin/python"
    look = subprocess.run(
        [python, "-c", "import pyspark, pyarrow, cv2; import jobs"], cwd=folder, capture_output=True
    )
    assert look.returncode == 1, "the project must not be installed for the workers"
    assert b"No module named 'jobs'" in look.stderr
    return python


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start(name: str, arguments: list[str], environment: Mapping[str, str], wanted: str) -> subprocess.Popen:
    """Start one of Spark's daemons and return once its log says `wanted`."""
    command = [str(SPARK / "bin/spark-class"), f"org.apache.spark.deploy.{name}", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if re.search(wanted, line):
            # The pipe has to be drained from here on, or the daemon stops at a full one.
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            return process
    raise AssertionError(f"{name} ended")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and two workers of one core each, as processes of their own on loopback."""
    folder = tmp_path_factory.mktemp("cluster")
    python = bare_python(folder / "python")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "PYSPARK", "SPARK"))}
    environment = {
        **clean,
        **dict.fromkeys(("SPARK_DAEMON_JAVA_OPTS", *JVM_VARIABLES), JVM_OPTIONS),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HOME": str(SPARK),
        "PYSPARK_PYTHON": str(python),
    }
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    running = [
        start(
            "master.Master",
            ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"],
            environment,
            "I have been elected leader|Starting Spark master",
        )
    ]
    for i in range(2):
        arguments = [
            "--cores",
            "1",
            "--memory",
            "2g",
            "--host",
            "127.0.0.1",
            "--webui-port",
            "0",
            "--work-dir",
            str(folder / f"work{i}"),
            url,
        ]
        running.append(start("worker.Worker", arguments, environment, "Successfully registered with master"))
    yield Cluster(url=url, python=python, folder=folder, environment=environment)
    for process in reversed(running):
        process.kill()
        process.wait()


def executor_logs(cluster: Cluster) -> set[Path]:
    """Return the logs of all executors that the workers have started."""
    return set(cluster.folder.glob("work*/app-*/*/stderr"))


def test_a_cluster_gives_the_local_digest(reference: Reference, cluster: Cluster, tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out", spark={})
    curate("package", "-o", tmp_path / "dist")
    before = executor_logs(cluster)
    done = subprocess.run(
        [
            str(SPARK / "bin/spark-submit"),
            *("--master", cluster.url),
            *("--conf", "spark.executor.memory=1g", "--conf", "spark.driver.host=127.0.0.1"),
            *("--conf", f"spark.executor.extraJavaOptions={JVM_OPTIONS}"),
            *("--py-files", str(tmp_path / "dist/curate.zip")),
            *(str(tmp_path / "dist/curate_submit.py"), "run", str(pipeline)),
        ],
        env={**cluster.environment, "PYSPARK_DRIVER_PYTHON": str(cluster.python)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(tmp_path / "out") == reference.digests
    assert tar_hashes(tmp_path / "out/shards") == tar_hashes(reference.output / "shards")
    for stage in ("scan", "scored"):  # executors are other processes, whose workers report what they use
        local, there = (open_manifest(f"{at}/{stage}").cost for at in (reference.output, tmp_path / "out"))
        assert there["core_seconds"] > local["core_seconds"] / 2, stage
    assert {log.parts[-4] for log in executor_logs(cluster) - before} == {"work0", "work1"}, "both workers took part"


def test_a_driver_of_its_own_sends_the_project_along(reference: Reference, cluster: Cluster, tmp_path: Path) -> None:
    """`curate --master spark://…`, without spark-submit, sends its packages itself."""
    environment = {"PYSPARK_PYTHON": str(cluster.python), "SPARK_LOCAL_IP": "127.0.0.1"}
    arguments = ["--master", cluster.url, "--set", "spark.conf.spark.driver.host=127.0.0.1"]
    arguments += ["--set", f"spark.conf.spark.executor.extraJavaOptions={JVM_OPTIONS}"]
    curate_process("dedupe", reference.output / "scan", "-o", tmp_path / "deduped", *arguments, env=environment)
    assert open_manifest(str(tmp_path / "deduped")).digest == reference.digests["deduped"]
    assert sys.executable != str(cluster.python)


def start_dedupe(cluster: Cluster, scan: Path, output: Path, log: Path) -> subprocess.Popen:
    """Start a dedupe that does all it can in tasks, as one of many rows does."""
    command = [sys.executable, "-m", "jobs", "dedupe", str(scan), "-o", str(output), "--master", cluster.url]
    command += ["--set", "dedupe.rows_in_process=0", "--set", "spark.conf.spark.driver.host=127.0.0.1"]
    command += ["--set", f"spark.conf.spark.executor.extraJavaOptions={JVM_OPTIONS}"]
    environment = {**os.environ, "PYSPARK_PYTHON": str(cluster.python), "SPARK_LOCAL_IP": "127.0.0.1"}
    with log.open("wb") as errors:
        return subprocess.Popen(command, cwd=TOP, env=environment, stdout=subprocess.DEVNULL, stderr=errors)


def receipts(output: Path) -> dict[Path, str]:
    """Return the receipts of units in the unfinished work at `output`, and the phase of each: a step, or `parts`."""
    found = dict[Path, str]()
    for name, _, files in os.walk(output / "_work"):  # leaves out what is removed meanwhile
        folder = Path(name)
        if folder.parent.name == "receipts":
            phase = folder.parents[1].name if "steps" in folder.parts else "parts"
            found |= {folder / file: phase for file in files if file.endswith(".json")}
    return found


def wait_for_phases(running: subprocess.Popen, output: Path, known: set[str], count: int = 1) -> set[str]:
    """Return the phases beside `known` in which a first unit is made, once there are `count`; none at the end."""
    while is_running(running):
        if len(found := set(receipts(output).values()) - known) >= count:
            return found
    return set()


def executors() -> list[psutil.Process]:
    """Return the executors that the workers of this process have started."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if any("CoarseGrainedExecutorBackend" in word for word in command(process))]


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # gone meanwhile
        return []


def test_executors_killed_in_every_phase_of_dedupe_change_nothing(
    reference: Reference, cluster: Cluster, tmp_path: Path
) -> None:
    output, log = tmp_path / "out", tmp_path / "log"
    running = start_dedupe(cluster, reference.output / "scan", output, log)
    known, killed = set[str](), 0
    while found := wait_for_phases(running, output, known):
        known |= found
        for executor in executors()[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                executor.kill()
                killed += 1
    assert killed > 1
    assert running.returncode == 0, log.read_text()
    assert open_manifest(str(output)).digest == reference.digests["deduped"]


def test_drivers_killed_all_along_dedupe_change_nothing(
    reference: Reference, cluster: Cluster, tmp_path: Path
) -> None:
    """A run goes on where the one before was killed, and makes no unit again that has a receipt."""
    output, log = tmp_path / "out", tmp_path / "log"
    known, made, killed = set[str](), dict[Path, bytes](), 0
    running = start_dedupe(cluster, reference.output / "scan", output, log)
    while wait_for_phases(running, output, known, count=2):
        running.kill()
        running.wait()
        killed += 1
        there = receipts(output)
        known |= set(there.values())
        kept = {path: path.read_bytes() for path, phase in there.items() if phase != "parts"}
        assert made.items() <= kept.items()
        made = kept
        running = start_dedupe(cluster, reference.output / "scan", output, log)
    assert killed > 2
    assert running.returncode == 0, log.read_text()
    assert open_manifest(str(output)).digest == reference.digests["deduped"]
    assert not (output / "_work").exists()
