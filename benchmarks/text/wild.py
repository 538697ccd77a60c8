"""Heavy or not on pictures as the web has them, whose labels say what they are and whose sources are known."""

import csv
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from benchmarks.text.corpus import WEB_MIX, read_truth
from benchmarks.text.pipeline import choose_all
from curation.text.bounds import default_rules
from curation.trust.calibration import Interval, share
from curation.trust.labels import place_of

RICH_SHARE = WEB_MIX["rich"]
GROUPS: Mapping[str, tuple[str, ...]] = {
    "recall of rich": ("rich",),
    "recall of rich?": ("rich?",),
    "false among not and not?": ("not", "not?"),
    "false among not": ("not",),
    "false among not?": ("not?",),
}
"""The labels whose share of heavy is reported, by the name of that share."""
RECALL, FALSE = "recall of rich", "false among not and not?"
PRECISION = "precision at 1.3 % rich"
RESAMPLES, SEED = 1_000, 0
FALSE_PER_THOUSAND = (1, 2, 5, 10)
RECALLS = (0.90, 0.95, 0.98, 0.99)
WORST_SOURCES = 10
NO_KIND = "-"  # in older manifests
COLUMNS = (
    "source", "member", "status", "duplicate_of", "text_score", "text_lines", "text_step", "text_kind", "text_class"
)  # fmt: skip

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """A picture that was scored, and its label: rich, rich?, not or not?."""

    tar: str
    member: str
    key: str
    repo: str
    label: str
    score: float
    has_line: bool
    is_heavy: bool
    step: str
    kind: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wild:
    """The judged pictures, and how many there are of the others: boundary, duplicates, not scored, corrected."""

    pictures: Sequence[Judged]
    counts: Mapping[str, int]


# --- labels and rows ------------------------------------------------------------------------------------------


def read_looked(path: Path) -> dict[str, bool]:
    """Return whether each picture that somebody looked at is rich, by key. An empty `is_rich` is left out.

    Raises ClickException for another column or value.
    """
    with path.open(newline="") as f:
        rows = list(csv.DictReader(f))
    found = {}
    for number, row in enumerate(rows, start=2):
        answer = row.get("is_rich")
        if "key" not in row or answer not in ("0", "1", ""):
            raise click.ClickException(f"{path}: line {number}: need the columns key and is_rich, the latter 0 or 1")
        if answer:
            found[row["key"]] = answer == "1"
    return found


def corrected(truth: Sequence[Mapping[str, str]], looked: Mapping[str, bool]) -> list[dict[str, str]]:
    """Return `truth` with sure labels for the pictures whose label had a question mark and that were looked at."""
    return [
        {**row, "label": "rich" if looked[row["key"]] else "not"}
        if row["label"].endswith("?") and row["key"] in looked
        else dict(row)
        for row in truth
    ]


def judge(table: pa.Table, truth: Sequence[Mapping[str, str]]) -> Wild:
    """Return the rows of `table`, a manifest of stage choose, that were scored and whose label counts."""
    rows = {place_of(row["source"], row["member"]): row for row in table.to_pylist()}
    counts: Counter[str] = Counter(dict.fromkeys(("labelled", "boundary", "duplicates", "not scored"), 0))
    pictures = []
    for label in truth:
        counts["labelled"] += 1
        row = rows.get((label["tar"], label["key"]))
        if label["label"] == "boundary":
            counts["boundary"] += 1
        elif row is not None and row["duplicate_of"] is not None:
            counts["duplicates"] += 1
        elif row is None or row["text_score"] is None:
            counts["not scored"] += 1
        else:
            pictures.append(
                Judged(
                    tar=label["tar"],
                    member=row["member"],
                    key=label["key"],
                    repo=label["repo"],
                    label=label["label"],
                    score=row["text_score"],
                    has_line=(row["text_lines"] or 0) >= 1,
                    is_heavy=row["text_class"] == "heavy",
                    step=row["text_step"],
                    kind=row.get("text_kind") or NO_KIND,
                )
            )
    return Wild(pictures=pictures, counts={**counts, "judged": len(pictures)})


