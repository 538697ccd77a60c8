"""`curate embed`: vectors of stored images, by real models with random weights; the file, and how it is resumed."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate as api
from curation.features import stored
from filters.embedding import load_embedder
from jobs.operations import embed as embedding
from jobs.operations.embed import Rows, embed
from jobs.operations.embed_workers import Embedding, Workers
from manifests.errors import InputError, StageFailed
from manifests.format.schema import Stage
from manifests.format.store import Manifest
from tests.conftest import curate
from tests.support.embedding_models import HIDDEN, needs_transformers, write_hugging_face, write_torchscript
from tests.support.making import commit_rows, rows_of_tar, tar_bytes
from tests.support.pictures import noise

pytestmark = needs_transformers

IMAGES, GONE, DAMAGED = 23, "0/03.png", "0/07.png"


def png(seed: int) -> bytes:
    """Return a picture of noise, of a size of its own."""
    out = io.BytesIO()
    Image.fromarray(noise(40 + seed, 90)[:, : 50 + seed]).save(out, "PNG")
    return out.getvalue()


def rows_in(folder: Path) -> list[dict]:
    """Return the rows of a tar with pictures: of one the bytes are others now, another was never decodable."""
    members = [(f"{number:02d}.png", png(number)) for number in range(IMAGES)]
    (folder / "0.tar").write_bytes(tar_bytes(members))
    rows = rows_of_tar(f"file://{folder}/0.tar", tar_bytes(members))
    for number, row in enumerate(rows):
        row |= {"text_class": "heavy" if number % 2 else "none", "text_score": number / 100}
        if row["key"] == GONE:
            row["sha256"] = "0" * 64
        if row["key"] == DAMAGED:
            row["status"] = "undecodable"
    return rows


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("manifest")
    rows = rows_in(folder)
    return commit_rows(folder / "chosen", [rows[:9], rows[9:]], Stage.CHOOSE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_hugging_face(tmp_path_factory.mktemp("model"), "Dinov2Model"))


@pytest.fixture
def how(model: str) -> Embedding:
    return Embedding(model=model, device="cpu", batch_images=4, workers=0)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK_ROWS", 4)
    monkeypatch.setattr(embedding, "PART_ROWS", 8)


# --- what is written


def test_vectors_are_those_of_the_scan(manifest: Manifest, how: Embedding, model: str, tmp_path: Path):
    done = embed(manifest, str(tmp_path / "f.parquet"), Rows(dtype="float32"), how)
    table = pq.read_table(tmp_path / "f.parquet")
    keys = [f"0/{number:02d}.png" for number in range(IMAGES)]
    keys.remove(DAMAGED)
    assert table["key"].to_pylist() == keys
    assert table.schema.field("vector").type == pa.list_(pa.float32(), HIDDEN)
    embedder = load_embedder(model)
    for row in table.to_pylist():
        if row["key"] == GONE:
            assert row["vector"] is None
            assert "sha256" in row["problem"]
        else:
            rgb = np.asarray(Image.open(io.BytesIO(png(int(row["key"][2:4])))))
            assert np.allclose(row["vector"], embedder.embed(rgb), atol=1e-5)
            assert row["problem"] is None
    assert (done.rows, done.dimensions, done.model) == (IMAGES - 1, HIDDEN, embedder.version)
    assert [key for key, _ in done.problems] == [GONE]


def test_features_are_read_with_their_columns(manifest: Manifest, how: Embedding, tmp_path: Path):
    which = Rows(columns=("text_class",), where="text_score < 0.1")
    embed(manifest, str(tmp_path / "f.parquet"), which, how)
    found = stored.read(str(tmp_path / "f.parquet"))
    assert found.keys == tuple(f"0/{number:02d}.png" for number in (0, 1, 2, 4, 5, 6, 8, 9))
    assert found.vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-3), "float16 in the file"
    heavy = found.take([each == "heavy" for each in found.columns["text_class"].to_pylist()])
    assert heavy.keys == ("0/01.png", "0/05.png", "0/09.png")
    assert np.array_equal(heavy.vectors, found.vectors[[1, 4, 7]])
    for one, other in (stored.in_common(found, heavy), stored.in_common(heavy, found)):
        assert one.keys == other.keys == heavy.keys
        assert np.array_equal(one.vectors, other.vectors)


def test_shards_are_read_instead_of_sources(how: Embedding, tmp_path: Path):
    rows = rows_in(tmp_path)
    places = {"shard_index": 0, "shard": "00000.tar"}
    kept = [
        {**row, **places, "shard_offset": row["offset"], "shard_size": row["size"], "source": "file:///gone.tar"}
        for row in rows
        if row["key"] not in (GONE, DAMAGED)
    ]
    shards = commit_rows(tmp_path / "shards", [kept], Stage.SHARD)
    (tmp_path / "0.tar").rename(tmp_path / "shards" / "00000.tar")
    done = embed(shards, str(tmp_path / "f.parquet"), Rows(), how)
    assert (done.rows, done.problems) == (IMAGES - 2, [])


def test_the_bytes_do_not_depend_on_processes(manifest: Manifest, model: str, tmp_path: Path, small_parts: None):
    for workers in (0, 2):
        how = Embedding(model=model, device="cpu", batch_images=4, workers=workers)
        embed(manifest, str(tmp_path / f"{workers}.parquet"), Rows(columns=("text_class",)), how)
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_a_torchscript_takes_pictures_of_any_shape(manifest: Manifest, tmp_path: Path):
    how = Embedding(model=str(write_torchscript(tmp_path / "m.pt")), device="cpu", workers=0)
    assert embed(manifest, str(tmp_path / "f.parquet"), Rows(), how).dimensions == 24


# --- interruptions


class Interrupted(Exception):
    pass


def stop_after(rows: int) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        assert total == IMAGES - 1
        if done >= rows:
            raise Interrupted

    return stop


def test_an_interrupted_call_goes_on(manifest: Manifest, how: Embedding, tmp_path: Path, small_parts: None):
    embed(manifest, str(tmp_path / "whole.parquet"), Rows(), how)
    output = tmp_path / "f.parquet"
    for rows in (12, 20):
        with pytest.raises(Interrupted):
            embed(manifest, str(output), Rows(), how, on_progress=stop_after(rows))
        assert not output.exists()
    assert [part.name for part in sorted(tmp_path.glob("f.parquet.parts/*"))] == ["00000.parquet", "00001.parquet"]
    seen: list[int] = []
    done = embed(manifest, str(output), Rows(), how, on_progress=lambda rows, _: seen.append(rows))
    assert seen == [16, 20, 22], "parts are not embedded again"
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert [key for key, _ in done.problems] == [GONE], "of an earlier call"
    assert not (tmp_path / "f.parquet.parts").exists()


def test_parts_of_another_call_are_refused(manifest: Manifest, how: Embedding, tmp_path: Path, small_parts: None):
    output = str(tmp_path / "f.parquet")
    with pytest.raises(Interrupted):
        embed(manifest, output, Rows(), how, on_progress=stop_after(12))
    for which in (Rows(where="true"), Rows(dtype="float32"), Rows(columns=("url",))):
        with pytest.raises(InputError, match=r"f\.parquet\.parts: .*--force"):
            embed(manifest, output, which, how)
    assert embed(manifest, output, Rows(where="true"), how, is_forced=True).rows == IMAGES - 1


def chunks_of(manifest: Manifest) -> list[pa.Table]:
    rows = pa.concat_tables(pq.read_table(part) for part in sorted(Path(manifest.uri[7:]).glob("*.parquet")))
    return [rows.slice(start, 4) for start in range(0, len(rows), 4)]


def test_a_process_that_ends_is_replaced_once(manifest: Manifest, model: str):
    how = Embedding(model=model, device="cpu", batch_images=4, workers=1)
    chunks = chunks_of(manifest)
    with Workers(how, None) as workers:
        whole = [each.key for _, found in workers.run(chunks) for each in found]
    with Workers(how, None) as workers:
        keys: list[str] = []
        for place, (_, found) in enumerate(workers.run(chunks)):
            keys += [each.key for each in found]
            if place == 0:
                _kill(workers)
        assert keys == whole
        with pytest.raises(StageFailed, match="fewer --workers"):
            for _ in workers.run(chunks):
                _kill(workers)


def _kill(workers: Workers) -> None:
    for process in list(workers._pool._processes.values()):
        process.kill()
        process.join()


# --- the command and the function


def test_the_command_names_what_has_no_vector(manifest: Manifest, model: str, tmp_path: Path):
    line = ("embed", manifest.uri, "--model", model, "--device", "cpu", "--workers", 0)
    done = curate(*line, "-o", tmp_path / "f.parquet", "--columns", "text_class", check=1)
    assert f"no vector: {GONE}: " in done.stderr
    assert done.stdout.startswith(f"{IMAGES - 2} vectors of {HIDDEN} numbers at file://")
    printed = json.loads(curate(*line, "-o", tmp_path / "g.parquet", "--json", check=1).stdout)
    assert (printed["rows"], printed["dimensions"]) == (IMAGES - 1, HIDDEN)
    assert [each["key"] for each in printed["problems"]] == [GONE]
    kept = curate(*line, "-o", tmp_path / "h.parquet", "--where", f"key != '{GONE}'")
    assert kept.stderr == ""
    assert "exists already; add --force" in curate(*line, "-o", tmp_path / "h.parquet", check=2).stderr
    curate(*line, "-o", tmp_path / "h.parquet", "--force", check=1)


def test_the_function_does_the_same(manifest: Manifest, model: str, tmp_path: Path):
    done = api.features.embed(manifest.uri, str(tmp_path / "f.parquet"), model=model, columns=["text_class"])
    found = api.features.read(str(tmp_path / "f.parquet"))
    assert len(found) == done.rows - len(done.problems) == IMAGES - 2
    assert found.model == done.model
    held_out = api.features.held_out(found.keys, 0.5)
    more = api.features.held_out(found.keys, 0.7)
    assert 0 < held_out.sum() < len(found)
    assert (more | ~held_out).all(), "a larger share contains the smaller one"
    assert api.features.mutual_knn(found.vectors, found.vectors, k=3).score == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "nonsense >"}, "where: "),
        ({"columns": ["nonsense"]}, "no column 'nonsense'"),
        ({"columns": ["key"]}, "columns: key is in the file anyway"),
        ({"columns": ["url", "url"]}, "a name is repeated"),
        ({"model": "nobody/has-this-model"}, "nor in the local cache"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_wrong_arguments_are_refused(manifest: Manifest, model: str, tmp_path: Path, options: dict, said: str):
    with pytest.raises(api.CurateError) as refused:
        api.features.embed(manifest.uri, str(tmp_path / "f.parquet"), **{"model": model, **options})
    assert said in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_another_file_is_no_file_of_features(tmp_path: Path):
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("nothing")
    for name in ("a.parquet", "b.parquet"):
        with pytest.raises(api.InputError, match=name):
            api.features.read(str(tmp_path / name))
    with pytest.raises(api.CurateError, match="missing"):
        api.features.read(str(tmp_path / "missing.parquet"))
