"""The sheet that a person fills in for an audit, and estimates of the precision and recall of the run from it."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from curation.trust.audit import LABELS, Audit
from manifests.errors import InputError

UNSURE = "unsure"
DRAWS = 4000
CONFIDENCE = 0.95
_SEED = 0  # fixed, so that the same labels always give the same interval

# --- the sheet


def empty_sheet(keys: Sequence[str]) -> str:
    """Return the content of `sheet.csv`: one line for each key, without labels."""
    return "key,label\n" + "".join(f"{_quoted(key)},\n" for key in keys)


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',;"\t\r\n') else field


def read_sheet(text: str, known: Iterable[str]) -> dict[str, str]:
    """Return key → label of the lines of a sheet with a label, which may be `unsure`.

    Columns may be separated by commas, semicolons or tabs, as spreadsheets write them. Raises InputError that names
    the line for a key that is not in `known` or comes twice, and for an unknown label.
    """
    try:
        lines = csv.DictReader(_lines(text), delimiter=_delimiter(text), restval="")
        return _labels(lines, frozenset(known))
    except csv.Error as e:
        raise InputError(f"not readable as CSV ({e}); fill in sheet.csv, or download the sheet from the page") from e


def _labels(lines: "csv.DictReader[str]", known: frozenset[str]) -> dict[str, str]:
    if not {"key", "label"} <= set(lines.fieldnames or ()):
        raise InputError("line 1: no columns key and label; fill in sheet.csv, or download the sheet from the page")
    seen: set[str] = set()
    labels: dict[str, str] = {}
    for line in lines:
        key, label = line["key"], line["label"].strip().lower()
        where = f"line {lines.line_num}: key {key!r}"
        if key not in known:
            raise InputError(f"{where} is not in the sample; a spreadsheet may have rewritten it: read keys as text")
        if key in seen:
            raise InputError(f"{where} comes twice; leave one of them")
        if label not in (*LABELS, UNSURE, ""):
            raise InputError(f"{where}: {label!r} is not a label; write {', '.join(LABELS)} or {UNSURE}, or nothing")
        seen.add(key)
        if label:
            labels[key] = label
    return labels


def _lines(text: str) -> io.StringIO:
    return io.StringIO(text.removeprefix("\ufeff"), newline="")


def _delimiter(text: str) -> str:
    heading = text.partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in heading), ",")


# --- weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """How many rows of the manifest each labelled key stands for, and what no label stands for."""

    by_key: Mapping[str, float]
    rows: int
    blind_strata: int
    blind_rows: int


def stratum_weights(audit: Audit, labelled: Iterable[str]) -> Weights:
    """Return the weights of the keys `labelled`: N/n for each of the n labels of a stratum of N rows."""
    known = frozenset(labelled)
    by_key: dict[str, float] = {}
    blind: list[int] = []
    for stratum in audit.strata:
        mine = [key for key in stratum.keys if key in known]
        by_key |= dict.fromkeys(mine, stratum.rows / max(1, len(mine)))
        blind += [] if mine else [stratum.rows]
    return Weights(by_key=by_key, rows=audit.audited_rows, blind_strata=len(blind), blind_rows=sum(blind))


# --- estimates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A share of the audited rows, estimated from `labels_hit` of `labels`, each weighted by its stratum.

    [`low`, `high`] contains the true share with probability CONFIDENCE. Without a label all three numbers are None.
    """

    value: float | None
    low: float | None
    high: float | None
    labels_hit: int
    labels: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimates:
    """Estimates for all audited rows.

    `quality`: question → `precision` and `recall`. `lost_heavy`: text_step → the share of all heavy images that this
    step decided and that were not classified as heavy. `labels`: label → number of images, with `unfilled`.
    `blind_strata` and `blind_rows`: strata without a usable label. Values leave them out, and intervals allow for any
    labels in them.
    """

    rows: int
    labels: Mapping[str, int]
    blind_strata: int
    blind_rows: int
    quality: Mapping[str, Mapping[str, Estimate]]
    lost_heavy: Mapping[str, Estimate]


