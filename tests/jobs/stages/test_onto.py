"""A run on top of an earlier one (`--onto`): the same digest as a run from nothing, without doing it all again."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from curation.config_files import load_config
from curation.text.earlier_scores import EarlierScores
from jobs.stages.scan import plan_scan
from jobs.units.plan import Plan
from manifests import storage
from manifests.format.commit import commit
from manifests.format.schema import COLUMNS, Stage, schema
from manifests.format.store import Manifest, Provenance, open_manifest
from tests.conftest import Reference, curate, digests, write_pipeline
from tests.support.making import CREATED, receipts_of

ONE_TAR = {"scan": {"unit_bytes": 1}}


def same_files(a: Path, b: Path) -> int:
    """Return how many parts of `a` are the same files as parts of `b`."""
    parts = [{path.stat().st_ino for path in folder.glob("*.parquet")} for folder in (a, b)]
    return len(parts[0] & parts[1])


@pytest.mark.spark
def test_a_grown_input_gives_the_digest_of_a_run_from_nothing(reference: Reference, tmp_path: Path) -> None:
    tars = sorted(reference.corpus.glob("*.tar"))
    before = write_pipeline(tmp_path / "a.yaml", [*tars[:1], *tars[2:]], tmp_path / "may", **ONE_TAR)
    after = write_pipeline(tmp_path / "b.yaml", tars, tmp_path / "june", **ONE_TAR)
    curate("run", before)
    planned = curate("run", after, "--onto", tmp_path / "may", "--dry-run")
    assert f"{len(tars) - 1} of {len(tars)} units are copied" in planned.stdout.replace("\n", "")
    done = curate("run", after, "--onto", tmp_path / "may")
    assert digests(tmp_path / "june") == reference.digests
    assert f"scan: {len(tars) - 1} of {len(tars)} units are copied from file://{tmp_path}/may/scan" in done.stderr
    assert f"score: {len(tars) - 1} of {len(tars)} units take rows from" in done.stderr
    assert same_files(tmp_path / "june/scan", tmp_path / "may/scan") == len(tars) - 1
    shutil.rmtree(tmp_path / "may")
    curate("verify", tmp_path / "june/scan")


@pytest.mark.spark
def test_parts_whose_keys_depend_on_others_are_made_again(reference: Reference, tmp_path: Path) -> None:
    """Two folders with tars of the same names share all keys; the later ones got keys of their own."""
    tars = sorted(reference.corpus.glob("*.tar"))[:2]
    for name in "abc":
        (tmp_path / name).mkdir()
        for tar in tars[: 1 if name == "c" else 2]:
            shutil.copy(tar, tmp_path / name)
    given = [f"{tmp_path}/{name}/*.tar" for name in "abc"]
    curate("scan", *given[:2], "-o", tmp_path / "ab", "--unit-bytes", 1)
    curate("scan", *given, "-o", tmp_path / "abc", "--unit-bytes", 1)
    done = curate("scan", *given, "-o", tmp_path / "onto", "--unit-bytes", 1, "--onto", tmp_path / "ab")
    assert open_manifest(str(tmp_path / "onto")).digest == open_manifest(str(tmp_path / "abc")).digest
    changed = [part for part in open_manifest(str(tmp_path / "ab")).parts if part.fingerprint is None]
    assert len(changed) == 2
    assert "2 of 5 units are copied" in done.stderr


@pytest.mark.spark
def test_an_earlier_part_that_is_missing_or_altered_is_made_again(reference: Reference, tmp_path: Path) -> None:
    given = (f"{reference.corpus}/*.tar", "--unit-bytes", 1)
    curate("scan", *given, "-o", tmp_path / "may")
    parts = sorted((tmp_path / "may").glob("*.parquet"))
    parts[0].unlink()
    parts[1].write_bytes(parts[1].read_bytes()[:-1] + b"?")
    curate("scan", *given, "-o", tmp_path / "june", "--onto", tmp_path / "may")
    assert open_manifest(str(tmp_path / "june")).digest == reference.digests["scan"]
    assert same_files(tmp_path / "june", tmp_path / "may") == len(parts) - 2


@pytest.mark.spark
def test_what_cannot_be_a_base_is_refused(reference: Reference, tmp_path: Path) -> None:
    given = ("scan", f"{reference.corpus}/*.tar", "-o", tmp_path / "out", "--onto")
    assert "no manifest here" in curate(*given, tmp_path / "nothing", check=2).stderr
    assert "made by dedupe" in curate(*given, reference.output / "deduped", check=2).stderr
    assert "is the output itself" in curate(*given, tmp_path / "out", check=2).stderr
    pipeline = write_pipeline(tmp_path / "p.yaml", [reference.corpus / "*.tar"], tmp_path / "out")
    assert "no finished scan" in curate("run", pipeline, "--onto", tmp_path, check=2).stderr


@pytest.mark.spark
def test_other_settings_take_nothing_and_say_why(reference: Reference, tmp_path: Path) -> None:
    given = (f"{reference.corpus}/*.tar", "-o", tmp_path / "out", "--onto", reference.output / "scan")
    done = curate("scan", *given, "--set", "scan.text_density=false")
    assert "0 of" in done.stderr
    assert "its settings differ: config.text_density: true → false" in done.stderr


def test_units_have_the_size_that_most_of_the_earlier_ones_had(tmp_path: Path) -> None:
    """A small input has smaller units; when it doubles, so do they, but not on top of the earlier scan."""

    def planned(tars: int, onto: Manifest | None = None) -> Plan:
        for number in range(tars):
            (tmp_path / f"{number:03d}.tar").touch()
            os.truncate(tmp_path / f"{number:03d}.tar", 1 << 20)
            os.utime(tmp_path / f"{number:03d}.tar", (0, 0))
        return plan_scan(load_config(None, [f"input={tmp_path}/*.tar", "output=out"]), str(tmp_path / "m"), onto=onto)

    before = planned(100)
    receipts = receipts_of(len(before.units), [unit.fingerprint for unit in before.units])
    about = {name: getattr(before, name) for name in Provenance.__dataclass_fields__}
    made = commit(storage.absolute(str(tmp_path / "may")), receipts, Provenance(**about), created=CREATED)
    known = {unit.fingerprint for unit in before.units}
    plain = known & {unit.fingerprint for unit in planned(140).units}
    assert len(plain) < 0.7 * len(known), "units are larger now"
    after = planned(140, made)
    copied = sum(unit.made is not None for unit in after.units)
    assert copied > 0.9 * len(known)
    assert after.notices == [f"{copied} of {len(after.units)} units are copied from {made.uri}"]


def test_scores_of_the_same_images_are_taken_and_others_are_scored() -> None:
    """Rows whose image, or whose measurements, changed are scored again; so are those that were duplicates before."""
    columns = {"key": "abcdef", "sha256": "123456", "status": ["ok"] * 6, "duplicate_of": [None] * 6}
    rows = pa.table(
        {name: pa.array(list(values), schema(Stage.DEDUPE).field(name).type) for name, values in columns.items()}
    )
    for name in ("text_presence", "text_density"):
        rows = rows.append_column(name, pa.array([0.1, None, 0.3, 0.4, 0.5, 0.6], pa.float64()))
    rows = rows.append_column("text_kinds", pa.array([None] * 6, pa.string()))
    scored: list[str] = []

    def score(table: pa.Table, engine: str = "new") -> pa.Table:
        scored.extend(table.column("key").to_pylist())
        for field in COLUMNS[Stage.SCORE]:
            values = [engine if field.name == "text_engine" else None] * len(table)
            table = table.append_column(field, pa.array(values, field.type))
        return table

    earlier = score(rows, "old").to_pylist()
    earlier[2]["sha256"] = "other"
    earlier[3]["text_density"] = 0.41
    earlier[4]["text_engine"] = None  # it was a duplicate
    del earlier[5]
    scored.clear()
    found = EarlierScores(score, pa.Table.from_pylist(earlier, score(rows).schema))(rows.slice(0))
    assert found.column("text_engine").to_pylist() == ["old", "old", "new", "new", "new", "new"]
    assert scored[6:] == ["c", "d", "e", "f"]
    assert found.schema.names == [*rows.schema.names, *(f.name for f in COLUMNS[Stage.SCORE])]
    assert found.column("key").to_pylist() == list("abcdef")
