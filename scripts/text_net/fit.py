"""Fits the weights by which the cascade turns what it measured into probabilities: logistic regressions by step.

    python -m scripts.text_net.fit look seen.pickle --labelled labelled/ --kinds 0.onnx --kinds 1.onnx
    python -m scripts.text_net.fit density seen.pickle            # filters/text_net.json, and the kinds of the map
    python -m scripts.text_net.fit steps seen.pickle              # `chances` of curation/text/text_weights.json
    python -m scripts.text_net.fit trees seen.pickle              # curation/text/text_trees.json
    python -m scripts.text_net.fit bounds seen.pickle             # `bounds` and `rules` of text_weights.json

Needs `.[dev,fit-networks]`. `look` runs every step on the labelled pictures and on drawn ones that no network was
trained on; folders are as scripts.kind_net.pictures reads them. `--kinds` names the networks of kinds that were
trained without the sources of fold 0 and of fold 1; each picture is shown to the one that has not seen its source.
Copies of one picture weigh as much as one; real pictures outweigh drawn ones. No weight of boxes and lines is
negative: more text never makes text less likely.
"""

import contextlib
import dataclasses
import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import click
import cv2
import lightgbm
import numpy as np
from scipy.optimize import minimize

from curation.text import trees as trees_module
from curation.text.bounds import TextStep
from curation.text.cascade import LARGE_MAP_ENLARGEMENT, LARGE_MAP_PIXELS, Cascade, CascadeSettings
from curation.text.features import LEAST_PROBABILITY
from curation.text.first_look import FirstLook, network_kinds
from curation.text.scoring import enough_of
from curation.trust.calibration import Goals, LabelledRow, calibrate
from curation.trust.labels import Label
from examples.corpus.kinds import draw_kind
from filters import text_kind
from filters.appearance import appearance
from filters.logistic import logit
from filters.networks import open_session
from filters.protocol import Rgb, TextProbabilities, load_engine
from filters.text_density import map_features, text_map, text_probabilities
from filters.text_kind import RICH_KINDS, TextKind
from scripts.kind_net.pictures import DRAWN, fold_of, labelled_originals

