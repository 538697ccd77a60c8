"""The page "text": where the scores lie, and what another threshold would keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from curation.choosing.what_if import Choice, count_outcomes
from curation.config_choose import ChooseConfig
from curation.pages.picks import ROWS, Gallery, Rows
from curation.pages.plots import histogram
from curation.text.bounds import TextStep
from curation.trust.audit import LABELS
from curation.trust.calibration import share
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine, sql_text

STEPS = 1000  # places of the threshold slider, between 0 and 1
BINS = 50
STRIP = "strip"
STRIP_BINS = 20


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A bound on `text_score` that the reader may move.

    `setting`: its name in `choose`; `value`: as it is now; `kept`: how many rows are kept at each of `bounds`, in
    thousandths, if nothing else changes; `target`: the number or share of rows that `choose` is to keep, if any.
    """

    setting: str
    value: float
    bounds: Sequence[float]
    kept: Sequence[int]
    target: float | None


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Precision and recall at each hundredth of the threshold, with 95 % intervals, from `labels`: (101, 3)."""

    labels: int
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Key → label that a person gave, and key → for how many rows the label counts; 1 where that is not said."""

    labels: Mapping[str, str]
    weights: Mapping[str, float]


def threshold(manifest: Manifest, config: ChooseConfig, engine: DuckEngine) -> Threshold | None:
    """Return the threshold of a manifest chosen with `config`; None if no class of text is asked for.

    The counts are exact: those that choosing with each threshold would give.
    """
    if config.keep == "all":
        return None
    setting = f"min_{config.keep}_score"
    value = getattr(config, setting)
    bounds = np.arange(STEPS + 1) / STEPS
    least, most = (0.0, config.min_heavy_score) if config.keep == "light" else (config.min_light_score, 1.0)
    wanted = config.wanted_rows(manifest.rows)
    allowed = [bound for bound in bounds.tolist() if least <= bound <= most]
    choices = [Choice(rules=config.model_copy(update={setting: bound}).rules(), wanted=wanted) for bound in allowed]
    kept = [outcome.kept for outcome in count_outcomes(manifest, choices, engine)]
    return Threshold(
        setting=setting, value=value, bounds=allowed, kept=kept, target=config.target_count or config.target_fraction
    )


def quality(labelled: Labelled, scores: Mapping[str, float], wanted: Sequence[str]) -> Quality:
    """Return precision and recall at 101 thresholds from labels of pictures with these `scores`, key → text_score.

    `wanted`: the labels that should be kept. Intervals are Jeffreys' with Kish's effective number.
    """
    keys = [key for key in sorted(labelled.labels) if labelled.labels[key] in LABELS and key in scores]
    weight = np.array([labelled.weights.get(key, 1.0) for key in keys], float)
    value = np.array([scores[key] for key in keys], float)
    hit = np.array([labelled.labels[key] in wanted for key in keys], bool)
    precision, recall = [], []
    for bound in np.arange(101) / 100:
        kept = value >= bound
        precision.append(share(hit[kept], weight[kept]))
        recall.append(share(kept[hit], weight[hit]))
    as_rows = [np.array([(s.share, s.low, s.high) for s in spans]) for spans in (precision, recall)]
    return Quality(labels=len(keys), precision=as_rows[0], recall=as_rows[1])


def galleries(rows: Rows, pictures: int) -> list[Gallery]:
    """Return the pictures along the score: as many of each of STRIP_BINS ranges."""
    each = max(2, pictures // 3)
    bin_of = f"least(floor(text_score * {STRIP_BINS}), {STRIP_BINS - 1})::INTEGER"
    return (
        [Gallery(name=STRIP, group=bin_of, where="text_score IS NOT NULL", count=each)] if _has_scores(rows) else []
    )


def _has_scores(rows: Rows) -> bool:
    return rows.has("text_score", "text_step")


def score_plot(rows: Rows, marked: float | None) -> Markup | None:
    """Return the histogram of `text_score` by the step that decided, None without scores."""
    if not _has_scores(rows):
        return None
    found = rows.fetch(
        "SELECT coalesce(text_step, 'unknown') AS step, count(*) AS n, "
        f"least(floor(text_score * {BINS}), {BINS - 1})::INTEGER AS bin "
        f"FROM {ROWS} WHERE text_score IS NOT NULL GROUP BY ALL"
    )
    known = [str(step) for step in TextStep]
    steps = sorted(
        {row["step"] for row in found}, key=lambda s: (s not in known, known.index(s) if s in known else 0, s)
    )
    series = {step: np.zeros(BINS) for step in steps}
    for row in found:
        series[row["step"]][row["bin"]] = row["n"]
    total = int(sum(counts.sum() for counts in series.values()))
    return histogram(
        np.linspace(0, 1, BINS + 1),
        series,
        xlabel="text_score",
        described=f"Histogram of text_score of {total:,} pictures, by the step that decided",
        marked=marked,
    )


def strip_range(name: str) -> tuple[str, str]:
    """Return the lowest and the highest score of a group of the strip, as texts."""
    return f"{int(name) / STRIP_BINS:.2f}", f"{(int(name) + 1) / STRIP_BINS:.2f}"


def scores_of(rows: Rows, keys: Sequence[str]) -> dict[str, float]:
    """Return key → `text_score` of the rows with these keys and a score."""
    if not keys:
        return {}
    listed = ", ".join(map(sql_text, sorted(keys)))
    found = rows.fetch(f"SELECT key, text_score AS s FROM {ROWS} WHERE text_score IS NOT NULL AND key IN ({listed})")
    return {row["key"]: row["s"] for row in found}
