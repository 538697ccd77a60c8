"""Find the bounds and thresholds of the cascade from labelled rows, and estimate their effect.

The rows must have been scored exhaustively, so that the probabilities of every step are known. The cascade is then
replayed under any bounds without reading an image. Intervals are Jeffreys' (Brown, Cai and DasGupta, 2001,
Statistical Science 16:2), 95 %, on effective numbers where samples have weights (Kish, 1965).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from curation.text.bounds import Bounds, TextStep
from curation.text.cascade import SCORE_DECIMALS, text_score
from curation.trust.labels import Label
from filters.logistic import logits, sigmoid
from filters.protocol import TextProbabilities

DECIDING = tuple(step for step in TextStep if step is not TextStep.READ)
COSTS_MILLISECONDS: Mapping[TextStep, float] = {  # measured, on one core, per image
    TextStep.KIND: 9.6,
    TextStep.DENSITY_LARGE: 11.0,
    TextStep.DETECT_SMALL: 14.0,
    TextStep.DETECT_LARGE: 40.0,
    TextStep.READ: 25.0,
}
MARGINS_LOG_ODDS: Mapping[str, float] = {"light": 0.5, "heavy": 3.0}  # below the lowest row that may not be lost
MARGIN_KEPT_LOG_ODDS = 1.0  # above the highest row that may not be kept
DECIMALS = 5
MARGIN_SCORE = 0.01  # above the highest score, when no false positive may be kept
LEAST_PROBABILITY = 1e-6  # the precision of stored probabilities
ROUNDING_ERROR = 1e-9  # of sums of shares

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LabelledRow:
    """A row with a label, the probabilities that each step gave it, and its weight in all shares."""

    key: str
    label: Label
    probabilities: Mapping[TextStep, TextProbabilities]
    weight: float = 1.0

    def answers(self, question: str) -> bool:
        """Return whether the label's answer to `question`, `light` or `heavy`, is yes."""
        return self.label == "heavy" or (question == "light" and self.label == "light")


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What the calibration must reach, as shares in [0, 1].

    `max_heavy_lost`: the heavy images that all steps before reading may drop together, whatever later steps would
    answer. `max_light_lost`: the same for images with any text, of those that the whole cascade finds: a word that no
    step finds is not lost by an early step. `max_heavy_kept`, `max_light_kept`: the negatives that all steps before
    reading may accept together, and that reading may accept. For each question give either the recall, or the false
    rate: the share of negatives above the final threshold. Raises ValueError unless exactly one is given.
    """

    max_heavy_lost: float = 0.005
    max_light_lost: float = 0.02
    max_heavy_kept: float = 0.002
    max_light_kept: float = 0.015
    heavy_recall: float | None = None
    heavy_false_rate: float | None = 0.01
    light_recall: float | None = None
    light_false_rate: float | None = 0.05

    def __post_init__(self) -> None:
        for question in ("heavy", "light"):
            both = (getattr(self, f"{question}_recall"), getattr(self, f"{question}_false_rate"))
            if (both[0] is None) == (both[1] is None):
                raise ValueError(f"Goals: give either {question}_recall or {question}_false_rate")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A share and its 95 % confidence interval, [`low`, `high`]."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one step did in the replay: the weighted shares of all rows that it saw and settled, and what it lost."""

    step: TextStep
    saw: float
    settled: float
    heavy_lost: Interval
    light_lost: Interval


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Thresholds on `text_score` (`rules`), and recall, false rate and precision of both classes at them."""

    rules: Mapping[str, float]
    expected: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class Calibration(Effect):
    """Bounds by step and thresholds, and their effect on the rows that they were made from."""

    bounds: Mapping[TextStep, Bounds]
    steps: Sequence[StepReport]
    samples: Mapping[str, int]


def calibrate(rows: Sequence[LabelledRow], goals: Goals, *, with_light: bool = True) -> Calibration:
    """Return the bounds and thresholds that meet `goals` on `rows`.

    Raises ValueError when a label has no row, or a row lacks the probabilities of a step.
    """
    counts = {label: sum(row.label == label for row in rows) for label in ("none", "light", "heavy")}
    if not counts["heavy"] or counts["heavy"] == len(rows) or not (counts["none"] and counts["light"]):
        raise ValueError(f"calibration needs samples of each label; there are {counts}")
    for row in rows:
        if missing := [str(step) for step in DECIDING if step not in row.probabilities]:
            raise ValueError(
                f"{row.key}: scored without {', '.join(missing)}; score the labelled samples with "
                "--set score.exhaustive=true"
            )
    found = _found_by_all(rows, goals)
    bounds = _early_bounds(rows, found or rows, goals)
    bounds[TextStep.READ] = _last_bounds(rows, goals)
    scores = final_scores(rows, bounds, with_light=with_light)
    rules = {
        f"min_{q}_score": _threshold(
            rows, scores, q, getattr(goals, f"{q}_recall"), getattr(goals, f"{q}_false_rate")
        )
        for q in ("light", "heavy")
    }
    rules["min_light_score"] = min(rules.values())
    return Calibration(
        bounds=bounds,
        rules=rules,
        steps=step_reports(rows, bounds, with_light=with_light),
        expected=expectations(rows, scores, rules),
        samples=counts,
    )


def final_scores(
    rows: Sequence[LabelledRow], bounds: Mapping[TextStep, Bounds], *, with_light: bool = True
) -> Floats:
    """Return the `text_score` that each row would have under `bounds`, (rows,)."""
    last = [replay(row.probabilities, bounds, with_light=with_light)[1] for row in rows]
    return np.array([text_score(probabilities) for probabilities in last])


def replay(
    by_step: Mapping[TextStep, TextProbabilities], bounds: Mapping[TextStep, Bounds], *, with_light: bool
) -> tuple[TextStep, TextProbabilities]:
    """Return the last step that would run under `bounds`, and its probabilities.

    `by_step`: the probabilities after each step. Raises ValueError when there is none.
    """
    steps = [step for step in TextStep if step in by_step]
    for step in steps:
        if step is steps[-1] or not bounds.get(step, Bounds()).is_open(by_step[step], with_light=with_light):
            return step, by_step[step]
    raise ValueError("no step has run; a scored row has the probabilities of at least one")


def step_reports(
    rows: Sequence[LabelledRow], bounds: Mapping[TextStep, Bounds], *, with_light: bool
) -> list[StepReport]:
    """Return what each step saw, settled and lost under `bounds`.

    A step loses a row when it drops it and the label's answer is yes.
    """
    last = [replay(row.probabilities, bounds, with_light=with_light) for row in rows]
    weights = np.array([row.weight for row in rows])
    order = list(TextStep)
    reached = np.array([order.index(step) for step, _ in last])
    reports = []
    for number, step in enumerate(order):
        ended = reached == number
        dropped = {
            question: np.array(
                [
                    bool(e)
                    and getattr(probabilities, question) < getattr(bounds.get(step, Bounds()), f"drop_{question}")
                    for e, (_, probabilities) in zip(ended, last, strict=True)
                ]
            )
            for question in ("heavy", "light")
        }
        answers = {q: np.array([row.answers(q) for row in rows]) for q in ("heavy", "light")}
        reports.append(
            StepReport(
                step=step,
                saw=float(weights[reached >= number].sum() / weights.sum()),
                settled=float(weights[ended].sum() / weights.sum()),
                heavy_lost=share(dropped["heavy"][answers["heavy"]], weights[answers["heavy"]]),
                light_lost=share(dropped["light"][answers["light"]], weights[answers["light"]]),
            )
        )
    return reports


def expectations(rows: Sequence[LabelledRow], scores: Floats, rules: Mapping[str, float]) -> dict[str, Interval]:
    """Return recall, false rate and precision of both classes at the thresholds `rules`.

    `scores`: the final `text_score` of each row, (rows,).
    """
    weights = np.array([row.weight for row in rows])
    found: dict[str, Interval] = {}
    for question in ("heavy", "light"):
        yes = np.array([row.answers(question) for row in rows])
        kept = scores >= rules[f"min_{question}_score"]
        found[f"{question}_recall"] = share(kept[yes], weights[yes])
        found[f"{question}_false_rate"] = share(kept[~yes], weights[~yes])
        found[f"{question}_precision"] = share(yes[kept], weights[kept])
    return found


def effective_number(weights: Floats) -> float:
    """Return how many samples of equal weight say as much as those with `weights`, (samples,), by Kish."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def share(hits: NDArray[np.bool_], weights: Floats) -> Interval:
    """Return the weighted share of `hits` with Jeffreys' 95 % interval; share 0 in [0, 1] when there is none.

    `hits` and `weights`: (rows,).
    """
    if not len(hits):
        return Interval(share=0.0, low=0.0, high=1.0)
    number = effective_number(weights)
    found = float((hits * weights).sum() / weights.sum())
    low, high = beta.ppf([0.025, 0.975], found * number + 0.5, (1 - found) * number + 0.5)
    return Interval(share=found, low=0.0 if found == 0 else float(low), high=1.0 if found == 1 else float(high))


