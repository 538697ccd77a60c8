"""A Spark master that is not one, or does not answer, is refused at once."""

import socket

import pytest

from curation.config import SparkConfig
from jobs.spark import session
from jobs.spark.master import is_local, master_of, require_master
from manifests.errors import InputError


@pytest.fixture
def listening():
    """The port of a server that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed():
    """A port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    "master", [None, "local", "local[*]", "local[2]", "local[2,4]", "local-cluster[2,1,1024]", "yarn"]
)
def test_masters_without_an_address_are_left_to_spark(master):
    require_master(SparkConfig(master=master))


@pytest.mark.parametrize(
    "form", ["spark://127.0.0.1:{}", "spark://127.0.0.1:1,127.0.0.1:{}", "k8s://http://127.0.0.1:{}"]
)
def test_a_master_that_answers(form, listening):
    require_master(SparkConfig(master=form.format(listening)))


@pytest.mark.parametrize("form", ["spark://127.0.0.1:{}", "k8s://127.0.0.1:{}", "k8s://https://127.0.0.1:{}"])
def test_a_master_that_does_not_answer(form, closed):
    master = form.format(closed)
    with pytest.raises(InputError) as error:
        require_master(SparkConfig(master=master))
    assert str(error.value) == (
        f"{master}: no Spark master answers at 127.0.0.1:{closed} (Connection refused); check the address, and that "
        "the master runs"
    )


def test_spark_connect_is_tried_too(closed, monkeypatch):
    with pytest.raises(InputError, match=rf"^sc://127\.0\.0\.1:{closed}: no Spark master answers") as error:
        require_master(SparkConfig(conf={"spark.remote": f"sc://127.0.0.1:{closed}/;token=S3CR3T"}))
    assert "S3CR3T" not in str(error.value)
    monkeypatch.setenv("SPARK_REMOTE", f"sc://127.0.0.1:{closed}")
    with pytest.raises(InputError, match="no Spark master answers"):
        require_master(SparkConfig(master="local[2]"))


@pytest.mark.parametrize(
    "master",
    [
        "sprak://host:7077",
        "host:7077",
        "locl[2]",
        "local[x]",
        "spark://host",
        "spark://:7077",
        "spark://h:x",
        "yarn-client",
    ],
)
def test_what_is_not_a_master_is_refused(master):
    with pytest.raises(InputError, match="not a Spark master") as error:
        require_master(SparkConfig(master=master))
    assert str(error.value).startswith(f"{master}: ")
    assert "spark://host:7077" in str(error.value)


def test_the_setting_of_spark_wins():
    config = SparkConfig(master="local[2]", conf={"spark.master": "spark://h:1"})
    assert master_of(config) == "spark://h:1"
    assert not is_local(master_of(config))
    assert is_local(master_of(SparkConfig()))


def test_no_session_is_started_for_a_master_that_does_not_answer(closed):
    with pytest.raises(InputError, match="no Spark master answers"):
        session.start(SparkConfig(master=f"spark://127.0.0.1:{closed}"), name="test")