def estimate(audit: Audit, labels: Mapping[str, str]) -> Estimates:
    """Return precision and recall of the audited rows, from key → label; `unsure` and unlabelled keys are left out.

    Values are stratified estimates: each of the n labels of a stratum represents N/n of its N rows. Intervals are
    those of a finite population (Ericson, 1969, J. R. Stat. Soc. B 31). DRAWS times, each stratum's share of the
    wanted labels is drawn from its Beta posterior, and the labels of its unlabelled rows from that share. The
    interval contains the middle 95 % of the results. So it is a point when everything is labelled.

    The prior is Jeffreys', with the posterior Beta(k + 1/2, n - k + 1/2) for k hits among n labels (Brown, Cai and
    DasGupta, 2001, Statistical Science 16). The pseudo-counts of 1/2 are added once for all strata with a positive
    answer and once for all others, divided in proportion to the rows that a label represents. If each stratum got
    them, they would add up: thirty strata would contain fifteen unseen errors, and intervals would miss the truth
    half of the time. A stratum that outweighs the others gets nearly all, as in intervals for weighted sums of rare
    events (Fay and Feuer, 1997, Statistics in Medicine 16). Jeffreys' interval is extended to 0 or 1 when no label or
    every label hits; likewise this one is extended to contain the value.
    """
    counts = np.zeros((len(audit.strata), len(LABELS)), np.int64)
    for place, stratum in enumerate(audit.strata):
        found = Counter(labels.get(key, "") for key in stratum.keys)
        counts[place] = [found[label] for label in LABELS]
    population = _Population(counts=counts, rows=np.array([s.rows for s in audit.strata], np.int64))
    label_counts = Counter(labels.values())
    is_blind = population.labelled == 0
    return Estimates(
        rows=audit.audited_rows,
        labels={
            **{label: label_counts[label] for label in (*LABELS, UNSURE)},
            "unfilled": len(audit.keys) - label_counts.total(),
        },
        blind_strata=int(is_blind.sum()),
        blind_rows=int(population.rows[is_blind].sum()),
        quality=_quality(audit, population),
        lost_heavy=_lost_heavy(audit, population),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Population:
    """The audited rows: how many there are in each stratum, (strata,), and the label counts, (strata, labels)."""

    counts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @property
    def labelled(self) -> npt.NDArray[np.int64]:
        counted: npt.NDArray[np.int64] = self.counts.sum(axis=1)
        return counted

    def shares(self, positive: npt.NDArray[np.bool_], wanted: Sequence[str]) -> tuple[Estimate, Estimate]:
        """Return precision and recall when the strata `positive` are predicted to have the labels `wanted`."""
        hits = self.counts[:, np.isin(LABELS, wanted)].sum(axis=1)
        likely = hits * self.rows / np.maximum(self.labelled, 1)
        drawn = self._draw(hits, positive)
        drawn_right = drawn[:, positive].sum(axis=1)
        precision = _share(
            hits=hits[positive].sum(),
            labels=self.labelled[positive].sum(),
            value=likely[positive].sum() / max(1, self.rows[positive & (self.labelled > 0)].sum()),
            drawn=drawn_right / max(1, self.rows[positive].sum()),
        )
        recall = _share(
            hits=hits[positive].sum(),
            labels=hits.sum(),
            value=likely[positive].sum() / max(1, likely.sum()),
            drawn=drawn_right / np.maximum(drawn.sum(axis=1), 1),
        )
        return precision, recall

    def _draw(self, hits: npt.NDArray[np.int64], positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return how many rows of each stratum have the wanted labels, in DRAWS random draws: (DRAWS, strata)."""
        rng = np.random.default_rng(_SEED)
        unlabelled = self.rows - self.labelled
        represents = unlabelled / np.maximum(self.labelled, 1)
        drawn = np.tile(hits, (DRAWS, 1))
        for place in np.flatnonzero(unlabelled).tolist():
            prior = 0.5 * represents[place] / represents[positive == positive[place]].sum()
            shares = rng.beta(hits[place] + prior, self.labelled[place] - hits[place] + prior, DRAWS)
            drawn[:, place] += rng.binomial(unlabelled[place], shares)
        return drawn


def _share(*, hits: int, labels: int, value: float, drawn: npt.NDArray[np.float64]) -> Estimate:
    if not labels:
        return Estimate(value=None, low=None, high=None, labels_hit=0, labels=0)
    value = min(1.0, float(value))
    low, high = np.quantile(drawn, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)).tolist()
    return Estimate(value=value, low=min(low, value), high=max(high, value), labels_hit=int(hits), labels=int(labels))


_WANTED: Mapping[str, Sequence[str]] = {"heavy": ("heavy",), "light": ("light", "heavy")}


def _quality(audit: Audit, population: _Population) -> dict[str, dict[str, Estimate]]:
    classes = [s.facets.text_class for s in audit.strata]
    positive = {name: np.isin(classes, labels) for name, labels in _WANTED.items()}
    kept = np.array([s.facets.is_kept for s in audit.strata], np.bool_)
    questions = {name: (positive[name], labels) for name, labels in _WANTED.items()}
    if audit.rules.keep in _WANTED:
        questions["kept"] = (kept, _WANTED[audit.rules.keep])
    else:  # `keep: all` names no class
        questions |= {f"kept as {name}": (kept, labels) for name, labels in _WANTED.items()}
    found = {name: population.shares(*question) for name, question in questions.items()}
    return {name: {"precision": precision, "recall": recall} for name, (precision, recall) in found.items()}


def _lost_heavy(audit: Audit, population: _Population) -> dict[str, Estimate]:
    lost: dict[str, Estimate] = {}
    for step in sorted({s.facets.text_step for s in audit.strata}):
        missed = [s.facets.text_step == step and s.facets.text_class != "heavy" for s in audit.strata]
        lost[step] = population.shares(np.array(missed, np.bool_), _WANTED["heavy"])[1]
    return lost
