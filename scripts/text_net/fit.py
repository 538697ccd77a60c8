"""Fits the weights by which the cascade turns what it saw into chances: logistic regressions, step after step.

    python -m scripts.text_net.fit density --web labelled/ --unseen 0.onnx --unseen 1.onnx  # filters/text_net.json
    python -m scripts.text_net.fit steps --web labelled/ --unseen 0.onnx --unseen 1.onnx    # text_weights.json
    python -m scripts.text_net.fit bounds thresholds.yaml               # the same, from `curate calibrate`

Needs `.[dev,train]`. Fitted to the labelled tars and to drawn pictures that the network was not trained on;
`--unseen` names the networks that were trained without the photographs of fold 0 and of fold 1, and each photograph
is shown to the one that has not seen it. Copies of one picture weigh as much as one; real pictures outweigh drawn
ones. No weight of evidence is negative: more text never makes text less likely.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import yaml
from scipy.optimize import minimize

from curation.text.bounds import READ_FEATURES
from curation.text.cascade import Cascade, CascadeSettings, TextStep
from curation.text.scoring import enough_of
from filters.protocol import Rgb, load_engine
from filters.text_density import map_features, text_map, text_probabilities
from scripts.text_net.pictures import draw, labelled_photographs
from scripts.text_net.unseen import asking

DRAWN = {"rich": 160, "some": 60, "none": 100, "pattern": 160}
DRAWN_SEED = 1  # the network was trained on seed 0
DRAWN_WEIGHT = 0.35
RIDGE = 0.003
QUESTIONS = ("light", "heavy")
Look = Callable[[Rgb], Mapping[str, Mapping[str, float]]]
TOP = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The pictures to fit to, the networks to show them to, and how many processes do so."""

    web: Path | None
    tars: tuple[str, ...]
    unseen: tuple[Path, ...]
    workers: int


@dataclass(frozen=True, kw_only=True)
class Example:
    """A labelled picture and what is known of it."""

    name: str
    label: str
    weight: float
    features: Mapping[str, Mapping[str, float]]

    def answers(self, question: str) -> bool:
        """Whether the label says yes to the question."""
        return self.label == "rich" or (question == "light" and self.label == "some")


def pictures(web: Path | None, tars: tuple[str, ...]) -> Iterator[tuple[str, str, Rgb]]:
    """Yield (name, label, picture); debatable labels are left out."""
    if web is not None:
        yield from labelled_photographs(web, tars, with_debatable=False)
    for label, count in DRAWN.items():
        for index in range(count):
            yield f"drawn-{label}-{index}", "none" if label == "pattern" else label, draw(DRAWN_SEED, label, index)


def examples(corpus: Corpus, look: Look) -> list[Example]:
    """Return every picture with what `look` makes of it."""
    with ProcessPoolExecutor(corpus.workers) as executor:
        shares = list(executor.map(partial(_share, corpus, look), range(corpus.workers)))
    found = [each for share in shares for each in share]
    groups = Counter(e.name.split("|")[-1] for e in found)
    return [
        Example(
            name=e.name,
            label=e.label,
            weight=DRAWN_WEIGHT if e.name.startswith("drawn") else 1 / groups[e.name.split("|")[-1]],
            features=e.features,
        )
        for e in found
    ]


def _share(corpus: Corpus, look: Look, worker: int) -> list[Example]:
    cv2.setNumThreads(1)
    found = []
    for place, (name, label, rgb) in enumerate(pictures(corpus.web, corpus.tars)):
        if place % corpus.workers == worker:
            kind, _, rest = name.partition("-")
            has_seen = kind != "web" or not corpus.unseen
            with contextlib.nullcontext() if has_seen else asking(corpus.unseen[int(rest.partition("-")[0])]):
                found.append(Example(name=name, label=label, weight=1.0, features=look(rgb)))
    return found


def look_once(rgb: Rgb) -> Mapping[str, Mapping[str, float]]:
    """Return the features of the density map."""
    return {"density": map_features(text_map(rgb))}


def look_fully(rgb: Rgb) -> Mapping[str, Mapping[str, float]]:
    """Return the features of every later step."""
    global _CASCADE  # noqa: PLW0603 - one engine a process
    if _CASCADE is None:
        _CASCADE = Cascade(load_engine("rapidocr"), CascadeSettings(is_exhaustive=True))
    rgb = enough_of(rgb)
    (traces,) = _CASCADE.trace([rgb], [text_probabilities(text_map(rgb))])
    found = {str(t.step): t.features for t in traces if t.step is not TextStep.DENSITY}
    if TextStep.READ not in found:  # there was no line to read
        found[str(TextStep.READ)] = found[str(TextStep.DETECT_LARGE)]
    return found