def _found_by_all(rows: Sequence[LabelledRow], goals: Goals) -> list[LabelledRow]:
    """Return the rows that are light by their label and by the whole cascade, at the wanted threshold."""
    scores = final_scores(rows, {})
    least = _threshold(rows, scores, "light", goals.light_recall, goals.light_false_rate)
    return [row for row, score in zip(rows, scores, strict=True) if row.answers("light") and score >= least]


def _early_bounds(rows: Sequence[LabelledRow], found: Sequence[LabelledRow], goals: Goals) -> dict[TextStep, Bounds]:
    """Return the bounds of all steps before reading. Density never keeps as heavy, since no engine saw the image."""
    drop, keep = {}, {}
    for question, guarded in (("light", found), ("heavy", rows)):
        yes, no = _odds(guarded, question, is_so=True), _odds(rows, question, is_so=False)
        drop[question] = _settle(yes, no, getattr(goals, f"max_{question}_lost"), MARGINS_LOG_ODDS[question])
        first = 0 if question == "light" else DECIDING.index(TextStep.DETECT_SMALL)
        yes = _odds(rows, question, is_so=True)
        kept = _settle(
            no.turned(first), yes.turned(first), getattr(goals, f"max_{question}_kept"), MARGIN_KEPT_LOG_ODDS
        )
        keep[question] = np.concatenate([np.full(first, np.inf), -kept])
    never = Bounds()
    return {
        step: Bounds(
            drop_light=_rounded_probability(drop["light"][place], math.floor),
            drop_heavy=_rounded_probability(drop["heavy"][place], math.floor),
            keep_light=_rounded_probability(max(keep["light"][place], drop["light"][place]), math.ceil),
            keep_heavy=_rounded_probability(max(keep["heavy"][place], drop["heavy"][place]), math.ceil)
            if np.isfinite(keep["heavy"][place])
            else never.keep_heavy,
        )
        for place, step in enumerate(DECIDING)
    }


