"""Samples for shards come from the nearest place that has them, and are the same whichever that is."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.shards import copies
from curation.shards.copies import copy_samples
from curation.shards.read import COPY, InCopies, InShards, contents, in_source
from curation.shards.write import write_shard
from manifests import storage
from manifests.errors import BrokenSource
from tests.curation.shards.test_shards import MEMBERS, make_tar, picture, scan_tar

ORDER = ("to_shard", "place", "key")


def placed(table: pa.Table, shards: int = 2) -> pa.Table:
    """Return rows with a shard, and places that reverse their order."""
    numbers = range(table.num_rows)
    table = table.append_column("to_shard", pa.array([n % shards for n in numbers], pa.int64()))
    return table.append_column("place", pa.array([bytes([255 - n]) for n in numbers], pa.binary()))


def copied(rows: pa.Table, folder: str) -> pa.Table:
    return copy_samples(rows, place=in_source, folder=folder, group="part-00000", order=ORDER)


def read(rows: pa.Table, *places) -> dict[str, list[tuple[str, bytes]]]:
    return {record["key"]: members for record, members in contents(rows.to_pylist(), places)}


@pytest.fixture
def rows(tmp_path: Path) -> pa.Table:
    return placed(scan_tar(make_tar(tmp_path / "00000.tar", MEMBERS)))


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_copies_are_the_samples_those_of_a_shard_together(rows, tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(copies, "CHUNK_BYTES", chunk_bytes)
    folder = f"file://{tmp_path}/copies"
    made = copied(rows, folder)
    wanted = read(rows)
    (tmp_path / "00000.tar").unlink()
    assert read(made, InCopies(uri=folder, place=in_source)) == wanted
    stored = made.sort_by("copy_offset")
    if chunk_bytes == 1 << 20:
        assert stored.column("to_shard").to_pylist() == [0, 0, 0, 1, 1, 1]
        assert stored.column("place").to_pylist()[:3] == sorted(stored.column("place").to_pylist()[:3])
    else:
        assert stored.column("key").to_pylist() == made.sort_by("offset").column("key").to_pylist()


def test_a_later_attempt_copies_what_is_missing(rows, tmp_path):
    folder = f"file://{tmp_path}/copies"
    first = copied(rows.slice(0, 4), folder)
    again = copied(rows, folder)
    assert again.column(COPY).to_pylist()[:4] == first.column(COPY).to_pylist()
    assert len(set(again.column(COPY).to_pylist())) == 2
    names = storage.list_names(f"{folder}/part-00000")
    assert copied(rows, folder).equals(again)
    assert storage.list_names(f"{folder}/part-00000") == names


@settings(max_examples=20)
@given(damaged=st.sets(st.integers(0, 5)), is_cut=st.booleans())
def test_damaged_copies_and_shards_are_passed_over(tmp_path_factory, damaged, is_cut):
    """Of a copy and a shard with the same samples damaged, nothing is taken."""
    tmp_path = tmp_path_factory.mktemp("read")
    rows = placed(scan_tar(make_tar(tmp_path / "00000.tar", MEMBERS)))
    wanted = read(rows)
    folder, shards = f"file://{tmp_path}/copies", f"file://{tmp_path}/shards"
    made = copied(rows, folder)
    batch = write_shard(shards, "00000", rows).batch
    together = made
    for name in batch.schema.names[batch.schema.get_field_index("shard") :]:
        together = together.append_column(name, batch.column(name))
    (copy,) = {tmp_path / "copies" / name for name in made.column(COPY).to_pylist()}
    for path, column in ((copy, "copy_offset"), (tmp_path / "shards/00000.tar", "shard_offset")):
        data = bytearray(path.read_bytes())
        for n in damaged:
            at = together.column(column)[n].as_py()
            data[at] ^= 1
        path.write_bytes(data[: len(data) // 2] if is_cut else data)
    places = [InCopies(uri=folder, place=in_source), InShards(uri=shards, has_json=False)]
    assert read(together, *places) == wanted
    for path in (tmp_path / "00000.tar", tmp_path / "shards/00000.tar", copy):
        path.unlink()
    with pytest.raises(BrokenSource, match="missing"):
        read(together, *places)


def test_samples_that_are_not_there_are_not_copied(rows, tmp_path):
    first = rows.to_pylist()[0]
    end = first["caption_offset"] + first["caption_size"]
    (tmp_path / "00000.tar").write_bytes((tmp_path / "00000.tar").read_bytes()[:end])
    made = copied(rows, f"file://{tmp_path}/copies")
    assert made.column(COPY).null_count == 5
    (tmp_path / "00000.tar").unlink()
    assert copied(rows, f"file://{tmp_path}/others").column(COPY).null_count == 6


def test_a_picture_that_was_resized_is_nowhere_else(tmp_path):
    row = {**scan_tar(make_tar(tmp_path / "0.tar", {"a.png": picture(1)})).to_pylist()[0]}
    row |= {"shard": "00000.tar", "shard_offset": 512, "shard_size": 10, "shard_sha256": "ab"}
    with pytest.raises(BrokenSource, match="resized for this shard"):
        list(contents([row], [InShards(uri=f"file://{tmp_path}/gone")]))
