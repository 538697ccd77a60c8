"""The whole pipeline on real components: the same digest whatever the cores, units, order, storage or cluster."""

import csv
import io
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests.format.store import open_manifest
from tests.conftest import (
    IMAGES,
    STAGES,
    TARS,
    Reference,
    curate,
    curate_process,
    digests,
    rows_of,
    tar_hashes,
    write_pipeline,
)

pytestmark = pytest.mark.spark


@pytest.mark.parametrize(
    "case",
    [
        {"spark": {"master": "local[1]"}},
        {
            "spark": {"master": "local[4]", "conf": {"spark.sql.shuffle.partitions": "3"}},
            "score": {"batch_images": 1},
        },
    ],
    ids=["1 core", "4 cores"],
)
def test_digest_does_not_depend_on_cores(reference: Reference, tmp_path: Path, case: dict) -> None:
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out", **case)
    curate_process("run", pipeline)
    assert digests(tmp_path / "out") == reference.digests
    assert tar_hashes(tmp_path / "out/shards") == tar_hashes(reference.output / "shards")


def test_digest_does_not_depend_on_units_or_the_order_of_the_input(reference: Reference, tmp_path: Path) -> None:
    tars = sorted(reference.corpus.glob("*.tar"), reverse=True)
    listed = tmp_path / "tars.txt"
    listed.write_text("\n".join(["# backwards", *map(str, tars)]))
    curate("run", write_pipeline(tmp_path / "p.yaml", [f"@{listed}"], tmp_path / "out", scan={"unit_bytes": 1 << 20}))
    assert digests(tmp_path / "out") == reference.digests


def test_every_sample_has_one_row_and_one_verdict(reference: Reference) -> None:
    truth = list(csv.DictReader((reference.corpus / "truth.csv").open()))
    rows = rows_of(reference.output / "chosen").to_pylist()
    assert sorted(r["key"] for r in rows) == sorted(t["uid"] for t in truth)
    by_uid = {r["key"]: r for r in rows}
    for t in truth:
        row = by_uid[t["uid"]]
        if t["expected"] == "not":
            assert row["status"] != "ok", t
        if t["expected"] == "decodable":
            assert row["status"] == "ok", (t, row["error"])
        assert row["keep"] == (row["drop_reason"] is None)
        assert row["status"] == "ok" or row["error"]


def test_copies_are_found(reference: Reference) -> None:
    truth = {t["uid"]: t for t in csv.DictReader((reference.corpus / "truth.csv").open())}
    rows = {r["key"]: r for r in rows_of(reference.output / "deduped").to_pylist()}
    originals = {t["group"]: u for u, t in truth.items() if t["group"] and t["transform"] == "original"}
    exact = [u for u, t in truth.items() if t["difficulty"] == "exact"]
    assert exact
    for uid in exact:
        assert rows[uid]["cluster_id"] == rows[originals[truth[uid]["group"]]]["cluster_id"]
    for row in rows.values():
        if row["duplicate_of"]:
            representative = rows[row["duplicate_of"]]
            assert representative["duplicate_of"] is None
            assert representative["cluster_id"] == row["cluster_id"]


def test_shards_hold_the_source_bytes(reference: Reference) -> None:
    kept = {r["key"]: r for r in rows_of(reference.output / "chosen").to_pylist() if r["keep"]}
    shards = reference.output / "shards"
    seen = {}
    for table in sorted(shards.glob("*.parquet")):
        rows = pq.read_table(table).to_pylist()
        with (shards / rows[0]["shard"]).open("rb") as f:
            for row in rows:
                f.seek(row["shard_offset"])
                seen[row["key"]] = f.read(row["shard_size"])
        stats = json.loads((shards / f"{table.stem}_stats.json").read_text())
        assert stats["count"] == len(rows) == sum(stats["status_dict"].values())
    assert seen.keys() == kept.keys()
    for key, data in seen.items():
        row = kept[key]
        with Path(row["source"].removeprefix("file://")).open("rb") as f:
            f.seek(row["offset"])
            assert f.read(row["size"]) == data


