"""Shards of shards: the same tars, whether samples come from the sources, from shards, or from temporary copies."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import SparkSession

import curate as api
from curation.shards import copies
from manifests.errors import StageFailed
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest
from tests.conftest import curate, rows_of, tar_hashes
from tests.support.making import commit_rows, rows_of_tar, tar_bytes
from tests.support.object_store import bucket_of

IMAGES = 30
SIDECAR = json.dumps({"uid": "x", "curate": "theirs"}).encode()


def png(colour: int, side: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (colour, 0, 0)).save(out, "png")
    return out.getvalue()


@pytest.fixture
def chosen(tmp_path: Path) -> Manifest:
    """A chosen manifest of images in two tars, a part each, two of three images kept, some with json and caption."""
    parts = []
    for tar in range(2):
        members = []
        for n in range(tar * IMAGES // 2, (tar + 1) * IMAGES // 2):
            members.append((f"{n}.png", png(n, side=8 + n)))
            members += [(f"{n}.json", SIDECAR)] * (n % 2) + [(f"{n}.txt", "naïve".encode("latin-1"))] * (n % 3 == 1)
        data = tar_bytes(members)
        (tmp_path / f"{tar}.tar").write_bytes(data)
        rows = rows_of_tar(f"file://{tmp_path}/{tar}.tar", data)
        parts.append([complete(row, data) for row in rows])
    return commit_rows(tmp_path / "chosen", parts, Stage.CHOOSE)


def complete(row: dict, data: bytes) -> dict:
    """Return the row of an image with its sidecars and its size."""
    number = int(row["member"].split(".")[0])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
    for kind, name in (("json", f"{number}.json"), ("caption", f"{number}.txt")):
        if name in members:
            member = members[name]
            row |= {f"{kind}_member": name, f"{kind}_offset": member.offset_data, f"{kind}_size": member.size}
    caption = "naïve" if "caption_member" in row else "from a table" if number % 3 == 2 else None
    return {**row, "width": 8 + number, "height": 8 + number, "caption": caption, "keep": number % 3 != 0}


def sharded(source: str | Manifest, output: Path, spark: SparkSession, **settings: object) -> Path:
    """Shard a manifest, and return the folder of the shards."""
    uri = source.uri if isinstance(source, Manifest) else source
    api.shard(str(uri), str(output), spark=spark, **{"samples_per_shard": 6, **settings})
    assert not (output / "_work").exists()
    return output


def contents(shards: Path) -> dict[str, bytes]:
    """Return the tars, by name."""
    return {path.name: path.read_bytes() for path in sorted(shards.glob("*.tar"))}


@pytest.mark.parametrize("layout", ["uniform", "original"])
def test_stream_gives_the_tars_of_gather(
    spark: SparkSession, chosen: Manifest, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "CHUNK_BYTES", 200)
    settings = {"layout": layout}
    gathered = sharded(chosen, tmp_path / "gather", spark, read="gather", **settings)
    streamed = sharded(chosen, tmp_path / "stream", spark, read="stream", **settings)
    assert contents(streamed) == contents(gathered)
    assert rows_of(streamed).equals(rows_of(gathered))
    assert open_manifest(str(streamed)).fingerprint == open_manifest(str(gathered)).fingerprint


@pytest.mark.parametrize(
    ("before", "after"), [("uniform", "uniform"), ("original", "uniform"), ("uniform", "original")]
)
def test_shards_of_a_selection_of_shards_are_those_of_the_selection(
    spark: SparkSession, chosen: Manifest, tmp_path: Path, before: str, after: str
) -> None:
    """Whatever layout the shards have that samples are taken from: nothing is nested, nothing is lost."""
    first = sharded(chosen, tmp_path / "first", spark, layout=before)
    for source, selection in ((chosen.uri, "of-chosen"), (first, "of-shards")):
        curate("sample", source, "-o", tmp_path / selection, "--where", "width % 4 > 0", "--fraction", "1")
    wanted = sharded(f"{tmp_path}/of-chosen", tmp_path / "wanted", spark, layout=after)
    for read in ("gather", "stream"):
        found = sharded(f"{tmp_path}/of-shards", tmp_path / f"found-{read}", spark, layout=after, read=read)
        assert contents(found) == contents(wanted)
        assert rows_of(found).equals(rows_of(wanted))
    curate("verify", found, "--deep")
    log = curate("log", found).stdout
    assert [log.count(f"\n  at        file://{tmp_path}/{name}\n") for name in ("first", "of-shards", "chosen")] == [
        1
    ] * 3


def test_shards_are_read_where_they_were_moved_and_sources_where_they_are_gone(
    spark: SparkSession, chosen: Manifest, tmp_path: Path
) -> None:
    """The sources are taken away, then the shards: what is left is enough."""
    (tmp_path / "out").mkdir()
    first = sharded(chosen, tmp_path / "out/shards", spark)
    wanted = contents(sharded(str(first), tmp_path / "wanted", spark, samples_per_shard=4))
    curate("sample", first, "-o", tmp_path / "out/all", "--fraction", "1")
    (tmp_path / "out").rename(tmp_path / "moved")
    (tmp_path / "0.tar").rename(tmp_path / "0.away")
    found = sharded(f"{tmp_path}/moved/all", tmp_path / "from-moved", spark, samples_per_shard=4)
    assert contents(found) == wanted
    (tmp_path / "0.away").rename(tmp_path / "0.tar")
    (tmp_path / "moved/shards/00001.tar").write_bytes(b"")
    (tmp_path / "moved/shards/00002.tar").unlink()
    assert contents(sharded(f"{tmp_path}/moved/all", tmp_path / "from-both", spark, samples_per_shard=4)) == wanted
    shutil.rmtree(tmp_path / "moved/shards")
    shown = curate("shard", tmp_path / "moved/all", "-o", tmp_path / "from-sources", "--dry-run").stdout
    assert "there are no shards any more" in " ".join(shown.split())
    assert contents(sharded(f"{tmp_path}/moved/all", tmp_path / "from-sources", spark, samples_per_shard=4)) == wanted


def test_resized_pictures_come_from_the_shards_alone(spark: SparkSession, chosen: Manifest, tmp_path: Path) -> None:
    small = sharded(chosen, tmp_path / "small", spark, resize="16:keep-ratio")
    again = sharded(str(small), tmp_path / "again", spark, samples_per_shard=4)
    columns = ["key", "sha256", "shard_size", "shard_sha256", "shard_width", "shard_height"]
    assert rows_of(again).select(columns).equals(rows_of(small).select(columns))
    assert 0 < rows_of(again).column("shard_sha256").null_count < 20
    curate("verify", again, "--deep")
    for path in small.glob("*.tar"):
        path.unlink()
    with pytest.raises(StageFailed, match="was resized for this shard"):
        sharded(str(small), tmp_path / "lost", spark)


def test_an_interrupted_stream_goes_on_from_its_copies(
    spark: SparkSession, chosen: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that has changed stops the stage after the copies were made; the others need no source any more."""
    wanted = contents(sharded(chosen, tmp_path / "wanted", spark))
    tar, output = tmp_path / "0.tar", tmp_path / "shards"
    row = next(row for row in pq.read_table(tmp_path / "chosen/part-00000.parquet").to_pylist() if row["keep"])
    data = tar.read_bytes()
    tar.write_bytes(data[: row["offset"]] + b"?" * row["size"] + data[row["offset"] + row["size"] :])
    with pytest.raises(StageFailed, match="changed since the scan"):
        sharded(chosen, output, spark, read="stream")
    files = sorted((output / "_work/copies").rglob("*.bin"))
    assert len(files) == 2
    end = max(row[f"{kind}_offset"] + row[f"{kind}_size"] for kind in ("json", "caption"))
    tar.write_bytes(b"?" * row["offset"] + data[row["offset"] : end])
    assert contents(sharded(chosen, output, spark, read="stream")) == wanted


