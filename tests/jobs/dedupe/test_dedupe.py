"""Dedupe on real Spark: copies of each kind are in the cluster of their original, and the digest is reproducible."""

import io
import itertools
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from curation.config import check_config
from examples.corpus.charts import bar_chart
from examples.corpus.documents import code, letter
from examples.corpus.photographs import city, still_life
from examples.corpus.textures import through_camera
from filters.protocol import Rgb
from jobs.dedupe.stage import plan_dedupe
from manifests.errors import InputError
from manifests.format.store import is_committed, open_manifest
from tests.conftest import TOP, Done, curate, curate_process, rows_of
from tests.support.copying import COPIES, cropped, mirrored, paint
from tests.support.processes import is_running

pytestmark = pytest.mark.spark
LOCAL = ("--master", "local[2]", "--quiet")
ORIGINALS = {
    "city": lambda rng, w, h: through_camera(rng, city(rng, w, h)),
    "still": lambda rng, w, h: through_camera(rng, still_life(rng, w, h)),
    "code": code,
    "letter": letter,
    "bars": bar_chart,
}
WANTED = {"jpeg": "mild", "text": "overlay", "crop 75": "crop", "mirror": "mirror", "turn 90": "turn"}


def encoded(rgb: Rgb, kind: str = "png", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, kind, **options)
    return out.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def planted_members() -> dict[str, bytes]:
    """Return five originals, large, and smaller copies of two of them; plain pictures; a broken file."""
    pictures = {name: paint(painter, width=560, height=440) for name, painter in ORIGINALS.items()}
    members = {f"{name}.png": encoded(rgb) for name, rgb in pictures.items()}
    for name, done in itertools.product(("city", "code"), WANTED):
        small = np.ascontiguousarray(Image.fromarray(COPIES[done][1](pictures[name])).resize((420, 330)))
        members[f"{name}_{done.replace(' ', '')}.jpg"] = encoded(small, "jpeg", quality=88)
    members["city_mirroredcrop.jpg"] = encoded(mirrored(cropped(pictures["city"], 0.6)), "jpeg", quality=88)
    members["letter_same.png"] = members["letter.png"]
    plain = np.full((200, 300, 3), 200, np.uint8)
    members |= {
        "plain.png": encoded(plain, compress_level=9),
        "plain_again.png": encoded(plain, compress_level=1),
        "plain_other.png": encoded(plain + 1),
        "broken.jpg": b"\xff\xd8nothing",
    }
    return members


