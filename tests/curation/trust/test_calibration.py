"""Calibration: the goals are met on the labelled rows, the replay equals the cascade, labels find their rows."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.config_files import load_config
from curation.text.bounds import Bounds, CascadeSettings, TextStep
from curation.text.cascade import Cascade, TextMeasures, parse_text_trail, text_score
from curation.text.first_look import FirstLook, first_look
from curation.trust.calibration import Goals, LabelledRow, calibrate, replay, share
from curation.trust.labels import label_rows, place_of, read_labels
from examples.corpus.samples import NONE, RICH, SOME
from filters.protocol import TextEngine, TextProbabilities, load_engine
from manifests.errors import InputError
from manifests.format.store import open_manifest
from tests.conftest import Reference, curate, rows_of

STEPS = list(TextStep)
chance = st.floats(0, 0.99).map(lambda value: round(value, 6))
chances = st.builds(TextProbabilities, light=chance, heavy=chance)
by_steps = st.tuples(*[chances] * len(STEPS)).map(lambda found: dict(zip(STEPS, found, strict=True)))
samples = st.lists(
    st.builds(
        LabelledRow,
        key=st.uuids().map(str),
        label=st.sampled_from(["none", "light", "heavy"]),
        probabilities=by_steps,
        weight=st.sampled_from([0.5, 1.0, 3.0]),
    ),
    min_size=12,
    max_size=60,
).filter(lambda found: {s.label for s in found} == {"none", "light", "heavy"})
bounds = st.builds(Bounds, drop_light=chance, keep_light=chance, drop_heavy=chance, keep_heavy=chance)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(samples, st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_no_more_is_lost_before_reading_than_allowed(found: list[LabelledRow], heavy: float, light: float):
    made = calibrate(found, Goals(max_heavy_lost=heavy, max_light_lost=light))
    assert sum(s.heavy_lost.share for s in made.steps) <= heavy + 1e-9
    assert sum(s.settled for s in made.steps) == pytest.approx(1)
    assert made.steps[0].saw == pytest.approx(1)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(samples, st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_no_more_is_kept_wrongly_before_reading_than_allowed(found: list[LabelledRow], heavy: float, light: float):
    made = calibrate(found, Goals(max_heavy_kept=heavy, max_light_kept=light))
    for question, allowed in (("heavy", heavy), ("light", light)):
        others = [s for s in found if not s.answers(question)]
        kept = [
            any(
                getattr(s.probabilities[step], question) >= getattr(made.bounds[step], f"keep_{question}")
                for step in STEPS[:-1]
            )
            for s in others
        ]
        assert sum(s.weight for s, is_kept in zip(others, kept, strict=True) if is_kept) <= (
            allowed * sum(s.weight for s in others) + 1e-6
        )


def test_the_row_is_given_up_that_saves_most():
    """One image with text may be lost: the one that prevents dropping the others at the first step."""
    nothing = TextProbabilities(light=0.1, heavy=0.0)
    hard = {
        **dict.fromkeys(STEPS, TextProbabilities(light=0.05, heavy=0.0)),
        TextStep.READ: TextProbabilities(light=0.9, heavy=0.0),
    }
    easy = dict.fromkeys(STEPS, TextProbabilities(light=0.6, heavy=0.0))
    page = dict.fromkeys(STEPS, TextProbabilities(light=0.9, heavy=0.9))
    found = [
        LabelledRow(key="hard", label="light", probabilities=hard),
        *(LabelledRow(key=f"easy{n}", label="light", probabilities=easy) for n in range(8)),
        LabelledRow(key="page", label="heavy", probabilities=page),
        *(LabelledRow(key=f"none{n}", label="none", probabilities=dict.fromkeys(STEPS, nothing)) for n in range(10)),
    ]
    strict, lenient = (calibrate(found, Goals(max_light_lost=lost)) for lost in (0.01, 0.1))
    assert strict.bounds[TextStep.DENSITY].drop_light < 0.05
    assert 0.1 < lenient.bounds[TextStep.DENSITY].drop_light < 0.6


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(samples, st.floats(0.05, 0.99))
def test_thresholds_reach_the_wanted_recall_or_false_rate(found: list[LabelledRow], wanted: float):
    by_recall = calibrate(found, Goals(heavy_recall=wanted, heavy_false_rate=None))
    assert by_recall.expected["heavy_recall"].share >= wanted - 1e-9
    by_rate = calibrate(found, Goals(heavy_false_rate=wanted))
    assert by_rate.expected["heavy_false_rate"].share <= wanted + 1e-9
    assert by_rate.rules["min_light_score"] <= by_rate.rules["min_heavy_score"]


def test_a_label_without_rows_and_a_row_without_steps_are_refused():
    by_step = {step: TextProbabilities(light=0.5, heavy=0.5) for step in STEPS}
    made = [
        LabelledRow(key=str(k), label=label, probabilities=by_step)
        for k, label in enumerate(["none", "light", "heavy"])
    ]
    with pytest.raises(ValueError, match="needs samples of each label"):
        calibrate(made[:2], Goals())
    with pytest.raises(ValueError, match=r"scored without detect_small, detect_large; .*exhaustive=true"):
        short = {step: c for step, c in by_step.items() if step in STEPS[:3]}
        calibrate([*made, LabelledRow(key="x", label="none", probabilities=short)], Goals())
    with pytest.raises(ValueError, match="either heavy_recall or"):
        Goals(heavy_recall=0.9)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    painters = [*RICH[::3], *SOME, *NONE[::4]]
    return [np.asarray(p(np.random.default_rng(k), 420, 360).convert("RGB")) for k, p in enumerate(painters)]


@pytest.fixture(scope="module")
def engine() -> TextEngine:
    return load_engine("rapidocr")


@pytest.fixture(scope="module")
def looks(pictures: list[np.ndarray]) -> list[FirstLook]:
    return [first_look(rgb) for rgb in pictures]


@pytest.fixture(scope="module")
def full(engine: TextEngine, pictures: list[np.ndarray], looks: list[FirstLook]) -> list[TextMeasures]:
    return list(Cascade(engine, CascadeSettings(is_exhaustive=True)).measure(pictures, looks))


@pytest.mark.model
@settings(max_examples=6, deadline=None)
@given(st.tuples(*[bounds] * (len(STEPS) - 1)), st.booleans())
def test_the_replay_is_the_cascade(engine, pictures, looks, full, found: tuple[Bounds, ...], with_light: bool):
    """Bounds replayed on recorded probabilities do what they do on the images, up to the last line that is read."""
    tried = dict(zip(STEPS[:-1], found, strict=True))
    real = Cascade(engine, CascadeSettings(bounds=tried, with_light=with_light)).measure(pictures, looks)
    for exhaustive, measures in zip(full, real, strict=True):
        step, left = replay(parse_text_trail(exhaustive.text_trail), tried, with_light=with_light)
        assert (step, text_score(left)) == (measures.text_step, measures.text_score)


@given(st.integers(0, 300), st.integers(1, 300))
def test_an_interval_contains_its_share(hits: int, number: int):
    hits = min(hits, number)
    found = share(np.arange(number) < hits, np.ones(number))
    assert found.low <= found.share <= found.high
    assert found.share == pytest.approx(hits / number)


def test_intervals_cover_the_truth_about_as_often_as_they_promise():
    rng = np.random.default_rng(0)
    spans = [share(rng.random(80) < 0.93, np.ones(80)) for _ in range(400)]
    assert 0.92 <= np.mean([s.low <= 0.93 <= s.high for s in spans]) <= 0.98


def test_weights_make_an_interval_wider():
    hits = np.arange(100) < 50
    assert share(hits, np.ones(100)).high < share(hits, np.where(np.arange(100) % 10, 1.0, 30.0)).high


# --- labels -----------------------------------------------------------------------------------------------


def test_labels_by_key_and_by_place(tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text("tar,key,label,boundary\n00000.tar,000000001,rich,\n,abc,some,\n,x,none?,\n,y,none,odd\n,z,,\n")
    labels = read_labels(str(path))
    assert labels.by_place == {("00000.tar", "000000001"): "heavy"}
    assert labels.by_key == {"abc": "light"}
    assert labels.unsure == 3
    assert place_of("s3://bucket/a/00000.tar", "x/000000001.jpg") == ("00000.tar", "000000001")


@pytest.mark.parametrize(
    ("text", "match"),
    [("", "has the columns"), ("a,b\n1,2\n", "has the columns"), ("key,label\nx,chart\n", "line 2: label 'chart'")],
)
def test_files_without_labels_are_refused(tmp_path: Path, text: str, match: str):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        read_labels(str(path))


def test_labels_of_another_manifest_are_refused(tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text("key,label\nnobody,none\n")
    with pytest.raises(InputError, match="none of 1 labelled samples"):
        label_rows([], read_labels(str(path)))


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exhaustive(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exhaustive") / "scored"
    curate("score", reference.output / "deduped", "-o", out, "--set", "score.exhaustive=true", "--master", "local[2]")
    return out


def test_calibrate_writes_a_pipeline_file_for_score_and_choose(
    reference: Reference, exhaustive: Path, tmp_path: Path
):
    thresholds, curves = tmp_path / "thresholds.yaml", tmp_path / "curves.svg"
    done = curate(
        "calibrate", reference.corpus / "truth.csv", "--manifest", exhaustive, "-o", thresholds, "--curves", curves,
        "--mix", "none=0.5,light=0.49,heavy=0.01", "--heavy-false-rate", "0.3", "--light-false-rate", "0.5", "--json",
    )  # fmt: skip
    made = json.loads(done.stdout)
    assert {s["step"] for s in made["steps"]} == set(map(str, TextStep))
    assert "<svg" in curves.read_text()[:600]
    head = thresholds.read_text().splitlines()[0]
    assert open_manifest(str(exhaustive)).digest[:16] in head
    assert str(tmp_path) not in thresholds.read_text()
    config = load_config([str(thresholds)], ["output=out"], last={"input": ["x.tar"]})
    assert config.choose.min_heavy_score == made["rules"]["min_heavy_score"]
    curate("score", reference.output / "deduped", "-o", tmp_path / "scored", "-c", thresholds, "--master", "local[2]")
    replayed = yaml.safe_load(thresholds.read_text())["score"]["bounds"]
    by_key = {r["key"]: r for r in rows_of(tmp_path / "scored").to_pylist()}
    tried = {TextStep(s): Bounds(**b) for s, b in replayed.items() if s != "read"}
    for row in rows_of(exhaustive).to_pylist():
        if row["text_trail"] is not None:
            step, left = replay(parse_text_trail(row["text_trail"]), tried, with_light=True)
            assert by_key[row["key"]]["text_step"] == step
            if step is not TextStep.READ:
                assert by_key[row["key"]]["text_score"] == text_score(left)


def test_calibrate_refuses_a_manifest_with_early_exits_and_one_that_was_not_scored(
    reference: Reference, tmp_path: Path
):
    truth, out = reference.corpus / "truth.csv", tmp_path / "t.yaml"
    refused = curate("calibrate", truth, "--manifest", reference.output / "scored", "-o", out, check=2)
    assert "score.exhaustive=true" in refused.stderr
    refused = curate("calibrate", truth, "--manifest", reference.output / "scan", "-o", out, check=2)
    assert "needs one that was scored" in refused.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--mix", "none=1"], "give a share above 0 of each"),
        (["--heavy-recall", "0.9", "--heavy-false-rate", "0.1"], "exclude each other"),
        (["--heavy-recall", "2"], "a share between 0 and 1"),
        (["--curves", "curves.bmp"], "name a .png"),
    ],
)
def test_calibrate_refuses_what_makes_no_sense(reference: Reference, tmp_path: Path, options: list[str], match: str):
    done = curate(
        "calibrate", reference.corpus / "truth.csv", "--manifest", reference.output / "scored",
        "-o", tmp_path / "t.yaml", *options, check=2,
    )  # fmt: skip
    assert match in done.stderr
    assert "Traceback" not in done.stderr


def test_the_truth_of_the_drawn_corpus_is_a_file_of_labels(reference: Reference):
    rows = list(csv.DictReader((reference.corpus / "truth.csv").open()))
    labels = read_labels(str(reference.corpus / "truth.csv"))
    assert len(labels) + labels.unsure == len(rows)