def test_shards_are_ustar_and_webdataset_reads_them(reference: Reference) -> None:
    import webdataset

    shards = sorted((reference.output / "shards").glob("*.tar"))
    samples = list(webdataset.WebDataset([str(s) for s in shards], shardshuffle=False))
    assert len(samples) == open_manifest(str(reference.output / "shards")).rows
    assert all({"json", "txt"} <= s.keys() for s in samples)
    with tarfile.open(shards[0]) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.mode) for m in members} == {(0, 0, 0, 0o644)}


def test_a_second_run_has_nothing_to_do_and_starts_no_spark(reference: Reference, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in reference.output.rglob("*") if p.is_file()}
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], reference.output)
    done = curate_process("run", pipeline, env={"JAVA_HOME": "/nonexistent", "PATH": "/nonexistent"})
    assert done.stderr.count("up to date") == len(STAGES)
    assert {p: p.stat().st_mtime_ns for p in reference.output.rglob("*") if p.is_file()} == before


def test_a_second_shard_run_writes_the_same_tars(reference: Reference, tmp_path: Path) -> None:
    curate("shard", reference.output / "chosen", "-o", tmp_path / "again", "--samples-per-shard", "7", "--quiet")
    assert tar_hashes(tmp_path / "again") == tar_hashes(reference.output / "shards")
    curate("shard", reference.output / "chosen", "-o", tmp_path / "other", "--salt", "other", "--quiet")
    assert tar_hashes(tmp_path / "other") != tar_hashes(reference.output / "shards")


def test_a_changed_setting_is_named_and_never_mixed(reference: Reference, tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], reference.output)
    refused = curate("run", pipeline, "--set", "scan.max_image_pixels=1000000", check=2)
    assert "max_image_pixels: 100000000 → 1000000" in refused.stderr
    assert "--restart" in refused.stderr
    assert digests(reference.output) == reference.digests


def test_choosing_again_reads_no_image(reference: Reference, tmp_path: Path) -> None:
    """Other thresholds need neither the tars nor the engine."""
    for table in ("scored",):
        rows = rows_of(reference.output / table)
    curate(
        "choose", reference.output / "scored", "-o", tmp_path / "top", "--keep", "all", "--target-count", "9", "-q"
    )
    chosen = [r for r in rows_of(tmp_path / "top").to_pylist() if r["keep"]]
    assert len(chosen) == 9
    candidates = [r for r in rows.to_pylist() if r["status"] == "ok" and r["duplicate_of"] is None]
    best = sorted((r["text_score"] for r in candidates), reverse=True)[:9]
    assert sorted((r["text_score"] for r in chosen), reverse=True) == best


def test_heavy_alone_looks_at_less_and_says_so(reference: Reference, tmp_path: Path) -> None:
    deduped, scored = reference.output / "deduped", tmp_path / "scored"
    curate("score", deduped, "-o", scored, "--ask", "heavy", "--set", "score.batch_images=64", "--master", "local[2]")
    steps = ["density", "density_large", "detect_small", "detect_large", "read"]
    both = {r["key"]: r for r in rows_of(reference.output / "scored").to_pylist()}
    for row in rows_of(scored).to_pylist():
        other = both[row["key"]]
        assert (row["text_step"] is None) == (other["text_step"] is None)
        if row["text_step"] is not None:
            assert steps.index(row["text_step"]) <= steps.index(other["text_step"])
        if row["text_step"] == other["text_step"] != "read":
            assert row["text_score"] == other["text_score"]
    refused = curate("choose", scored, "-o", tmp_path / "chosen", "--keep", "light", check=2)
    assert "score it with ask: light" in refused.stderr
    curate("choose", scored, "-o", tmp_path / "chosen", "--keep", "heavy", "--master", "local[2]")


