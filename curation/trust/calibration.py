"""From labelled samples to the bounds and thresholds of the cascade, and what is to be expected of them.

The samples must have been scored exhaustively, so that the chances of every step are known; the cascade is then
replayed under any bounds without reading a picture. Intervals are Jeffreys' (Brown, Cai and DasGupta, 2001,
Statistical Science 16:2), 95 %, on effective numbers where samples have weights (Kish, 1965).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from curation.text.bounds import Bounds, TextStep, is_open
from curation.text.cascade import SCORE_DECIMALS, text_score
from curation.trust.labels import Label
from filters.protocol import TextProbabilities

DECIDING = tuple(step for step in TextStep if step is not TextStep.READ)
COSTS_MILLISECONDS: Mapping[TextStep, float] = {  # of a core, measured: what running a step costs
    TextStep.DENSITY_LARGE: 11.0,
    TextStep.DETECT_SMALL: 14.0,
    TextStep.DETECT_LARGE: 40.0,
    TextStep.READ: 25.0,
}
MARGINS_LOG_ODDS: Mapping[str, float] = {"light": 0.5, "heavy": 3.0}  # below the last sample that may not be lost
MARGIN_KEPT_LOG_ODDS = 1.0  # above the last sample that may not be kept
DECIMALS = 5
MARGIN_SCORE = 0.01  # above the highest score, when no picture that is not may be kept
TINIEST = 1e-6  # chances are known to so much
TINY = 1e-9  # sums of shares end a little beside what they should

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A labelled sample: what each step thought of it, and how much it counts."""

    key: str
    label: Label
    trail: Mapping[TextStep, TextProbabilities]
    weight: float = 1.0

    def answers(self, question: str) -> bool:
        """Whether the label says yes to `light` or `heavy`."""
        return self.label == "heavy" or (question == "light" and self.label == "light")


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What is wanted. Shares of 1.

    `max_heavy_lost`: of the heavy, lost to all steps before reading together, whatever later steps would have said.
    `max_light_lost`: of the pictures with text that all steps together find, lost to those before reading: a word
    that no step ever finds is not lost by an early one. `max_heavy_kept`, `max_light_kept`: of the pictures that are
    not, settled as being so by all steps before reading together, and by reading. Of each question either the recall
    or the false rate is given: the share of those that are not which the final threshold lets through.
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
    """A share and its 95 % interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one step did in the replay: weighted shares of all samples it saw and settled, of the heavy it lost."""

    step: TextStep
    saw: float
    settled: float
    heavy_lost: Interval
    light_lost: Interval


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Bounds by step, thresholds on `text_score`, and what they did to the samples they were made from."""

    bounds: Mapping[TextStep, Bounds]
    rules: Mapping[str, float]
    steps: Sequence[StepReport]
    expected: Mapping[str, Interval]
    samples: Mapping[str, int]


def calibrate(samples: Sequence[Sample], goals: Goals, *, with_light: bool = True) -> Calibration:
    """Return the bounds and thresholds that meet `goals` on `samples`.

    Raises ValueError when a class has no sample or a trail lacks a step.
    """
    counts = {label: sum(s.label == label for s in samples) for label in ("none", "light", "heavy")}
    if not counts["heavy"] or counts["heavy"] == len(samples) or not (counts["none"] and counts["light"]):
        raise ValueError(f"calibration needs samples of each label; there are {counts}")
    for sample in samples:
        if missing := [str(step) for step in DECIDING if step not in sample.trail]:
            raise ValueError(
                f"{sample.key}: scored without {', '.join(missing)}; score the labelled samples with "
                "--set score.exhaustive=true"
            )
    found = _found_by_all(samples, goals)
    bounds = _early_bounds(samples, found or samples, goals)
    bounds[TextStep.READ] = _last_bounds(samples, goals)
    final = [replay(s.trail, bounds, with_light=with_light)[1] for s in samples]
    scores = np.array([text_score(chances) for chances in final])
    rules = {
        f"min_{q}_score": _threshold(
            samples, scores, q, getattr(goals, f"{q}_recall"), getattr(goals, f"{q}_false_rate")
        )
        for q in ("light", "heavy")
    }
    rules["min_light_score"] = min(rules.values())
    return Calibration(
        bounds=bounds,
        rules=rules,
        steps=step_reports(samples, bounds, with_light=with_light),
        expected=expectations(samples, scores, rules),
        samples=counts,
    )


def replay(
    trail: Mapping[TextStep, TextProbabilities], bounds: Mapping[TextStep, Bounds], *, with_light: bool
) -> tuple[TextStep, TextProbabilities]:
    """Return the step that would have been the last, and the chances it left, under `bounds`."""
    steps = [step for step in TextStep if step in trail]
    for step in steps:
        if step is steps[-1] or not is_open(bounds, step, trail[step], with_light=with_light):
            return step, trail[step]
    raise ValueError("a trail has at least one step")


def step_reports(
    samples: Sequence[Sample], bounds: Mapping[TextStep, Bounds], *, with_light: bool
) -> list[StepReport]:
    """Return what each step saw, settled and lost. Lost is what it dropped though the label says yes."""
    last = [replay(s.trail, bounds, with_light=with_light) for s in samples]
    weights = np.array([s.weight for s in samples])
    order = list(TextStep)
    reached = np.array([order.index(step) for step, _ in last])
    reports = []
    for number, step in enumerate(order):
        ended = reached == number
        dropped = {
            question: np.array(
                [
                    bool(e) and getattr(chances, question) < getattr(bounds.get(step, Bounds()), f"drop_{question}")
                    for e, (_, chances) in zip(ended, last, strict=True)
                ]
            )
            for question in ("heavy", "light")
        }
        answers = {q: np.array([s.answers(q) for s in samples]) for q in ("heavy", "light")}
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


def expectations(samples: Sequence[Sample], scores: Floats, rules: Mapping[str, float]) -> dict[str, Interval]:
    """Return recall, false rate and precision of both classes at the thresholds `rules`."""
    weights = np.array([s.weight for s in samples])
    found: dict[str, Interval] = {}
    for question in ("heavy", "light"):
        yes = np.array([s.answers(question) for s in samples])
        kept = scores >= rules[f"min_{question}_score"]
        found[f"{question}_recall"] = share(kept[yes], weights[yes])
        found[f"{question}_false_rate"] = share(kept[~yes], weights[~yes])
        found[f"{question}_precision"] = share(yes[kept], weights[kept])
    return found


def share(hits: NDArray[np.bool_], weights: Floats) -> Interval:
    """Return the weighted share of `hits` with Jeffreys' 95 % interval; (0, 0, 1) of nothing."""
    if not len(hits):
        return Interval(share=0.0, low=0.0, high=1.0)
    number = float(weights.sum() ** 2 / (weights**2).sum())  # Kish's effective number
    found = float((hits * weights).sum() / weights.sum())
    low, high = beta.ppf([0.025, 0.975], found * number + 0.5, (1 - found) * number + 0.5)
    return Interval(share=found, low=0.0 if found == 0 else float(low), high=1.0 if found == 1 else float(high))