def test_plans_say_how_samples_are_read_and_why(chosen: Manifest, tmp_path: Path) -> None:
    def shown(*options: str) -> str:
        done = curate("shard", chosen.uri, "-o", tmp_path / "x", "--dry-run", *options)
        return " ".join(done.stdout.split())

    assert "samples are read by gather: " in shown()
    assert "samples are read by stream, as set: " in shown("--read", "stream")
    (found,) = json.loads(curate("shard", chosen.uri, "-o", tmp_path / "x", "--dry-run", "--json").stdout)
    assert "requests" in found["detail"]


def test_a_manifest_without_verdicts_is_refused(tmp_path: Path) -> None:
    commit_rows(tmp_path / "scan", [[{"key": "a"}]], Stage.SCAN)
    done = curate("shard", tmp_path / "scan", "-o", tmp_path / "x", check=2)
    assert "this needs one of choose or shard; run dedupe, then score, then choose first" in done.stderr


def test_shards_by_bytes_can_be_divided_by_bytes_again(spark: SparkSession, chosen: Manifest, tmp_path: Path) -> None:
    first = sharded(chosen, tmp_path / "first", spark)
    total = sum(rows_of(first).column("size").to_pylist())
    again = sharded(str(first), tmp_path / "again", spark, target_shard_bytes=total // 3)
    assert len(tar_hashes(again)) == 4


def test_streams_on_object_storage(spark: SparkSession, chosen: Manifest, tmp_path: Path) -> None:
    """Shards, their sources and the copies are objects; the tars are those of a disk."""
    wanted = sharded(chosen, tmp_path / "wanted", spark)
    again = sharded(str(wanted), tmp_path / "again", spark, samples_per_shard=4)
    with bucket_of("shards") as client:
        for path in sorted(path for path in wanted.rglob("*") if path.is_file()):
            name = path.relative_to(wanted)
            client.put_object(Bucket="shards", Key=f"first/{name}", Body=path.read_bytes())
        endpoint = {"s3": {"endpoint_url": client.meta.endpoint_url, "key": "x", "secret": "x"}}
        settings = {"samples_per_shard": 4, "read": "stream", "storage": endpoint, "spark": spark}
        made = api.shard("s3://shards/first", "s3://shards/again", **settings)
        names = [each["Key"] for each in client.list_objects_v2(Bucket="shards", Prefix="again/")["Contents"]]
        assert not any("_work" in name for name in names)
        for name, data in contents(again).items():
            assert client.get_object(Bucket="shards", Key=f"again/{name}")["Body"].read() == data
    assert made.digest == open_manifest(str(again)).digest
