"""The version of a release, its patch, the places of its tars, and what is refused."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.shards.layout import Layout, ShardForm
from jobs.units.lease import held
from manifests import storage
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.conftest import curate
from tests.support.making import commit_rows
from tests.support.object_store import bucket_of
from tests.support.releases import files, front, release_shards, released
from tests.support.shard_manifests import chosen_rows, make_shards, without

SAMPLES, EACH = 23, 5


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return release_shards(tmp_path_factory.mktemp("made"), SAMPLES, each=EACH)


@pytest.fixture(scope="module")
def made(shards, tmp_path_factory):
    """A release with two subsets, beside its shards."""
    folder = Path(storage.filesystem(shards.uri)[1]).parent / "release"
    curate("release", shards.uri, "-o", folder, "--subsets", "5,12,1M", "--gallery", "6")
    return folder


# --- versions


GONE = {f"{n:032x}" for n in (0, 7, 8)}


def table_of(shards):
    return chosen_rows(f"file://{Path(storage.filesystem(shards.uri)[1]).parent}/source.tar")


@pytest.fixture(scope="module")
def fewer(shards, tmp_path_factory):
    """The shards without three samples."""
    folder = tmp_path_factory.mktemp("fewer")
    left = [row for row in table_of(shards).to_pylist() if row["key"] not in GONE]
    chosen = commit_rows(folder / "chosen", [left], Stage.CHOOSE)
    curate("purge", shards.uri, "--against", chosen.uri, "-o", folder / "shards")
    return open_manifest(str(folder / "shards"))


def release_of(shards, folder, *options):
    curate("release", shards.uri, "-o", folder, *options)
    return released(folder)


def test_the_version_follows_from_what_changed(shards, fewer, made, tmp_path):
    major = release_of(fewer, tmp_path / "fewer", "--previous", made)
    assert (major["version"], major["changes"]["bump"], major["changes"]["removed"]) == ("2.0.0", "major", 3)
    minor = release_of(shards, tmp_path / "more", "--previous", tmp_path / "fewer")
    assert (minor["version"], minor["changes"]["bump"], minor["changes"]["added"]) == ("2.1.0", "minor", 3)
    other = make_shards(f"file://{tmp_path}/repacked", table_of(shards), each=4)
    patch = release_of(other, tmp_path / "patch", "--previous", tmp_path / "more")
    assert (patch["version"], patch["changes"]["bump"]) == ("2.1.1", "patch")
    same = release_of(other, tmp_path / "same", "--previous", tmp_path / "patch")
    assert (same["version"], same["changes"]["bump"]) == ("2.1.1", "none")
    croissant = json.loads((tmp_path / "patch/croissant.json").read_text())
    assert croissant["prov:wasRevisionOf"]["@id"] == f"urn:curate:manifest:{shards.digest}"


def test_the_patch_makes_the_manifest_of_the_previous_release_into_this_one(shards, fewer, made, tmp_path):
    release_of(shards, tmp_path / "first")
    release_of(fewer, tmp_path / "second", "--previous", tmp_path / "first")
    curate("patch", shards.uri, tmp_path / "second/patch", "-o", tmp_path / "patched")
    assert open_manifest(str(tmp_path / "patched")).digest == fewer.digest
    assert any(name.startswith("patch/") for name in files(tmp_path / "second"))


def test_without_a_patch_the_version_is_the_same(shards, fewer, made, tmp_path):
    found = release_of(fewer, tmp_path / "fewer", "--previous", made, "--no-patch")
    assert (found["version"], found["changes"]["removed"], found["changes"]["repacked"]) == ("2.0.0", 3, None)
    assert not (tmp_path / "fewer/patch").exists()
    other = make_shards(f"file://{tmp_path}/repacked", table_of(shards), each=4)
    patch = release_of(other, tmp_path / "patch", "--previous", made, "--no-patch")
    assert (patch["version"], patch["changes"]["bump"]) == ("1.0.1", "patch")
    done = curate("release", other.uri, "-o", tmp_path / "x", "--previous", made, "--no-patch", "--dry-run")
    assert "would be version 1.0.1" in done.stdout


def test_what_was_taken_down_is_in_no_patch(shards, made, tmp_path):
    chosen = without(tmp_path / "chosen", table_of(shards), GONE)
    curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "shards")
    done = curate("release", tmp_path / "shards", "-o", tmp_path / "release", "--previous", made)
    assert "patch: none" in done.stdout
    assert released(tmp_path / "release")["version"] == "2.0.0"
    assert not (tmp_path / "release/patch").exists()
    assert not any(key.encode() in data for data in files(tmp_path / "release").values() for key in GONE)


def test_a_previous_release_whose_shards_are_others_now_is_refused(shards, fewer, tmp_path):
    release_of(shards, tmp_path / "first")
    document = {**released(tmp_path / "first"), "shards": fewer.uri}
    (tmp_path / "first/release.json").write_text(json.dumps(document))
    done = curate("release", fewer.uri, "-o", tmp_path / "next", "--previous", tmp_path / "first", check=2)
    assert "the shards are not those that" in done.stderr
    assert not (tmp_path / "next").exists()
    done = curate("release", fewer.uri, "-o", tmp_path / "next", "--previous", tmp_path, check=2)
    assert "no release here" in done.stderr


# --- places


@pytest.mark.parametrize("data", ["link", "copy"])
def test_tars_in_the_release_make_it_complete(shards, tmp_path, data):
    curate("release", shards.uri, "-o", tmp_path / "release", "--data", data, "--subsets", "5")
    stored, put = Path(storage.filesystem(shards.uri)[1]), tmp_path / "release/data"
    assert {path.name for path in put.iterdir()} == {f"0000{n}.tar" for n in range(5)}
    same_file = [path.samefile(stored / path.name) for path in put.iterdir()]
    assert same_file == [data == "link"] * 5
    assert front(tmp_path / "release")["configs"][0]["data_files"][0]["path"] == ["data/*.tar"]
    assert (tmp_path / "release/subsets/5.txt").read_text() == "data/00000.tar\n"
    curate("release", shards.uri, "-o", tmp_path / "release", "--data", data, "--force")


def test_an_altered_tar_is_not_copied(tmp_path):
    shards = release_shards(tmp_path, 6)
    path = tmp_path / "shards/00001.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = curate("release", shards.uri, "-o", tmp_path / "release", "--data", "copy", "--gallery", 0, check=2)
    assert "00001.tar: not the tar that was committed" in done.stderr
    assert not released(tmp_path / "release")["is_complete"]


def test_a_base_url_is_where_readers_find_the_tars(shards, tmp_path):
    curate("release", shards.uri, "-o", tmp_path / "release", "--base-url", "https://host/d", "--subsets", "5")
    croissant = json.loads((tmp_path / "release/croissant.json").read_text())
    assert croissant["distribution"][0]["contentUrl"] == "https://host/d/00000.tar"
    assert front(tmp_path / "release")["configs"][1]["data_files"][0]["path"] == ["https://host/d/00000.tar"]
    assert "  00000.tar\n" in (tmp_path / "release/SHA256SUMS").read_text()


def test_shards_of_the_original_layout_leave_types_to_the_loader(tmp_path):
    shards = release_shards(tmp_path, 6, form=ShardForm(layout=Layout.ORIGINAL))
    curate("release", shards.uri, "-o", tmp_path / "release")
    assert "dataset_info" not in front(tmp_path / "release")
    licences = pq.read_table(tmp_path / "release/samples.parquet").column("license").to_pylist()
    assert licences.count("CC-BY-4.0") == 2


def test_object_storage_gives_the_same_release(made, shards):
    with bucket_of("public") as client:
        for name, data in files(storage.filesystem(shards.uri)[1]).items():
            client.put_object(Bucket="public", Key=f"shards/{name}", Body=data)
        curate("release", "s3://public/shards", "-o", "s3://public/release", "--subsets", "5,12,1M", "--gallery", "6")
        listed = client.list_objects_v2(Bucket="public", Prefix="release/")["Contents"]
        found = {
            each["Key"].removeprefix("release/"): client.get_object(Bucket="public", Key=each["Key"])["Body"].read()
            for each in listed
        }
        assert found == files(made)
        done = curate("release", shards.uri, "-o", "s3://public/other", check=2)
        assert "where readers of s3://public/other do not find them" in done.stderr


# --- refusals


def test_only_a_release_is_replaced_and_only_when_that_is_wanted(made, shards, tmp_path):
    before = files(made)
    done = curate("release", shards.uri, "-o", made, check=2)
    assert "a release is there already" in done.stderr
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone/README.md").write_text("mine")
    done = curate("release", shards.uri, "-o", tmp_path / "clone", "--force", check=2)
    assert "not empty and no release (README.md" in done.stderr
    assert (tmp_path / "clone/README.md").read_text() == "mine"
    done = curate("release", shards.uri, "-o", shards.uri, "--force", check=2)
    assert "a manifest, which is never modified" in done.stderr
    assert files(made) == before


def test_hidden_files_stay_and_an_interrupted_release_is_made_again(shards, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("x")
    curate("release", shards.uri, "-o", tmp_path)
    complete = files(tmp_path)
    (tmp_path / "release.json").write_text('{"format_version": 1, "is_complete": false}')
    (tmp_path / "subsets").mkdir()
    (tmp_path / "subsets/1M.txt").write_text("left over")
    curate("release", shards.uri, "-o", tmp_path)
    assert files(tmp_path) == complete


def test_only_one_run_writes_a_release(shards, tmp_path):
    with held(f"file://{tmp_path}/release/.begun"):
        done = curate("release", shards.uri, "-o", tmp_path / "release", check=2)
    assert "another run is writing here" in done.stderr
    assert not (tmp_path / "release/release.json").exists()
    curate("release", shards.uri, "-o", tmp_path / "release")
    assert not (tmp_path / "release/.begun").exists()


def test_what_has_no_tars_is_refused(reference, tmp_path):
    done = curate("release", reference.output / "chosen", "-o", tmp_path / "x", check=2)
    assert "name that beside the tars" in done.stderr
    curate("sample", reference.output / "shards", "-o", tmp_path / "sample", "--count", 2)
    done = curate("release", tmp_path / "sample", "-o", tmp_path / "x", check=2)
    assert "without tars of its own" in done.stderr
    for option in (("--subsets", "0"), ("--base-url", "host"), ("--about", tmp_path / "no.yaml")):
        curate("release", reference.output / "shards", "-o", tmp_path / "x", *option, check=2)
    assert not (tmp_path / "x").exists()


def test_rows_that_name_other_files_are_refused(tmp_path):
    shards = release_shards(tmp_path, 6)
    (tmp_path / "secret.tar").write_bytes(b'{"license": "secret"}')
    rows = [
        [{**row, "shard": "../secret.tar"} for row in shards.read_part(part).to_pylist()] for part in shards.parts
    ]
    tars = {place: dict(part.files) for place, part in enumerate(shards.parts)}
    commit_rows(tmp_path / "theirs", rows, Stage.SHARD, tars)
    done = curate("release", tmp_path / "theirs", "-o", tmp_path / "release", check=2)
    assert "6 rows name another tar than that of their part" in done.stderr


def test_damaged_parts_and_missing_tars_are_named(tmp_path):
    release_shards(tmp_path, 6)
    (tmp_path / "shards/00001.tar").unlink()
    done = curate("release", tmp_path / "shards", "-o", tmp_path / "release", check=2)
    assert "00001.tar: missing" in done.stderr
    part = tmp_path / "shards/00000.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    done = curate("release", tmp_path / "shards", "-o", tmp_path / "release", check=2)
    assert "00000.parquet" in done.stderr


def test_shards_without_samples_have_a_release(tmp_path):
    commit_rows(tmp_path / "shards", [], Stage.SHARD)
    curate("release", tmp_path / "shards", "-o", tmp_path / "release")
    assert pq.read_table(tmp_path / "release/samples.parquet").num_rows == 0
