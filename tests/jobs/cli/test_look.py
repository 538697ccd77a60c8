"""show, log and cat: what a manifest contains, what it was made from, and its rows and images by key."""

import csv
import hashlib
import io
import itertools
import json
import shutil
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.sources.originals import file_name
from jobs.cli.main import main
from jobs.show.history import changed
from manifests import storage
from manifests.format.lineage import ROWS, LinkState, lineage, roles
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Parent, open_manifest
from manifests.sql.engine import DuckEngine
from manifests.sql.lookup import find_rows, rows_at
from tests.conftest import IMAGES, Reference
from tests.jobs.test_object_storage import BUCKET, s3  # noqa: F401 - a fixture
from tests.support.making import commit_rows, rows_of_tar, tar_bytes


def run(*arguments) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def parent(manifest: Manifest) -> Parent:
    return Parent(uri=manifest.uri, stage=manifest.stage, digest=manifest.digest)


def made_from(uri, *before: Manifest, rows=2, stage=Stage.CHOOSE, **about) -> Manifest:
    """Commit a manifest that says it was made from others."""
    funnel = before[0].funnel if len(before) == 1 else []
    return commit_rows(
        uri,
        [[{"key": f"{Path(str(uri)).name}{n}"} for n in range(rows)]],
        stage,
        **{
            "parents": [parent(each) for each in before],
            "inputs": {"parent": before[0].digest} if before else {},
            "funnel": funnel,
            **about,
        },
    )


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """scan → deduped (against a reference set) → chosen, and two samples merged, below one folder."""
    sources = {"file:///data/0.tar": "e", "file:///data/1.tar": "e", "file:///data/loose/": "e"}
    out = tmp_path / "out"
    scan = made_from(
        out / "scan", rows=5, stage=Stage.SCAN, inputs={"sources": sources}, roots=["file:///data"],
        config={"max_image_bytes": 1, "local_features": True}, software={"decoder": "7"},
    )  # fmt: skip
    charts = made_from(tmp_path / "charts", rows=3, stage=Stage.SCAN)
    deduped = made_from(
        out / "deduped", scan, rows=5, stage=Stage.DEDUPE, parents=[parent(scan), parent(charts)],
        inputs={"parent": scan.digest, "reference:charts": charts.digest}, config={"copies": ["exact"]},
    )  # fmt: skip
    chosen = made_from(out / "chosen", deduped, rows=5, config={"keep": "light", "min_side": 0})
    first = made_from(out / "first", chosen, rows=2, derivation={"operation": "sample", "count": 2, "salt": "a"})
    second = made_from(out / "second", chosen, rows=3, derivation={"operation": "sample", "count": 3, "salt": "b"})
    made_from(
        out / "merged", first, second, rows=4, inputs={"parent": first.digest, "parent1": second.digest},
        derivation={"operation": "merge", "on_conflict": "first"},
    )  # fmt: skip
    return out