def _last_bounds(rows: Sequence[LabelledRow], goals: Goals) -> Bounds:
    """Return when reading stops early: only with a yes, since a later line may still turn a no into one."""
    with_lines = [row for row in rows if TextStep.READ in row.probabilities]
    keep = {q: _keep_bound(with_lines, TextStep.READ, q, getattr(goals, f"max_{q}_kept")) for q in ("light", "heavy")}
    return Bounds(keep_light=keep["light"], keep_heavy=keep["heavy"])


@dataclass(frozen=True, kw_only=True)
class _Odds:
    """Log-odds of some rows after each deciding step, (rows, steps), and the rows' weights, (rows,)."""

    odds: Floats
    weights: Floats

    def turned(self, first: int) -> "_Odds":
        """Return the log-odds of the opposite answer, from step `first` on."""
        return _Odds(odds=-self.odds[:, first:], weights=self.weights)


def _settle(guarded: _Odds, others: _Odds, max_given_up: float, margin: float) -> Floats:
    """Return the bound of each step, (steps,), so that at most `max_given_up` of `guarded` fall below one of them.

    The rows to give up are chosen greedily, for all steps together. Each time, among the lowest row of each step, the
    one is given up whose loss saves most cost for `others`, which then stop at an earlier step.
    """
    given_up = np.zeros(len(guarded.odds), bool)
    left = max_given_up * float(guarded.weights.sum()) + ROUNDING_ERROR
    bounds = _lowest(guarded.odds, given_up, margin)
    while True:
        lowest = {int(place) for place in np.where(given_up[:, None], np.inf, guarded.odds).argmin(axis=0)}
        affordable = sorted(place for place in lowest if guarded.weights[place] <= left)
        if not affordable or given_up.sum() + 1 == len(given_up):
            return bounds
        places = np.arange(len(given_up))
        tried = {place: _lowest(guarded.odds, given_up | (places == place), margin) for place in affordable}
        best = min(affordable, key=lambda place: (_spent(others, tried[place]), place))
        given_up[best], bounds = True, tried[best]
        left -= float(guarded.weights[best])