DRAWN_PART = 0.25  # of the number of each kind that the network of kinds was trained on
DRAWN_SEED = 4  # the networks were trained on others
DRAWN_WEIGHT = 0.35
UNSURE = 0.5
RIDGE = 0.003
ENOUGH_READ = 0.95  # reading stops: more lines could only make heavy likelier
OPEN_LIGHT = (0.35, 0.7)  # after detection; a second one costs 40 ms and finds 0.3 % more of the light outside of it
LINEAR_SHARE = 0.5  # of the linear model, beside the trees
TREES = {
    "n_estimators": 250, "learning_rate": 0.04, "num_leaves": 8, "min_child_samples": 10, "colsample_bytree": 0.4,
    "subsample": 0.8, "subsample_freq": 1, "reg_lambda": 5, "random_state": 0, "deterministic": True,
    "force_row_wise": True, "n_jobs": 1, "verbose": -1,
}  # fmt: skip
QUESTIONS: tuple[Label, ...] = ("light", "heavy")
LOOK_FEATURES = ["density_light", "density_heavy", "kind_rich", "kind_text"]
MAP_FEATURES = [*LOOK_FEATURES, "large_light", "large_heavy"]
BOX_FEATURES = ["length", "boxes", "surest"]
LINE_FEATURES = ["word", "second_word", "chars"]
FEATURES: Mapping[TextStep, Sequence[str]] = {
    TextStep.KIND: LOOK_FEATURES,
    TextStep.DENSITY_LARGE: MAP_FEATURES,
    TextStep.DETECT_SMALL: [*MAP_FEATURES, *BOX_FEATURES],
    TextStep.DETECT_LARGE: [*MAP_FEATURES, *BOX_FEATURES],
    TextStep.READ: [*MAP_FEATURES, *BOX_FEATURES, *LINE_FEATURES],
}
LARGE_MAP = "large"  # the features of the map at a larger size, beside those of the steps
MAP_KINDS = (TextKind.DESIGNED, TextKind.SCENE, TextKind.NONE)
TOP = Path(__file__).resolve().parent.parent.parent
WEIGHTS = TOP / "curation/text/text_weights.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """A labelled picture and what every step measured on it; `map` under the name of the step `density`."""

    kind: TextKind
    source: str
    weight: float
    features: Mapping[str, Mapping[str, float]]

    def answers(self, question: str) -> bool:
        """Whether the kind says yes to the question."""
        return self.kind is not TextKind.NONE if question == "light" else self.kind in RICH_KINDS


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    """A picture to look at: one of a folder, by the name of its tar and its key, or a drawn one."""

    kind: TextKind
    source: str = ""
    is_sure: bool = True
    rgb: Rgb | None = None
    index: int = 0

    def picture(self) -> Rgb:
        """Return the picture; a drawn one is drawn now."""
        return np.asarray(draw_kind(self.kind, DRAWN_SEED, self.index)) if self.rgb is None else self.rgb


def _tasks(folders: Sequence[Path]) -> Iterator[_Task]:
    for kind, count in DRAWN.items():
        yield from (_Task(kind=kind, index=index) for index in range(round(DRAWN_PART * count)))
    for folder in folders:
        for rgb, row in labelled_originals(folder):
            yield _Task(kind=TextKind(row["kind"]), source=row["source"], is_sure=row["is_sure"] == "1", rgb=rgb)


@lru_cache
def _session(network: Path) -> Any:
    return open_session(network.read_bytes())


@contextlib.contextmanager
def _asking(network: Path | None) -> Iterator[None]:
    """Have filters.text_kind ask `network` inside the block, not the one that ships."""
    shipped = text_kind._session
    if network is not None:
        text_kind._session = lambda: _session(network)  # type: ignore[assignment]
    try:
        yield
    finally:
        text_kind._session = shipped


def _look_at_share(folders: Sequence[Path], networks: Sequence[Path], workers: int, worker: int) -> list[Example]:
    cv2.setNumThreads(1)
    cascade = Cascade(load_engine("rapidocr"), CascadeSettings(is_exhaustive=True))
    found = []
    for place, task in enumerate(_tasks(folders)):
        if place % workers == worker:
            with _asking(networks[fold_of(task.source)] if task.source and networks else None):
                features = _features(cascade, task.picture())
            weight = (1.0 if task.source else DRAWN_WEIGHT) * (1.0 if task.is_sure else UNSURE)
            found.append(Example(kind=task.kind, source=task.source, weight=weight, features=features))
    return found


def _features(cascade: Cascade, rgb: Rgb) -> dict[str, Mapping[str, float]]:
    """Return the features of every step, by its name."""
    of_map = map_features(text_map(rgb))
    look = FirstLook(probabilities=text_probabilities(of_map), kinds=network_kinds(rgb))
    (traces,) = cascade.trace([enough_of(rgb)], [look])
    found: dict[str, Mapping[str, float]] = {str(t.step): t.features for t in traces}
    found[str(TextStep.DENSITY)] = of_map
    large = text_map(enough_of(rgb), area_pixels=LARGE_MAP_PIXELS, max_enlargement=LARGE_MAP_ENLARGEMENT)
    found[LARGE_MAP] = map_features(large)
    if TextStep.READ not in found:  # there was no line to read
        found[str(TextStep.READ)] = {**found[str(TextStep.DETECT_LARGE)], **appearance(enough_of(rgb))}
    return found


def fit(
    found: Sequence[Example], step: str, question: str, names: Sequence[str], *, free: Sequence[str] = ()
) -> dict[str, float]:
    """Return the weights of `names` and the bias: weighted and ridge-penalised; negative only the bias and `free`."""
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

    bounds = [(None, None), *[(None if name in free else 0, None) for name in names]]
    best = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    scaled = best[1:] / spread
    weights = {"bias": round(float(best[0] - scaled @ centre), 4)}
    return weights | {n: round(float(v), 4) for n, v in zip(names, scaled, strict=True) if round(float(v), 4)}


def margins(found: Sequence[Example], step: str, weights: Mapping[str, float]) -> np.ndarray:
    """Return the log-odds that `weights` give to each example, (examples,)."""
    return np.array([sum(v * e.features[step].get(n, 1.0) for n, v in weights.items()) for e in found])


def area_under(yes: np.ndarray, no: np.ndarray) -> float:
    """Return the share of pairs in which the `yes` is above the `no`; ties count half."""
    low = np.sort(no)
    return float((np.searchsorted(low, yes, "left") + np.searchsorted(low, yes, "right")).mean() / 2 / len(low))


@click.group()
def main() -> None:
    """Fit the weights of the text cascade."""


@main.command()
@click.argument("seen", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--labelled", type=click.Path(exists=True, path_type=Path), multiple=True)
@click.option("--kinds", type=click.Path(exists=True, path_type=Path), multiple=True, help="One for each fold.")
@click.option("--workers", default=2, show_default=True)
def look(seen: Path, labelled: tuple[Path, ...], kinds: tuple[Path, ...], workers: int) -> None:
    """Run every step on every picture; writes the features to the file SEEN (a pickle, for the other commands)."""
    with ProcessPoolExecutor(workers) as executor:
        shares = list(executor.map(partial(_look_at_share, labelled, kinds, workers), range(workers)))
    found = [each for share in shares for each in share]
    sizes = Counter(each.source for each in found if each.source.startswith("group "))
    found = [dataclasses.replace(e, weight=e.weight / sizes.get(e.source, 1)) for e in found]
    seen.write_bytes(pickle.dumps(found))
    click.echo(f"{len(found)} pictures: {dict(Counter(str(e.kind) for e in found))}")


@main.command()
@click.argument("seen", type=click.Path(exists=True, path_type=Path))
def density(seen: Path) -> None:
    """Fit what turns the map into probabilities (filters/text_net.json) and into kinds (text_weights.json)."""
    found = load_examples(seen)
    names = list(found[0].features["density"])
    chances = {q: fit(found, "density", q, names, free=names) for q in QUESTIONS}
    chances = {q: {n: w.get(n, 0.0) for n in ("bias", *names)} for q, w in chances.items()}
    _report(found, {"density": chances})
    (TOP / "filters/text_net.json").write_text(json.dumps({"chances": chances}, indent=1) + "\n")
    others = [each for each in found if each.kind in MAP_KINDS]
    kinds = {str(kind): _against_others(others, kind, names) for kind in MAP_KINDS}
    WEIGHTS.write_text(json.dumps(json.loads(WEIGHTS.read_text()) | {"kinds": kinds}, indent=1) + "\n")


@main.command()
@click.argument("seen", type=click.Path(exists=True, path_type=Path))
def steps(seen: Path) -> None:
    """Fit what turns kinds, boxes and lines into two probabilities."""
    found = load_examples(seen)
    chances = {}
    for step, names in FEATURES.items():
        chances[str(step)] = {q: fit(found, step, q, names, free=MAP_FEATURES) for q in QUESTIONS}
    _report(found, chances)
    WEIGHTS.write_text(json.dumps(json.loads(WEIGHTS.read_text()) | {"chances": chances}, indent=1) + "\n")


@main.command()
@click.argument("seen", type=click.Path(exists=True, path_type=Path))
@click.option("--heavy-false-rate", default=0.0012, show_default=True)
@click.option("--light-false-rate", default=0.05, show_default=True)
@click.option("--heavy-score", type=float, help="The threshold of heavy, where another has the same false rate.")
def bounds(seen: Path, heavy_false_rate: float, light_false_rate: float, heavy_score: float | None) -> None:
    """Find the bounds of the steps and the thresholds of the classes."""
    found = [each for each in load_examples(seen) if each.source]
    stored = json.loads(WEIGHTS.read_text())
    density_weights = json.loads((TOP / "filters/text_net.json").read_text())["chances"]
    by_step = {"density": density_weights} | stored["chances"]
    total = tree_margins_of_unseen(found) + LINEAR_SHARE * margins(found, "read", by_step["read"]["heavy"])
    shipped = trees_module.heavy_trees()
    by_trees = shipped.bias + shipped.scale * total
    rows = []
    for number, example in enumerate(found):
        chances = {}
        for step in TextStep:
            if str(step) in example.features:
                light, heavy = (float(margins([example], step, by_step[step][q])[0]) for q in QUESTIONS)
                if step is TextStep.READ:
                    heavy = by_trees[number]
                sure = [1 / (1 + np.exp(-np.clip(value, -13.8, 13.8))) for value in (light, heavy)]
                chances[step] = TextProbabilities(light=sure[0], heavy=sure[1])
        label: Label = "heavy" if example.answers("heavy") else "light" if example.answers("light") else "none"
        rows.append(LabelledRow(key=str(number), label=label, probabilities=chances, weight=example.weight))
    goals = Goals(
        heavy_false_rate=heavy_false_rate, light_false_rate=light_false_rate, max_heavy_kept=0.0, max_heavy_lost=0.003
    )
    made = calibrate(rows, goals)
    for report in made.steps:
        click.echo(str(report))
    for name, interval in made.expected.items():
        click.echo(f"{name}: {interval}")
    found_bounds = {str(step): dataclasses.asdict(each) for step, each in made.bounds.items()}
    found_bounds[str(TextStep.READ)]["keep_heavy"] = ENOUGH_READ
    found_bounds[str(TextStep.DETECT_SMALL)] |= dict(zip(("drop_light", "keep_light"), OPEN_LIGHT, strict=True))
    rules = dict(made.rules) | ({"min_heavy_score": heavy_score} if heavy_score is not None else {})
    WEIGHTS.write_text(json.dumps(stored | {"bounds": found_bounds, "rules": rules}, indent=1) + "\n")


@main.command()
@click.argument("seen", type=click.Path(exists=True, path_type=Path))
def trees(seen: Path) -> None:
    """Learn the trees that decide last about heavy; writes curation/text/text_trees.json."""
    found = [each for each in load_examples(seen) if each.source]
    linear = margins(found, "read", json.loads(WEIGHTS.read_text())["chances"]["read"]["heavy"])
    yes, weights = np.array([e.answers("heavy") for e in found]), np.array([e.weight for e in found])
    unseen = tree_margins_of_unseen(found)
    total = unseen + LINEAR_SHARE * linear
    scale, bias = _calibrated(total, yes, weights)
    rows = [yes, ~yes]
    click.echo(f"AUC of unseen sources {area_under(total[rows[0]], total[rows[1]]):.4f}, scale {scale}, bias {bias}")
    names = _tree_names(found)
    model = lightgbm.LGBMClassifier(**TREES, monotone_constraints=_growing(names))
    model.fit(_table(found, names), yes, sample_weight=weights)
    stored = {
        "names": names,
        "bias": bias,
        "scale": scale,
        "linear": LINEAR_SHARE,
        "trees": [_node(tree["tree_structure"]) for tree in model.booster_.dump_model()["tree_info"]],
    }
    (TOP / "curation/text" / trees_module.FILE).write_text(json.dumps(stored, separators=(",", ":")) + "\n")


def _tree_names(found: Sequence[Example]) -> list[str]:
    return [*FEATURES[TextStep.READ], *(n for n in found[0].features["read"] if n not in FEATURES[TextStep.READ])]


def _growing(names: Sequence[str]) -> list[int]:
    """Return 1 for each feature that may only make heavy likelier: more text is never less."""
    return [int(name in BOX_FEATURES + LINE_FEATURES) for name in names]


def _table(found: Sequence[Example], names: Sequence[str]) -> np.ndarray:
    return np.array([[e.features["read"][name] for name in names] for e in found])


def tree_margins_of_unseen(found: Sequence[Example]) -> np.ndarray:
    """Return the sum of trees of each example, learned without its source, in five folds."""
    yes, weights = np.array([e.answers("heavy") for e in found]), np.array([e.weight for e in found])
    names = _tree_names(found)
    table = _table(found, names)
    folds = np.array([hashlib.sha256(f"trees {e.source}".encode()).digest()[0] % 5 for e in found])
    unseen = np.zeros(len(found))
    for fold in range(5):
        model = lightgbm.LGBMClassifier(**TREES, monotone_constraints=_growing(names))
        model.fit(table[folds != fold], yes[folds != fold], sample_weight=weights[folds != fold])
        unseen[folds == fold] = model.predict(table[folds == fold], raw_score=True)
    return unseen


def _calibrated(total: np.ndarray, yes: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the scale and bias that make log-odds of `total`, by a logistic regression (Platt, 1999)."""

    def loss(parameters: np.ndarray) -> float:
        margin = parameters[0] * total + parameters[1]
        return float((weights * (np.logaddexp(0, margin) - yes * margin)).sum())

    scale, bias = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return round(float(scale), 4), round(float(bias), 4)