def of_labels(pictures: Sequence[Judged], *labels: str) -> list[Judged]:
    """Return the pictures with one of `labels`."""
    return [p for p in pictures if p.label in labels]


# --- at the shipped thresholds --------------------------------------------------------------------------------


def precision(recall: Any, false_rate: Any) -> Any:
    """Return the share of rich among the heavy when 1.3 % are rich: a number, or an array of the shape given."""
    right, wrong = RICH_SHARE * recall, (1 - RICH_SHARE) * false_rate
    return right / (right + wrong)


def heavy_shares(pictures: Sequence[Judged]) -> dict[str, Interval]:
    """Return the share that is heavy in each of GROUPS, with Jeffreys' 95 % interval."""
    return {
        name: share(np.array([p.is_heavy for p in mine], bool), np.ones(len(mine)))
        for name, mine in ((name, of_labels(pictures, *labels)) for name, labels in GROUPS.items())
    }


def spans_by_source(
    pictures: Sequence[Judged], *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, tuple[float, float] | None]:
    """Return 95 % intervals of the shares and of precision by a bootstrap over sources; None without such a picture.

    Each resample draws as many sources as there are, with replacement, and all pictures of each. A resample without
    a picture of the group does not count for it.
    """
    if not pictures:
        return dict.fromkeys((*GROUPS, PRECISION))
    repos = sorted({p.repo for p in pictures})
    place = {repo: number for number, repo in enumerate(repos)}
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(repos), np.full(len(repos), 1 / len(repos)), size=resamples)
    rates: dict[str, Floats] = {}
    for name, labels in GROUPS.items():
        counts = np.zeros((len(repos), 2))
        for p in of_labels(pictures, *labels):
            counts[place[p.repo]] += (1, p.is_heavy)
        number, heavy = (drawn @ counts).T
        rates[name] = np.divide(heavy, number, out=np.full(resamples, np.nan), where=number > 0)
    with np.errstate(invalid="ignore"):
        rates[PRECISION] = precision(rates[RECALL], rates[FALSE])
    return {name: _middle(values) for name, values in rates.items()}