def _lowest(odds: Floats, given_up: NDArray[np.bool_], margin: float) -> Floats:
    """Return the bound of each step: below all rows that are not given up, halfway to the next one that is."""
    kept, lost = odds[~given_up], odds[given_up]
    least = kept.min(axis=0)
    below = np.where(lost < least, lost, -np.inf).max(axis=0, initial=-np.inf)
    halfway = (least + np.where(np.isfinite(below), below, 0)) / 2
    return np.asarray(np.where(np.isfinite(below), halfway, least - margin))


def _spent(others: _Odds, bounds: Floats) -> float:
    """Return the cost of `others`, in milliseconds, when each goes on while its log-odds reach the bounds."""
    goes_on = np.logical_and.accumulate(others.odds >= bounds, axis=1)
    costs = np.array([COSTS_MILLISECONDS[step] for step in list(TextStep)[-len(bounds) :]])
    return float(others.weights @ goes_on @ costs)


def _keep_bound(rows: Sequence[LabelledRow], step: TextStep, question: str, max_wrong: float) -> float:
    """Return the smallest bound that at most `max_wrong` of the negatives reach."""
    odds, weights = _ranked_odds(rows, step, question, is_so=False)
    if not len(odds):
        return getattr(Bounds(), f"keep_{question}")  # type: ignore[no-any-return]
    wrong = np.cumsum(weights[::-1]) / weights.sum()
    allowed = int(np.searchsorted(wrong, max_wrong, side="right"))
    top = odds[::-1]
    at = top[0] + MARGIN_KEPT_LOG_ODDS if allowed == 0 else (top[allowed - 1] + top[min(allowed, len(top) - 1)]) / 2
    return round(sigmoid(at), DECIMALS)


def _odds(rows: Sequence[LabelledRow], question: str, *, is_so: bool) -> _Odds:
    """Return the log-odds after each deciding step of the rows with the answer `is_so`."""
    mine = [row for row in rows if row.answers(question) is is_so]
    found = [[getattr(row.probabilities[step], question) for step in DECIDING] for row in mine]
    odds = logits(np.reshape(found, (-1, len(DECIDING))), least=LEAST_PROBABILITY)
    return _Odds(odds=odds, weights=np.array([row.weight for row in mine]))


def _rounded_probability(log_odds: float, to_whole: Callable[[float], int]) -> float:
    """Return the probability, rounded by `to_whole` to the side where fewer rows are settled."""
    scale = 10.0**DECIMALS
    return to_whole(scale * sigmoid(log_odds)) / scale


def _ranked_odds(rows: Sequence[LabelledRow], step: TextStep, question: str, *, is_so: bool) -> tuple[Floats, Floats]:
    """Return the sorted log-odds at `step` of the rows with the answer `is_so`, and their weights."""
    mine = [row for row in rows if row.answers(question) is is_so]
    odds = logits([getattr(row.probabilities[step], question) for row in mine], least=LEAST_PROBABILITY)
    order = np.argsort(odds, kind="stable")
    weights = np.array([row.weight for row in mine])
    return odds[order], weights[order]


def _threshold(
    rows: Sequence[LabelledRow], scores: Floats, question: str, recall: float | None, false_rate: float | None
) -> float:
    """Return the largest threshold on the score with the wanted recall, or the smallest with the false rate."""
    yes = np.array([row.answers(question) for row in rows])
    weights = np.array([row.weight for row in rows])
    side = yes if recall is not None else ~yes
    order = np.argsort(scores[side], kind="stable")
    ranked, counted = scores[side][order], np.cumsum(weights[side][order]) / weights[side].sum()
    if recall is not None:
        place = int(np.searchsorted(counted, 1 - recall + ROUNDING_ERROR, side="right"))
        return float(ranked[min(place, len(ranked) - 1)])
    place = int(np.searchsorted(counted, 1 - (false_rate or 0.0) - ROUNDING_ERROR, side="left"))
    lower = float(ranked[min(place, len(ranked) - 1)])
    above = ranked[ranked > lower]
    upper = float(above[0]) if len(above) else min(1.0, lower + MARGIN_SCORE)
    middle = round((lower + upper) / 2, SCORE_DECIMALS)
    return middle if middle > lower else upper