def history_of(*arguments) -> dict:
    done = run("log", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


# --- log


def test_the_log_of_a_pipeline_goes_back_to_the_tars(reference: Reference):
    found = history_of(reference.output / "shards")
    steps = found["manifests"]
    assert [step["made_by"] for step in steps] == ["shard", "choose", "score", "dedupe", "scan"]
    assert [step["digest"] for step in reversed(steps)] == list(reference.digests.values())
    for after, before in itertools.pairwise(steps):
        assert after["came_in"] == before["went_on"]
        assert after["parents"][0]["state"] == "here"
        assert after["parents"][0]["found_at"] == before["uri"]
    for step in steps:
        assert step["came_in"] - step["left"] == step["went_on"]
        assert sum(step["reasons"].values()) == step["left"]
        assert step["software"]
    assert steps[0]["rows"] == steps[0]["went_on"]
    assert steps[0]["changed"] == {"samples_per_shard": 7}
    assert steps[1]["changed"] == {"keep": "light"}
    assert all(step["changed"] == {} for step in steps[2:])
    (sources,) = found["sources"]
    assert (sources["tars"], sources["folders"]) == (4, 0)
    assert sources["roots"] == [f"file://{reference.corpus}/"]
    text = run("log", reference.output / "shards").stdout
    assert "samples_per_shard=7" in text
    assert f"4 tars under file://{reference.corpus}/" in text
    short = run("log", reference.output / "shards", "--oneline").stdout.splitlines()
    assert len(short) == 6
    for line, step in zip(short, steps, strict=False):
        assert line.startswith(step["made_by"])
        assert f"{step['came_in']:,} in, {step['went_on']:,} on" in line


def test_a_tree_of_parents_and_sets(chain: Path):
    found = history_of(chain / "merged")
    steps = found["manifests"]
    assert [step["made_by"] for step in steps] == ["merge", "sample", "choose", "dedupe", "scan", "sample"]
    assert [p["role"] for p in steps[0]["parents"]] == [ROWS, ROWS]
    assert [p["role"] for p in steps[3]["parents"]] == [ROWS, "reference:charts"]
    assert steps[0]["changed"] == {"on_conflict": "first"}
    assert steps[1]["changed"] == {"count": 2, "salt": "a"}
    assert [(s["tars"], s["folders"]) for s in found["sources"]] == [(2, 1)]
    text = run("log", chain / "merged").stdout
    for word in (
        "parent 1 of 2",
        "parent 2 of 2",
        "shown above",
        "reference charts: file://",
        "2 tars and 1 folder under",
    ):
        assert word in text
    for line in run("log", chain / "merged", "--oneline").stdout.splitlines():
        assert "┃" not in line


def test_the_reasons_of_rows_that_an_operation_left_out(chain: Path):
    sample = history_of(chain / "first")["manifests"][0]
    assert (sample["came_in"], sample["went_on"], sample["reasons"]) == (5, 2, {"not drawn": 3})


def test_a_missing_parent_is_reported_and_its_counts_remain(chain: Path):
    shutil.rmtree(chain / "deduped")
    found = history_of(chain / "chosen")
    assert [step["made_by"] for step in found["manifests"]] == ["choose"]
    link = found["manifests"][0]["parents"][0]
    assert (link["state"], link["found_at"]) == ("gone", None)
    assert "no manifest here" in link["why"]
    assert [row["stage"] for row in found["manifests"][0]["before"]] == ["scan", "dedupe"]
    (sources,) = found["sources"]
    assert sources["tars"] is None
    text = run("log", chain / "chosen").stdout
    assert "is gone" in text
    assert "scan: 5 in, 5 on; only its counts are known" in text


def test_a_manifest_with_other_rows_is_not_the_parent(chain: Path):
    shutil.rmtree(chain / "deduped")
    made_from(chain / "deduped", rows=1, stage=Stage.DEDUPE)
    link = history_of(chain / "chosen")["manifests"][0]["parents"][0]
    assert (link["state"], link["found_at"]) == ("changed", None)
    assert "other rows" in run("log", chain / "chosen").stdout


def test_an_output_that_was_moved_as_one_is_still_connected(chain: Path):
    elsewhere = chain.rename(chain.parent / "moved")
    found = history_of(elsewhere / "chosen")
    assert [step["made_by"] for step in found["manifests"]] == ["choose", "dedupe", "scan"]
    assert found["manifests"][0]["parents"][0]["state"] == "moved"
    charts = found["manifests"][1]["parents"][1]
    assert (charts["role"], charts["state"]) == ("reference:charts", "here"), "it was not moved"
    assert "its parent was at" in run("log", elsewhere / "chosen").stdout


def test_a_set_that_is_the_parent_itself_is_named_as_such(tmp_path: Path):
    scan = made_from(tmp_path / "scan", stage=Stage.SCAN)
    inputs = {"parent": scan.digest, "reference:self": scan.digest, "against:old": scan.digest}
    three = made_from(
        tmp_path / "deduped", scan, stage=Stage.DEDUPE, inputs=inputs, parents=[parent(scan)] * 3, funnel=[]
    )
    assert [role for _, role in roles(three)] == [ROWS, "reference:self", "against:old"]
    (step, _) = lineage(three)
    assert [link.state for link in step.links] == [LinkState.HERE] * 3


def test_a_manifest_that_names_itself_ends(tmp_path: Path):
    scan = made_from(tmp_path / "scan", stage=Stage.SCAN)
    again = made_from(tmp_path / "other" / "scan", scan, stage=Stage.SCAN, rows=2)
    assert again.digest == scan.digest
    assert [step.manifest.uri for step in lineage(again)] == [again.uri, scan.uri]


def test_control_characters_are_not_printed(tmp_path: Path):
    uri = tmp_path / "[red]m"
    made_from(uri, rows=1, derivation={"operation": "sample", "where": "a\x1b[31m", "count": 1})
    for command in (["log"], ["log", "--oneline"], ["show"]):
        done = run(command[0], uri, *command[1:])
        assert done.exit_code == 0, done.output
        assert "\x1b" not in done.stdout
        assert "[red]m" in done.stdout


def test_settings_that_are_not_the_defaults():
    assert changed(Stage.SHARD, {"samples_per_shard": 10_000, "target_shard_bytes": None, "salt": "x"}) == {
        "salt": "x"
    }
    assert changed(Stage.SCORE, {"bounds": {"read": {"drop_light": 0.5}}}) == {"bounds.read.drop_light": 0.5}
    assert changed(Stage.SCAN, {"local_features": False, "filters": {}}) == {"local_features": False}


# --- show


def test_show_of_what_a_stage_left(reference: Reference):
    done = run("show", reference.output / "chosen", "--rows", 2)
    assert done.exit_code == 0
    for word in ("stage choose", "Funnel", "not_light", "text_class", "drop_reason", "the first 2 rows", "file://"):
        assert word in done.stdout
    found = json.loads(run("show", reference.output / "chosen", "--rows", 3, "--json").stdout)
    assert found["rows"] == IMAGES
    assert len(found["first_rows"]) == 3
    assert set(found["first_rows"][0]) == set(found["columns"])
    assert found["made_by"] == "choose"
    assert "Columns" not in run("show", reference.output / "chosen", "--rows", 0).stdout


def test_show_of_a_pipeline_lists_its_manifests(chain: Path):
    done = run("show", chain)
    assert done.exit_code == 0
    names = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    assert names == ["scan", "deduped", "chosen", "first", "merged", "second"], "by stage, then by name"
    assert f"curate show {chain.as_uri()}/second" in done.stdout
    (chain / "scored" / "_work" / "receipts").mkdir(parents=True)
    (chain / "scored" / "_work" / "plan.json").write_text("{}")
    (chain / "notes").mkdir()
    found = {each["name"]: each for each in json.loads(run("show", chain, "--json").stdout)}
    assert list(found) == ["scan", "deduped", "scored", "chosen", "first", "merged", "second"]
    assert found["scored"] == {"name": "scored", "state": "unfinished"}
    assert found["chosen"]["digest"] == open_manifest(str(chain / "chosen")).digest
    assert "unfinished" in run("show", chain).stdout
    assert run("show", chain / "notes").exit_code == 2


def test_the_numbers_of_a_run_add_up(reference: Reference):
    log = history_of(reference.output / "shards")["manifests"]
    for each in log:
        assert each["came_in"] + each["added"] - each["left"] == each["went_on"]
        assert sum(each["reasons"].values()) == each["left"]
    assert [each["came_in"] for each in log[:-1]] == [each["went_on"] for each in log[1:]]
    scored = next(row for row in open_manifest(str(reference.output / "shards")).funnel if row["stage"] == "score")
    assert sum(scored["text_step"].values()) == next(each["came_in"] for each in log if each["made_by"] == "score")
    for each in log:
        own = json.loads(run("show", each["uri"], "--rows", "0", "--json").stdout)["funnel"][-1]
        assert (own["came_in"], own["left"], own["went_on"]) == (each["came_in"], each["left"], each["went_on"])


def test_show_of_a_derived_manifest(chain: Path):
    text = run("show", chain / "first").stdout
    assert "stage choose, made by sample" in text
    assert "count=2, salt=a" in text
    assert "not drawn 3" in text
    found = json.loads(run("show", chain / "merged", "--json").stdout)
    assert found["derivation"] == {"operation": "merge", "on_conflict": "first"}


def test_show_of_no_rows_prints_what_the_columns_mean(tmp_path: Path):
    for parts in ([], [[]]):
        uri = tmp_path / str(len(parts))
        commit_rows(uri, parts, Stage.CHOOSE)
        done = run("show", uri)
        assert done.exit_code == 0
        assert "0 rows" in done.stdout
        assert "PDQ fingerprint, 256 bits" in done.stdout
        assert json.loads(run("show", uri, "--json").stdout)["first_rows"] == []


def test_show_stats_and_query_of_an_earlier_schema(tmp_path: Path):
    """A manifest of an earlier curate lacks columns that later ones added."""
    made = commit_rows(tmp_path / "m", [[{"key": "a"}]])
    document = made.document()
    kept = [f for f in schema(Stage.SCAN) if f.name not in ("embedding", "measures")]
    table = made.read_part(made.parts[0], [f.name for f in kept])
    import pyarrow.parquet as pq

    path = tmp_path / "m" / "part-00000.parquet"
    pq.write_table(table, path)
    document["schema"] = [c for c in document["schema"] if c["name"] not in ("embedding", "measures")]
    document["parts"][0]["size_bytes"] = path.stat().st_size
    (tmp_path / "m" / "_manifest.json").write_text(json.dumps(document))
    assert "by an earlier curate, without embedding, measures" in run("show", tmp_path / "m").stdout
    assert json.loads(run("stats", tmp_path / "m", "--json").stdout)["rows"] == 1
    assert json.loads(run("query", tmp_path / "m", "from m", "--json").stdout)[0]["key"] == "a"
    assert json.loads(run("cat", tmp_path / "m", "--keys", "a", "--json").stdout)["key"] == "a"


# --- cat


@given(
    st.lists(st.integers(0, 60), max_size=5),
    st.lists(st.integers(0, 59), max_size=12),
    st.lists(st.sampled_from(["none", "k", "K00001", "k00001 "]), max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_rows_by_key_are_those_rows_in_order(cuts, wanted, absent):
    rows = [{"key": f"k{hashlib.sha256(bytes([n])).hexdigest()}", "width": n} for n in range(60)]
    edges = [0, *sorted(cuts), 60]
    parts = [rows[a:b] for a, b in itertools.pairwise(edges)]
    manifest = commit_rows(f"memory://looked/{uuid.uuid4().hex}", parts)
    keys = [rows[n]["key"] for n in wanted] + absent
    with DuckEngine() as engine:
        places = find_rows(manifest, keys, engine)
    found = [row for table in rows_at(manifest, places, ["width", "key"]) for row in table.to_pylist()]
    assert found == [{"width": n, "key": rows[n]["key"]} for n in sorted(set(wanted))]


def test_only_row_groups_with_such_rows_are_read(tmp_path: Path):
    rows = [{"key": f"k{n}", "width": n} for n in range(150_000)]
    manifest = commit_rows(tmp_path / "m", [rows[:140_000], rows[140_000:]])
    with DuckEngine() as engine:
        places = find_rows(manifest, ["k139999", "k0", "k149999"], engine)
    tables = list(rows_at(manifest, places, ["key"]))
    assert [table.column("key").to_pylist() for table in tables] == [["k0"], ["k139999"], ["k149999"]]


PICTURES = {"a.jpg": b"first" * 100, "b/../../../up.png": b"second", "c.jpg": b"third"}


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    """A manifest of the pictures of a tar."""
    data = tar_bytes(PICTURES.items())
    (tmp_path / "0.tar").write_bytes(data)
    rows = rows_of_tar(f"file://{tmp_path}/0.tar", data)
    named = [{**row, "key": f"key{n}", "format": ["JPEG", "PNG", None][n]} for n, row in enumerate(rows)]
    commit_rows(tmp_path / "m", [named[:1], named[1:]])
    return tmp_path


def test_forms_of_rows(pictured: Path):
    done = run("cat", pictured / "m", "--keys", "key2,key0", "--columns", "key,size", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"key": "key0", "size": 500},
        {"key": "key2", "size": 5},
    ]
    done = run("cat", pictured / "m", "--keys", "key0", "--keys", "key1", "--columns", "key,format,pdq", "--csv")
    assert list(csv.reader(io.StringIO(done.stdout)))[1:] == [["key0", "JPEG", ""], ["key1", "PNG", ""]]
    (pictured / "keys.txt").write_text("key1\n\n  key2  \n")
    done = run("cat", pictured / "m", "--keys", f"@{pictured}/keys.txt")
    assert "key1" in done.stdout
    assert "key2" in done.stdout
    assert "key0" not in done.stdout
    done = CliRunner().invoke(main, ["cat", str(pictured / "m"), "--keys", "@-", "--json"], input="key1\n")
    assert json.loads(done.stdout)["key"] == "key1"


def test_rows_by_other_names(pictured: Path):
    for name in ("a", "a.jpg", "0.tar/a", hashlib.sha256(b"first" * 100).hexdigest()):
        done = run("cat", pictured / "m", name, "c.jpg", "--columns", "key", "--json")
        assert [json.loads(line)["key"] for line in done.stdout.splitlines()] == ["key0", "key2"]
    (pictured / "here.bin").write_bytes(b"second")
    (pictured / "list.txt").write_text("c\n")
    done = run("cat", pictured / "m", pictured / "here.bin", f"@{pictured}/list.txt", "--columns", "key", "--json")
    assert [json.loads(line)["key"] for line in done.stdout.splitlines()] == ["key1", "key2"]


def test_a_missing_key_is_named_and_the_others_printed(pictured: Path):
    done = run("cat", pictured / "m", "--keys", "key0,nothing", "--columns", "key", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"key": "key0"}
    assert "no row is 'nothing'" in done.stderr
    done = run("cat", pictured / "m", "kez1", "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the nearest is key1" in done.stderr
    done = run("cat", pictured / "m", "key")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "several rows" in done.stderr
    assert run("cat", pictured / "m").exit_code == 2
    for wrong in (["--columns", "kez"], ["--json", "--csv"]):
        assert run("cat", pictured / "m", "--keys", "key0", *wrong).exit_code == 2
    assert run("cat", pictured / "m", "--keys", f"@{pictured}/nowhere.txt").exit_code == 2


def test_pictures_are_the_bytes_that_the_scan_saw(pictured: Path):
    out = pictured / "pictures"
    done = run("cat", pictured / "m", "--keys", "key0,key1,key2", "--columns", "sha256", "--images", out, "--json")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in out.iterdir()) == ["key0.jpg", "key1.png", "key2.bin"]
    for line in map(json.loads, done.stdout.splitlines()):
        assert hashlib.sha256(storage.read_bytes(line["image"])).hexdigest() == line["sha256"]
    before = (out / "key0.jpg").stat().st_mtime_ns
    assert run("cat", pictured / "m", "--keys", "key0", "--images", out).exit_code == 0
    assert (out / "key0.jpg").stat().st_mtime_ns == before, "the same bytes are left alone"


def test_a_file_with_other_bytes_is_left_and_the_others_written(pictured: Path):
    out = pictured / "pictures"
    out.mkdir()
    (out / "key0.jpg").write_bytes(b"mine")
    done = run("cat", pictured / "m", "--keys", "key0,key1", "--columns", "key", "--images", out, "--json")
    assert done.exit_code == 1
    assert (out / "key0.jpg").read_bytes() == b"mine"
    assert "other bytes" in done.stderr
    assert [json.loads(line)["image"] is None for line in done.stdout.splitlines()] == [True, False]


def test_sources_that_have_changed_or_are_missing_are_reported(pictured: Path):
    tar = pictured / "0.tar"
    tar.write_bytes(tar.read_bytes().replace(b"second", b"secunda"[:6]))
    done = run("cat", pictured / "m", "--keys", "key0,key1", "--images", pictured / "out", "--json")
    assert done.exit_code == 1
    assert "sha256" in done.stderr
    assert [p.name for p in (pictured / "out").iterdir()] == ["key0.jpg"]
    tar.unlink()
    done = run("cat", pictured / "m", "--keys", "key2", "--images", pictured / "out", "--json")
    assert done.exit_code == 1
    assert "missing" in done.stderr
    assert "Traceback" not in done.output


def test_a_row_without_a_picture(tmp_path: Path):
    commit_rows(tmp_path / "m", [[{"key": "none", "status": "empty"}]])
    done = run("cat", tmp_path / "m", "--keys", "none", "--images", tmp_path / "out", "--json")
    assert done.exit_code == 1
    assert "status is empty" in done.stderr


@given(st.text(min_size=1), st.one_of(st.none(), st.text(), st.sampled_from(["JPEG", "MPO", "../x"])))
def test_a_file_name_is_one_name(key, kind):
    name = file_name({"key": key, "format": kind})
    assert "/" not in name
    assert "\0" not in name
    assert name not in (".", "..")


@pytest.mark.parametrize("stage", ["chosen", "shards"])
def test_pictures_of_a_run(reference: Reference, tmp_path: Path, stage: str):
    manifest = open_manifest(str(reference.output / stage))
    kept = json.loads(run("query", manifest.uri, "select key, sha256 from m where keep", "--json").stdout)
    (tmp_path / "keys").write_text("\n".join(row["key"] for row in kept))
    done = run(
        "cat", manifest.uri, "--keys", f"@{tmp_path}/keys", "--columns", "key", "--images", tmp_path / "out", "--json"
    )
    assert done.exit_code == 0, done.output
    written = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "out").iterdir()}
    assert written == {row["key"]: row["sha256"] for row in kept}


