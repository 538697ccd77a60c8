"""The processes of a Spark session, and what they use: JVMs, Python's daemons and workers, on any machine.

The driver reads its own JVM and what that started. Elsewhere, a Python worker reports itself and its executor's JVM
when it ends a task, in an accumulator.
"""

import functools
import logging
import weakref

import psutil
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.accumulators import Accumulator, AccumulatorParam
from pyspark.sql import SparkSession

from jobs.spark.session import is_remote
from jobs.units.cost import Account, Seen, process_seconds, used_by

_log = logging.getLogger(__name__)

REPORT_EVERY_SECONDS = 0.1  # of a worker's processor time; a report takes less than a hundredth of it

Reports = Accumulator[dict[str, tuple[float, float]]]


def include(account: Account, spark: SparkSession, *, from_start: bool) -> None:
    """Let `account` count the processes of `spark`, from now on, or with `from_start` from when each started.

    Nobody can look at those of a remote session.
    """
    reports = reports_of(spark)
    if reports is None:
        account.workers_are_counted = False
        return
    jvm = spark.sparkContext._jvm
    assert jvm is not None  # noqa: S101 - a context that runs has a JVM
    try:
        driver = psutil.Process(int(jvm.java.lang.ProcessHandle.current().pid()))
    except (Py4JError, psutil.Error) as e:  # a caller's JVM may refuse the question, or run in another container
        _log.debug("the driver's JVM is not counted: %s", e)
    else:
        account.include(functools.partial(_started_by, driver), from_start=from_start)
    # A copy: a task that ends meanwhile changes the value in another thread.
    account.include(lambda: dict(reports.value), from_start=from_start)


def _started_by(jvm: psutil.Process) -> Seen:
    """Return a JVM, the daemons that it started, and their workers."""
    try:
        daemons = jvm.children()
        workers = [worker for daemon in daemons if daemon.is_running() for worker in daemon.children()]
    except psutil.Error:
        daemons = workers = []
    return {name: (0.0, seconds) for name, seconds in used_by([jvm, *daemons, *workers]).items()}


# --- what workers report


class _Merged(AccumulatorParam[dict[str, tuple[float, float]]]):
    """Joins reports: of each process what was seen first, and last."""

    def zero(self, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        return {}

    def addInPlace(  # noqa: N802 - Spark's name
        self, value1: dict[str, tuple[float, float]], value2: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        for name, (first, last) in value2.items():
            before = value1.get(name, (first, last))
            value1[name] = min(first, before[0]), max(last, before[1])
        return value1


_REPORTS: weakref.WeakKeyDictionary[SparkContext, Reports] = weakref.WeakKeyDictionary()


def reports_of(spark: SparkSession) -> Reports | None:
    """Return what workers of `spark` report to, or None for a remote session, which has no such thing."""
    if is_remote(spark):
        return None
    context = spark.sparkContext
    if context not in _REPORTS:
        _REPORTS[context] = context.accumulator({}, _Merged())
    return _REPORTS[context]


class _Here:
    """This worker, the daemon that started it, and the executor's JVM."""

    def __init__(self) -> None:
        me = psutil.Process()
        self._processes = [me]
        for parent in me.parents():
            self._processes.append(parent)
            if parent.name().startswith("java"):
                break
        else:
            self._processes = [me]
        self._first = used_by(self._processes)
        self._reported = 0.0

    def report(self, reports: Reports) -> None:
        """Report what each process has used, if this one has used much since it last reported."""
        if process_seconds() - self._reported < REPORT_EVERY_SECONDS:
            return
        found = used_by(self._processes)
        reports.add({name: (self._first.get(name, last), last) for name, last in found.items()})
        self._reported = process_seconds()


@functools.cache
def this_worker() -> _Here:
    """Return the processes that this worker reports, looked up once in each worker."""
    return _Here()
