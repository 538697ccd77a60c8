"""The comparison of subsets: its questions, its intervals, and a complete run that is too small to show anything."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.conftest import Reference

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "lightly")),
        reason="needs PyTorch, transformers and lightly, 6 GB: make setup-easyocr",
    ),
]


def test_features_that_say_the_class_answer_every_question():
    from examples.worth import Question

    labels = np.array(["bar", "line", "pie"] * 40)
    known = np.eye(3, dtype=np.float32)[np.arange(120) % 3]
    question = Question(name="kind", pictures=[], labels=labels)
    assert question.scores(known) == {"kind, k-NN": 1, "kind, probe": 1}
    blind = question.scores(np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32))
    assert max(blind.values()) < 0.6, "about one in three"


def test_questions_have_as_many_pictures_of_each_class():
    from examples.worth import questions

    text, charts = questions(2)
    assert sorted(text.labels) == ["none"] * 6 + ["text"] * 6
    assert {name: int((charts.labels == name).sum()) for name in charts.labels} == dict.fromkeys(charts.labels, 2)
    assert max(max(rgb.shape) for rgb in (*text.pictures, *charts.pictures)) <= 320


def test_intervals_are_students():
    from examples.worth import interval

    mean, half = interval([0.5, 0.6, 0.7])
    assert (mean, half) == (pytest.approx(0.6), pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4))
    assert interval([0.5]) == (0.5, math.inf)


def test_the_comparison_runs(reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from examples.worth import main

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = CliRunner().invoke(main, [str(reference.output), "--quick", "--threads", "1"])
    assert done.exit_code == 0, done.output
    *_, last = done.stdout.splitlines()
    assert last.startswith("kind of chart, probe")
    assert "heavy - random" in done.stdout