def test_dry_run_writes_nothing_and_json_is_json(reference: Reference, tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out")
    plan = json.loads(curate("run", pipeline, "--dry-run", "--json").stdout)
    assert [p["stage"] for p in plan] == ["scan", "dedupe", "score", "choose", "shard"]
    assert plan[0]["units"] == len(list(reference.corpus.glob("*.tar")))
    assert plan[1]["state"] == "after scan"
    assert not (tmp_path / "out").exists()
    shown = json.loads(curate("show", reference.output / "shards", "--json").stdout)
    assert shown["digest"] == reference.digests["shards"]
    assert [row["stage"] for row in shown["funnel"]] == ["scan", "dedupe", "score", "choose", "shard"]


def test_a_manifest_never_holds_secrets(reference: Reference, tmp_path: Path) -> None:
    sections = {"storage": {"s3": {"secret": "hunter2"}}, "score": {"engine_options": {}}}
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "00000.tar"], tmp_path / "out", **sections)
    done = curate("scan", reference.corpus / "00000.tar", "-c", pipeline, "-o", tmp_path / "scan")
    written = b"".join(p.read_bytes() for p in (tmp_path / "scan").rglob("*") if p.is_file())
    assert b"hunter2" not in written
    assert "hunter2" not in done.stdout + done.stderr


