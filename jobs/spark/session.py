"""One Spark session, the same way in local mode, under spark-submit, on a cluster and over Spark Connect.

A session that exists already belongs to the caller: it is used as it is, and never stopped.
"""

import contextlib
import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from curation.config import SparkConfig
from jobs.spark import launch
from jobs.spark.master import require_master
from jobs.units.worker import ONE_THREAD
from manifests.errors import InputError

PACKAGES = ("curation", "filters", "jobs", "manifests")
MIN_JAVA = 17
JAVA_FOLDERS = "/usr/lib/jvm"
LOG4J = Path(__file__).with_name("log4j2.properties")
JAVA_ADVICE = f"Install Java {MIN_JAVA} or newer (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
SQL_SETTINGS: Mapping[str, str] = {
    "spark.sql.adaptive.enabled": "true",
    # Spark takes the rows that Python makes of a part for a handful, and would broadcast a whole manifest.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "10MB",
}
# Methods are optimised after ten times as many calls as by default: that was a third of what a small run cost.
JVM_OPTIONS = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
)
# The default one works beside the tasks, on their cores. A JVM that is given two collectors does not start.
COLLECTOR = "-XX:+UseParallelGC"
JVM_VARIABLES = ("SPARK_SUBMIT_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
WORKER_DAEMON = "jobs.worker_daemon"
_LOCAL = re.compile(r"^local(?:\[(\*|\d+)\])?$")


def java_version() -> int | None:
    """Return the major version of the Java that Spark would start, or None when there is none."""
    java = _find_java()
    return java[1] if java else None


def require_java() -> None:
    """Make Spark start Java 17 or newer, also one that is only in /usr/lib/jvm.

    Raises InputError, saying what to install, when there is none.
    """
    java = _find_java()
    if java is None or java[1] < MIN_JAVA:
        found = "no Java was found" if java is None else f"Java {java[1]} was found"
        raise InputError(
            f"Spark needs Java {MIN_JAVA} or newer, {found}. {JAVA_ADVICE}, then try again; `curate doctor` checks it"
        )
    if java[0]:
        os.environ["JAVA_HOME"] = java[0]
    else:
        os.environ.pop("JAVA_HOME", None)


def _find_java() -> tuple[str, int] | None:
    """Return the home and major version of the first Java that is new enough, else of the first there is.

    Looked for at JAVA_HOME, on PATH (whose home is "") and in JAVA_FOLDERS.
    """
    first = None
    for home in (os.environ.get("JAVA_HOME", ""), "", *map(str, sorted(Path(JAVA_FOLDERS).glob("*")))):
        java = shutil.which(str(Path(home) / "bin" / "java") if home else "java")
        version = _version_of(java) if java else None
        if version and version >= MIN_JAVA:
            return home, version
        first = first or (version and (home, version)) or None
    return first


def _version_of(java: str) -> int | None:
    printed = subprocess.run([java, "-version"], capture_output=True, check=False).stderr  # noqa: S603
    found = re.search(rb'version "(?:1\.)?(\d+)', printed)
    return int(found.group(1)) if found else None


def source_zip() -> bytes:
    """Return the project's own packages and `curate.py` as a zip, byte-reproducible, that workers can import from."""
    top = Path(__file__).resolve().parents[2]
    in_packages = (path for package in PACKAGES for path in sorted((top / package).rglob("*")))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (top / "curate.py", *in_packages):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(path.relative_to(top).as_posix())
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


SUBMIT_SCRIPT = '''"""Entry point for spark-submit; curate.zip goes along with --py-files."""

from jobs.cli.main import main

if __name__ == "__main__":
    main()
'''


def local_master(master: str) -> str:
    """Return a local master that retries failed tasks as clusters do; others are left as they are."""
    match = _LOCAL.match(master)
    return f"local[{match.group(1) or 1},4]" if match else master


@contextlib.contextmanager
def opened(config: SparkConfig, *, name: str, given: SparkSession | None = None) -> Iterator[SparkSession]:
    """Yield the session `given`, else the one that this process has, else a new one, which is stopped in the end.

    Of a session that existed, only SQL settings are changed, and put back in the end; of `config` it takes only the
    `spark.sql.*` settings. Raises InputError when Java is missing or Spark does not start.
    """
    existing = given or existing_session()
    if existing is not None:
        of_user = {name: value for name, value in config.conf.items() if name.startswith("spark.sql.")}
        with sql_settings(existing, {**SQL_SETTINGS, **of_user}), prepared_workers(existing):
            yield existing
        return
    started = start(config, name=name)
    try:
        yield started
    finally:
        started.stop()


def existing_session() -> SparkSession | None:
    """Return the session that this process has already, or None."""
    try:
        return SparkSession.active()
    except PySparkRuntimeError:
        return None


@contextlib.contextmanager
def sql_settings(spark: SparkSession, wanted: Mapping[str, str]) -> Iterator[None]:
    """Give a session these settings until the block ends, as far as they can change at run time."""
    before = spark.conf.getAll
    for name, value in wanted.items():
        if spark.conf.isModifiable(name):
            spark.conf.set(name, value)
    try:
        yield
    finally:
        for name in filter(spark.conf.isModifiable, wanted):
            if name in before:
                spark.conf.set(name, before[name])
            else:
                spark.conf.unset(name)


@contextlib.contextmanager
def prepared_workers(spark: SparkSession) -> Iterator[None]:
    """Let the workers of a caller's session import what this process imports, until the block ends.

    Unless PYSPARK_PYTHON says otherwise, local workers run the Python of this process, not the first on PATH. Others
    get the project's packages.
    """
    send_sources_if_needed(spark)
    context = None if is_remote(spark) else spark.sparkContext
    if context is None or "PYSPARK_PYTHON" in os.environ or not str(context.master).startswith("local"):
        yield
        return
    before = context.pythonExec
    context.pythonExec = sys.executable
    try:
        yield
    finally:
        context.pythonExec = before


def is_submitted() -> bool:
    """Return whether spark-submit has started this process."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def is_remote(spark: SparkSession) -> bool:
    """Return whether a session is one of Spark Connect, which has no SparkContext."""
    return ".connect." in type(spark).__module__


def start(config: SparkConfig, *, name: str) -> SparkSession:
    """Return a new Spark session, the submitted one where there is one.

    Raises InputError when Java is missing, the master does not answer, or Spark does not start.
    """
    submitted = is_submitted()
    remote = os.environ.get("SPARK_REMOTE") or config.conf.get("spark.remote")
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    require_master(config)
    settings: dict[str, Any] = {"spark.app.name": name}
    if not remote:
        require_java()
        settings |= _defaults(config, submitted=submitted)
    settings |= config.conf
    try:
        if not (remote or submitted or "spark.api.mode" in settings):
            launch.start_context(settings)
        spark = SparkSession.builder.config(map=settings).getOrCreate()
    except Exception as e:
        lines = str(e).strip().splitlines()
        reason = f"{type(e).__name__}: {lines[0] if lines else ''}"
        raise InputError(f"Spark did not start: {reason}\n`curate doctor` says what is missing") from e
    if threading.current_thread() is threading.main_thread():
        # The command line reports an interrupt once; PySpark and py4j would print every open call.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.getLogger().addFilter(lambda record: "while sending command" not in str(record.msg))
    send_sources_if_needed(spark)
    return spark


def _defaults(config: SparkConfig, *, submitted: bool) -> dict[str, str]:
    master = config.master or (None if submitted else "local[*]")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.python.worker.reuse": "true",
        **SQL_SETTINGS,
    }
    for variable in ONE_THREAD:
        settings[f"spark.executorEnv.{variable}"] = "1"
    if master is None:
        return settings
    settings["spark.master"] = local_master(master)
    if master.startswith("local"):
        options = [*JVM_OPTIONS, *_collector()]
        if LOG4J.is_file():
            options.append(f"-Dlog4j2.configurationFile={LOG4J.as_uri()}")
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        settings |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "2g",
            "spark.driver.extraJavaOptions": " ".join(options),
            "spark.python.daemon.module": WORKER_DAEMON,
            "spark.sql.shuffle.partitions": "8",
        }
    return settings


def _collector() -> list[str]:
    """Return the option that names the garbage collector, unless the environment names one."""
    given = " ".join(os.environ.get(name, "") for name in JVM_VARIABLES)
    return [] if re.search(r"-XX:\+Use\w+GC\b", given) else [COLLECTOR]


_SENT_TO: weakref.WeakSet[SparkSession] = weakref.WeakSet()


def send_sources_if_needed(spark: SparkSession) -> None:
    """Give the project's packages, once, to workers that may not have them installed."""
    if not is_remote(spark) and str(spark.conf.get("spark.master", "local")).startswith("local"):
        return
    if spark in _SENT_TO or not Path(__file__).is_file():  # no file: this runs from the zip that spark-submit sent
        return
    _SENT_TO.add(spark)
    folder = Path(tempfile.mkdtemp(prefix="curate-"))
    path = folder / "curate.zip"
    path.write_bytes(source_zip())
    spark.addArtifacts(str(path), pyfile=True)