def _middle(values: Floats) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def at_thresholds(pictures: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Return the share that is heavy in each of GROUPS, and precision, with intervals of both kinds."""
    spans = spans_by_source(pictures)
    shares = heavy_shares(pictures)
    found: dict[str, dict[str, Any]] = {}
    for name, labels in GROUPS.items():
        mine = of_labels(pictures, *labels)
        numbers = {"pictures": len(mine), "heavy": sum(p.is_heavy for p in mine)}
        found[name] = {**numbers, **dataclasses.asdict(shares[name]), "by_source": spans[name]}
    recall, false = shares[RECALL].share, shares[FALSE].share
    is_known = recall + false > 0 and all(found[name]["pictures"] for name in (RECALL, FALSE))
    found[PRECISION] = {"share": precision(recall, false) if is_known else None, "by_source": spans[PRECISION]}
    return found


# --- at other thresholds --------------------------------------------------------------------------------------


def demands_a_line(pictures: Sequence[Judged]) -> bool:
    """Return whether every heavy picture has a line that was read: the rule of heavy. Old manifests lack it."""
    return all(p.has_line for p in pictures if p.is_heavy)


def ranked(pictures: Sequence[Judged], *, with_line: bool) -> Floats:
    """Return the scores; minus infinity, below any threshold, without a line where `with_line` demands one."""
    return np.array([p.score if p.has_line or not with_line else -np.inf for p in pictures], np.float64)


def recall_at_false(rich: Floats, others: Floats, per_thousand: float) -> float:
    """Return the highest recall of `rich` at which at most `per_thousand` of a thousand `others` are heavy.

    Both are scores; no threshold reaches minus infinity.
    """
    allowed = int(per_thousand * len(others) / 1_000 + 1e-9)
    above = np.sort(others)[::-1][allowed] if allowed < len(others) else -np.inf
    return float(np.mean(rich > above)) if len(rich) else 0.0


def false_at_recall(rich: Floats, others: Floats, recall: float) -> float | None:
    """Return how many of 1,000 `others` are heavy at the highest threshold with this recall; None if none has it."""
    needed = int(np.ceil(recall * len(rich) - 1e-9))
    least = np.sort(rich)[::-1][needed - 1] if 0 < needed <= len(rich) else -np.inf
    if not np.isfinite(least):
        return None
    return 1_000 * float(np.mean(others >= least)) if len(others) else 0.0


def curve(pictures: Sequence[Judged]) -> dict[str, Any]:
    """Return recall at some false rates, false rates at some recalls, and all points between (`points`).

    A point is (threshold, recall, false per 1,000), from the highest threshold down.
    """
    with_line = demands_a_line(pictures)
    rich = ranked(of_labels(pictures, *GROUPS[RECALL]), with_line=with_line)
    others = ranked(of_labels(pictures, *GROUPS[FALSE]), with_line=with_line)
    every = np.concatenate([rich, others])
    thresholds = np.unique(every[np.isfinite(every)])[::-1]
    points = []
    if len(rich) and len(others):
        points = [(float(t), float(np.mean(rich >= t)), 1_000 * float(np.mean(others >= t))) for t in thresholds]
    return {
        "only_with_a_line": with_line,
        "recall_at_false_per_thousand": {str(n): recall_at_false(rich, others, n) for n in FALSE_PER_THOUSAND},
        "false_per_thousand_at_recall": {f"{r:.2f}": false_at_recall(rich, others, r) for r in RECALLS},
        "points": points,
    }


# --- mistakes -------------------------------------------------------------------------------------------------


def false_heavy(pictures: Sequence[Judged], *labels: str) -> list[Judged]:
    """Return the heavy pictures with one of `labels`, the highest score first."""
    return sorted((p for p in of_labels(pictures, *labels) if p.is_heavy), key=lambda p: (-p.score, p.key))


def missed(pictures: Sequence[Judged], *labels: str) -> list[Judged]:
    """Return the pictures with one of `labels` that are not heavy, the lowest score first."""
    return sorted((p for p in of_labels(pictures, *labels) if not p.is_heavy), key=lambda p: (p.score, p.key))


def mistakes(pictures: Sequence[Judged]) -> dict[str, dict[str, dict[str, int]]]:
    """Return counts of the false heavy and of the missed rich, by kind, by the step that decided, by source."""
    found = {"false heavy": false_heavy(pictures, *GROUPS[FALSE]), "missed": missed(pictures, *GROUPS[RECALL])}
    return {
        name: {
            "kind": dict(Counter(p.kind for p in mine).most_common()),
            "step": dict(Counter(p.step for p in mine).most_common()),
            "source": dict(Counter(p.repo for p in mine).most_common(WORST_SOURCES)),
        }
        for name, mine in found.items()
    }


# --- all of it ------------------------------------------------------------------------------------------------


def read_manifest(manifest: Path) -> pa.Table:
    """Return the columns that are judged by; those that the manifest lacks are left out."""
    rows = ds.dataset(sorted(str(p) for p in manifest.glob("*.parquet")))
    return rows.to_table(columns=[name for name in COLUMNS if name in rows.schema.names])


def measure_wild(
    wild: Path, work: Path, *, looked: Mapping[str, bool], is_fitted: bool
) -> tuple[dict[str, Any], Sequence[Judged]]:
    """Return what is found on the pictures in the folder `wild`, and the judged pictures themselves."""
    raw = read_truth(wild)
    truth = corrected(raw, looked)
    seen = judge(read_manifest(choose_all(wild, work / "wild")), truth)
    changed = [(old["label"], new["label"]) for old, new in zip(raw, truth, strict=True) if old != new]
    found = {
        "is_fitted": is_fitted,
        "sources": len({p.repo for p in seen.pictures}),
        "counts": {**seen.counts, "looked at": len(changed), "not? that are rich": changed.count(("not?", "rich"))},
        "thresholds": dict(default_rules()),
        "at_thresholds": at_thresholds(seen.pictures),
        "curve": curve(seen.pictures),
        "mistakes": mistakes(seen.pictures),
    }
    return found, seen.pictures
