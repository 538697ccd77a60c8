"""A deduplicated manifest that is deduplicated again has the rows of a dedupe of its scan, as far as is promised."""

import shutil
from pathlib import Path

import pytest

from curation.copies.redecide import DECIDED
from manifests.format.store import open_manifest
from tests.conftest import curate, rows_of
from tests.jobs.dedupe.test_dedupe import LOCAL, ORIGINALS, encoded, write_tar
from tests.support.copying import cropped, mirrored, paint, written_on
from tests.support.pictures import turned

pytestmark = pytest.mark.spark
FEWER = ("--copies", "exact,mild")
STRICTER = ("--copies", "exact,mild,overlay", "--set", "dedupe.strictness.overlay=1")


def members() -> dict[str, bytes]:
    """Return a picture and copies of it. Of a part and of a mirrored picture there are copies in turn."""
    picture = paint(ORIGINALS["city"], width=560, height=440)
    part, other_way = cropped(picture, 0.6), encoded(mirrored(picture), "jpeg", quality=90)
    return {
        "whole.png": encoded(picture),
        "whole_mild.jpg": encoded(picture, "jpeg", quality=70),
        "text.jpg": encoded(written_on(picture), "jpeg", quality=90),
        "part.png": encoded(part),
        "part_mild.jpg": encoded(part, "jpeg", quality=80),
        "mirror.jpg": other_way,
        "mirror_same.jpg": other_way,
        "turn.jpg": encoded(turned(picture, 90), "jpeg", quality=90),
        "other.png": encoded(paint(ORIGINALS["still"])),
    }


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scan, that deduplicated, and `wanted`: deduplicated from the scan. The pictures are gone."""
    folder = tmp_path_factory.mktemp("crawl")
    (folder / "tars").mkdir()
    pictures = list(members().items())
    for number in range(2):
        write_tar(folder / f"tars/{number}.tar", dict(pictures[number::2]))
    curate("scan", folder / "tars/*.tar", "-o", folder / "scan", "--unit-bytes", 1, *LOCAL)
    for name, settings in {"deduped": (), "wanted/fewer": FEWER, "wanted/stricter": STRICTER}.items():
        curate("dedupe", folder / "scan", "-o", folder / name, *settings, *LOCAL)
    shutil.rmtree(folder / "tars")
    return folder


def decided(manifest: Path) -> dict[str, tuple[str | None, ...]]:
    """Return what dedupe found for each member, without the evidence."""
    names = [name for name in DECIDED if name != "duplicate_evidence"]
    return {row["member"]: tuple(row[name] for name in names) for row in rows_of(manifest).to_pylist()}


@pytest.mark.parametrize(("name", "settings"), [("fewer", FEWER), ("stricter", STRICTER)])
def test_rows_are_those_of_a_dedupe_of_the_scan(crawl: Path, tmp_path: Path, name: str, settings: tuple) -> None:
    assert len({cluster for cluster, *_ in decided(crawl / "deduped").values()}) == 2
    curate("dedupe", crawl / "deduped", "-o", tmp_path / "again", *settings, *LOCAL)
    assert decided(tmp_path / "again") == decided(crawl / "wanted" / name)
    kinds = [row["duplicate_kind"] for row in rows_of(tmp_path / "again").to_pylist() if row["duplicate_kind"]]
    assert sorted(kinds) == ["exact", "mild", "mild"], "of the mirrored pictures, the whole and the part"
    curate("verify", tmp_path / "again")


def test_partitions_and_parts_change_nothing(crawl: Path, tmp_path: Path) -> None:
    """Deciding twice, and with other tasks, gives the same rows."""
    few = ("--set", "spark.conf.spark.sql.shuffle.partitions=3")
    curate("dedupe", crawl / "deduped", "-o", tmp_path / "fewer", *FEWER, *LOCAL, *few)
    curate("dedupe", crawl / "deduped", "-o", tmp_path / "stricter", *STRICTER, *LOCAL)
    curate("dedupe", tmp_path / "stricter", "-o", tmp_path / "twice", *FEWER, *LOCAL)
    assert decided(tmp_path / "twice") == decided(tmp_path / "fewer")


def test_the_same_settings_change_no_row(crawl: Path, tmp_path: Path) -> None:
    curate("dedupe", crawl / "deduped", "-o", tmp_path / "same", *LOCAL)
    assert rows_of(tmp_path / "same").equals(rows_of(crawl / "deduped"))
    assert open_manifest(str(tmp_path / "same")).digest == open_manifest(str(crawl / "deduped")).digest


def test_a_kind_that_was_not_searched_for_is_refused(crawl: Path, tmp_path: Path) -> None:
    failed = curate("dedupe", crawl / "wanted/fewer", "-o", tmp_path / "wider", *STRICTER, *LOCAL, check=2)
    assert "was not searched for overlay; dedupe its scan with them" in failed.stderr
