"""A release is read by the tools of its readers, says what changed, shows strangers' texts, and is the same again."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from curation.shards.layout import Layout, ShardForm
from manifests import storage
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.conftest import curate, rows_of
from tests.support.making import commit_rows
from tests.support.object_store import bucket_of
from tests.support.releases import SCRIPT, release_shards
from tests.support.shard_manifests import chosen_rows, make_shards, without

SAMPLES, EACH = 23, 5
CROISSANT_READER = """
import hashlib, json, logging, sys
logging.disable(logging.WARNING)
import mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
found = {"errors": sorted(data.metadata.ctx.issues.errors), "version": data.metadata.version}
found["conforms"] = str(data.metadata.ctx.conforms_to)
plain = lambda v: v.decode() if isinstance(v, bytes) else v
TEXTS = ("caption", "url", "license")
found["images"] = {
    plain(r["images/key"]): [*r["images/image"].size, *(plain(r[f"images/{name}"]) for name in TEXTS)]
    for r in data.records("images")
}
found["samples"] = [{n.split("/")[1]: plain(v) for n, v in r.items()} for r in data.records("samples")]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return release_shards(tmp_path_factory.mktemp("made"), SAMPLES, each=EACH)


@pytest.fixture(scope="module")
def made(shards, tmp_path_factory):
    """A release with two subsets, beside its shards."""
    folder = Path(storage.filesystem(shards.uri)[1]).parent / "release"
    curate("release", shards.uri, "-o", folder, "--subsets", "5,12,1M", "--gallery", "6")
    return folder


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def released(folder):
    return json.loads((Path(folder) / "release.json").read_text())


def front(folder):
    return yaml.safe_load((Path(folder) / "README.md").read_text().split("---\n")[1])


# --- readers


