"""The example trainings on a few pictures: the loss falls, and an interruption changes nothing."""

import importlib.util
import io
import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from filters.embedding import load_embedder
from tests.support.making import commit_rows, rows_of_tar, tar_bytes
from tests.support.pictures import LINES, landscape, noise, render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "transformers", "lightly")),
        reason="needs PyTorch, transformers and lightly, 6 GB: make setup-easyocr",
    ),
]

TRAININGS = ("train_mae", "train_dino")
PLAN = {"steps": 14, "batch": 6, "size": 56, "rate": 1e-3, "seed": 0, "threads": 1}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A manifest of twelve pictures: pages and landscapes."""
    folder = tmp_path_factory.mktemp("pictures")
    members = []
    for number in range(12):
        rgb = render(LINES[number:] + LINES[:number]) if number % 2 else np.roll(landscape(), 30 * number, axis=1)
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, "JPEG")
        members.append((f"{number:02d}.jpg", out.getvalue()))
    (folder / "0.tar").write_bytes(tar_bytes(members))
    rows = rows_of_tar(f"file://{folder}/0.tar", tar_bytes(members))
    from manifests.format.schema import Stage

    return commit_rows(folder / "chosen", [rows], Stage.CHOOSE).uri


@pytest.fixture(params=TRAININGS)
def training(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return importlib.import_module(f"examples.{request.param}")


class Interrupted(Exception):
    pass


def losses_of(training: ModuleType, manifest: str, output: Path, *, stop_at: int = 0, **how: Any) -> dict[int, float]:
    """Train, and return the loss of each step that was done; fails with Interrupted after step `stop_at`."""
    from examples.training import Plan, train

    plan = Plan(**{**PLAN, **how})
    losses: dict[int, float] = {}

    def log(facts: Mapping[str, Any]) -> None:
        losses[facts["step"]] = facts["loss"]
        if facts["step"] == stop_at:
            raise Interrupted

    task, loader = training.prepare(manifest, plan)
    try:
        train(task, loader, plan, output, save_every=4, log=log)
    except Interrupted:
        loader.close()
    return losses


def test_the_loss_falls(training: ModuleType, manifest: str, tmp_path: Path):
    losses = list(losses_of(training, manifest, tmp_path / "run", steps=30).values())
    assert all(map(math.isfinite, losses))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.02


def test_an_interruption_changes_nothing(training: ModuleType, manifest: str, tmp_path: Path):
    whole = losses_of(training, manifest, tmp_path / "whole")
    assert list(whole) == list(range(1, 15))
    first = losses_of(training, manifest, tmp_path / "run", stop_at=6)
    second = losses_of(training, manifest, tmp_path / "run", stop_at=11)
    third = losses_of(training, manifest, tmp_path / "run")
    assert [list(each) for each in (first, second, third)] == [
        list(range(1, 7)),
        list(range(5, 12)),
        list(range(9, 15)),
    ]
    for part in (first, second, third):
        assert part == {step: whole[step] for step in part}, "to the last bit"
    one, other = (tmp_path / name / "model/model.safetensors" for name in ("whole", "run"))
    assert one.read_bytes() == other.read_bytes()
    assert losses_of(training, manifest, tmp_path / "run") == {}, "nothing is left to do"


def test_a_training_goes_on_with_larger_pictures(training: ModuleType, manifest: str, tmp_path: Path):
    losses_of(training, manifest, tmp_path / "small", steps=2)
    line = f"{manifest} -o {tmp_path}/large --from {tmp_path}/small --size 84 --steps 2 --batch 4 --threads 1 --json"
    from examples.training import command

    done = CliRunner().invoke(command(training.prepare, rate=1e-3), line.split())
    assert done.exit_code == 0, done.output
    assert done.stdout.count('"loss"') == 2
    for name in ("small", "large"):
        embedder = load_embedder(str(tmp_path / name / "model"))
        vectors = [embedder.embed(rgb) for rgb in (landscape(), noise())]
        assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)
        assert not np.allclose(*vectors, atol=1e-3)


def test_another_plan_is_refused(training: ModuleType, manifest: str, tmp_path: Path):
    from examples.training import command

    run = command(training.prepare, rate=1e-3)
    line = f"{manifest} -o {tmp_path}/run --steps 1 --batch 4 --threads 1 --size"
    assert CliRunner().invoke(run, [*line.split(), "56"]).exit_code == 0
    done = CliRunner().invoke(run, [*line.split(), "84"])
    assert done.exit_code == 1
    assert "repeat those, or name another folder" in done.output
    assert "no multiple of 14" in CliRunner().invoke(run, [*line.split(), "90"]).output


def test_position_embeddings_are_those_of_the_same_places():
    """Embeddings that say where a patch is still say so in a finer grid."""
    import torch

    from examples.training import resized

    across = torch.linspace(0.5 / 16, 1 - 0.5 / 16, 16)
    patches = torch.stack(torch.meshgrid(across, across, indexing="ij"), dim=-1).reshape(1, 256, 2)
    found = resized(torch.cat([torch.full((1, 1, 2), 7.0), patches], dim=1), 37)
    assert found.shape == (1, 1 + 37 * 37, 2)
    assert found[0, 0].tolist() == [7, 7]
    wanted = torch.linspace(0.5 / 37, 1 - 0.5 / 37, 37)
    inner = found[0, 1:].reshape(37, 37, 2)[3:-3, 3:-3]
    assert torch.allclose(inner[:, :, 0], wanted[3:-3, None].expand(31, 31), atol=0.01)
    assert torch.allclose(inner[:, :, 1], wanted[None, 3:-3].expand(31, 31), atol=0.01)