def test_pictures_of_shards_need_no_sources(reference: Reference, tmp_path: Path):
    moved = tmp_path / "shards"
    shutil.copytree(reference.output / "shards", moved)
    (row, *_) = json.loads(run("query", moved, "select key from m order by key", "--json").stdout)
    for path in moved.glob("*.tar"):
        path.write_bytes(path.read_bytes())
    done = run("cat", moved, "--keys", row["key"], "--columns", "key", "--images", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    for path in moved.glob("*.tar"):
        path.unlink()
    done = run("cat", moved, "--keys", row["key"], "--columns", "key", "--images", tmp_path / "new", "--json")
    assert done.exit_code == 1, "they come from the tars beside the manifest, which are gone"


@pytest.mark.slow
def test_everything_on_object_storage(s3, pictured: Path):  # noqa: F811
    uri = f"s3://{BUCKET}/looked"
    data = tar_bytes(PICTURES.items())
    storage.write_bytes(uri + "/0.tar", data)
    rows = [{**row, "key": f"key{n}"} for n, row in enumerate(rows_of_tar(uri + "/0.tar", data))]
    scan = commit_rows(uri + "/scan", [rows], inputs={"sources": {uri + "/0.tar": "e"}}, roots=[uri])
    made_from(uri + "/deduped", scan, stage=Stage.DEDUPE)
    assert "key0" in run("show", uri + "/scan").stdout
    assert json.loads(run("stats", uri + "/scan", "--json").stdout)["rows"] == 3
    assert [step["made_by"] for step in history_of(uri + "/deduped")["manifests"]] == ["dedupe", "scan"]
    done = run("cat", uri + "/scan", "--keys", "key1", "--images", uri + "/out", "--json")
    assert done.exit_code == 0, done.output
    assert storage.read_bytes(json.loads(done.stdout)["image"]) == b"second"


@pytest.mark.slow
def test_nothing_starts_spark_or_imports_it(chain: Path):
    import subprocess
    import sys

    for command in (["log"], ["stats"], ["show"], ["query", "select 1"], ["cat", "--keys", "chosen0"]):
        code = (
            "import sys\nfrom click.testing import CliRunner\nfrom jobs.cli.main import main\n"
            f"done = CliRunner().invoke(main, [{command[0]!r}, {str(chain / 'chosen')!r}, *{command[1:]!r}])\n"
            "assert done.exit_code == 0, done.output\nassert 'pyspark' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
