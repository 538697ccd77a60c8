"""Copies of images outside the crawl: of evaluation sets, and of existing manifests."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from curation.choosing.conditions import Rules
from curation.choosing.rules import apply_rules
from curation.config_files import load_config
from examples.corpus.charts import bar_chart
from examples.corpus.documents import letter
from examples.corpus.photographs import city, product, still_life
from examples.corpus.textures import through_camera
from jobs.commands.reference_sets import named_sets
from jobs.dedupe.stage import dedupe, plan_dedupe
from jobs.spark.run import Context
from jobs.stages.scan import scan
from jobs.units.progress import Reporter
from manifests.errors import InputError, RunChanged
from manifests.format.schema import Stage, schema
from manifests.format.store import open_manifest
from tests.conftest import curate_process, rows_of
from tests.support.evidence import compared_pairs


def painted(painter, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return through_camera(rng, painter(rng, 480, 400).convert("RGB"))


def crop_of(image: Image.Image) -> Image.Image:
    return image.crop((40, 30, 430, 380))


def write_tar(path: Path, pictures: dict[str, Image.Image | bytes]) -> Path:
    """Write pictures by member name; the ending says how each is encoded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, picture in pictures.items():
            data = picture
            if isinstance(picture, Image.Image):
                out = io.BytesIO()
                picture.save(out, "PNG") if name.endswith("png") else picture.save(out, "JPEG", quality=60)
                data = out.getvalue()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


class Runner:
    """Runs single jobs in one Spark session."""

    def __init__(self, spark) -> None:
        self.spark = spark

    def config(self, output: Path, inputs=("none.tar",), **sections):
        last = {"input": [str(i) for i in inputs], "output": str(output), "scan": {"text_density": False}, **sections}
        return load_config([], [], last=last)

    def context(self, **settings) -> Context:
        return Context(_spark=self.spark, reporter=Reporter(quiet=True), **settings)

    def scan(self, output: Path, *inputs: Path, **sections):
        return scan(self.config(output, inputs, **sections), str(output), self.context())

    def dedupe(self, source: Path, output: Path, **settings):
        return dedupe(self.config(output, dedupe=settings), str(source), str(output), self.context())


@pytest.fixture(scope="module")
def run(spark) -> Runner:
    return Runner(spark)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    return {
        "city": painted(city, 1),
        "still": painted(still_life, 2),
        "product": painted(product, 3),
        "chart": bar_chart(np.random.default_rng(4), 480, 400).convert("RGB"),
        "letter": letter(np.random.default_rng(5), 400, 520).convert("RGB"),
        "plain": Image.new("RGB", (64, 64), "teal"),
    }


@pytest.fixture(scope="module")
def evaluation(run: Runner, pictures, tmp_path_factory) -> Path:
    """The scan of two evaluation sets, `photos` and `pages`, below one folder."""
    folder = tmp_path_factory.mktemp("evaluation")
    photos = {f"{name}.png": pictures[name] for name in ("city", "still", "product", "plain")}
    write_tar(folder / "photos.tar", {**photos, "broken.png": b"no picture", "empty.png": b""})
    write_tar(folder / "pages.tar", {f"{name}.png": pictures[name] for name in ("chart", "letter")})
    run.scan(folder / "photos" / "scan", folder / "photos.tar")
    run.scan(folder / "pages" / "scan", folder / "pages.tar")
    return folder


@pytest.fixture(scope="module")
def crawl(run: Runner, pictures, tmp_path_factory) -> Path:
    """The scan of a crawl with planted copies of evaluation pictures, and pictures of its own."""
    folder = tmp_path_factory.mktemp("crawl")
    planted = {
        "a_jpeg.jpg": pictures["city"],
        "b_crop.jpg": crop_of(pictures["still"]),
        "c_mirror.jpg": ImageOps.mirror(pictures["product"]),
        "d_chart.jpg": pictures["chart"],
        "e_again.jpg": pictures["city"].resize((360, 300)),
    }
    own = {"own_1.jpg": painted(city, 11), "own_2.jpg": painted(still_life, 12)}
    write_tar(folder / "0.tar", planted)
    write_tar(folder / "1.tar", {**own, "own_2_small.jpg": own["own_2.jpg"].resize((300, 250)), "bad.jpg": b"no"})
    run.scan(folder / "scan", folder / "0.tar", folder / "1.tar")
    return folder / "scan"


def by_member(manifest) -> dict[str, dict]:
    return {row["member"]: row for row in rows_of(manifest).to_pylist()}


def sets(folder: Path) -> dict[str, str]:
    return {"photos": str(folder / "photos" / "scan"), "pages": str(folder / "pages" / "scan")}


# --- reference sets