_CASCADE: Cascade | None = None


def fit(found: Sequence[Example], step: str, question: str, names: Sequence[str]) -> dict[str, float]:
    """Return the weights of `names` and the bias: weighted, ridge-penalised, none but the bias negative."""
    x = np.array([[e.features[step][name] for name in names] for e in found])
    y = np.array([e.answers(question) for e in found], float)
    w = np.array([e.weight for e in found])
    centre, spread = np.average(x, axis=0, weights=w), x.std(axis=0) + 1e-9
    z = (x - centre) / spread

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        margin = z @ parameters[1:] + parameters[0]
        chance = 1 / (1 + np.exp(-margin))
        value = (w * (np.logaddexp(0, margin) - y * margin)).sum() / w.sum()
        residual = w * (chance - y) / w.sum()
        slope = np.concatenate([[residual.sum()], z.T @ residual + 2 * RIDGE / len(names) * parameters[1:]])
        return value + RIDGE / len(names) * (parameters[1:] ** 2).sum(), slope

    bounds = [(None, None), *[(0, None)] * len(names)]
    best = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    scaled = best[1:] / spread
    weights = {"bias": round(float(best[0] - scaled @ centre), 4)}
    return weights | {n: round(float(v), 4) for n, v in zip(names, scaled, strict=True) if round(float(v), 4)}


def area_under(found: Sequence[Example], step: str, question: str, weights: Mapping[str, float]) -> float:
    """Return the AUC of the fitted chance over all examples."""
    chances = [sum(v * e.features[step].get(n, 1.0) for n, v in weights.items()) for e in found]
    yes = [c for c, e in zip(chances, found, strict=True) if e.answers(question)]
    no = np.sort([c for c, e in zip(chances, found, strict=True) if not e.answers(question)])
    ranks = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(ranks.mean() / 2 / len(no))


@click.group()
def main() -> None:
    """Fit the weights of the text cascade."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--workers", default=2, show_default=True),
        click.option("--tars", multiple=True, default=("00000", "00001", "00002", "00003"), show_default=True),
        click.option("--web", type=click.Path(exists=True, path_type=Path), help="Folder of labelled tars."),
        click.option(
            "--unseen",
            type=click.Path(exists=True, path_type=Path),
            multiple=True,
            help="A network trained without fold 0, and again without fold 1.",
        ),
    ):
        command = option(command)
    return command


@main.command()
@_options
def density(**corpus: Any) -> None:
    """Fit what turns the density map into two chances; writes filters/text_net.json."""
    found = examples(Corpus(**corpus), look_once)
    names = list(found[0].features["density"])
    chances = {question: fit(found, "density", question, names) for question in QUESTIONS}
    chances = {question: {n: w.get(n, 0.0) for n in ("bias", *names)} for question, w in chances.items()}
    _report(found, {"density": chances})
    (TOP / "filters/text_net.json").write_text(json.dumps({"chances": chances}, indent=1) + "\n")


@main.command()
@_options
def steps(**corpus: Any) -> None:
    """Fit what turns boxes and lines into two chances; writes `chances` of curation/text/text_weights.json."""
    found = examples(Corpus(**corpus), look_fully)
    path = TOP / "curation/text/text_weights.json"
    maps = ["density_light", "density_heavy", "large_light", "large_heavy"]
    seen = [*maps, "length", "boxes", "surest"]
    names = {
        "density_large": maps,
        "detect_small": seen,
        "detect_large": seen,
        "read": [*seen, *READ_FEATURES],
    }
    chances = {s: {q: fit(found, s, q, wanted) for q in QUESTIONS} for s, wanted in names.items()}
    _report(found, chances)
    stored = json.loads(path.read_text()) | {"chances": chances}
    path.write_text(json.dumps(stored, indent=1) + "\n")


@main.command()
@click.argument("thresholds", type=click.Path(exists=True, path_type=Path))
def bounds(thresholds: Path) -> None:
    """Store what `curate calibrate` wrote to THRESHOLDS as the defaults, in curation/text/text_weights.json."""
    made = yaml.safe_load(thresholds.read_text())
    path = TOP / "curation/text/text_weights.json"
    stored = json.loads(path.read_text()) | {"bounds": made["score"]["bounds"], "rules": made["choose"]}
    path.write_text(json.dumps(stored, indent=1) + "\n")


def _report(found: Sequence[Example], chances: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    click.echo(f"{len(found)} pictures: {dict(Counter(e.label for e in found))}")
    for step, by_question in chances.items():
        for question, weights in by_question.items():
            real = [e for e in found if e.name.startswith("web")] or found
            click.echo(f"{step:13} {question:6} AUC {area_under(real, step, question, weights):.4f}  {weights}")


if __name__ == "__main__":
    main()