def test_an_image_changed_since_the_scan_fails_its_shard_by_name(reference: Reference, tmp_path: Path) -> None:
    copy = tmp_path / "tars"
    copy.mkdir()
    tar = copy / "00000.tar"
    tar.write_bytes((reference.corpus / "00000.tar").read_bytes())
    pipeline = write_pipeline(tmp_path / "p.yaml", [tar], tmp_path / "out")
    curate("run", pipeline)
    kept = next(r for r in rows_of(tmp_path / "out/chosen").to_pylist() if r["keep"])
    data = bytearray(tar.read_bytes())
    data[kept["offset"] + kept["size"] // 2] ^= 1
    tar.write_bytes(bytes(data))
    failed = curate("shard", tmp_path / "out/chosen", "-o", tmp_path / "shards", check=1)
    assert kept["member"] in failed.stderr
    assert "changed since the scan" in failed.stderr
    assert not (tmp_path / "shards/_manifest.json").exists()


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def _png(colour: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (colour, 10, 20)).save(buffer, "png")
    return buffer.getvalue()


def test_broken_tars_are_named_and_left_out_only_when_allowed(corpus: Path, tmp_path: Path) -> None:
    scan = ("scan", tmp_path / "*.tar", "-o", tmp_path / "scan", "--unit-bytes", 1)
    good = _tar(tmp_path / "a.tar", {"1.png": _png(1)})
    broken = tmp_path / "b.tar"
    broken.write_bytes((corpus / "00000.tar").read_bytes()[:50_000])
    failed = curate(*scan, check=1)
    assert "b.tar" in failed.stderr
    assert "1 broken tars, 0 allowed" in failed.stderr
    assert not (tmp_path / "scan/_manifest.json").exists()
    resumed = curate(*scan, "--max-broken-tars", "1")
    assert "resuming: 1 of 2 units are done" in resumed.stderr
    manifest = open_manifest(str(tmp_path / "scan"))
    assert list(manifest.broken_sources) == [f"file://{broken}"]
    assert manifest.rows == 1
    broken.write_bytes(good.read_bytes())
    again = curate(*scan, check=2)
    assert "another configuration or input" in again.stderr


def test_a_repaired_tar_is_read_where_the_run_stopped(corpus: Path, tmp_path: Path) -> None:
    scan = ("scan", tmp_path / "*.tar", "-o", tmp_path / "scan", "--unit-bytes", 1)
    whole = (corpus / "00000.tar").read_bytes()
    _tar(tmp_path / "a.tar", {"1.png": _png(1)})
    (tmp_path / "b.tar").write_bytes(whole[:50_000])
    curate(*scan, check=1)
    (tmp_path / "b.tar").write_bytes(whole)
    again = curate(*scan)
    assert "input changed: sources.file://" in again.stderr
    assert "resuming: 1 of 2 units are done" in again.stderr
    assert open_manifest(str(tmp_path / "scan")).rows == 1 + IMAGES // TARS


def test_keys_that_several_tars_declare_are_told_apart(tmp_path: Path) -> None:
    for i, name in enumerate("cab"):
        content = json.dumps({"uid": "same", "url": f"https://images.example/{name}"}).encode()
        _tar(tmp_path / f"{name}.tar", {"x.png": _png(50 * i), "x.json": content, "y.png": _png(50 * i + 5)})
    found = []
    for order, units in (("abc", 1), ("cba", 1 << 20)):
        tars = [tmp_path / f"{name}.tar" for name in order]
        out = tmp_path / f"scan-{order}"
        curate("scan", *tars, "-o", out, "--unit-bytes", units)
        rows = rows_of(out).to_pylist()
        assert len({r["key"] for r in rows}) == len(rows) == 6
        first = next(r for r in rows if r["key"] == "same")
        assert first["source"].endswith("/a.tar")
        found.append(open_manifest(str(out)).digest)
    assert found[0] == found[1]


def test_folders_of_images_go_through_too(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    for i in range(5):
        (photos / f"deep/{i}.png").write_bytes(_png(40 * i))
        (photos / f"deep/{i}.txt").write_text(f"caption {i}")
    (photos / "0.JPG").write_bytes(b"not an image")
    pipeline = write_pipeline(
        tmp_path / "p.yaml", [f"{photos}/"], tmp_path / "out", scan={"unit_bytes": 400_000}, choose={"keep": "all"}
    )
    curate("run", pipeline)
    rows = {r["member"]: r for r in rows_of(tmp_path / "out/chosen").to_pylist()}
    assert len(rows) == 6
    assert rows["0.JPG"]["drop_reason"] == "status:undecodable"
    assert rows["deep/3.png"]["caption"] == "caption 3"
    shards = tmp_path / "out/shards"
    with tarfile.open(shards / "00000.tar") as tar:
        names = {m.name.split(".")[1] for m in tar}
    assert names == {"jpg", "json", "txt"}


def test_nothing_kept_and_empty_tars_end_well(tmp_path: Path) -> None:
    """A tar without members is a part without rows; a choice that keeps nothing is a manifest without shards."""
    _tar(tmp_path / "empty.tar", {})
    _tar(tmp_path / "plain.tar", {"1.png": _png(9), "2.json": b"{}"})
    pipeline = write_pipeline(tmp_path / "p.yaml", [tmp_path / "*.tar"], tmp_path / "out", choose={"keep": "heavy"})
    done = json.loads(curate("run", pipeline, "--json").stdout)
    assert done["rows"] == done["parts"] == 0
    assert [row["went_on"] for row in done["funnel"]] == [1, 1, 1, 0, 0]
    for stage in ("scan", "deduped", "scored", "chosen"):
        manifest = open_manifest(str(tmp_path / "out" / stage))
        assert [p.rows for p in manifest.parts] == [0, 2]


def test_many_cells_do_not_depend_on_partitions(reference: Reference, tmp_path: Path) -> None:
    """With many small cells: one digest whatever the cores and partitions, and nearly all that one cell finds."""
    found = []
    for name, run, partitions in (("a", curate, 2), ("b", curate_process, 7)):
        settings = ["dedupe.cell_bytes=160", f"spark.conf.spark.sql.shuffle.partitions={partitions}"]
        arguments = [a for s in settings for a in ("--set", s)]
        run("dedupe", reference.output / "scan", "-o", tmp_path / name, "--master", "local[4]", *arguments)
        found.append(open_manifest(str(tmp_path / name)).digest)
    assert found[0] == found[1]
    exhaustive = {r["key"] for r in rows_of(reference.output / "deduped").to_pylist() if r["duplicate_of"]}
    in_cells = {r["key"] for r in rows_of(tmp_path / "a").to_pylist() if r["duplicate_of"]}
    assert len(in_cells & exhaustive) >= 0.9 * len(exhaustive)
