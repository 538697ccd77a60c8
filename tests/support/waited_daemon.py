"""Spark's Python daemon, whose ended workers stay until somebody waits for them, so that the kernel counts them.

Given as `spark.python.daemon.module`. PySpark's own ignores SIGCHLD, and then the kernel adds up nothing.
"""

import signal
from typing import Any

from pyspark import daemon

_set = signal.signal


def _set_but_one(number: int, handler: Any) -> Any:
    ignores_children = number == signal.SIGCHLD and handler == signal.SIG_IGN
    return None if ignores_children else _set(number, handler)


if __name__ == "__main__":
    signal.signal = _set_but_one
    daemon.manager()
