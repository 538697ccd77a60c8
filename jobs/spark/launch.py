"""Starts Spark's JVM without the lines that every JVM of Spark prints when it starts.

They are no errors, no setting turns all of them off, and `--quiet` must print nothing but errors.
"""

import logging
import os
import re
import threading
from collections.abc import Mapping

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway

from jobs.show import logs

STDERR = 2
_START_LINE = re.compile(
    rb"WARNING: Using incubator modules: "  # the JVM, of a module that spark-submit adds
    rb"|Setting default log level to "  # Spark, where it is not configured by a file on its class path
    rb"|To adjust logging level use sc\.setLogLevel"
)
_log = logging.getLogger(__name__)


def start_context(settings: Mapping[str, str]) -> None:
    """Start a JVM and the Spark context with these settings, unless this process has a JVM.

    The JVM's stderr goes through a thread of this process to its stderr. Raises PySparkRuntimeError when the JVM does
    not start.
    """
    if SparkContext._gateway is not None:
        return
    conf = SparkConf().setAll(list(settings.items()))
    reading, writing = os.pipe()
    threading.Thread(target=_forward, args=(reading,), name="stderr of Spark", daemon=True).start()
    try:
        gateway = launch_gateway(conf, {"stderr": writing})  # type: ignore[no-untyped-call]
    finally:
        os.close(writing)
    SparkContext(conf=conf, gateway=gateway)


def _forward(descriptor: int) -> None:
    """Copy lines from `descriptor` to stderr until all its writers are gone. Start lines go to the log alone."""
    with open(descriptor, "rb") as lines:
        for line in lines:
            text = line.decode("utf-8", "backslashreplace").rstrip()
            if _START_LINE.match(line):
                _log.debug("%s", text)
                continue
            _log.info("%s", text, extra={logs.IS_SHOWN: True})
            try:
                os.write(STDERR, line)
            except OSError:
                continue  # nobody reads stderr; Spark must not wait for a full pipe
