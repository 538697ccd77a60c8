"""What a person's labels say of a whole run: the sheet they fill in, and the true precision and recall from it."""

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
    """Return `sheet.csv`: a key a line, no labels."""
    return "key,label\n" + "".join(f"{_quoted(key)},\n" for key in keys)


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if set(field) & set(',;"\t\r\n') else field


def read_sheet(text: str, known: Iterable[str]) -> dict[str, str]:
    """Return key → label of the lines of a sheet that have one, `unsure` among them.

    Commas, semicolons or tabs may part the columns, as spreadsheets leave them. Raises InputError that names the
    line for a key that is not in `known` or comes twice, and for a label that is none.
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
            raise InputError(f"{where}: {label!r} is no label; write {', '.join(LABELS)} or {UNSURE}, or nothing")
        seen.add(key)
        if label:
            labels[key] = label
    return labels


def _lines(text: str) -> io.StringIO:
    return io.StringIO(text.removeprefix("\ufeff"), newline="")


def _delimiter(text: str) -> str:
    heading = text.partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in heading), ",")


# --- estimates


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A share in the whole set: `labels_hit` of `labels` pictures say it, each weighted by its stratum.

    `value` is None, and the interval with it, when there is no label to divide by. [low, high] holds the true share
    with the chance CONFIDENCE.
    """

    value: float | None
    low: float | None
    high: float | None
    labels_hit: int
    labels: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the labels say of the whole set.

    `quality`: question → `precision` and `recall`. `lost_heavy`: text_step → of all heavy images, those that the step
    decided and that were not called heavy. `labels`: how many pictures have which label, `unfilled` among them.
    `blind_strata` and `blind_rows`: strata without a label that counts; values leave them out, intervals allow for
    anything in them.
    """

    rows: int
    labels: Mapping[str, int]
    blind_strata: int
    blind_rows: int
    quality: Mapping[str, Mapping[str, Estimate]]
    lost_heavy: Mapping[str, Estimate]


def estimate(audit: Audit, labels: Mapping[str, str]) -> Estimates:
    """Return precision and recall of the audited set, from key → label; `unsure` and unlabelled keys are left out.

    Values are stratified estimates: each of a stratum's n labels stands for N/n of its N rows. Intervals are those of
    a finite population (Ericson, 1969, J. R. Stat. Soc. B 31). DRAWS times, each stratum's share of the wanted labels
    is drawn from its Beta posterior, and how many of its rows without a label have them from that share; the interval
    holds the middle 95 % of what follows. So it narrows to a point when everything is labelled.

    The prior is Jeffreys', which of k hits among n labels makes Beta(k + 1/2, n - k + 1/2) (Brown, Cai and DasGupta,
    2001, Statistical Science 16). Its halves are given once to the strata that a question calls right and once to
    the others, shared out by how many rows a label stands for. Given to every stratum they would add up: thirty
    strata would hold fifteen errors that nobody saw, and intervals would miss the truth half of the time. Where one
    stratum outweighs the others it gets nearly all, as in intervals for weighted sums of rare events (Fay and
    Feuer, 1997, Statistics in Medicine 16). As Jeffreys' interval is made to reach 0 or 1 when no label or every
    label hits, this one is made to reach the value.
    """
    counts = np.zeros((len(audit.strata), len(LABELS)), np.int64)
    for place, stratum in enumerate(audit.strata):
        found = Counter(labels.get(key, "") for key in stratum.keys)
        counts[place] = [found[label] for label in LABELS]
    whole = _Whole(counts=counts, rows=np.array([s.rows for s in audit.strata], np.int64))
    told = Counter(labels.values())
    is_blind = whole.labelled == 0
    return Estimates(
        rows=audit.audited_rows,
        labels={**{label: told[label] for label in (*LABELS, UNSURE)}, "unfilled": len(audit.keys) - told.total()},
        blind_strata=int(is_blind.sum()),
        blind_rows=int(whole.rows[is_blind].sum()),
        quality=_quality(audit, whole),
        lost_heavy=_lost_heavy(audit, whole),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Whole:
    """The whole set: its rows by stratum, and how many labels of each kind were counted, (strata, labels)."""

    counts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @property
    def labelled(self) -> npt.NDArray[np.int64]:
        counted: npt.NDArray[np.int64] = self.counts.sum(axis=1)
        return counted

    def shares(self, said: npt.NDArray[np.bool_], wanted: Sequence[str]) -> tuple[Estimate, Estimate]:
        """Return precision and recall of calling the strata `said` what the labels `wanted` are."""
        hits = self.counts[:, np.isin(LABELS, wanted)].sum(axis=1)
        likely = hits * self.rows / np.maximum(self.labelled, 1)
        drawn = self._draw(hits, said)
        drawn_right = drawn[:, said].sum(axis=1)
        precision = _share(
            hits=hits[said].sum(),
            labels=self.labelled[said].sum(),
            value=likely[said].sum() / max(1, self.rows[said & (self.labelled > 0)].sum()),
            drawn=drawn_right / max(1, self.rows[said].sum()),
        )
        recall = _share(
            hits=hits[said].sum(),
            labels=hits.sum(),
            value=likely[said].sum() / max(1, likely.sum()),
            drawn=drawn_right / np.maximum(drawn.sum(axis=1), 1),
        )
        return precision, recall

    def _draw(self, hits: npt.NDArray[np.int64], said: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return DRAWS times how many rows of each stratum may have the labels of `hits`: (DRAWS, strata)."""
        rng = np.random.default_rng(_SEED)
        unlabelled = self.rows - self.labelled
        stands_for = unlabelled / np.maximum(self.labelled, 1)
        drawn = np.tile(hits, (DRAWS, 1))
        for place in np.flatnonzero(unlabelled).tolist():
            prior = 0.5 * stands_for[place] / stands_for[said == said[place]].sum()
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


def _quality(audit: Audit, whole: _Whole) -> dict[str, dict[str, Estimate]]:
    classes = [s.facets.text_class for s in audit.strata]
    said = {name: np.isin(classes, labels) for name, labels in _WANTED.items()}
    kept = np.array([s.facets.is_kept for s in audit.strata], np.bool_)
    asked = {name: (said[name], labels) for name, labels in _WANTED.items()}
    if audit.rules.keep in _WANTED:
        asked["kept"] = (kept, _WANTED[audit.rules.keep])
    else:  # `keep: all` asks for no class
        asked |= {f"kept as {name}": (kept, labels) for name, labels in _WANTED.items()}
    found = {name: whole.shares(*question) for name, question in asked.items()}
    return {name: {"precision": precision, "recall": recall} for name, (precision, recall) in found.items()}


def _lost_heavy(audit: Audit, whole: _Whole) -> dict[str, Estimate]:
    lost: dict[str, Estimate] = {}
    for step in sorted({s.facets.text_step for s in audit.strata}):
        missed = [s.facets.text_step == step and s.facets.text_class != "heavy" for s in audit.strata]
        lost[step] = whole.shares(np.array(missed, np.bool_), _WANTED["heavy"])[1]
    return lost
