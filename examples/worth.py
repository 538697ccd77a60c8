"""Is the text-rich subset worth more to a network than as many random pictures? The claim of Web-SSL, in miniature.

    python -m examples.worth demo/out            # of `make demo`; ten minutes on two cores
    python -m examples.worth demo/out --quick    # whether it runs

Web-SSL (Fan et al., 2025, arXiv:2504.01017) trained on 1.3 % of its pictures, those that are heavy in text, and
answered more questions about charts and documents than with all of them. Here a small network is trained on the heavy
pictures of a run, and from the same start on an equal-sized random sample of all. Then its weights are frozen, and
k-NN and a linear probe tell on pictures drawn for this whether there is text, and which kind of chart it is.
docs/guides/train.md says what so small a run can show.
"""

import dataclasses
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

import curate
from curate import features
from examples import train_dino, train_mae
from examples.corpus.charts import bar_chart, line_chart, pie_chart
from examples.corpus.kinds import draw_by, draw_kind
from examples.corpus.plots import box_plot, heat_map, scatter
from examples.training import MODEL, Plan, Prepare, train
from filters.embedding import load_embedder
from filters.protocol import Rgb

METHODS = {"mae": (train_mae.prepare, 1e-3), "dino": (train_dino.prepare, 5e-4)}
WITH_TEXT = ("document", "table", "chart", "screenshot", "slide", "designed", "scene")
CHARTS = (bar_chart, line_chart, pie_chart, scatter, heat_map, box_plot)
DRAWING_SEED = 1_000  # of no corpus, so that no picture was trained on
LONGEST_PIXELS = 320
HEAVY, RANDOM, UNTRAINED = "heavy", "random", "untrained"


@dataclass(frozen=True, kw_only=True)
class Question:
    """Pictures and their classes: half of them for the test, an eighth to choose the probe's penalty by."""

    name: str
    pictures: Sequence[Rgb]
    labels: NDArray[Any]

    def scores(self, vectors: NDArray[np.float32]) -> dict[str, float]:
        """Return the shares that k-NN and a linear probe get right in the test."""
        keys = [f"{self.name}/{number}" for number in range(len(self.labels))]
        test = features.held_out(keys, 1 / 2, salt="test")
        validation = ~test & features.held_out(keys, 1 / 4, salt="validation")
        known, learn = ~test, ~test & ~validation
        voted = features.knn_classify(vectors[known], self.labels[known], vectors[test], k=10)
        probe = features.choose_probe(
            vectors[learn], self.labels[learn], vectors[validation], self.labels[validation]
        )
        right = {"k-NN": voted, "probe": probe.predict(vectors[test])}
        return {f"{self.name}, {how}": float((found == self.labels[test]).mean()) for how, found in right.items()}