def _found_by_all(samples: Sequence[Sample], goals: Goals) -> list[Sample]:
    """Return the samples that are light by their label and by the last chances, at the threshold that is wanted."""
    last = [replay(s.trail, {}, with_light=True)[1] for s in samples]
    scores = np.array([text_score(chances) for chances in last])
    least = _threshold(samples, scores, "light", goals.light_recall, goals.light_false_rate)
    return [s for s, score in zip(samples, scores, strict=True) if s.answers("light") and score >= least]


def _early_bounds(samples: Sequence[Sample], found: Sequence[Sample], goals: Goals) -> dict[TextStep, Bounds]:
    """Return the bounds of all steps before reading; density never keeps as heavy: no engine saw it."""
    drop, keep = {}, {}
    for question, guarded in (("light", found), ("heavy", samples)):
        yes, no = _odds(guarded, question, is_so=True), _odds(samples, question, is_so=False)
        drop[question] = _settle(yes, no, getattr(goals, f"max_{question}_lost"), MARGINS_LOG_ODDS[question])
        first = 0 if question == "light" else DECIDING.index(TextStep.DETECT_SMALL)
        yes = _odds(samples, question, is_so=True)
        kept = _settle(
            no.turned(first), yes.turned(first), getattr(goals, f"max_{question}_kept"), MARGIN_KEPT_LOG_ODDS
        )
        keep[question] = np.concatenate([np.full(first, np.inf), -kept])
    never = Bounds()
    return {
        step: Bounds(
            drop_light=_chance(drop["light"][place], math.floor),
            drop_heavy=_chance(drop["heavy"][place], math.floor),
            keep_light=_chance(max(keep["light"][place], drop["light"][place]), math.ceil),
            keep_heavy=_chance(max(keep["heavy"][place], drop["heavy"][place]), math.ceil)
            if np.isfinite(keep["heavy"][place])
            else never.keep_heavy,
        )
        for place, step in enumerate(DECIDING)
    }


def _last_bounds(samples: Sequence[Sample], goals: Goals) -> Bounds:
    """Return when reading stops early: what is surely so; it is never given up before the last line."""
    with_lines = [s for s in samples if TextStep.READ in s.trail]
    keep = {q: _keep_bound(with_lines, TextStep.READ, q, getattr(goals, f"max_{q}_kept")) for q in ("light", "heavy")}
    return Bounds(keep_light=keep["light"], keep_heavy=keep["heavy"])


