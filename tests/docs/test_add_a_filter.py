"""The guide "Add a filter", followed to the letter: its files, its pipeline files, its commands, its queries."""

import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from curation.config_files import load_config
from curation.scan.user_filters import measure_user_filters
from curation.sources.samples import measure_member
from examples.corpus import make_corpus
from filters.protocol import Filter, TextEngine, load_engine, load_filter
from manifests.format.store import open_manifest
from tests.conftest import TOP, curate, curate_process, rows_of
from tests.docs.test_docs import blocks

GUIDE = TOP / "docs/guides/add-a-filter.md"
SHAPES = [(1, 1), (1, 500), (500, 1), (37, 900), (20, 8000)]


@pytest.fixture
def examples_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOP / "examples")


def drawn_page() -> np.ndarray:
    """Return a page of twelve lines, 36 pixels apart."""
    sheet = Image.new("RGB", (640, 480), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for row in range(12):
        pen.text((30, 30 + 36 * row), f"Line {row} of a page to be measured", font=font, fill="black")
    return np.asarray(sheet)


def noise(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


# --- the listings


def test_the_guide_shows_the_example_filter():
    assert blocks(GUIDE, "python") == [(TOP / "examples/sharpness_filter.py").read_text()]


@pytest.fixture
def sharpness(examples_on_path: None) -> Filter:
    return load_filter("sharpness_filter:Sharpness", max_side_pixels=256)


def test_the_filter_of_the_guide_separates_sharp_from_blurred(sharpness: Filter):
    page = drawn_page()
    blurred = np.asarray(np.mean([np.roll(page, step, axis=1) for step in range(9)], axis=0), np.uint8)
    assert sharpness.measure(page)["variance"] > 4 * sharpness.measure(blurred)["variance"]
    assert "max_side_pixels=256" in sharpness.version


@pytest.mark.parametrize("shape", SHAPES)
def test_the_filter_of_the_guide_takes_any_picture_and_repeats(sharpness: Filter, shape: tuple[int, int]):
    own = [("sharpness", sharpness)]
    assert measure_user_filters(noise(shape), own) == measure_user_filters(noise(shape), own)
    assert sharpness.measure(np.full((*shape, 3), 255, np.uint8)) == {"variance": 0}


@pytest.fixture
def engine(examples_on_path: None) -> TextEngine:
    return load_engine("row_engine:RowEngine", min_step=48)


def test_the_engine_of_the_guide_sees_the_lines_of_a_page(engine: TextEngine):
    page = drawn_page()
    boxes, none = engine.detect([page, np.full_like(page, 255)], max_area_pixels=10**6)
    assert (len(boxes), len(none)) == (12, 0)
    assert boxes.quads[:, :, 0].min() >= 28
    assert np.allclose(np.diff(np.sort(boxes.quads[:, 0, 1])), 36, atol=4)
    assert [len(lines) for lines in engine.read([page, page], [boxes, none])] == [12, 0]
    assert "min_step=48" in engine.version


@pytest.mark.parametrize("shape", SHAPES)
def test_the_engine_of_the_guide_takes_any_picture_and_repeats(engine: TextEngine, shape: tuple[int, int]):
    first, second = (engine.detect([noise(shape)], max_area_pixels=10_000)[0] for _ in range(2))
    assert first.quads.tobytes() == second.quads.tobytes()


def test_the_guide_shows_the_message_of_a_failure(sharpness: Filter):
    sharpness._max_side_pixels = "wrong"
    with pytest.raises(Exception) as failed:
        measure_member(
            lambda data: measure_user_filters(noise((9, 9)), [("sharpness", sharpness)]),
            b"",
            source="file:///…/data/00003.tar",
            member="000000151.jpg",
        )
    vague = r"raised \w+: .* \(sharpness_filter\.py, line \d+\)"
    real = re.sub(vague, "raised", f"part-00003: {type(failed.value).__name__}: {failed.value}")
    assert real in [re.sub(vague, "raised", text.strip()) for text in blocks(GUIDE, "text")]


# --- the commands


@dataclass(kw_only=True)
class Shell:
    """A folder in which the guide's commands are run, and what `export` has set."""

    folder: Path
    exported: dict[str, str] = field(default_factory=dict)

    def run(self, line: str, **how):
        """Run `export NAME=VALUE` or `curate …`, as a shell would."""
        program, *words = shlex.split(line)
        if program == "export":
            self.exported.update(word.split("=", 1) for word in words)
            return None
        assert program == "curate", line
        if words[0] not in ("show", "doctor"):
            words += ["--master", "local[2]"]
        if words[0] == "choose":  # reads columns alone, so it needs nothing that was exported
            with contextlib.chdir(self.folder):
                return curate(*words, **how)
        return curate_process(*words, env=self.exported, cwd=self.folder, **how)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in which every command of the guide was run, in their order."""
    shell = Shell(folder=tmp_path_factory.mktemp("guide"))
    make_corpus(shell.folder / "data", images=20, tars=2)
    (shell.folder / "examples").symlink_to(TOP / "examples")
    (shell.folder / "pipeline.yaml").write_text(blocks(GUIDE, "yaml")[0])
    commands = [line for block in blocks(GUIDE, "console") for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE)]
    assert len(commands) == 8
    for line in commands:
        shell.run(line)
    return shell


@pytest.mark.spark
def test_the_guide_measures_and_chooses(followed: Shell):
    manifest = open_manifest(str(followed.folder / "out/chosen"))
    assert list(manifest.counts["drop_reason"]).count("where:sharp") == 1
    scan = open_manifest(str(followed.folder / "out/scan"))
    assert scan.software["filter.sharpness"].startswith("sharpness-1+opencv-")
    shown = next(json.loads(text) for text in blocks(GUIDE, "text") if text.startswith("{"))
    rows = rows_of(followed.folder / "sharper").to_pylist()
    variances = {r["key"]: json.loads(r["measures"])["sharpness.variance"] for r in rows if r["measures"]}
    assert all(json.loads(r["measures"]).keys() == shown.keys() for r in rows if r["measures"])
    candidates = [r["key"] for r in rows if r["status"] == "ok" and r["duplicate_of"] is None]
    kept = {r["key"] for r in rows if r["keep"]}
    assert kept == {key for key in candidates if variances[key] > 1000}
    assert 0 < len(kept) < len(candidates)


@pytest.mark.spark
def test_the_guide_scores_with_the_engine(followed: Shell):
    rows = rows_of(followed.folder / "chosen-by-rows").to_pylist()
    engines = {r["text_engine"].partition("; cascade")[0] for r in rows if r["text_engine"]}
    assert engines == {"first look", "rows-1+min_step=48+min_jumps=0.03"}
    assert any(r["text_boxes"] for r in rows)


@pytest.mark.spark
def test_the_queries_of_the_guide_have_answers(followed: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(followed.folder)
    queries = blocks(GUIDE, "sql")
    assert len(queries) == 2
    for query in queries:
        assert duckdb.sql(query).fetchall()


@pytest.mark.spark
@pytest.mark.parametrize(
    "line",
    [
        "curate scan 'data/*.tar' -o new --set scan.filters.sharpness.class=sharpness_filter:Sharpness"
        " --set scan.filters.sharpness.options.max_side=256",
        "curate score out/deduped -o new --engine row_engine:RowEngine --set score.engine_options.minstep=48",
    ],
)
def test_a_wrong_option_is_refused_as_the_guide_shows(followed: Shell, line: str):
    refused = followed.run(line, check=2)
    assert refused.stderr in blocks(GUIDE, "text")
    assert not (followed.folder / "new").exists()


def test_the_other_pipeline_files_of_the_guide_name_what_there_is(tmp_path: Path, examples_on_path: None):
    (tmp_path / "p.yaml").write_text(blocks(GUIDE, "yaml")[1])
    sharpness = load_config(str(tmp_path / "p.yaml")).scan.filters["sharpness"]
    assert "max_side_pixels=256" in load_filter(sharpness.path, **sharpness.options).version
    (tmp_path / "p.yaml").write_text(blocks(GUIDE, "yaml")[2])
    score = load_config(str(tmp_path / "p.yaml")).score
    assert "min_step=48" in load_engine(score.engine, **score.engine_options).version