def _node(tree: Mapping[str, Any]) -> Any:
    if "leaf_value" in tree:
        return round(float(tree["leaf_value"]), 5)
    threshold = round(float(tree["threshold"]), 6)
    return [tree["split_feature"], threshold, _node(tree["left_child"]), _node(tree["right_child"])]


def load_examples(seen: Path) -> list[Example]:
    """Return the examples, their log-odds of both maps by the weights that filters/text_net.json has now."""
    found: list[Example] = pickle.loads(seen.read_bytes())  # noqa: S301 - made by `look`
    return [dataclasses.replace(example, features=_weighed_again(example.features)) for example in found]


def _weighed_again(features: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    weighed = {}
    for name, of_map in (("density", features["density"]), ("large", features[LARGE_MAP])):
        probabilities = text_probabilities(of_map)
        weighed[f"{name}_light"] = logit(probabilities.light, least=LEAST_PROBABILITY)
        weighed[f"{name}_heavy"] = logit(probabilities.heavy, least=LEAST_PROBABILITY)
    raw = (str(TextStep.DENSITY), LARGE_MAP)
    return {step: found if step in raw else {**found, **weighed} for step, found in features.items()}


def _against_others(found: Sequence[Example], kind: TextKind, names: Sequence[str]) -> dict[str, float]:
    """Return weights that tell one kind of the map from the other two."""
    turned = [dataclasses.replace(e, kind=TextKind.MAP if e.kind is kind else TextKind.NONE) for e in found]
    return fit(turned, "density", "heavy", names, free=names)


def _report(found: Sequence[Example], chances: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    real = [e for e in found if e.source] or found
    for step, by_question in chances.items():
        for question, weights in by_question.items():
            odds = margins(real, step, weights)
            yes = np.array([e.answers(question) for e in real])
            click.echo(f"{step:13} {question:6} AUC {area_under(odds[yes], odds[~yes]):.4f}  {weights}")


if __name__ == "__main__":
    main()
