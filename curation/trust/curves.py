"""Draw the curves of a calibration: what each step would lose and let through, and precision over recall."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.text.bounds import TextStep
from curation.text.cascade import text_score
from curation.trust.calibration import Calibration, LabelledRow, replay, share

QUESTIONS = ("heavy", "light")
MIN_PASSING = 1e-3
POINTS = 60


def draw_curves(rows: Sequence[LabelledRow], made: Calibration, *, image_format: str) -> bytes:
    """Return the curves as an image file of `image_format` (png, svg or pdf), with the chosen points marked.

    Above, for each step: the share of positives (recall) over the share of negatives that reach a bound on the step's
    probability. Below: precision over recall of the final score, with 95 % bands.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import: only when drawn

    figure = Figure(figsize=(11, 9), layout="constrained")
    above, below = figure.subplots(2, 2)
    for axes, question in zip(above, QUESTIONS, strict=True):
        _draw_steps(axes, rows, made, question)
    for axes, question in zip(below, QUESTIONS, strict=True):
        _draw_precision(axes, rows, made, question)
    counts = ", ".join(f"{count:,} {label}" for label, count in made.samples.items())
    figure.suptitle(f"Calibrated on {counts}")
    out = io.BytesIO()
    # no date: the same rows give the same file
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(image_format, {})
    figure.savefig(out, format=image_format, metadata=metadata, dpi=110)
    return out.getvalue()


def _draw_steps(axes: Any, rows: Sequence[LabelledRow], made: Calibration, question: str) -> None:
    yes = np.array([row.answers(question) for row in rows])
    weights = np.array([row.weight for row in rows])
    for step in TextStep:
        has = np.array([step in row.probabilities for row in rows])
        if not has.any():
            continue
        values = [getattr(row.probabilities.get(step), question, 0.0) for row in rows]
        probabilities = np.array(values)
        bounds = np.unique(np.quantile(probabilities, np.linspace(0, 1, 400)))
        recall = [float(weights[yes & (probabilities >= b)].sum() / weights[yes].sum()) for b in bounds]
        passing = [float(weights[~yes & (probabilities >= b)].sum() / weights[~yes].sum()) for b in bounds]
        (line,) = axes.plot(np.maximum(passing, MIN_PASSING), recall, label=str(step), drawstyle="steps-post")
        bound = getattr(made.bounds[step], f"drop_{question}")
        if bound > 0:
            goes_on = probabilities >= bound
            let_through = weights[~yes & goes_on].sum() / weights[~yes].sum()
            found = weights[yes & goes_on].sum() / weights[yes].sum()
            axes.plot(max(let_through, MIN_PASSING), found, "o", color=line.get_color())
    axes.set(
        xscale="log", xlabel=f"share of the not {question} that goes on",
        ylabel=f"share of the {question} that goes on",
        title=f"{question}: what each step lets through (dots: the bounds)", ylim=(0.8, 1.005),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def _draw_precision(axes: Any, rows: Sequence[LabelledRow], made: Calibration, question: str) -> None:
    yes = np.array([row.answers(question) for row in rows])
    weights = np.array([row.weight for row in rows])
    final = [replay(row.probabilities, made.bounds, with_light=True)[1] for row in rows]
    scores = np.array([text_score(probabilities) for probabilities in final])
    wanted = np.unique(np.quantile(scores[yes], np.linspace(0, 1, POINTS)))
    recalls: NDArray[Any] = np.array([weights[yes & (scores >= t)].sum() / weights[yes].sum() for t in wanted])
    spans = [share(yes[scores >= t], weights[scores >= t]) for t in wanted]
    axes.fill_between(recalls, [s.low for s in spans], [s.high for s in spans], alpha=0.25)
    axes.plot(recalls, [s.share for s in spans])
    at = made.rules[f"min_{question}_score"]
    axes.plot(made.expected[f"{question}_recall"].share, made.expected[f"{question}_precision"].share, "o")
    axes.set(
        xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02),
        title=f"{question}: precision over recall (dot: text_score {at:g})",
    )  # fmt: skip
    axes.grid(alpha=0.3)
