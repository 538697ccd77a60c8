"""How the JVM of a local session is started."""

import pytest

from curation.config import SparkConfig
from jobs.spark.session import COLLECTOR, JVM_VARIABLES, _defaults


@pytest.mark.parametrize("variable", [None, *JVM_VARIABLES])
def test_a_garbage_collector_that_the_environment_names_stays(
    monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """A JVM with two of them does not start."""
    for name in JVM_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "-Xmx1g -XX:+UseSerialGC -Dname=value")
    options = _defaults(SparkConfig(master="local[2]"), submitted=False)["spark.driver.extraJavaOptions"].split()
    assert (COLLECTOR in options) == (variable is None)
