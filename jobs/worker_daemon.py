"""Forks the Python workers of a local Spark session, in place of `pyspark.daemon`.

What workers need is imported here, once. Otherwise each of them would take a core-second or two to import it.
Nothing that is imported may start a thread, which a fork would lose; that of jemalloc, in Arrow, starts again.
"""

import gc

import pyspark.worker  # noqa: F401
from pyspark.daemon import manager

import jobs.dedupe.stage
import jobs.dedupe.stage_again
import jobs.stages.choose
import jobs.stages.scan
import jobs.stages.score
import jobs.stages.shard  # noqa: F401

if __name__ == "__main__":
    gc.freeze()  # workers share these objects' memory
    manager()