@pytest.mark.parametrize("copies", [["exact"], ["exact", "mild", "overlay", "crop", "mirror", "turn"]])
def test_every_picture_of_a_set_checked_against_itself_is_flagged(
    run: Runner, evaluation: Path, tmp_path: Path, copies
):
    source = evaluation / "photos" / "scan"
    rows = by_member(run.dedupe(source, tmp_path / "out", references={"itself": str(source)}, copies=copies))
    assert len(rows) == 6
    for member, row in rows.items():
        found = (row["duplicate_of"], row["duplicate_kind"], row["reference"])
        if member in ("broken.png", "empty.png"):
            assert found == (None, None, None)
        else:
            assert found == (row["key"], "reference", "itself")
            assert json.loads(row["duplicate_evidence"]) == {"kind": "exact", "same": "bytes"}


def test_planted_copies_are_named_with_their_set_and_picture(run: Runner, evaluation, crawl, tmp_path: Path):
    manifest = run.dedupe(crawl, tmp_path / "out", references=sets(evaluation))
    keys = {m: r["key"] for name in ("photos", "pages") for m, r in by_member(evaluation / name / "scan").items()}
    rows = by_member(manifest)
    assert len(rows) == 9, "rows of reference sets are not in the result"
    found = {
        member: (row["reference"], row["duplicate_of"], json.loads(row["duplicate_evidence"])["kind"])
        for member, row in rows.items()
        if row["duplicate_kind"] == "reference"
    }
    assert found == {
        "a_jpeg.jpg": ("photos", keys["city.png"], "mild"),
        "b_crop.jpg": ("photos", keys["still.png"], "crop"),
        "c_mirror.jpg": ("photos", keys["product.png"], "mirror"),
        "d_chart.jpg": ("pages", keys["chart.png"], "mild"),
        "e_again.jpg": ("photos", keys["city.png"], "mild"),
    }
    assert {m for m, r in rows.items() if r["duplicate_kind"] == "mild"} == {"own_2_small.jpg"}
    assert all(rows[m]["reference"] is None for m in ("own_1.jpg", "own_2.jpg", "own_2_small.jpg", "bad.jpg"))
    again = run.dedupe(crawl, tmp_path / "fewer", references=sets(evaluation), cell_bytes=96, probes=9)
    assert again.digest == manifest.digest, "the result does not depend on cells or tasks"
    assert [p.uri for p in manifest.parents[1:]] == [f"file://{uri}" for uri in reversed(sets(evaluation).values())]


def test_a_changed_set_is_noticed(run: Runner, evaluation, crawl, pictures, tmp_path: Path):
    write_tar(tmp_path / "one.tar", {"city.png": pictures["city"]})
    scan_uri, other = tmp_path / "one", tmp_path / "other"
    run.scan(scan_uri, tmp_path / "one.tar")
    settings = {"copies": ["exact", "mild"], "references": {"one": str(scan_uri)}}
    first = run.dedupe(crawl, tmp_path / "out", **settings)
    assert run.dedupe(crawl, tmp_path / "out", **settings).created == first.created
    write_tar(tmp_path / "two.tar", {"still.png": pictures["still"]})
    run.scan(other, tmp_path / "two.tar")
    with pytest.raises(RunChanged, match="reference:one"):
        run.dedupe(crawl, tmp_path / "out", **{**settings, "references": {"one": str(other)}})
    with pytest.raises(RunChanged, match="reference:one"):
        run.dedupe(crawl, tmp_path / "out", copies=["exact", "mild"])


def test_storage_arguments_never_come_into_the_manifest(run: Runner, evaluation, crawl, tmp_path: Path):
    config = run.config(
        tmp_path / "out",
        dedupe={"copies": ["exact"], "references": {"photos": sets(evaluation)["photos"]}},
        storage={"s3": {"key": "who", "secret": "hush-hush"}},
    )
    dedupe(config, str(crawl), str(tmp_path / "out"), run.context())
    assert "hush-hush" not in (tmp_path / "out" / "_manifest.json").read_text()


def test_choose_drops_them_with_their_reason():
    text = {"text_score": 0.9, "text_lines": 1}
    row = {"key": "a", "source": "s", "member": "m", "status": "ok", "cluster_id": "a", **text}
    copy = {**row, "duplicate_of": "x", "duplicate_kind": "reference", "reference": "charts"}
    table = pa.Table.from_pylist([row, copy], schema(Stage.SCORE))
    assert apply_rules(table, Rules())[1].to_pylist() == [None, "duplicate:reference"]


def test_for_images_instead_of_a_manifest_the_error_names_the_scan(run: Runner, crawl, tmp_path: Path):
    (tmp_path / "imagenet-val").mkdir()
    folder = str(tmp_path / "imagenet-val")
    with pytest.raises(InputError, match=f"curate scan {folder} -o imagenet-val-scan"):
        plan_dedupe(
            run.config(tmp_path, dedupe={"references": {"imagenet-val": folder}}), str(crawl), str(tmp_path / "out")
        )