def dedupe(scan: Path, output: Path, *settings: str, check: int | None = 0) -> Done:
    arguments = [a for s in settings for a in ("--set", s)]
    return curate("dedupe", scan, "-o", output, "--quiet", *arguments, check=check)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scan of the planted pictures, in three tars."""
    folder = tmp_path_factory.mktemp("planted")
    members = list(planted_members().items())
    for number in range(3):
        write_tar(folder / f"{number}.tar", dict(members[number::3]))
    curate("scan", folder / "*.tar", "-o", folder / "scan", *LOCAL)
    return folder


@pytest.fixture(scope="module")
def deduped(scanned: Path) -> Path:
    dedupe(scanned / "scan", scanned / "deduped")
    return scanned / "deduped"


def by_member(manifest: Path) -> dict[str, dict]:
    return {r["member"]: r for r in rows_of(manifest).to_pylist()}


def clusters(manifest: Path) -> set[frozenset[str]]:
    found: dict[str, set[str]] = {}
    for member, row in by_member(manifest).items():
        found.setdefault(row["cluster_id"], set()).add(member)
    return {frozenset(each) for each in found.values() if len(each) > 1}


def test_copies_of_each_kind_join_their_original(deduped: Path) -> None:
    rows = by_member(deduped)
    for name, (done, wanted) in itertools.product(("city", "code"), WANTED.items()):
        row = rows[f"{name}_{done.replace(' ', '')}.jpg"]
        assert row["duplicate_of"] == rows[f"{name}.png"]["key"]
        assert row["cluster_id"] == rows[f"{name}.png"]["cluster_id"]
        assert row["duplicate_kind"] == wanted
        evidence = json.loads(row["duplicate_evidence"])
        assert (evidence["kind"], evidence["verified"], evidence["is_mirrored"]) == (wanted, True, wanted == "mirror")
        assert (abs(evidence["turn_degrees"]) > 80) == (wanted == "turn")
        assert (evidence["share_second"] < 0.9) == (wanted == "crop")
        assert len(evidence["matrix"]) == 6
    assert rows["city_mirroredcrop.jpg"]["duplicate_kind"] == "mirror"


def test_unrelated_images_are_in_no_cluster_and_representatives_are_no_copies(deduped: Path) -> None:
    rows = by_member(deduped)
    families = {
        frozenset(m for m in rows if m.split(".")[0].split("_")[0] == name) for name in ("city", "code", "letter")
    }
    assert clusters(deduped) == families | {frozenset(("plain.png", "plain_again.png"))}
    by_key = {r["key"]: r for r in rows.values()}
    for row in rows.values():
        if row["duplicate_of"] is None:
            assert row["duplicate_kind"] is row["duplicate_evidence"] is None
        else:
            assert by_key[row["duplicate_of"]]["duplicate_of"] is None
        assert row["reference"] is None


def test_plain_images_are_copies_only_when_their_pixels_are_equal(deduped: Path) -> None:
    rows = by_member(deduped)
    assert rows["plain.png"]["sha256"] != rows["plain_again.png"]["sha256"]
    copy = next(r for m, r in rows.items() if m in ("plain.png", "plain_again.png") and r["duplicate_of"])
    assert copy["duplicate_kind"] == "exact"
    assert json.loads(copy["duplicate_evidence"]) == {"kind": "exact", "same": "pixels"}
    same = next(r for m, r in rows.items() if m in ("letter.png", "letter_same.png") and r["duplicate_of"])
    assert json.loads(same["duplicate_evidence"]) == {"kind": "exact", "same": "bytes"}
    assert rows["plain_other.png"]["duplicate_of"] is rows["broken.jpg"]["duplicate_of"] is None


def test_cores_and_partitions_change_nothing(scanned: Path, deduped: Path, tmp_path: Path) -> None:
    other = ("--master", "local[1]", "--quiet", "--set", "spark.conf.spark.sql.shuffle.partitions=3")
    done = curate_process("dedupe", scanned / "scan", "-o", tmp_path / "out", *other)
    assert (done.stdout, done.stderr) == ("", ""), "--quiet prints nothing but errors, also of Spark"
    assert open_manifest(str(tmp_path / "out")).digest == open_manifest(str(deduped)).digest


def test_tars_in_another_order_change_nothing(scanned: Path, deduped: Path, tmp_path: Path) -> None:
    tars = [scanned / f"{n}.tar" for n in (2, 0, 1)]
    curate("scan", *tars, "-o", tmp_path / "scan", "--set", "scan.unit_bytes=300000", *LOCAL)
    dedupe(tmp_path / "scan", tmp_path / "out", "spark.conf.spark.sql.shuffle.partitions=8")
    assert open_manifest(str(tmp_path / "out")).digest == open_manifest(str(deduped)).digest


def test_only_the_configured_kinds_merge(scanned: Path, tmp_path: Path) -> None:
    dedupe(scanned / "scan", tmp_path / "exact", "dedupe.copies=[exact]")
    same = {frozenset(("letter.png", "letter_same.png")), frozenset(("plain.png", "plain_again.png"))}
    assert clusters(tmp_path / "exact") == same
    dedupe(scanned / "scan", tmp_path / "mild", "dedupe.copies=[exact,mild]")
    mild = {frozenset((f"{name}.png", f"{name}_jpeg.jpg")) for name in ("city", "code")}
    assert clusters(tmp_path / "mild") == same | mild


def test_a_scan_without_local_features_is_refused_where_they_are_needed(scanned: Path, tmp_path: Path) -> None:
    kinds = ("--set", "dedupe.copies=[exact,mild]")
    curate("scan", scanned / "*.tar", "-o", tmp_path / "scan", *kinds, *LOCAL)
    rows = rows_of(tmp_path / "scan")
    assert rows.column("local_points").null_count == rows.num_rows
    config = {"input": "a.tar", "output": "out"}
    with pytest.raises(InputError, match=r"scanned without local features, which crop, .*\[exact,mild\]"):
        plan_dedupe(check_config(config, origin="test"), str(tmp_path / "scan"), str(tmp_path / "out"))
    dedupe(tmp_path / "scan", tmp_path / "unproven", "dedupe.copies=[exact,mild]", "dedupe.verify=false")
    found = by_member(tmp_path / "unproven")
    mild = [json.loads(r["duplicate_evidence"]) for r in found.values() if r["duplicate_kind"] == "mild"]
    assert mild
    assert all(set(each) == {"kind", "distance", "verified"} and not each["verified"] for each in mild)
    assert all(each["distance"] <= 31 for each in mild)
    assert "verification" not in open_manifest(str(tmp_path / "unproven")).software


def test_images_that_changed_since_the_scan_are_named(scanned: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    picture = paint(ORIGINALS["city"])
    (folder / "a.png").write_bytes(encoded(picture))
    (folder / "b.jpg").write_bytes(encoded(picture, "jpeg", quality=70))
    curate("scan", folder, "-o", tmp_path / "scan", *LOCAL)
    size = (folder / "a.png").stat().st_size
    (folder / "a.png").write_bytes(bytes(size))
    failed = dedupe(tmp_path / "scan", tmp_path / "out", check=None)
    assert failed.returncode == 1
    assert "a.png" in failed.stderr
    assert "scan it again" in failed.stderr
    assert not is_committed(str(tmp_path / "out"))


def test_a_killed_worker_changes_nothing(scanned: Path, deduped: Path, tmp_path: Path) -> None:
    """SIGKILL to workers while they compare pixels. If the run gives up, the same command completes it."""
    output = tmp_path / "out"
    command = [sys.executable, "-m", "jobs", "dedupe", str(scanned / "scan"), "-o", str(output), *LOCAL]
    running = subprocess.Popen(command, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    killed = 0
    while is_running(running) and not killed:
        killed = _kill_workers(running.pid)
    _, log = running.communicate(timeout=300)
    assert killed
    if running.returncode != 0:
        assert "run the same command to go on" in log, log
    dedupe(scanned / "scan", output)
    assert open_manifest(str(output)).digest == open_manifest(str(deduped)).digest
    assert not [p.name for p in output.rglob("*") if p.name.endswith(".tmp") or p.name == "_work"]


def _kill_workers(driver: int) -> int:
    """Kill the workers below the process that `driver` started to fork them; return how many."""
    killed = 0
    try:
        for process in psutil.Process(driver).children(recursive=True):
            parent = process.parent()
            if parent and parent.pid != driver and "import serve" in " ".join(parent.cmdline()):
                process.kill()
                killed += 1
    except psutil.Error:
        pass  # gone by itself meanwhile
    return killed