def questions(each: int) -> list[Question]:
    """Return both questions: `each` pictures of a kind of chart, and three times as many with text and without."""
    drawn: list[tuple[Image.Image, str]] = []
    for index in range(3 * each):
        kind = WITH_TEXT[index % len(WITH_TEXT)]
        drawn.append((draw_kind(kind, DRAWING_SEED, index // len(WITH_TEXT)), "text"))
        drawn.append((draw_kind("none", DRAWING_SEED, index), "none"))
    charts = [
        (draw_by(painter, DRAWING_SEED, index), painter.__name__) for index in range(each) for painter in CHARTS
    ]
    return [_question("text or none", drawn), _question("kind of chart", charts)]


def _question(name: str, drawn: Sequence[tuple[Image.Image, str]]) -> Question:
    for image, _ in drawn:
        image.thumbnail((LONGEST_PIXELS, LONGEST_PIXELS))
    return Question(
        name=name, pictures=[np.asarray(image) for image, _ in drawn], labels=np.array([label for _, label in drawn])
    )


def subsets(run: str, seed: int, folder: Path) -> dict[str, str]:
    """Return the manifests that are compared, made in `folder`: the heavy pictures of a run, and as many of all."""
    is_heavy, is_one = "keep and text_class = 'heavy'", "status = 'ok' and duplicate_of is null"
    heavy = curate.sample(f"{run}/chosen", str(folder / "subset" / HEAVY), fraction=1, where=is_heavy)
    if not len(heavy):
        raise click.ClickException(f"{run}/chosen has no heavy pictures; draw more, see examples.corpus")
    random = curate.sample(
        f"{run}/scored", str(folder / "subset" / RANDOM), count=len(heavy), where=is_one, salt=f"worth-{seed}"
    )
    return {HEAVY: heavy.uri, RANDOM: random.uri}


def vectors_of(model: Path, asked: Sequence[Question]) -> list[NDArray[np.float32]]:
    """Return the features of each question's pictures, (pictures, dimensions)."""
    embedder = load_embedder(str(model))
    return [np.stack([_vector(embedder.embed(rgb)) for rgb in question.pictures]) for question in asked]


def _vector(found: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if found is None:
        raise click.ClickException(
            "the network's output for a picture is zero or not finite; train with another seed"
        )
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and half the width of its 95 % interval by Student's t; infinite for a single value."""
    if len(values) < 2:
        return float(np.mean(values)), math.inf
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1)) * spread


@click.command()
@click.argument("run")
@click.option("--method", type=click.Choice(list(METHODS)), default="mae", show_default=True, help="How to train.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="How many times, each anew.")
@click.option("--steps", default=60, show_default=True, help="Of each training, of 32 pictures.")
@click.option("--each", default=40, show_default=True, help="Pictures drawn of each kind of chart.")
@click.option("--quick", is_flag=True, help="One seed, two small steps, few pictures: only whether it runs.")
@click.option("--threads", default=2, show_default=True, help="Of PyTorch.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores of every seed as JSON.")
def main(run: str, method: str, seeds: int, quick: bool, as_json: bool, **given: int) -> None:
    """Compare trainings on the heavy pictures of RUN, the folder of a pipeline's output, and on random ones."""
    seeds, each = (1, 8) if quick else (seeds, given["each"])
    size, steps, batch = (56, 2, 8) if quick else (224, given["steps"], 32)
    asked = questions(each)
    prepare, rate = METHODS[method]
    scores: list[dict[str, dict[str, float]]] = []
    for seed in range(seeds):
        plan = Plan(steps=steps, batch=batch, size=size, rate=rate, seed=seed, threads=given["threads"])
        with tempfile.TemporaryDirectory() as folder:
            scores.append(_compared(run, plan, prepare, asked, Path(folder)))
    if as_json:
        click.echo(json.dumps(scores, indent=1))
        return
    _print(scores)


def _compared(
    run: str, plan: Plan, prepare: Prepare, asked: Sequence[Question], folder: Path
) -> dict[str, dict[str, float]]:
    """Return the scores of one seed, by what was trained on; all three networks start from the same weights."""
    manifests = subsets(run, plan.seed, folder)
    found: dict[str, dict[str, float]] = {}
    for name in (HEAVY, RANDOM, UNTRAINED):
        mine = dataclasses.replace(plan, steps=0) if name == UNTRAINED else plan
        task, loader = prepare(manifests.get(name, manifests[HEAVY]), mine)
        train(task, loader, mine, folder / name, save_every=plan.steps, log=lambda facts: None)
        vectors = vectors_of(folder / name / MODEL, asked)
        found[name] = dict(_all_scores(asked, vectors))
        click.echo(f"seed {plan.seed}, {name}: {json.dumps(found[name])}", err=True)
    return found


def _all_scores(asked: Sequence[Question], vectors: Sequence[NDArray[np.float32]]) -> Iterator[tuple[str, float]]:
    for question, mine in zip(asked, vectors, strict=True):
        yield from question.scores(mine).items()


def _print(scores: Sequence[Mapping[str, Mapping[str, float]]]) -> None:
    click.echo(f"{len(scores)} seeds; mean share of right answers, and its 95 % interval")
    click.echo(f"{'':24}{'heavy':>16}{'random':>16}{'untrained':>16}{'heavy - random':>18}")
    for name in scores[0][HEAVY]:
        cells = [[each[which][name] for each in scores] for which in (HEAVY, RANDOM, UNTRAINED)]
        cells.append([heavy - random for heavy, random in zip(cells[0], cells[1], strict=True)])
        click.echo(f"{name:24}" + "".join(f"{mean:9.3f} ± {half:.3f}" for mean, half in map(interval, cells)))


if __name__ == "__main__":
    main()