def test_a_set_scanned_without_local_features_is_refused(run: Runner, crawl, pictures, tmp_path: Path):
    tar = write_tar(tmp_path / "a.tar", {"city.png": pictures["city"]})
    run.scan(tmp_path / "scan", tar, dedupe={"copies": ["exact", "mild"]})
    run.dedupe(tmp_path / "scan", tmp_path / "deduped", copies=["exact", "mild"])
    for settings in ({"references": {"a": str(tmp_path / "scan")}}, {"against": [str(tmp_path / "deduped")]}):
        with pytest.raises(InputError, match="without local features"):
            plan_dedupe(run.config(tmp_path, dedupe=settings), str(crawl), str(tmp_path / "out"))


def test_sets_are_named_by_their_folders():
    texts = ["s3://b/imagenet-val/scan", "charts=evaluation/a=b/scan/", "docvqa/"]
    assert named_sets(texts) == {
        "imagenet-val": "s3://b/imagenet-val/scan",
        "charts": "evaluation/a=b/scan/",
        "docvqa": "docvqa/",
    }
    with pytest.raises(InputError, match="has the name scans, too"):
        named_sets(["a/scans", "b/scans"])
    with pytest.raises(InputError, match="gives no name"):
        named_sets(["s3://"])


def test_the_command_line_takes_sets_and_kinds(run: Runner, evaluation, crawl, tmp_path: Path):
    photos, pages = sets(evaluation).values()
    curate_process(
        *("dedupe", crawl, "-o", tmp_path / "out", "--copies", "exact, mild", "--no-verify", "--master", "local[1]"),
        *("--reference", photos, "--reference", f"charts={pages}", "--quiet"),
    )
    manifest = open_manifest(str(tmp_path / "out"))
    assert manifest.config["copies"] == ["exact", "mild"]
    assert manifest.config["verify"] is False
    assert sorted(manifest.inputs) == ["parent", "reference:charts", "reference:photos"]
    found = {m: r["reference"] for m, r in by_member(tmp_path / "out").items() if r["reference"]}
    assert found == {"a_jpeg.jpg": "photos", "e_again.jpg": "photos", "d_chart.jpg": "charts"}
    settings = {"copies": ["exact", "mild"], "verify": False, "references": {"photos": photos, "charts": pages}}
    assert run.dedupe(crawl, tmp_path / "more", **settings).digest == manifest.digest, "cores have no effect"


# --- existing manifests


def test_a_second_crawl_joins_the_clusters_of_the_first(run: Runner, pictures, tmp_path: Path):
    city_jpeg = write_tar(
        tmp_path / "1.tar", {"city.jpg": pictures["city"], "city_small.jpg": crop_of(pictures["city"])}
    )
    old = write_tar(
        tmp_path / "0.tar", {"city.png": pictures["city"], "still.png": pictures["still"], "bad.png": b"x"}
    )
    run.scan(tmp_path / "may" / "scan", old, city_jpeg)
    first = run.dedupe(tmp_path / "may" / "scan", tmp_path / "may" / "deduped")
    before = {p.name: p.read_bytes() for p in (tmp_path / "may" / "deduped").iterdir() if p.is_file()}

    mirrored = ImageOps.mirror(pictures["still"])
    new = {
        "n_city.jpg": pictures["city"].resize((400, 333)),
        "n_still.png": mirrored,
        "n_letter.png": pictures["letter"],
    }
    june = write_tar(tmp_path / "2.tar", {**new, "bad.png": b"x"})
    run.scan(tmp_path / "june" / "scan", june, old)
    second = run.dedupe(tmp_path / "june" / "scan", tmp_path / "june" / "deduped", against=[first.uri, first.uri])
    own = set(rows_of(tmp_path / "june" / "scan").column("sha256").to_pylist())
    compared = compared_pairs(tmp_path / "june" / "deduped")
    assert compared
    assert all(pair & own for pair in compared), "existing images are not compared with each other"

    olds, news = by_member(first), by_member(second)
    assert olds["city.png"]["duplicate_of"] is None
    for member, old_member, kind in [
        ("n_city.jpg", "city.png", "mild"),
        ("n_still.png", "still.png", "mirror"),
        ("city.png", "city.png", "exact"),
        ("still.png", "still.png", "exact"),
    ]:
        row, rep = news[member], olds[old_member]
        assert (row["duplicate_of"], row["duplicate_kind"], row["cluster_id"]) == (
            rep["key"],
            kind,
            rep["cluster_id"],
        )
        assert row["reference"] is None
    assert news["n_letter.png"]["duplicate_of"] is None
    assert news["bad.png"]["duplicate_of"] is None
    after = {p.name: p.read_bytes() for p in (tmp_path / "may" / "deduped").iterdir() if p.is_file()}
    assert after == before


def test_a_scan_cannot_be_checked_against(run: Runner, crawl, tmp_path: Path):
    with pytest.raises(InputError, match="not deduplicated yet"):
        plan_dedupe(run.config(tmp_path, dedupe={"against": [str(crawl)]}), str(crawl), str(tmp_path / "out"))
