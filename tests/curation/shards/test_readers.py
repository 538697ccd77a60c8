"""Shards of mixed pictures, with and without captions, as the readers of others see them; their indexes, too."""

import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import webdataset
from PIL import Image

from curation.shards.indexes import DATASET_INDEXES, Tar, dali_index, dataset_indexes, energon_index
from curation.shards.layout import IMAGE, Layout, ShardForm
from curation.shards.write import write_shard
from tests.curation.shards.test_shards import make_tar, scan_tar
from tests.support.readers import needs_readers

PICTURES = [
    *(("jpg", "RGB"), ("png", "RGBA"), ("webp", "RGB"), ("gif", "P"), ("tif", "RGB"), ("jpg", "L"), ("bmp", "RGB"))
]
TARS = 2


def picture(number, extension, mode):
    """Return a picture of 30 × 40 pixels; each number has another colour."""
    out = io.BytesIO()
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(extension, extension)
    Image.new("RGB", (30, 40), (40 * number % 256, 90, 20)).convert(mode).save(out, kind)
    return out.getvalue()


def sources(tar):
    """Return the members of a tar: every second sample has a caption, every third a json, no two of the same form."""
    members = {}
    for number, (extension, mode) in enumerate(PICTURES):
        stem = f"{tar}{number}"
        members[f"{stem}.{extension}"] = picture(tar * len(PICTURES) + number, extension, mode)
        if number % 2:
            members[f"{stem}.txt"] = f"Bild {stem}: naïve".encode()
        if number % 3 == 0:
            members[f"{stem}.json"] = json.dumps({"uid": f"u{stem}", f"own{number}": [number], "w": stem}).encode()
    members[f"{tar}0.json"] = b"[1, 2]"
    return members