@dataclass(frozen=True, kw_only=True)
class _Odds:
    """Log-odds of some samples after the last of the deciding steps, (N, steps), and the samples' weights, (N,)."""

    odds: Floats
    weights: Floats

    def turned(self, first: int) -> "_Odds":
        """Return the log-odds of the opposite, from step `first` on."""
        return _Odds(odds=-self.odds[:, first:], weights=self.weights)


def _settle(guarded: _Odds, others: _Odds, max_given_up: float, margin: float) -> Floats:
    """Return the bound of each step, so that at most `max_given_up` of `guarded` fall below one of them.

    Which are given up is decided for all steps together, greedily: each time the one of the lowest samples without
    which the bounds spare the others most of the steps they would have to go through.
    """
    given_up = np.zeros(len(guarded.odds), bool)
    left = max_given_up * float(guarded.weights.sum()) + TINY
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
    """Return the bound of each step below all samples that are not given up, halfway to the next one that is."""
    kept, lost = odds[~given_up], odds[given_up]
    least = kept.min(axis=0)
    below = np.where(lost < least, lost, -np.inf).max(axis=0, initial=-np.inf)
    halfway = (least + np.where(np.isfinite(below), below, 0)) / 2
    return np.asarray(np.where(np.isfinite(below), halfway, least - margin))


def _spent(others: _Odds, bounds: Floats) -> float:
    """Return what pictures cost that go on while their odds reach the bounds of the last of the deciding steps."""
    goes_on = np.logical_and.accumulate(others.odds >= bounds, axis=1)
    costs = np.array([COSTS_MILLISECONDS[step] for step in list(TextStep)[-len(bounds) :]])
    return float(others.weights @ goes_on @ costs)


def _keep_bound(samples: Sequence[Sample], step: TextStep, question: str, max_wrong: float) -> float:
    """Return the smallest bound from which at most `max_wrong` of the pictures that are not lie."""
    odds, weights = _log_odds(samples, step, question, is_so=False)
    if not len(odds):
        return getattr(Bounds(), f"keep_{question}")  # type: ignore[no-any-return]
    wrong = np.cumsum(weights[::-1]) / weights.sum()
    allowed = int(np.searchsorted(wrong, max_wrong, side="right"))
    top = odds[::-1]
    at = top[0] + MARGIN_KEPT_LOG_ODDS if allowed == 0 else (top[allowed - 1] + top[min(allowed, len(top) - 1)]) / 2
    return round(1 / (1 + math.exp(-at)), DECIMALS)


def _odds(samples: Sequence[Sample], question: str, *, is_so: bool) -> _Odds:
    """Return the log-odds after each deciding step of the samples whose answer is `is_so`."""
    mine = [s for s in samples if s.answers(question) is is_so]
    chances = [[getattr(s.trail[step], question) for step in DECIDING] for s in mine]
    clipped = np.clip(np.array(chances).reshape(-1, len(DECIDING)), TINIEST, 1 - TINIEST)
    return _Odds(odds=np.log(clipped / (1 - clipped)), weights=np.array([s.weight for s in mine]))


def _chance(log_odds: float, to_whole: Callable[[float], int]) -> float:
    """Return the chance, rounded to the side that settles nothing more."""
    scale = 10.0**DECIMALS
    return to_whole(scale / (1 + math.exp(-log_odds))) / scale


def _log_odds(samples: Sequence[Sample], step: TextStep, question: str, *, is_so: bool) -> tuple[Floats, Floats]:
    """Return the sorted log-odds at `step` of the samples whose answer is `is_so`, and their weights."""
    mine = [s for s in samples if s.answers(question) is is_so]
    chances = np.clip([getattr(s.trail[step], question) for s in mine], TINIEST, 1 - TINIEST)
    order = np.argsort(chances, kind="stable")
    weights = np.array([s.weight for s in mine])
    return np.log(chances / (1 - chances))[order], weights[order]


def _threshold(
    samples: Sequence[Sample], scores: Floats, question: str, recall: float | None, false_rate: float | None
) -> float:
    """Return the threshold on the score that gives the wanted recall (the largest) or false rate (the smallest)."""
    yes = np.array([s.answers(question) for s in samples])
    weights = np.array([s.weight for s in samples])
    side = yes if recall is not None else ~yes
    order = np.argsort(scores[side], kind="stable")
    ranked, counted = scores[side][order], np.cumsum(weights[side][order]) / weights[side].sum()
    if recall is not None:
        place = int(np.searchsorted(counted, 1 - recall + TINY, side="right"))
        return float(ranked[min(place, len(ranked) - 1)])
    place = int(np.searchsorted(counted, 1 - (false_rate or 0.0) - TINY, side="left"))
    lower = float(ranked[min(place, len(ranked) - 1)])
    above = ranked[ranked > lower]
    upper = float(above[0]) if len(above) else min(1.0, lower + MARGIN_SCORE)
    middle = round((lower + upper) / 2, SCORE_DECIMALS)
    return middle if middle > lower else upper
