"""A purge takes samples out of shards, touches nothing else, and what was taken down is gone for good."""

import dataclasses
import itertools
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.shards.layout import UNIFORM, Layout, ShardForm
from curation.shards.purge_patch import Patch
from curation.shards.shuffle import shuffle_facts, shuffle_statistic
from curation.shards.write import write_shard
from jobs.operations.purge import Purge, apply_patch, find_gone, make_patch, require_shards
from jobs.units import lease as leases
from jobs.units.lease import EXPIRY_SECONDS, Holder
from jobs.units.progress import Reporter
from manifests import storage
from manifests.errors import InputError, ManifestError
from manifests.format.receipts import add_counts
from manifests.format.store import open_manifest
from manifests.inspect.verify import Findings, Resources, check_files
from manifests.sql.engine import DuckEngine, GroupWork
from tests.conftest import curate, rows_of
from tests.support.actors import Actor, Lag, in_steps
from tests.support.object_store import bucket_of
from tests.support.shard_manifests import chosen_rows, make_shards, make_source, without

EACH, SAMPLES = 5, 17
BESIDE = ("_stats.json", ".idx", ".tar.idx")
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The rows of a chosen manifest."""
    return chosen_rows(make_source(tmp_path_factory.mktemp("source") / "0.tar", SAMPLES))


@pytest.fixture(params=[UNIFORM, ShardForm(layout=Layout.ORIGINAL)], ids=["uniform", "original"])
def form(request):
    return request.param


@pytest.fixture
def shards(tmp_path, table):
    return make_shards(f"file://{tmp_path}/shards", table, each=EACH)


def keys_at(table, *places):
    keys = table.column("key").to_pylist()
    return {keys[place] for place in places}


def members(path):
    with tarfile.open(path) as tar:
        return [(each.name, tar.extractfile(each).read()) for each in tar]


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def test_only_the_tars_that_have_one_change(tmp_path, table, form):
    shards = make_shards(f"file://{tmp_path}/shards", table, each=EACH, form=form)
    gone = keys_at(table, 0, 6, 8)
    chosen = without(tmp_path / "chosen", table, gone)
    curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out")
    before, after = files(tmp_path / "shards"), files(tmp_path / "out")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]} - {"_manifest.json", "wids-meta.json"}
    assert changed == {f"0000{n}{end}" for n in (0, 1) for end in (*BESIDE, ".tar", ".parquet")}
    for number in (0, 1):
        name = f"0000{number}"
        left = [each for each in members(tmp_path / f"shards/{name}.tar") if each[0].split(".")[0] not in gone]
        assert members(tmp_path / f"out/{name}.tar") == left
        some = table.slice(number * EACH, EACH)
        kept = some.filter([key not in gone for key in some.column("key").to_pylist()])
        again = write_shard(f"file://{tmp_path}/again", name, kept, form)
        assert files(tmp_path / "again")[f"{name}.tar"] == after[f"{name}.tar"], "as if they had been written alone"
        assert all(files(tmp_path / "again")[f"{name}{end}"] == after[f"{name}{end}"] for end in BESIDE)
        made = open_manifest(str(tmp_path / "out"))
        assert made.read_part(made.parts[number]).equals(again.batch.cast(made.schema))


def test_what_is_known_of_all_is_that_of_shards_without_them(tmp_path, table, shards):
    gone = keys_at(table, 0, 6, 8)
    chosen = without(tmp_path / "chosen", table, gone)
    curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out")
    made = open_manifest(str(tmp_path / "out"))
    facts = [shuffle_facts(part["source"].to_pylist()) for part in map(made.read_part, made.parts)]
    assert made.shuffle == shuffle_statistic(add_counts({"facts": each} for each in facts)["facts"], made.rows)
    assert made.facts["kept_image_bytes"] == sum(rows_of(made).column("size").to_pylist())
    wids = json.loads((tmp_path / "out/wids-meta.json").read_text())
    sizes = {name: len(data) for name, data in files(tmp_path / "out").items() if name.endswith(".tar")}
    assert {each["url"]: each["filesize"] for each in wids["shardlist"]} == sizes
    assert [each["nsamples"] for each in wids["shardlist"]] == [4, 3, 5, 2]


def test_purge_then_verify(tmp_path, table, shards):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 1, 2, 16))
    assert curate("verify", shards.uri, "--deep").returncode == 0
    curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out")
    done = curate("verify", tmp_path / "out", "--deep", "--json")
    answer = json.loads(done.stdout)
    assert answer["checked"]["images"] >= SAMPLES - 3
    assert answer["checked"]["taken_down_hashes"] == 3
    assert list(open_manifest(str(tmp_path / "out")).taken_down) == chosen.taken_down


@pytest.mark.parametrize("how", [("-o", "{folder}/out"), ("--in-place",)])
def test_twice_is_once(tmp_path, table, shards, how):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 0, 1, 2, 3, 4, 9))
    how = [each.format(folder=tmp_path) for each in how]
    first = json.loads(curate("purge", shards.uri, "--against", chosen.uri, *how, "--json").stdout)
    place = first["uri"].removeprefix("file://")
    before = {name: Path(place, name).stat().st_mtime_ns for name in files(place)}
    content = files(place)
    second = json.loads(curate("purge", shards.uri, "--against", chosen.uri, *how, "--json").stdout)
    assert first["digest"] == second["digest"]
    assert files(place) == content
    assert {name: Path(place, name).stat().st_mtime_ns for name in files(place)} == before
    assert curate("verify", place, "--deep").returncode == 0


def test_what_a_list_names_goes_though_the_manifest_has_it(tmp_path, table, shards):
    row = table.slice(7, 1).to_pylist()[0]
    listed = without(tmp_path / "listed", table, {row["key"]})
    chosen = without(tmp_path / "chosen", table, set())
    again = dataclasses.replace(chosen, taken_down=listed.taken_down)
    with DuckEngine() as engine:
        assert find_gone(engine, shards, again) == {1: [2]}


def test_the_report_names_what_went_from_where(tmp_path, table, shards):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 6))
    dry = curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out", "--dry-run", "--json")
    assert not (tmp_path / "out").exists()
    done = curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out", "--json")
    would, did = json.loads(dry.stdout), json.loads(done.stdout)
    assert would["shards"] == did["shards"]
    (key,) = keys_at(table, 6)
    row = rows_of(shards).filter([each == key for each in sorted(table.column("key").to_pylist())]).to_pylist()[0]
    assert did["removed"] == [{"key": key, "shard": "00001.tar", "image_bytes": row["shard_size"]}]
    (cut,) = did["shards"]
    sizes = [len(files(folder)["00001.tar"]) for folder in (tmp_path / "shards", tmp_path / "out")]
    assert cut["bytes"] == sizes[1]
    assert cut["removed_bytes"] % 512 == 0
    assert sizes[0] - sizes[1] <= cut["removed_bytes"] + 10240


def test_in_place_a_reader_of_the_old_manifest_never_reads_another_tar(tmp_path, table, shards):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 6))
    old = open_manifest(shards.uri)
    assert len(list(old.parts)) == 4
    curate("purge", shards.uri, "--against", chosen.uri, "--in-place")
    found = Findings()
    check_files(old, found, Resources(threads=1))
    faults = {(fault.where.rsplit("/", 1)[-1], fault.what.partition(";")[0]) for fault in found.faults}
    gone = {(f"00001{end}", "missing") for end in (*BESIDE, ".tar", ".parquet")}
    whole = {path.rsplit("/", 1)[-1] for path in old.files}
    assert gone <= faults
    assert {name for name, _ in faults - gone} <= whole, "indexes of all tars have one name"
    new = open_manifest(shards.uri)
    assert {name for part in new.parts for name in part.files} <= set(files(tmp_path / "shards"))
    assert not any(name.startswith("00001.") for name in files(tmp_path / "shards"))


# --- interrupted


class InlineDuck(DuckEngine):
    """DuckDB, but work is done in the thread that asks for it, so that a test can stop it anywhere."""

    def map_groups(self, sql: str, group: str, order: str, work: GroupWork) -> Iterator[Any]:
        """See Engine."""
        for each in list(self._groups(sql, group, order)):
            yield work(each)


@pytest.fixture
def leases_expire(monkeypatch):
    """Let every run be on another machine, whose lease has expired when the next one comes."""
    here = Holder.here
    monkeypatch.setattr(Holder, "here", lambda: dataclasses.replace(here(), host=threading.current_thread().name))
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1e6)
    monkeypatch.setattr(leases, "_age_seconds", lambda holder, uri: 2 * EXPIRY_SECONDS)


def purge_in_place(uri, chosen):
    with InlineDuck(threads=1) as engine:
        shards = open_manifest(uri)
        patch = make_patch(engine, shards, find_gone(engine, shards, chosen), chosen.taken_down, renaming=True)
        work = Purge(shards=shards, patch=patch, output=shards.uri, options={}, against=chosen)
        return apply_patch(work, lambda: engine, QUIET)


@pytest.mark.slow
def test_an_interrupted_purge_goes_on_and_a_reader_has_the_old_or_the_new(tmp_path, table, shards, leases_expire):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3, 6, 16))
    shutil.copytree(tmp_path / "shards", tmp_path / "whole")
    whole = purge_in_place(f"file://{tmp_path}/whole", chosen)
    seen = set()
    for stops in itertools.count(0, 7):
        place = tmp_path / f"stopped-{stops}"
        shutil.copytree(tmp_path / "shards", place)
        with in_steps(Lag()):
            actor = Actor(f"purge-{stops}", lambda place=place: purge_in_place(f"file://{place}", chosen))
            for _ in range(stops):
                actor.step()
            has_ended = actor.has_ended
            actor.kill()
        manifest = open_manifest(f"file://{place}")
        found = Findings()
        check_files(manifest, found, Resources(threads=1))
        faults = {fault.where.removeprefix(f"file://{place}/") for fault in found.faults}
        assert faults <= set(manifest.files), "indexes of all tars are replaced just before the manifest"
        seen.add(manifest.digest)
        assert purge_in_place(f"file://{place}", chosen).digest == whole.digest
        assert set(files(place)) == set(files(tmp_path / "whole"))
        shutil.rmtree(place)
        if has_ended:
            break
    assert seen == {shards.digest, whole.digest}


def test_a_purge_of_another_manifest_is_not_mixed_in(tmp_path, table, shards, leases_expire):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3))
    other = without(tmp_path / "other", table, keys_at(table, 8))
    tar = tmp_path / "shards/00000.tar"
    data = tar.read_bytes()
    with InlineDuck(threads=1) as engine:
        patch = make_patch(engine, shards, find_gone(engine, shards, chosen), (), renaming=True)
        tar.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        work = Purge(shards=shards, patch=patch, output=shards.uri, options={}, against=chosen)
        with pytest.raises(Exception, match="altered"):
            apply_patch(work, lambda: engine, QUIET)
    tar.write_bytes(data)
    refused = curate("purge", shards.uri, "--against", other.uri, "--in-place", check=2)
    assert "under another configuration" in refused.stderr
    assert open_manifest(shards.uri).digest == shards.digest
    curate("purge", shards.uri, "--against", other.uri, "--in-place", "--restart")
    assert curate("verify", shards.uri, "--deep").returncode == 0
    assert keys_at(table, 3) <= set(rows_of(shards.uri.removeprefix("file://")).column("key").to_pylist())


# --- patches


@pytest.mark.parametrize("is_in_place", [True, False])
def test_who_has_a_copy_needs_only_the_patch(tmp_path, table, shards, is_in_place):
    shutil.copytree(tmp_path / "shards", tmp_path / "theirs")
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3, 6))
    how = ("--in-place",) if is_in_place else ("-o", tmp_path / "out")
    ours = curate("purge", shards.uri, "--against", chosen.uri, *how, "--patch", tmp_path / "patch.json", "--json")
    theirs = ("--in-place",) if is_in_place else ("-o", tmp_path / "theirs-2")
    applied = curate("purge", tmp_path / "theirs", "--apply", tmp_path / "patch.json", *theirs, "--json")
    first, second = json.loads(ours.stdout), json.loads(applied.stdout)
    assert first["digest"] == second["digest"] == Patch.read(f"file://{tmp_path}/patch.json").digest_after
    place = second["uri"].removeprefix("file://")
    done = curate("verify", place, "--deep", "--json")
    assert json.loads(done.stdout)["checked"]["taken_down_hashes"] == 2


@pytest.mark.parametrize("is_in_place", [True, False])
def test_a_patch_cuts_tars_without_a_manifest(tmp_path, table, shards, is_in_place):
    (tmp_path / "theirs").mkdir()
    for tar in (tmp_path / "shards").glob("*.tar"):
        shutil.copy(tar, tmp_path / "theirs")
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3, 6))
    how = ("--in-place",) if is_in_place else ("-o", tmp_path / "out")
    curate("purge", shards.uri, "--against", chosen.uri, *how, "--patch", tmp_path / "patch.json")
    for written in ("2 tars written", "0 tars written"):
        done = curate("purge", tmp_path / "theirs", "--apply", tmp_path / "patch.json", "--in-place")
        assert written in done.stdout
    place = tmp_path / ("shards" if is_in_place else "out")
    ours = {name: data for name, data in files(place).items() if name.endswith(".tar")}
    assert files(tmp_path / "theirs") == ours


def test_a_patch_has_no_byte_of_a_picture_and_no_key(tmp_path, table, shards):
    gone = keys_at(table, 3)
    chosen = without(tmp_path / "chosen", table, gone)
    curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out", "--patch", tmp_path / "patch.json")
    text = (tmp_path / "patch.json").read_text()
    row = next(row for row in table.to_pylist() if row["key"] in gone)
    assert row["key"] not in text
    assert (row["caption"] or "caption 3") not in text
    assert len(text) < 2000


def test_a_patch_is_for_these_shards_alone(tmp_path, table, shards):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3))
    curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out", "--patch", tmp_path / "patch.json")
    done = curate("purge", tmp_path / "out", "--apply", tmp_path / "patch.json", "-o", tmp_path / "b", check=2)
    assert "the patch is of" in done.stderr
    done = curate("purge", shards.uri, "--apply", tmp_path / "patch.json", "--in-place", check=2)
    assert "keeps the names of tars" in done.stderr
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars/00000.tar").write_bytes(b"\0" * 10240)
    done = curate("purge", tmp_path / "tars", "--apply", tmp_path / "patch.json", "--in-place", check=2)
    assert "another tar, or damaged" in done.stderr


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda patch: patch.pop("format"), "its format"),
        (lambda patch: patch["shards"][0]["cuts"].update(ranges=[[512, 100]]), "impossible byte ranges"),
        (lambda patch: patch["shards"][0]["cuts"].update(ranges=[[0, 512], [0, 512]]), "impossible byte ranges"),
        (lambda patch: patch["shards"][0]["cuts"].update(end=1 << 40), "impossible byte ranges"),
        (lambda patch: patch["shards"][0]["after"].update(name="../../etc/passwd.tar"), "not a tar"),
        (lambda patch: patch["shards"][0]["before"].update(name="/etc/passwd"), "not a tar"),
        (lambda patch: patch.update(taken_down=["sha256 x"]), "is no hash"),
        (lambda patch: patch.update(more=1), "more"),
    ],
)
def test_a_patch_from_anyone_cannot_do_harm(tmp_path, table, shards, change, problem):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3))
    curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out", "--patch", tmp_path / "patch.json")
    fields = json.loads((tmp_path / "patch.json").read_text())
    change(fields)
    (tmp_path / "patch.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match=problem):
        Patch.read(f"file://{tmp_path}/patch.json")


# --- what verify finds, and what is refused


def test_verify_finds_a_member_of_no_row(tmp_path, table):
    """As a purge would leave it that takes rows away and not their bytes."""
    made = make_shards(f"file://{tmp_path}/shards", table, each=EACH)
    with tarfile.open(tmp_path / "shards/00000.tar", "a", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("stray.jpg"))
    done = curate("verify", made.uri, "--deep", check=1)
    assert "1 members belong to no row ('stray.jpg')" in done.stdout


def test_shards_without_any_sample_of_the_manifest_are_refused(tmp_path, table, shards):
    other = without(tmp_path / "other", table.slice(0, 0), set())
    done = curate("purge", shards.uri, "--against", other.uri, "-o", tmp_path / "out", check=2)
    assert f"has none of the {SAMPLES} samples" in done.stderr


def test_shards_that_were_altered_are_refused(tmp_path, table, shards):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3))
    tar = tmp_path / "shards/00000.tar"
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    done = curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out", check=2)
    assert "00000.tar" in done.stderr
    tar.unlink()
    done = curate("purge", shards.uri, "--against", chosen.uri, "-o", tmp_path / "out", check=2)
    assert "00000.tar: missing" in done.stderr


def test_a_manifest_of_others_names_no_file_elsewhere(tmp_path, table, shards):
    part = dataclasses.replace(
        shards.parts[0], files={**shards.parts[0].files, "../../x": {"bytes": 1, "sha256": ""}}
    )
    with pytest.raises(ManifestError, match="names files elsewhere"):
        require_shards(dataclasses.replace(shards, parts=[part]))


def test_a_manifest_without_tars_of_its_own_is_refused(tmp_path, table, shards):
    chosen = without(tmp_path / "chosen", table, keys_at(table, 3))
    curate("sample", shards.uri, "-o", tmp_path / "half", "--fraction", "0.5")
    done = curate("purge", tmp_path / "half", "--against", chosen.uri, "-o", tmp_path / "out", check=2)
    assert "without tars of its own" in done.stderr
    done = curate("purge", chosen.uri, "--against", chosen.uri, "-o", tmp_path / "out", check=2)
    assert "of stage choose" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("-o", "out"), "give --against MANIFEST, or --apply FILE"),
        (("--against", "a", "--apply", "b", "-o", "out"), "give --against MANIFEST, or --apply FILE"),
        (("--against", "a"), "give -o URI, or --in-place"),
        (("--against", "a", "-o", "out", "--in-place"), "give -o URI, or --in-place"),
        (("--apply", "a", "-o", "out", "--patch", "b"), "a patch that is applied is there already"),
    ],
)
def test_options_that_exclude_each_other(shards, arguments, problem):
    assert problem in curate("purge", shards.uri, *arguments, check=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [("-o", "s3://purges/out"), ("--in-place",)])
def test_on_an_object_store(tmp_path, table, how):
    with bucket_of("purges"):
        shards = make_shards("s3://purges/shards", table, each=EACH)
        chosen = without("s3://purges/chosen", table, keys_at(table, 3, 6))
        local = make_shards(f"file://{tmp_path}/shards", table, each=EACH)
        here = ("-o", tmp_path / "out") if how[0] == "-o" else how
        expected = json.loads(curate("purge", local.uri, "--against", chosen.uri, *here, "--json").stdout)
        done = json.loads(curate("purge", shards.uri, "--against", chosen.uri, *how, "--json").stdout)
        again = json.loads(curate("purge", shards.uri, "--against", chosen.uri, *how, "--json").stdout)
        assert expected["digest"] == done["digest"] == again["digest"]
        curate("verify", done["uri"], "--deep")
        assert "_work" not in storage.list_names(done["uri"])
