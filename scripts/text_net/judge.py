"""Judges the cascade on pictures whose source nothing was fitted to: neither the networks of kinds nor the trees.

    python -m scripts.text_net.judge seen.pickle

`seen.pickle` is what `fit look --kinds 0.onnx --kinds 1.onnx` writes: each picture was shown to the network of kinds
that has not seen its source. Here the trees are learned without its source, too (five folds), and the shipped
bounds, thresholds and the rule of a legible line are applied. The regressions, a few weights each, were fitted to all
pictures. The networks were trained on half of the sources and the trees on four fifths: the ones that ship saw all.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.text.report import print_wild_figures
from benchmarks.text.wild import Judged, at_thresholds, curve
from curation.text.bounds import TextStep, default_bounds, default_rules
from curation.text.cascade import LIGHT_SHARE
from curation.text.features import CERTAIN_LINE, CERTAIN_TEXT, READABLE_CHARS
from curation.text.trees import heavy_trees
from scripts.text_net.fit import (
    LARGE_MAP,
    LINEAR_SHARE,
    TOP,
    WEIGHTS,
    Example,
    load_examples,
    margins,
    tree_margins_of_unseen,
)


def final_scores(found: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Return the `text_score` of each example, 0 where an early step dropped heavy, and if it has a legible line."""
    stored = json.loads(WEIGHTS.read_text())["chances"]
    by_step = {"density": json.loads((TOP / "filters/text_net.json").read_text())["chances"], **stored}
    goes_on, accepted = np.ones(len(found), bool), np.zeros(len(found))
    for step in list(TextStep)[:-1]:
        probabilities = _probability(margins(found, step, by_step[step]["heavy"]))
        is_new = goes_on & (accepted == 0) & (probabilities >= default_bounds()[step].keep_heavy)
        accepted[is_new] = probabilities[is_new]
        goes_on &= (accepted > 0) | (probabilities >= default_bounds()[step].drop_heavy)
    trees = heavy_trees()
    total = tree_margins_of_unseen(found) + LINEAR_SHARE * margins(found, "read", stored["read"]["heavy"])
    heavy = np.where(accepted > 0, accepted, _probability(trees.bias + trees.scale * total))
    light = np.maximum(_probability(margins(found, "read", stored["read"]["light"])), heavy)
    scores = np.where(goes_on, LIGHT_SHARE * light + (1 - LIGHT_SHARE) * heavy, 0.0)
    return scores, np.array([_is_legible(example) for example in found])


def _is_legible(example: Example) -> bool:
    read = example.features["read"]
    is_certain = read["surest"] >= CERTAIN_LINE and example.features[LARGE_MAP]["line"] >= CERTAIN_TEXT
    return read["boxes"] > 0 and (read["chars"] >= np.log1p(READABLE_CHARS) - 1e-6 or is_certain)


def _probability(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


@click.command()
@click.argument("seen", type=click.Path(exists=True, path_type=Path))
def main(seen: Path) -> None:
    """Print recall, false heavy and precision on unseen sources."""
    found = [each for each in load_examples(seen) if each.source]
    scores, is_legible = final_scores(found)
    least = default_rules()["min_heavy_score"]
    pictures = [
        Judged(
            tar="",
            member="",
            key=str(number),
            repo=example.source,
            label="rich" if example.answers("heavy") else "not",
            score=float(score),
            has_line=bool(has_line),
            is_heavy=bool(has_line and score >= least),
            step="read",
            kind=str(example.kind),
        )
        for number, (example, score, has_line) in enumerate(zip(found, scores, is_legible, strict=True))
    ]
    print_wild_figures(at_thresholds(pictures), curve(pictures))


if __name__ == "__main__":
    main()