def write(folder: Path, layout: Layout):
    """Write tars of mixed samples with their indexes to `folder`, and return their rows."""
    rows, tars = [], []
    folder.mkdir()
    for tar in range(TARS):
        name = f"{tar:05d}"
        table = scan_tar(make_tar(folder / "source.tar", sources(tar)))
        written = write_shard(f"file://{folder}", name, table, ShardForm(layout=layout))
        rows += written.batch.to_pylist()
        size_bytes = written.files[f"{name}.tar"]["bytes"]
        tars.append(Tar(name=f"{name}.tar", samples=table.num_rows, size_bytes=size_bytes))
    (folder / "source.tar").unlink()
    for path, data in dataset_indexes(tars, image=IMAGE if layout is Layout.UNIFORM else None).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    return rows


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder with mixed shards, and their rows."""
    folder = tmp_path_factory.mktemp("readers") / "shards"
    return folder, write(folder, Layout.UNIFORM)


def urls(folder):
    return [str(folder / f"{tar:05d}.tar") for tar in range(TARS)]


@pytest.mark.parametrize("decoder", ["rgb8", "pil"])
def test_webdataset(shards, decoder):
    folder, rows = shards
    read = webdataset.WebDataset(urls(folder), shardshuffle=False).decode(decoder)
    found = list(read.to_tuple("__key__", "jpg", "json", "txt"))
    assert [key for key, *_ in found] == [row["key"] for row in rows]
    for (_, image, metadata, caption), row in zip(found, rows, strict=True):
        assert np.asarray(image).shape == (row["height"], row["width"], 3)
        assert metadata["curate"]["sha256"] == row["sha256"]
        assert caption == (row["caption"] or "")


@pytest.mark.parametrize("streaming", [False, True])
def test_hugging_face_datasets(shards, streaming, tmp_path):
    folder, rows = shards
    features = datasets.Features(
        {
            "__key__": datasets.Value("string"),
            "__url__": datasets.Value("string"),
            "jpg": datasets.Image(),
            "json": datasets.Json(),
            "txt": datasets.Value("string"),
        }
    )
    read = datasets.load_dataset(
        "webdataset",
        data_files={"train": urls(folder)},
        split="train",
        features=features,
        streaming=streaming,
        cache_dir=str(tmp_path),
    )
    found = list(read)
    assert [each["__key__"] for each in found] == [row["key"] for row in rows]
    for each, row in zip(found, rows, strict=True):
        assert each["jpg"].convert("RGB").size == (row["width"], row["height"])
        assert (each["txt"], each["json"]["curate"]["sha256"]) == (row["caption"] or "", row["sha256"])


@needs_readers
def test_open_clip(shards):
    from open_clip_train.data import get_wds_dataset

    folder, rows = shards
    settings = SimpleNamespace(val_data=f"{folder}/{{00000..00001}}.tar", val_num_samples=0, batch_size=4, workers=0)
    # Its training reads with webdataset up to 0.2.86; what it does with samples is the same here.
    loader = get_wds_dataset(settings, np.asarray, is_train=False, tokenizer=lambda text: [text]).dataloader
    found = [(image.shape, text) for images, texts in loader for image, text in zip(images, texts, strict=True)]
    assert found == [((row["height"], row["width"], 3), row["caption"] or "") for row in rows]


@needs_readers
def test_wids_reads_by_its_index(shards, tmp_path):
    import wids

    folder, rows = shards
    read = wids.ShardListDataset(str(folder / "wids-meta.json"), cache_dir=str(tmp_path), keep=True)
    assert len(read) == len(rows)
    for position in (len(rows) - 1, *range(len(rows))):
        sample, row = read[position], rows[position]
        assert (sample["__key__"], sample[".jpg"].size) == (row["key"], (row["width"], row["height"]))
        assert sample[".json"]["curate"]["sha256"] == row["sha256"]
        assert sample[".txt"] == (row["caption"] or "")


@needs_readers
def test_energon_reads_by_its_index(shards):
    from megatron import energon

    folder, rows = shards
    found = energon_samples(folder, energon.DefaultTaskEncoder())
    assert {key: sample.caption for key, sample in found.items()} == {
        row["key"]: row["caption"] or "" for row in rows
    }
    assert all(sample.image.shape == (3, 40, 30) for sample in found.values())


def energon_samples(folder, task_encoder):
    """Return the samples that Energon reads, by key, without the name of the tar that it puts before."""
    from megatron import energon

    workers = energon.WorkerConfig(rank=0, world_size=1, num_workers=0)
    data = energon.get_val_dataset(
        str(folder), split_part="train", worker_config=workers, batch_size=None, task_encoder=task_encoder
    )
    return {sample.__key__.rsplit("/", 1)[-1]: sample for sample in energon.get_loader(data)}


@needs_readers
@pytest.mark.parametrize("layout", Layout)
def test_the_index_of_energon_is_what_its_own_tool_writes(tmp_path, layout):
    from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

    folder = tmp_path / "shards"
    write(folder, layout)
    ours = {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".idx", ".json", ".yaml")}
    WebdatasetPreparator.prepare_dataset(
        folder, [Path(each).name for each in urls(folder)], split_parts_patterns=[("train", ".*")], workers=1
    )
    for path in folder.glob("*.tar.idx"):
        assert path.read_bytes() == ours[path]
    counts, split = folder / ".nv-meta/.info.json", folder / ".nv-meta/split.yaml"
    assert json.loads(counts.read_bytes())["shard_counts"] == json.loads(ours[counts])["shard_counts"]
    assert split.read_bytes() == ours[split]


@needs_readers
def test_energon_reads_the_layout_original_as_crude_samples(tmp_path):
    from megatron import energon

    @energon.stateless
    def cook(sample):
        return energon.TextSample(**energon.basic_sample_keys(sample), text=sample.get("txt", ""))

    class Encoder(energon.DefaultTaskEncoder):
        cookers = (energon.Cooker(cook),)

    rows = write(tmp_path / "shards", Layout.ORIGINAL)
    found = energon_samples(tmp_path / "shards", Encoder())
    assert {key: sample.text for key, sample in found.items()} == {row["key"]: row["caption"] or "" for row in rows}


# --- the forms of indexes, byte by byte

SAMPLES = [("a", {"jpg": (512, 653), "json": (2048, 512), "txt": (3072, 0)}), ("b-2", {"png": (3584, 1)})]


def test_the_index_of_dali():
    """The form that NVIDIA/DALI, tools/wds2idx.py writes and dali/operators/reader/loader/webdataset reads."""
    assert dali_index(SAMPLES) == (
        b"v1.2 2\njpg 512 653 a.jpg json 2048 512 a.json txt 3072 0 a.txt\npng 3584 1 b-2.png\n"
    )
    assert dali_index([]) == b"v1.2 0\n"


def test_the_index_of_energon():
    assert energon_index(SAMPLES) == b"".join(n.to_bytes(8, "little") for n in (0, 3072, 4096))
    assert energon_index([]) == bytes(8)


def test_indexes_of_all_tars():
    tars = [Tar(name=f"{n:05d}.tar", samples=n + 1, size_bytes=10240) for n in (8, 9, 10)]
    files = dataset_indexes(tars, image="jpg")
    assert tuple(files) == DATASET_INDEXES
    assert json.loads(files["wids-meta.json"])["shardlist"][1] == {
        "url": "00009.tar",
        "nsamples": 10,
        "filesize": 10240,
    }
    assert b"- '{00008..00010}.tar'\n" in files[".nv-meta/split.yaml"]
    some = dataset_indexes([tars[0], tars[2]], image="jpg")[".nv-meta/split.yaml"]
    assert b"  - '00008.tar'\n  - '00010.tar'\n" in some
    assert dataset_indexes([], image="jpg") == {}


def test_indexes_do_not_depend_on_time_or_place(tmp_path):
    def hashes(name):
        write(tmp_path / name, Layout.UNIFORM)
        files = [path for path in sorted((tmp_path / name).rglob("*")) if path.is_file()]
        return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]

    assert hashes("one") == hashes("two")
