"""`curate doctor` and `--dry-run` try the input, the output and Spark's master before a run does."""

import json
import os
import socket
from pathlib import Path

import fsspec.config
import pytest
import yaml
from click.testing import CliRunner, Result

from curation.config import SparkConfig
from jobs.cli.main import main
from jobs.setup.doctor import checks
from jobs.setup.places import require_writable
from jobs.spark import session
from manifests import storage
from manifests.errors import InputError
from tests.support.making import tar_bytes
from tests.support.object_store import bucket_of


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "0.tar"
    path.write_bytes(tar_bytes([("a.jpg", b"picture")]))
    return path


@pytest.fixture
def bucket():
    """A bucket with one tar."""
    with bucket_of("doctor") as client:
        client.put_object(Bucket="doctor", Key="in/0.tar", Body=tar_bytes([("a.jpg", b"picture")]))
        yield client


@pytest.fixture
def closed_port():
    """A port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def pipeline_of(folder: Path, **settings: object) -> str:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"output": str(folder / "out"), **settings}))
    return str(path)


def doctor(pipeline: str) -> dict[str, dict]:
    done = run("doctor", "-c", pipeline, "--no-spark", "--json")
    return {check["name"]: check for check in json.loads(done.stdout)}


# --- doctor


def test_each_input_is_listed_and_read(tmp_path, tar):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"\xff\xd8\xff picture")
    found = doctor(pipeline_of(tmp_path, input=[f"{tmp_path}/*.tar", f"{tmp_path}/photos/"]))
    tars, photos = found[f"input {tmp_path}/*.tar"], found[f"input {tmp_path}/photos/"]
    assert tars["is_good"]
    assert photos["is_good"]
    assert tars["found"] == f"1 tars, 0.0 GB; read {storage.absolute(str(tar))}"
    assert photos["found"].startswith("1 folders, ")


@pytest.mark.parametrize(
    ("pattern", "found", "advice"),
    [
        ("none-*.tar", "no .tar file matches", "quote it"),
        ("gone.tar", "1 of 1 named sources do not exist", "Correct the names"),
        ("{0..3.tar", "a brace is not closed", "write ranges as"),
    ],
)
def test_an_input_that_names_nothing_is_reported(tmp_path, pattern, found, advice):
    check = doctor(pipeline_of(tmp_path, input=f"{tmp_path}/{pattern}"))[f"input {tmp_path}/{pattern}"]
    assert not check["is_good"]
    assert found in check["found"]
    assert advice in check["found"] + check["fix"]


def test_an_input_that_may_not_be_read_is_reported(tmp_path, tar):
    tar.chmod(0)
    if os.access(tar, os.R_OK):
        pytest.skip("this user may read everything")
    check = doctor(pipeline_of(tmp_path, input=str(tar)))[f"input {tar}"]
    assert (check["is_good"], "permission denied" in check["found"]) == (False, True)


def test_places_in_object_storage_are_tried(tmp_path, bucket, monkeypatch):
    inputs = ["s3://doctor/in/*.tar", "s3://nobody/*.tar"]
    found = doctor(pipeline_of(tmp_path, input=inputs, output="s3://doctor/out"))
    assert found["input s3://doctor/in/*.tar"]["is_good"]
    assert found["storage s3://doctor/out"]["is_good"]
    missing = found["input s3://nobody/*.tar"]
    assert missing["found"] == "s3://nobody/: there is no bucket nobody"
    assert missing["fix"] == "create it, or correct the name"
    check = doctor(pipeline_of(tmp_path, input=inputs, output="s3://nobody/out"))["storage s3://nobody/out"]
    assert (check["is_good"], check["found"]) == (False, "s3://nobody/out: there is no bucket nobody")


def test_an_empty_tar_is_no_reason_to_refuse(tmp_path, bucket):
    bucket.put_object(Bucket="doctor", Key="empty/0.tar", Body=b"")
    pipeline = pipeline_of(tmp_path, input="s3://doctor/empty/*.tar")
    assert doctor(pipeline)["input s3://doctor/empty/*.tar"]["is_good"]
    assert run("run", pipeline, "--dry-run").exit_code == 0


def test_a_storage_that_does_not_answer_is_reported(tmp_path, closed_port, monkeypatch):
    monkeypatch.setattr(fsspec.config, "conf", {})
    options = {"endpoint_url": f"http://127.0.0.1:{closed_port}", "key": "x", "secret": "x"}
    options["config_kwargs"] = {"retries": {"max_attempts": 0}}
    pipeline = pipeline_of(tmp_path, input="s3://doctor/*.tar", output="s3://doctor/out", storage={"s3": options})
    found = doctor(pipeline)
    for name in ("input s3://doctor/*.tar", "storage s3://doctor/out"):
        assert not found[name]["is_good"]
        assert found[name]["found"].endswith(f": 127.0.0.1:{closed_port} does not answer")
    done = run("run", pipeline, "--dry-run")
    assert (done.exit_code, f"127.0.0.1:{closed_port} does not answer" in done.output) == (2, True)


def test_credentials_in_a_pattern_are_not_printed(tmp_path):
    done = run("doctor", "-c", pipeline_of(tmp_path, input="s3://me:S3CR3T@bucket/*.tar"), "--no-spark")
    assert done.exit_code == 1
    assert "S3CR3T" not in done.output
    assert "contains credentials" in " ".join(done.output.split())


def test_a_master_that_does_not_answer_is_reported(closed_port, monkeypatch):
    monkeypatch.setattr(session, "start", None)  # nothing may get as far as Spark
    spark = SparkConfig(master=f"spark://127.0.0.1:{closed_port}")
    found = {c.name: c for c in checks(engine="rapidocr", engine_options={}, places=[], spark=spark)}
    assert not found["Spark master"].is_good
    assert f"no Spark master answers at 127.0.0.1:{closed_port}" in found["Spark master"].found
    assert "check the address" in found["Spark master"].fix
    assert "Spark and its Python workers" not in found


# --- dry run


def test_a_dry_run_reads_the_input_and_writes_nothing(tmp_path, tar):
    done = run("run", pipeline_of(tmp_path, input=str(tar)), "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"input": "s3://nobody/*.tar"}, "there is no bucket nobody"),
        ({"output": "s3://nobody/out"}, "s3://nobody/out/scan: there is no bucket nobody"),
        ({"spark": {"master": "spark://host"}}, "spark://host: not a Spark master"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(tmp_path, tar, bucket, settings, said):
    done = run("run", pipeline_of(tmp_path, **{"input": str(tar), **settings}), "--dry-run")
    assert done.exit_code == 2
    assert said in done.output


def test_a_dry_run_tries_the_master(tmp_path, tar, closed_port):
    pipeline = pipeline_of(tmp_path, input=str(tar), spark={"master": f"spark://127.0.0.1:{closed_port}"})
    for arguments in (("run", pipeline), ("scan", str(tar), "-o", str(tmp_path / "scan"), "-c", pipeline)):
        done = run(*arguments, "--dry-run")
        assert done.exit_code == 2
        assert f"no Spark master answers at 127.0.0.1:{closed_port}" in done.output


def test_folders_that_may_not_be_written_to(tmp_path):
    require_writable(storage.absolute(str(tmp_path / "not/there/yet")))
    require_writable("memory://anywhere")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(InputError, match="locked may not be written to"):
        require_writable(storage.absolute(str(locked / "out")))
