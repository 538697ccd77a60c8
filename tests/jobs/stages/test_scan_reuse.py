"""A committed scan that measured more than a run needs is used as it is; one that measured less is refused."""

import io
import tarfile
from pathlib import Path

import pyarrow.compute as pc
import pytest
from PIL import Image

from curation.config_files import load_config
from examples.corpus import make_corpus
from jobs.pipeline import Step, outlook, run_one
from jobs.spark.run import Context
from jobs.stages.scan import plan_scan
from jobs.units.progress import Reporter
from manifests.errors import RunChanged
from manifests.format.schema import COLUMNS, Stage
from tests.conftest import rows_of
from tests.support.making import tar_bytes

FEW_KINDS = "dedupe.copies=[exact,mild]"


class Pipeline:
    """Stages over a few pictures, on the session of all tests."""

    def __init__(self, folder: Path, spark) -> None:
        self.corpus = make_corpus(folder / "corpus", images=12, tars=1)
        with tarfile.open(next(self.corpus.glob("*.tar"))) as tar:
            picture = tar.extractfile(next(m for m in tar if m.name.endswith(".jpg"))).read()
        again = io.BytesIO()
        Image.open(io.BytesIO(picture)).save(again, "jpeg", quality=70)
        copies = [("equal.jpg", picture), ("saved-again.jpg", again.getvalue())]
        (self.corpus / "copies.tar").write_bytes(tar_bytes(copies))
        self.spark = spark

    def config(self, output: Path, *overrides: str):
        return load_config(None, [f"input={self.corpus}/*.tar", f"output={output}", *overrides])

    def run(self, stage: Stage, output: Path, *overrides: str, restart: bool = False):
        ctx = Context(given=self.spark, reporter=Reporter(quiet=True), restart=restart)
        source = None if stage is Stage.SCAN else f"{output}/scan"
        return run_one(self.config(output, *overrides), stage, source, f"{output}/{stage}", ctx)

    def outlook(self, output: Path, *overrides: str):
        step = Step(stage=Stage.SCAN, source=None, output=f"{output}/scan", config=self.config(output, *overrides))
        (found,) = outlook([step], Context())
        return found


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, spark) -> Pipeline:
    return Pipeline(tmp_path_factory.mktemp("reuse"), spark)


@pytest.fixture(scope="module")
def full(pipeline, tmp_path_factory) -> Path:
    """An output with a scan for all kinds of copies."""
    output = tmp_path_factory.mktemp("full")
    pipeline.run(Stage.SCAN, output)
    return output


@pytest.fixture(scope="module")
def plain(pipeline, tmp_path_factory) -> Path:
    """An output with a scan for exact and mild copies, without local features."""
    output = tmp_path_factory.mktemp("plain")
    pipeline.run(Stage.SCAN, output, FEW_KINDS)
    return output


@pytest.mark.parametrize("restart", [False, True])
def test_a_scan_that_measured_more_is_kept_and_gives_the_same_copies(pipeline, full, plain, restart):
    before = (full / "scan/_manifest.json").read_bytes()
    pipeline.run(Stage.SCAN, full, FEW_KINDS, restart=restart)
    assert (full / "scan/_manifest.json").read_bytes() == before
    assert pipeline.outlook(full, FEW_KINDS).state == "up to date"
    for output in (full, plain):
        pipeline.run(Stage.DEDUPE, output, FEW_KINDS)
    found = [f.name for f in COLUMNS[Stage.DEDUPE]]
    assert rows_of(full / "dedupe").select(found).equals(rows_of(plain / "dedupe").select(found))
    copies = rows_of(full / "dedupe").filter(pc.field("duplicate_of").is_valid())
    assert copies.num_rows >= 2, "there are copies to find"


def test_a_scan_that_measured_less_is_refused(pipeline, plain):
    with pytest.raises(RunChanged, match=r"local_features: false → true[\s\S]*--restart"):
        pipeline.run(Stage.SCAN, plain)
    with pytest.raises(RunChanged, match="local_features"):
        pipeline.outlook(plain)


@pytest.mark.parametrize("other", ["scan.text_density=false", "scan.max_image_pixels=1000", "scan.ignore_zeros=true"])
def test_a_scan_with_other_settings_is_refused_whatever_it_measured(pipeline, full, other):
    with pytest.raises(RunChanged, match=other.partition("=")[0].removeprefix("scan.")):
        pipeline.outlook(full, FEW_KINDS, other)


def test_a_scan_of_another_input_is_refused(pipeline, full, tmp_path):
    make_corpus(tmp_path / "other", images=2, tars=1)
    with pytest.raises(RunChanged, match="sources"):
        pipeline.outlook(full, FEW_KINDS, f"input={tmp_path}/other/*.tar")


def test_a_scan_whose_input_has_grown_is_refused_with_the_way_to_go_on(pipeline, plain, tmp_path):
    make_corpus(tmp_path / "more", images=2, tars=1)
    grown = f"input=[{pipeline.corpus}/*.tar,{tmp_path}/more/*.tar]"
    with pytest.raises(RunChanged, match=r"sources[\s\S]*has grown: name another output and add --onto"):
        pipeline.outlook(plain, FEW_KINDS, grown)


def test_a_new_scan_measures_only_what_is_needed(pipeline, tmp_path):
    assert plan_scan(pipeline.config(tmp_path), str(tmp_path / "a")).config["local_features"] is True
    assert plan_scan(pipeline.config(tmp_path, FEW_KINDS), str(tmp_path / "a")).config["local_features"] is False
