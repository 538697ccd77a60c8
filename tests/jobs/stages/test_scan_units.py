"""Units of a scan, run without Spark: what they read, and what their receipts contain."""

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.config import PipelineConfig, ScanConfig
from curation.pictures.decode import DecodeLimits
from curation.scan.measure import Requested, measure
from curation.sources.grouping import LEAST_FILE_BYTES
from curation.sources.members import SampleNames
from jobs.stages.scan import ReadSettings, plan_scan, scan_unit
from jobs.units.worker import Attempt
from manifests import storage
from manifests.format.store import read_batches
from tests.curation.sources.test_sidecars import picture
from tests.support.making import tar_bytes

PNG = picture()


def scanned(tmp_path: Path, *inputs: Path | str, reading: ReadSettings | None = None, **settings: object):
    """Return the rows and the receipts of all units of a scan of `inputs`."""
    config = PipelineConfig(input=tuple(map(str, inputs)), output="unused", scan=ScanConfig(**settings))
    plan = plan_scan(config, str(tmp_path / "out"))
    receipts, rows = [], []
    for unit in plan.units:
        attempt = Attempt(unit=unit, folder=storage.absolute(str(tmp_path / "attempt")))
        receipt = scan_unit(
            attempt,
            reading=reading or ReadSettings(max_image_bytes=1 << 20),
            on_image=lambda data: measure(data, DecodeLimits(), Requested(density=False, local_features=False)),
            roots=tuple(plan.roots),
        )
        receipts.append(receipt)
        rows += [row for batch in read_batches(attempt.part) for row in batch.to_pylist()]
    return rows, receipts


def test_a_table_that_matches_nothing_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_bytes([("000000001.png", PNG)]))
    pq.write_table(pa.table({"key": [7, 8], "url": ["a", "b"]}), tmp_path / "0.parquet")
    ((row,), (receipt,)) = scanned(tmp_path, tmp_path / "0.tar")
    assert (row["status"], row["url"]) == ("ok", None)
    (warning,) = receipt.source_warnings.values()
    assert "0.parquet: 0 of 2 rows matched on key: int64 against 000000001" in warning
    pq.write_table(pa.table({"key": [1, 8], "url": ["a", "b"]}), tmp_path / "0.parquet")
    ((row,), (receipt,)) = scanned(tmp_path, tmp_path / "0.tar")
    assert (row["url"], receipt.source_warnings) == ("a", {})


def test_a_table_may_have_the_name_of_a_sample_up_to_the_first_dot_as_key(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_bytes([("k1.input.png", PNG)]))
    pq.write_table(
        pa.table({"key": ["k1"], "uid": ["u1"], "caption": ["café".encode("latin-1")]}), tmp_path / "0.parquet"
    )
    ((row,), _) = scanned(tmp_path, tmp_path / "0.tar")
    assert (row["key"], row["caption"]) == ("u1", "café")
    assert row["warnings"] == "text in the table is Windows-1252, not UTF-8"


def test_a_caption_that_is_not_utf8_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    members = [("a.png", PNG), ("a.txt", "café".encode("latin-1")), ("b.png", PNG), ("b.txt", "café".encode())]
    (tmp_path / "0.tar").write_bytes(tar_bytes(members))
    rows, _ = scanned(tmp_path, tmp_path / "0.tar")
    assert [row["caption"] for row in rows] == ["café", "café"]
    assert [row["warnings"] for row in rows] == ["txt sidecar is Windows-1252, not UTF-8", None]
    stored = hashlib.sha256("café".encode("latin-1")).hexdigest()
    assert [row["caption_sha256"] for row in rows] == [stored, None]


@pytest.mark.parametrize("unit_bytes", [1, 2 * LEAST_FILE_BYTES, 1 << 30])
def test_a_folder_in_any_units(tmp_path: Path, unit_bytes: int) -> None:
    folder = tmp_path / "photos"
    files = {
        b"a.png": PNG,
        b"a.txt": b"of a",
        b"b\xe9.png": PNG,
        b"b\xe9.json": b'{"uid": "ub"}',
    }
    files |= {b"d/c.x.png": PNG, b"d/c.json": b'{"uid": "uc"}', b"d/alone.json": b"{}", b"a.png.txt": b""}
    files[b"notes.md"] = b"# no image"
    for name, data in files.items():
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "absent.jpg").symlink_to("nowhere")
    rows, receipts = scanned(tmp_path, folder, unit_bytes=unit_bytes)
    found = {row["member"]: (row["status"], row["caption"], row["json_member"]) for row in rows}
    assert found == {
        "a.png": ("ok", "of a", None),
        "absent.jpg": ("unsupported", None, None),
        "b\\xe9.png": ("ok", None, "b\\xe9.json"),
        "d/alone.json": ("empty", None, "d/alone.json"),
        "d/c.x.png": ("ok", None, "d/c.json"),
    }
    assert {row["key"] for row in rows} >= {"ub", "uc"}
    assert sum(receipt.facts["unused_sidecars"] for receipt in receipts) == 1
    assert (len(receipts) == 1) == (unit_bytes == 1 << 30)


def test_a_new_loose_file_changes_the_units_beside_it_only(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(60):
        (folder / f"{n:02}.png").write_bytes(PNG)

    def plan():
        scan = ScanConfig(unit_bytes=4 * LEAST_FILE_BYTES)
        return plan_scan(PipelineConfig(input=(str(folder),), output="unused", scan=scan), str(tmp_path / "out"))

    before = plan()
    (folder / "31-new.png").write_bytes(PNG)
    after = plan()
    assert before.inputs != after.inputs
    old, new = ({unit.fingerprint for unit in each.units} for each in (before, after))
    assert len(old) > 10
    assert 1 <= len(new - old) <= 3


def test_settings_of_reading_are_used_for_tars(tmp_path: Path) -> None:
    one = tar_bytes([("22.05.png", PNG), ("22.06.txt", b"caption")])
    (tmp_path / "0.tar").write_bytes(one + one)
    rows, (receipt,) = scanned(tmp_path, tmp_path / "0.tar")
    assert rows == []
    assert "concatenated" in receipt.broken_sources[f"file://{tmp_path}/0.tar"]
    reading = ReadSettings(max_image_bytes=1 << 20, names=SampleNames.FIRST_DOT, ignore_zeros=True)
    rows, (receipt,) = scanned(tmp_path, tmp_path / "0.tar", reading=reading)
    assert [row["caption"] for row in rows] == ["caption", "caption"]
    assert receipt.broken_sources == {}


def test_settings_that_change_rows_are_in_the_plan(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_bytes([("a.png", PNG)]))

    def plan(**settings: object):
        config = PipelineConfig(input=(f"{tmp_path}/0.tar",), output="unused", scan=ScanConfig(**settings))
        return plan_scan(config, str(tmp_path / "out"))

    usual = plan()
    assert plan(sample_names="first_dot").config != usual.config
    assert plan(sample_names="first_dot").units[0].fingerprint != usual.units[0].fingerprint
    # Units that could be read are kept when the setting that reads the others is given; the commit is another.
    concatenated = plan(ignore_zeros=True)
    assert (concatenated.config, concatenated.units) == (usual.config, usual.units)
    assert concatenated.fingerprint != usual.fingerprint
