"""Embeddings: one vector for each picture, with any model; pairs by cosine equal to brute force; complete runs."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.config import DedupeConfig, EmbeddingConfig, ScanConfig, check_config
from curation.copies.cells import OVERFULL
from curation.copies.cosine_search import (
    GRID,
    NEIGHBOURS,
    VectorCells,
    cosine_pairs_in_cell,
    rounded,
)
from curation.pictures.decode import DEFAULT_LIMITS
from curation.pictures.vectors import pack, unpack
from curation.scan import embedder as loading
from curation.scan.measure import Requested, measure
from filters.embedding import MAX_ASPECT, Embedder, Preprocessing, load_embedder
from filters.protocol import FilterFailed, FilterUnavailable
from jobs.dedupe.stage import plan_dedupe
from jobs.dedupe.vector_search import cosine_pairs
from jobs.pipeline import check_ahead
from jobs.stages.scan import plan_scan
from manifests.errors import InputError
from manifests.format.store import open_manifest
from tests.conftest import Reference, curate, rows_of
from tests.support.embedding_models import (
    HIDDEN,
    needs_torch,
    needs_transformers,
    write_hugging_face,
    write_torchscript,
)
from tests.support.pictures import LINES, as_jpeg, landscape, noise, render

PICTURES = [landscape(), render(LINES), noise(60, 190), np.full((40, 40, 3), 255, np.uint8)]
HUGGING_FACE = ["Dinov2Model", "ViTModel", "ViTModel without pooler", "CLIPModel"]
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_torchscript(tmp_path_factory.mktemp("torchscript") / "tiny.torchscript.pt")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("torchscript", marks=needs_torch),
        *(pytest.param(k, marks=needs_transformers) for k in HUGGING_FACE),
    ],
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "torchscript":
        return str(request.getfixturevalue("torchscript"))
    return str(write_hugging_face(tmp_path_factory.mktemp("model"), request.param))


@pytest.fixture(scope="module")
def embedder(model: str) -> Embedder:
    return load_embedder(model)


# --- one picture ------------------------------------------------------------------------------------------


def test_vectors_are_of_length_one(embedder: Embedder):
    for rgb in PICTURES:
        vector = embedder.embed(rgb)
        assert vector.shape == (embedder.dimensions,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_equal_pictures_have_equal_vectors_whatever_came_before(embedder: Embedder, model: str):
    first = [embedder.embed(rgb) for rgb in PICTURES]
    for rgb, vector in list(zip(PICTURES, first, strict=True))[::-1] * 3:
        assert np.array_equal(embedder.embed(rgb.copy()), vector)
    again = load_embedder(model)
    assert again.version == embedder.version
    assert all(np.array_equal(again.embed(rgb), vector) for rgb, vector in zip(PICTURES, first, strict=True))


def test_copies_are_closer_than_unrelated_images(embedder: Embedder):
    page, hills = PICTURES[1], PICTURES[0]
    half = np.asarray(Image.fromarray(page).resize((page.shape[1] // 2, page.shape[0] // 2)))
    vector = embedder.embed(page)
    copies = [float(vector @ embedder.embed(copy)) for copy in (as_jpeg(page), half)]
    assert min(copies) > 0.99 > vector @ embedder.embed(hills)


def test_pictures_embedded_together_have_the_same_vectors(embedder: Embedder):
    together = embedder.embed_prepared([embedder.prepare(rgb) for rgb in PICTURES])
    for rgb, vector in zip(PICTURES, together, strict=True):
        assert np.allclose(vector, embedder.embed(rgb), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 60), (33, 31)])
def test_any_shape_is_accepted(embedder: Embedder, shape: tuple[int, int]):
    vector = embedder.embed(noise(*shape))
    assert vector is None or np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_version_does_not_depend_on_the_path(embedder: Embedder, model: str):
    assert "/" not in embedder.version
    assert "torch-" in embedder.version
    assert Path(model).parent.name not in embedder.version


@needs_torch
def test_a_version_depends_on_what_changes_vectors(torchscript: Path, tmp_path: Path):
    other = write_torchscript(tmp_path / torchscript.name, seed=1)
    moved = write_torchscript(tmp_path / "elsewhere.pt").rename(tmp_path / torchscript.name)
    versions = [
        load_embedder(str(path), preprocessing=Preprocessing(**settings)).version
        for path, settings in (
            (torchscript, {}),
            (torchscript, {"size": 100}),
            (torchscript, {"square": True}),
            (torchscript, {"mean": (0.5, 0.5, 0.5)}),
        )
    ]
    assert len(set(versions)) == len(versions)
    assert other == moved
    assert "tiny.torchscript@" in versions[0]


@needs_transformers
def test_a_pooler_without_weights_is_not_used(tmp_path: Path):
    folder = write_hugging_face(tmp_path, "ViTModel without pooler")
    first, second = load_embedder(str(folder)), load_embedder(str(folder))
    assert first.dimensions == HIDDEN
    assert np.array_equal(first.embed(PICTURES[0]), second.embed(PICTURES[0]))


def test_preprocessing_is_that_of_sscd():
    rgb = noise(100, 250)
    found = Preprocessing().apply(rgb)
    assert found.shape == (1, 3, 288, 720)
    assert Preprocessing(size=320, square=True).apply(rgb).shape == (1, 3, 320, 320)
    resized = np.asarray(Image.fromarray(rgb).resize((720, 288), Image.Resampling.BILINEAR)) / 255
    wanted = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(found[0].transpose(1, 2, 0), wanted, atol=1e-5)


def test_the_input_of_a_network_is_bounded():
    seen = []

    class Answer(np.ndarray):
        def double(self) -> "Answer":
            return self

        def cpu(self) -> "Answer":
            return self

        def numpy(self) -> np.ndarray:
            return np.asarray(self, np.float64)

    def forward(prepared):
        seen.extend(rgb.shape for rgb in prepared)
        return np.ones((1, 4)).view(Answer)

    Embedder(lambda rgb: rgb, forward, "v").embed(noise(2, 9000))
    assert seen[-1] == (2, 2 * MAX_ASPECT, 3)


# --- what is refused --------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("missing.pt", "copy it to every worker"),
        ("nonsense.pt", "ends in .torchscript.pt"),
        ("weights.classy.pt", "ends in .torchscript.pt"),
        ("map.pt", "gives no vector"),
    ],
)
def test_a_wrong_torchscript_is_refused(tmp_path: Path, model: str, advice: str):
    import torch

    (tmp_path / "nonsense.pt").write_bytes(b"nonsense")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.classy.pt")
    write_torchscript(tmp_path / "map.pt", kind="map")
    with pytest.raises(FilterUnavailable, match=advice):
        load_embedder(str(tmp_path / model))


@needs_transformers
def test_a_wrong_hugging_face_model_is_refused(tmp_path: Path):
    with pytest.raises(FilterUnavailable, match=r"config\.json"):
        load_embedder(str(tmp_path))
    with pytest.raises(FilterUnavailable, match="nor in the local cache"):
        load_embedder("nobody/has-this-model")
    with pytest.raises(FilterUnavailable, match="without randomness"):
        load_embedder(str(write_hugging_face(tmp_path / "mae", "ViTMAEModel")))
    folder = write_hugging_face(tmp_path / "vit", "ViTModel")
    _without_weight(folder / "model.safetensors", "layernorm.weight")
    with pytest.raises(FilterUnavailable, match=r"lacks weights .* layernorm\.weight"):
        load_embedder(str(folder))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FilterUnavailable, match="safetensors"):
        load_embedder(str(folder))


def _without_weight(path: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    save_file({k: v for k, v in load_file(path).items() if k != name}, path, metadata={"format": "pt"})


@needs_torch
def test_a_zero_vector_is_none_and_another_shape_fails(tmp_path: Path):
    assert load_embedder(str(write_torchscript(tmp_path / "zero.pt", kind="zero"))).embed(PICTURES[0]) is None
    grows = load_embedder(str(write_torchscript(tmp_path / "grows.pt", kind="grows")))
    with pytest.raises(FilterFailed, match="square"):
        grows.embed(PICTURES[0])


@needs_torch
def test_a_worker_with_another_model_refuses(torchscript: Path):
    config = EmbeddingConfig(model=str(torchscript)).as_model()
    version = loading.load(config).version
    assert loading.embedder(config, version) is loading.embedder(config, version)
    with pytest.raises(FilterUnavailable, match="on every machine"):
        loading.embedder(config, "another")


# --- columns ----------------------------------------------------------------------------------------------


@given(seeds, st.integers(0, 5), st.integers(1, 40))
def test_packing_vectors_is_reversible(seed: int, rows: int, dimensions: int):
    vectors = units(np.random.default_rng(seed), rows, dimensions)
    column = pa.array([pack(v) for v in vectors], pa.binary())
    assert all(len(each) == 2 * dimensions for each in column.to_pylist())
    found = unpack(column)
    assert np.allclose(found.reshape(vectors.shape), vectors, atol=1e-3)


def test_vectors_of_two_models_do_not_mix():
    with pytest.raises(ValueError, match="several lengths"):
        unpack(pa.array([bytes(4), bytes(8)]))


@needs_torch
def test_a_measured_picture_has_a_vector(torchscript: Path):
    loaded = load_embedder(str(torchscript))
    data = encoded(PICTURES[0], "png")
    measured = measure(data, DEFAULT_LIMITS, Requested(embedder=loaded))
    assert measured.embedding == pack(loaded.embed(PICTURES[0]))
    assert measure(data, DEFAULT_LIMITS).embedding is None
    assert measure(b"no picture", DEFAULT_LIMITS, Requested(embedder=loaded)).embedding is None


# --- pairs ------------------------------------------------------------------------------------------------


def units(rng: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    raw = rng.normal(size=(rows, dimensions))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def families(rng: np.random.Generator, rows: int, dimensions: int = 12) -> np.ndarray:
    """Return stored vectors around a few directions, some of them equal."""
    centres = units(rng, 4, dimensions)
    noisy = centres[rng.integers(0, 4, rows)] + rng.choice([0, 0.1, 0.3], (rows, 1)) * rng.normal(
        size=(rows, dimensions)
    )
    return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float16)


def named(rng: np.random.Generator, rows: int) -> pa.Array:
    return pa.array([bytes(row) for row in rng.permutation(256)[:rows, None].astype(np.uint8)], pa.binary())


def parts(rng: np.random.Generator, stored: np.ndarray) -> list[np.ndarray]:
    """Return the rows of `stored` in a few matrices, as they come in batches."""
    return np.split(stored, sorted(rng.integers(0, len(stored) + 1, 3)))


def brute_force(nodes: pa.Array, stored: np.ndarray, is_home: np.ndarray, least: float) -> dict:
    exact = np.rint(rounded(stored) / GRID).astype(np.int64)
    names, found = nodes.to_pylist(), {}
    for i in range(len(names)):
        for j in np.flatnonzero(is_home):
            cosine = int(exact[i] @ exact[j]) * GRID**2
            if i != j and cosine >= least:
                found[min(names[i], names[j]), max(names[i], names[j])] = min(cosine, 1)
    return found


def listed(table: pa.Table) -> dict:
    pairs = zip(table.column("a").to_pylist(), table.column("b").to_pylist(), strict=True)
    return dict(zip(pairs, table.column("cosine").to_pylist(), strict=True))


@given(seeds, st.integers(0, NEIGHBOURS + 1), st.sampled_from([0.3, 0.75, 0.9, 1.0]))
@settings(max_examples=60, deadline=None)
def test_pairs_in_a_cell_are_those_of_brute_force(seed: int, rows: int, least: float):
    rng = np.random.default_rng(seed)
    stored, nodes, is_home = families(rng, rows), named(rng, rows), rng.random(rows) < 0.7
    found = cosine_pairs_in_cell(nodes, parts(rng, stored), is_home, least)
    assert listed(found) == brute_force(nodes, stored, is_home, least)
    assert found.num_rows == len(listed(found))
    assert found.schema.types == [pa.binary(), pa.binary(), pa.float32()]


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_pairs_do_not_depend_on_the_order(seed: int):
    rng = np.random.default_rng(seed)
    stored, nodes, is_home = families(rng, 200), named(rng, 200), rng.random(200) < 0.7
    order = rng.permutation(200)
    found = cosine_pairs_in_cell(nodes, [stored], is_home, 0.75)
    shuffled = cosine_pairs_in_cell(nodes.take(pa.array(order)), parts(rng, stored[order]), is_home[order], 0.75)
    assert found.equals(shuffled)
    assert set(listed(found)) <= set(brute_force(nodes, stored, is_home, 0.75))


def test_cosines_do_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    stored = units(rng, 700, 96).astype(np.float16)
    cells = VectorCells(centroids=[pack(row) for row in stored[:50]], probes=4)
    together = cells.assign(stored)
    assert np.array_equal(together, np.concatenate([cells.assign(stored[i : i + 1]) for i in range(700)]))
    assert together.shape == (700, 4)


@pytest.mark.slow
def test_many_equal_vectors_make_few_pairs_that_connect_them():
    rows = 20_000
    stored = np.repeat(units(np.random.default_rng(1), 1, 64).astype(np.float16), rows, axis=0)
    nodes = pa.array([n.to_bytes(4, "big") for n in np.random.default_rng(2).permutation(rows).tolist()])
    found = cosine_pairs_in_cell(nodes, [stored], np.ones(rows, np.bool_), 0.9)
    assert rows - 1 <= found.num_rows <= (NEIGHBOURS + 1) * rows
    first = (0).to_bytes(4, "big")
    assert set(found.filter(pa.compute.equal(found["a"], pa.scalar(first))).column("b").to_pylist()) == {
        n.to_bytes(4, "big") for n in range(1, rows)
    }


def test_centroids_depend_only_on_the_sample():
    sample = families(np.random.default_rng(3), 600)
    cells = VectorCells.train(sample, 5, probes=2)
    assert cells == VectorCells.train(sample, 5, probes=2)
    centroids = np.frombuffer(b"".join(cells.centroids), np.float16).reshape(-1, 12)
    assert np.allclose(np.linalg.norm(centroids.astype(np.float32), axis=1), 1, atol=1e-2)
    assert np.bincount(cells.assign(sample)[:, 0]).max() <= OVERFULL * len(sample) / 5


def test_no_input_gives_no_output():
    none = np.zeros((0, 0), np.float16)
    assert cosine_pairs_in_cell(pa.array([], pa.binary()), [none], np.zeros(0, np.bool_), 0.9).num_rows == 0
    some = units(np.random.default_rng(4), 3, 8).astype(np.float16)
    nodes = pa.array([b"a", b"b", b"c"])
    assert cosine_pairs_in_cell(nodes, [some], np.zeros(3, np.bool_), 0.1).num_rows == 0
    assert VectorCells(centroids=(), probes=1).assign(none).shape == (0, 1)


def frame(spark, nodes: pa.Array, stored: np.ndarray, partitions: int):
    table = pa.table({"node": nodes, "embedding": pa.array([row.tobytes() for row in stored], pa.binary())})
    return spark.createDataFrame(table).repartition(partitions)


def test_pairs_over_spark_are_those_of_brute_force(spark):
    rng = np.random.default_rng(5)
    stored, nodes = units(rng, 150, 4).astype(np.float16), named(rng, 150)
    config = DedupeConfig(fingerprint="embedding", min_cosine=0.95)
    wanted = brute_force(nodes, stored, np.ones(150, np.bool_), 0.95)
    degrees = np.unique([node for pair in wanted for node in pair], return_counts=True)[1]
    assert len(wanted) > 50
    assert degrees.max() <= NEIGHBOURS
    assert listed(cosine_pairs(frame(spark, nodes, stored, 3), config).toArrow()) == wanted


def test_pairs_over_spark_do_not_depend_on_partitions(spark):
    rng = np.random.default_rng(6)
    stored, nodes = families(rng, 200), named(rng, 200)
    config = DedupeConfig(fingerprint="embedding", min_cosine=0.9, cell_bytes=30 * 24, probes=2)
    one, many = (listed(cosine_pairs(frame(spark, nodes, stored, n), config).toArrow()) for n in (1, 5))
    assert one == many
    assert one.items() <= brute_force(nodes, stored, np.ones(200, np.bool_), 0.9).items()


# --- complete runs -------------------------------------------------------------------------------------------


def encoded(rgb: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    return buffer.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars with five unrelated images, and copies of three: re-encoded, smaller, and with the same bytes."""
    unrelated = [
        landscape(),
        render(LINES),
        landscape()[:, ::-1] // 3,
        255 - landscape(),
        np.tile(np.arange(300, dtype=np.uint8)[:, None, None] // 2, (1, 300, 3)),
    ]
    folder = tmp_path_factory.mktemp("planted")
    half = np.asarray(Image.fromarray(unrelated[1]).resize((unrelated[1].shape[1] // 2, unrelated[1].shape[0] // 2)))
    write_tar(folder / "0.tar", {f"{n}.png": encoded(rgb, "png") for n, rgb in enumerate(unrelated)})
    write_tar(
        folder / "1.tar",
        {
            "0_jpeg.jpg": encoded(unrelated[0], "jpeg", quality=70),
            "1_half.png": encoded(half, "png"),
            "4_same.png": encoded(unrelated[4], "png"),
            "broken.jpg": b"\xff\xd8nothing",
        },
    )
    return folder


@needs_torch
@pytest.mark.spark
def test_a_run_merges_copies_by_embedding_and_no_unrelated_images(torchscript: Path, planted: Path, tmp_path: Path):
    scan, found = tmp_path / "scan", tmp_path / "deduped"
    local = ("--master", "local[2]", "--quiet")
    curate("scan", planted / "*.tar", "-o", scan, "--set", f"scan.embedding.model={torchscript}", *local)
    rows = rows_of(scan).to_pylist()
    assert {len(r["embedding"]) for r in rows if r["status"] == "ok"} == {2 * 24}
    assert [r["member"] for r in rows if r["embedding"] is None] == ["broken.jpg"]
    manifest = open_manifest(str(scan))
    assert manifest.software["embedding"].startswith("tiny.torchscript@")
    assert manifest.config["embedding"]["size"] == 288

    curate("dedupe", scan, "-o", found, "--fingerprint", "embedding", "--min-cosine", "0.998", *local)
    clusters: dict[str, set[str]] = {}
    kinds = {}
    for row in rows_of(found).to_pylist():
        clusters.setdefault(row["cluster_id"], set()).add(row["member"])
        kinds[row["member"]] = row["duplicate_kind"]
    assert sorted(map(sorted, clusters.values())) == [
        ["0.png", "0_jpeg.jpg"],
        ["1.png", "1_half.png"],
        ["2.png"],
        ["3.png"],
        ["4.png", "4_same.png"],
        ["broken.jpg"],
    ]
    assert kinds["1_half.png"] == "semantic"
    assert {kinds["4.png"], kinds["4_same.png"]} == {None, "exact"}
    assert "max_distance" not in open_manifest(str(found)).config


def test_a_scan_without_vectors_cannot_be_deduplicated_by_them(reference: Reference, tmp_path: Path):
    scan = str(reference.output / "scan")
    assert "embedding" not in open_manifest(scan).config
    by_vector = config_of(dedupe={"fingerprint": "embedding"})
    with pytest.raises(InputError, match=r"scan again with scan\.embedding\.model"):
        plan_dedupe(by_vector, scan, str(tmp_path / "deduped"))
    assert "fingerprint" not in plan_dedupe(config_of(), scan, str(tmp_path / "deduped")).config


# --- the configuration ------------------------------------------------------------------------------------


def config_of(**sections: object):
    return check_config({"input": "a.tar", "output": "out", **sections}, origin="test")


def test_the_stages_of_a_run_must_fit_together():
    with pytest.raises(InputError, match=r"set scan\.embedding\.model"):
        check_ahead(config_of(dedupe={"fingerprint": "embedding"}))
    config_of(dedupe={"fingerprint": "embedding"}, scan={"embedding": {"model": "m.pt"}}).check_run()


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ({"modell": "m.pt"}, "did you mean model"),
        ({"model": "m.pt", "std": [0.2, 0, 0.2]}, "above 0"),
        ({"model": "m.pt", "mean": [0.5]}, "scan.embedding.mean"),
        ({"size": 100}, "scan.embedding.model"),
    ],
)
def test_wrong_settings_are_named(embedding: dict, message: str):
    with pytest.raises(InputError, match=message):
        config_of(scan={"embedding": embedding})


def test_explicit_defaults_change_nothing(tmp_path: Path, planted: Path):
    assert ScanConfig().embedding is None
    plan = plan_scan(config_of(input=[str(planted / "*.tar")]), str(tmp_path / "scan"))
    assert "embedding" not in plan.config
    assert "embedding" not in plan.software


@needs_torch
def test_permission_to_download_a_model_is_not_part_of_a_plan(tmp_path: Path, planted: Path, torchscript: Path):
    plans = [
        plan_scan(
            config_of(
                input=[str(planted / "*.tar")], scan={"embedding": {"model": str(torchscript), "download": download}}
            ),
            str(tmp_path / "scan"),
        )
        for download in (False, True)
    ]
    assert plans[0].document() == plans[1].document()


@needs_torch
def test_a_wrong_model_is_refused_before_any_work(tmp_path: Path, planted: Path):
    config = config_of(input=[str(planted / "*.tar")], scan={"embedding": {"model": str(tmp_path / "none.pt")}})
    with pytest.raises(FilterUnavailable, match=r"scan\.embedding: .* missing"):
        plan_scan(config, str(tmp_path / "scan"))
