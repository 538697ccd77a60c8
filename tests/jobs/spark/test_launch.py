"""What Spark's JVM prints reaches stderr, without the lines of every start."""

import logging
import os

from jobs.spark import launch

START = b"""WARNING: Using incubator modules: jdk.incubator.vector
Setting default log level to "WARN".
To adjust logging level use sc.setLogLevel(newLevel). For SparkR, use setLogLevel(newLevel).
"""


def test_only_start_lines_are_left_out_of_stderr_and_none_of_the_log(capfdbinary, caplog) -> None:
    caplog.set_level(logging.DEBUG, logger="jobs.spark.launch")
    reading, writing = os.pipe()
    os.write(writing, START + b"java.lang.OutOfMemoryError\nWARNING: of another kind \xff\nlast")
    os.close(writing)
    launch._forward(reading)
    assert capfdbinary.readouterr().err == b"java.lang.OutOfMemoryError\nWARNING: of another kind \xff\nlast"
    assert [record.message for record in caplog.records][3:] == [
        *("java.lang.OutOfMemoryError", "WARNING: of another kind \\xff", "last")
    ]
    assert [record.levelname for record in caplog.records] == 3 * ["DEBUG"] + 3 * ["INFO"]