def test_mlcroissant_validates_it_and_reads_pictures_and_samples(made, shards, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CROISSANT_READER, made / "croissant.json"],
        env={**os.environ, "CROISSANT_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = rows_of(shards).to_pylist()
    assert (found["errors"], found["version"], found["conforms"]) == ([], "1.0.0", "CroissantVersion.V_1_1")
    read = pq.read_table(made / "samples.parquet").to_pylist()
    names = ("width", "height", "caption", "url", "license")
    assert found["images"] == {row["key"]: [row[name] for name in names] for row in read}
    assert {row["key"] for row in read} == {row["key"] for row in rows}
    assert found["samples"] == json.loads(json.dumps(read))


def test_provenance_names_manifests_and_stages_and_no_folder_of_the_publisher(reference, tmp_path):
    curate("release", reference.output / "shards", "-o", tmp_path / "release")
    found = json.loads((tmp_path / "release/croissant.json").read_text())
    parent = open_manifest(str(reference.output / "chosen"))
    assert found["@context"]["prov"] == "http://www.w3.org/ns/prov#"
    assert found["prov:wasDerivedFrom"][0]["@id"] == f"urn:curate:manifest:{parent.digest}"
    stages = [each["prov:label"] for each in found["prov:wasGeneratedBy"]]
    assert stages == ["curate scan", "curate dedupe", "curate score", "curate choose", "curate shard"]
    score = next(f for f in found["recordSet"][1]["field"] if f["name"] == "text_score")
    assert score["prov:wasGeneratedBy"] == {"@id": found["prov:wasGeneratedBy"][2]["@id"]}
    agents = {each.get("@id"): each["prov:label"] for each in found["prov:wasAttributedTo"]}
    assert agents["#curate"].startswith("curate 0.")
    assert all(each["prov:wasAssociatedWith"] == {"@id": "#curate"} for each in found["prov:wasGeneratedBy"])
    for name, data in files(tmp_path / "release").items():
        if not name.endswith((".jpg", ".parquet")):
            assert str(reference.corpus).encode() not in data, name


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_the_folder_and_its_subsets(made, shards, tmp_path, streaming, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    how = {"split": "train", "streaming": streaming, "cache_dir": str(tmp_path)}
    rows = {row["key"]: row for row in rows_of(shards).to_pylist()}
    everything = list(datasets.load_dataset(str(made), **how))
    assert sorted(each["__key__"] for each in everything) == sorted(rows)
    for each in everything:
        row = rows[each["__key__"]]
        assert each["jpg"].size == (row["width"], row["height"])
        assert (each["txt"], each["json"]["curate"]["sha256"]) == (row["caption"], row["sha256"])
    small = [each["__key__"] for each in datasets.load_dataset(str(made), "5", **how)]
    larger = [each["__key__"] for each in datasets.load_dataset(str(made), "12", **how)]
    assert (len(small), len(larger)) == (5, 15) and set(small) < set(larger) < set(rows)


def test_sha256sum_checks_tars_and_files(made):
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=made, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK\n") == 5 + len(released(made)["files"]) - 1
    assert "../shards/00004.tar: OK" in done.stdout


def test_release_json_lists_every_other_file(made):
    found = files(made)
    listed = released(made)["files"]
    assert {*listed, "release.json"} == {*found}
    assert all(about["sha256"] == hashlib.sha256(found[name]).hexdigest() for name, about in listed.items())


# --- what is in it


def test_samples_have_licence_author_and_domain(made, shards):
    rows = {row["key"]: row for row in pq.read_table(made / "samples.parquet").to_pylist()}
    stored = {row["key"]: row for row in rows_of(shards).to_pylist()}
    assert rows.keys() == stored.keys()
    for number in range(SAMPLES):
        row = rows[f"{number:032x}"]
        assert row["license"] == ("CC-BY-4.0", "=cmd|' /C calc'!A0", SCRIPT, None)[number % 4]
        assert row["attribution"] == ("Ada Lovelace", f"**{SCRIPT}**", None)[number % 3]
        assert row["domain"] == ("example.co.uk", "example.org", "github.io", "192.0.2.7", None)[number % 5]
        assert row["sha256"] == stored[row["key"]]["sha256"]
        assert row["bytes"] == stored[row["key"]]["shard_size"]


def test_tables_add_up(made):
    samples = pq.read_table(made / "samples.parquet").to_pylist()
    domains = pq.read_table(made / "domains.parquet").to_pylist()
    assert [row["bytes"] for row in domains] == sorted((row["bytes"] for row in domains), reverse=True)
    for row in domains:
        own = [each for each in samples if each["domain"] == row["domain"]]
        assert (row["images"], row["bytes"]) == (len(own), sum(each["bytes"] for each in own))
    licences = pq.read_table(made / "licences.parquet").to_pylist()
    assert sum(row["images"] for row in licences) == SAMPLES
    lines = (made / "domains.csv").read_text().splitlines()
    assert len(lines) == 1 + 1 and lines[1].startswith('1,"example.org",5,')


def test_a_part_of_the_json_is_read_by_hash_of_the_key(shards, tmp_path):
    for number, rows in enumerate((0, 7, 7)):
        curate("release", shards.uri, "-o", tmp_path / str(number), "--json-rows", rows)
    tables = [pq.read_table(tmp_path / f"{n}/samples.parquet") for n in range(3)]
    assert tables[0].column("license").null_count == SAMPLES
    assert not (tmp_path / "0/licences.parquet").exists()
    assert 0 < tables[1].num_rows - tables[1].column("license").null_count <= 7
    assert tables[1] == tables[2]
    assert "Of 7 samples whose json was read" in (tmp_path / "1/README.md").read_text()


def test_texts_of_strangers_are_shown_and_never_markup(made):
    for name in ("README.md", "DATASHEET.md"):
        text = (made / name).read_text()
        assert "<script" not in text and "![x]" not in text and "[click]" not in text and "\x1b" not in text
        assert "www.evil" not in text and "](http://evil" not in text
    assert front(made)["license"] == "unknown"
    assert "&#60;script&#62;" in (made / "README.md").read_text()


def test_the_gallery_is_drawn_by_key_and_made_small(made, shards, tmp_path):
    pictures = [data for name, data in sorted(files(made).items()) if name.startswith("thumbnails/")]
    assert len(pictures) == 6
    assert all(max(Image.open(io.BytesIO(data)).size) <= 256 for data in pictures)
    curate("release", shards.uri, "-o", tmp_path / "none", "--gallery", 0)
    assert not (tmp_path / "none/thumbnails").exists()
    assert "Gallery" not in (tmp_path / "none/README.md").read_text()


def test_the_publisher_answers_what_is_open(shards, tmp_path):
    (tmp_path / "about.yaml").write_text(
        "name: charts\ntitle: My charts\nlicense: CC-BY-4.0\ncreators: [Ada]\ndate: 2026-05-04\n"
        "contact: a@b.example\n"
        "citation: |\n  @misc{x}\n  ```\nanswers:\n  uses.not: Nothing <b>bad</b>.\n"
    )
    curate("release", shards.uri, "-o", tmp_path / "release", "--about", tmp_path / "about.yaml")
    croissant = json.loads((tmp_path / "release/croissant.json").read_text())
    assert (croissant["name"], croissant["datePublished"]) == ("charts", "2026-05-04")
    assert croissant["license"] == "https://spdx.org/licenses/CC-BY-4.0"
    assert front(tmp_path / "release")["license"] == "cc-by-4.0"
    sheet = (tmp_path / "release/DATASHEET.md").read_text()
    assert "Nothing &#60;b&#62;bad&#60;&#47;b&#62;." in sheet and "Ada" in sheet
    assert sheet.count("_Open:") + 4 == (files_of_plain(shards, tmp_path)).count("_Open:")


def files_of_plain(shards, tmp_path):
    curate("release", shards.uri, "-o", tmp_path / "plain")
    return (tmp_path / "plain/DATASHEET.md").read_text()


# --- the same again


def test_the_same_shards_give_the_same_bytes(made, shards, tmp_path):
    again = made.parent / "again"
    curate("release", shards.uri, "-o", again, "--subsets", "5,12,1M", "--gallery", "6")
    assert files(made) == files(again)
    curate("release", shards.uri, "-o", again, "--subsets", "5,12,1M", "--gallery", "6", "--force")
    assert files(made) == files(again)


def test_a_dry_run_says_so_and_writes_nothing(shards, tmp_path):
    found = json.loads(
        curate("release", shards.uri, "-o", tmp_path / "x", "--dry-run", "--subsets", "5", "--json").stdout
    )
    assert (found["version"], found["rows"], found["tars"]) == ("1.0.0", SAMPLES, 5)
    assert [each["name"] for each in found["subsets"]] == ["5"]
    assert not (tmp_path / "x").exists()


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
