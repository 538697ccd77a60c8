"""A release is read by the tools of its readers, shows strangers' texts, and is the same again."""

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
from PIL import Image

from manifests import storage
from manifests.format.store import open_manifest
from tests.conftest import curate, rows_of
from tests.support.releases import SCRIPT, files, front, release_shards, released

SAMPLES, EACH = 23, 5
CROISSANT_READER = """
import hashlib, json, logging, sys
logging.disable(logging.WARNING)
import mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
found = {"errors": sorted(data.metadata.ctx.issues.errors), "version": data.metadata.version}
found["conforms"] = str(data.metadata.ctx.conforms_to)
found["collected"] = data.metadata.data_collection
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
    assert found["collected"].startswith("From the web, from 4 registered domains")
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
    assert croissant["rai:dataLimitations"] == "Nothing <b>bad</b>."
    assert "rai:dataUseCases" not in croissant
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
