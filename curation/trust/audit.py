"""Auditing a run: which pictures a person is asked to label.

The rows that have a picture, are no duplicates and were scored are split into strata: by the step of the cascade
that decided, by `text_class`, by whether they were kept, and by how near `text_score` is to a threshold. Each
stratum gives the rows whose keyed hashes are smallest, so the sample depends neither on order nor on parts.
curation.trust.audit_labels weighs the labels back by the strata's rows.
"""

import dataclasses
import hashlib
import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from curation.sources.keys import keyed_hash64
from manifests.errors import InputError
from manifests.format.schema import STATUSES_WITH_PIXELS

FORMAT_VERSION = 1
COLUMNS = ("key", "status", "duplicate_of", "text_score", "text_step", "text_class", "keep")
LABELS = ("none", "light", "heavy")

NEAR_LOG_ODDS = 1.0
"""How far from a threshold a score counts as near it."""
MIN_PER_STRATUM = 5
NEAR_WEIGHT = 3.0  # a picture beside a threshold tells more than one far from both
_SURE = 1e-6  # scores hold six decimals; 0 and 1 would have no log-odds


class Band(StrEnum):
    """Where a score lies among the two thresholds, in log-odds."""

    FAR_BELOW_LIGHT = "far below light"
    JUST_BELOW_LIGHT = "just below light"
    JUST_ABOVE_LIGHT = "just above light"
    BETWEEN = "between"
    """From light on, below heavy, and near neither."""
    JUST_BELOW_HEAVY = "just below heavy"
    JUST_ABOVE_HEAVY = "just above heavy"
    FAR_ABOVE_HEAVY = "far above heavy"

    @property
    def is_near(self) -> bool:
        """Whether scores in it are near a threshold."""
        return self.value.startswith("just")


_BANDS = tuple(Band)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditRules:
    """What the audited manifest was chosen by; the names are those of the settings of `choose`."""

    keep: str
    min_light_score: float
    min_heavy_score: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facets:
    """What the rows of a stratum have in common."""

    text_step: str
    text_class: str
    is_kept: bool
    band: Band

    @property
    def name(self) -> str:
        """The stratum's name."""
        return f"{self.text_step} / {self.text_class} / {'kept' if self.is_kept else 'dropped'} / {self.band}"

    @property
    def place(self) -> tuple[str, int, str, int, bool]:
        """A total order: by step, then from none to heavy."""
        known = LABELS.index(self.text_class) if self.text_class in LABELS else -1
        return self.text_step, known, self.text_class, _BANDS.index(self.band), self.is_kept


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stratum:
    """A stratum: how many rows it has in the whole set, and the keys drawn from it."""

    name: str
    facets: Facets
    rows: int
    keys: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """A drawn sample, as `audit.json` holds it: of which manifest, how it was drawn, and the strata.

    `rows` are all rows of the manifest; those without a picture, duplicates and those not scored are in no stratum.
    """

    uri: str
    digest: str
    rules: AuditRules
    salt: str
    n: int
    rows: int
    strata: tuple[Stratum, ...]
    format_version: int = FORMAT_VERSION

    @property
    def audited_rows(self) -> int:
        """How many rows the strata have: the set that the estimates are about."""
        return sum(s.rows for s in self.strata)

    @property
    def keys(self) -> list[str]:
        """The drawn keys, mixed: in an order that tells nothing of their strata, so any beginning is fair, too."""
        # Not the hash of the draw: large strata would come first, since their smallest hashes are smaller.
        return sorted(
            (k for s in self.strata for k in s.keys), key=lambda k: (keyed_hash64(f"audit order:{self.salt}", k), k)
        )

    @property
    def name(self) -> str:
        """Sixteen hexadecimal digits that no other sample has."""
        return hashlib.blake2b(self.to_json(), digest_size=8).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of `audit.json`."""
        return (json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Audit":
        """Return the sample in `data`. Raises ValueError when it is none, or of another format version."""
        found = pydantic.TypeAdapter(cls).validate_json(data)
        if found.format_version != FORMAT_VERSION:
            raise ValueError(f"format version {found.format_version}, this curate reads {FORMAT_VERSION}")
        return found


# --- strata


def bands(scores: npt.NDArray[np.float64], rules: AuditRules) -> npt.NDArray[np.int64]:
    """Return the position in Band of each score: the nearer threshold counts, if it is within NEAR_LOG_ODDS."""
    odds = _log_odds(scores)
    from_light = np.abs(odds - _log_odds(rules.min_light_score))
    from_heavy = np.abs(odds - _log_odds(rules.min_heavy_score))
    near_light, near_heavy = from_light <= NEAR_LOG_ODDS, from_heavy <= NEAR_LOG_ODDS
    below_light, above_heavy = scores < rules.min_light_score, scores >= rules.min_heavy_score
    found: dict[Band, npt.NDArray[np.bool_]] = {
        Band.JUST_BELOW_LIGHT: below_light & near_light,
        Band.FAR_BELOW_LIGHT: below_light,
        Band.JUST_ABOVE_HEAVY: above_heavy & near_heavy,
        Band.FAR_ABOVE_HEAVY: above_heavy,
        Band.JUST_ABOVE_LIGHT: near_light & (from_light < from_heavy),
        Band.JUST_BELOW_HEAVY: near_heavy,
    }
    places = [_BANDS.index(band) for band in found]
    return np.select(list(found.values()), places, default=_BANDS.index(Band.BETWEEN))


def _log_odds(chance: npt.ArrayLike) -> npt.NDArray[np.float64]:
    bounded = np.clip(np.asarray(chance, np.float64), _SURE, 1 - _SURE)
    return np.log(bounded / (1 - bounded))


def _audited(batch: pa.RecordBatch) -> pa.RecordBatch:
    has_picture = pc.is_in(batch.column("status"), pa.array(STATUSES_WITH_PIXELS))
    is_first = pc.is_null(batch.column("duplicate_of"))
    return batch.filter(pc.and_(pc.and_(has_picture, is_first), pc.is_valid(batch.column("text_score"))))


def _by_facets(batch: pa.RecordBatch, rules: AuditRules) -> Iterator[tuple[Facets, npt.NDArray[np.int64]]]:
    """Yield each stratum that has rows in `batch`, with their positions."""
    step, text_class = (pc.fill_null(batch.column(n), "unknown") for n in ("text_step", "text_class"))
    steps, classes = step.dictionary_encode(), text_class.dictionary_encode()
    band = bands(batch.column("text_score").to_numpy(zero_copy_only=False), rules)
    kept = batch.column("keep").to_numpy(zero_copy_only=False)
    codes = steps.indices.to_numpy() * len(classes.dictionary) + classes.indices.to_numpy()
    codes = (codes * 2 + kept) * len(_BANDS) + band
    for code in np.unique(codes):
        places = np.flatnonzero(codes == code)
        first = int(places[0])
        yield (
            Facets(
                text_step=step[first].as_py(),
                text_class=text_class[first].as_py(),
                is_kept=bool(kept[first]),
                band=_BANDS[int(band[first])],
            ),
            places,
        )


# --- drawing


class _Smallest:
    """How many rows a stratum has, and its `limit` smallest as (keyed hash, key, part)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows = 0
        self.drawn: list[tuple[int, str, str]] = []

    def add(self, hashes: npt.NDArray[np.uint64], keys: Sequence[str], part: str) -> None:
        self.rows += len(keys)
        worth = np.arange(len(keys))
        if len(self.drawn) == self.limit:
            worth = np.flatnonzero(hashes <= np.uint64(self.drawn[-1][0]))
        if len(worth):
            more = ((int(hashes[place]), keys[place], part) for place in worth.tolist())
            self.drawn = heapq.nsmallest(self.limit, (*self.drawn, *more))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """The strata with their keys, the part that each key lies in, and how many rows were looked at."""

    strata: tuple[Stratum, ...]
    parts: Mapping[str, str]
    rows: int


def draw(batches: Iterable[tuple[str, pa.RecordBatch]], rules: AuditRules, *, n: int, salt: str) -> Drawn:
    """Return a stratified sample of min(n, audited rows) rows, from (part, rows with COLUMNS) in any order.

    One pass; memory holds at most n rows of each stratum. Raises InputError when `n` cannot reach every stratum.
    """
    # By the plain salt's hashes choose breaks ties, so the smallest among what it kept would be no fair sample.
    own_salt = f"audit:{salt}"
    found: dict[Facets, _Smallest] = {}
    seen = 0
    for part, batch in batches:
        seen += batch.num_rows
        audited = _audited(batch)
        keys = audited.column("key").to_pylist()
        hashes = np.fromiter((keyed_hash64(own_salt, k) for k in keys), np.uint64, len(keys))
        for facets, places in _by_facets(audited, rules):
            held = found.setdefault(facets, _Smallest(n))
            held.add(hashes[places], [keys[place] for place in places.tolist()], part)
    wanted = allocate({facets: held.rows for facets, held in found.items()}, n)
    taken = {facets: found[facets].drawn[:count] for facets, count in wanted.items()}
    strata = (
        Stratum(name=f.name, facets=f, rows=found[f].rows, keys=tuple(key for _, key, _ in taken[f])) for f in taken
    )
    return Drawn(
        strata=tuple(sorted(strata, key=lambda s: s.facets.place)),
        parts={key: part for rows in taken.values() for _, key, part in rows},
        rows=seen,
    )


def allocate(rows: Mapping[Facets, int], n: int) -> dict[Facets, int]:
    """Return how many rows to draw of each stratum, min(n, all rows) in total; `rows` are at least 1 each.

    They are given one by one: first MIN_PER_STRATUM to each, in turn, then always to the one that has least of its
    due (D'Hondt's method), so a smaller sample is contained in a larger one. Due is the square root of its rows,
    between an equal share and a share of all rows (power allocation: Bankier, 1988, The American Statistician 42),
    times NEAR_WEIGHT beside a threshold. Raises InputError when there are more strata than `n`.
    """
    total = min(n, sum(rows.values()))
    if total < len(rows):
        raise InputError(
            f"--n {n}: there are {len(rows)} strata, and what nobody looked into cannot be estimated; "
            f"ask for at least {len(rows)}, better {len(rows) * MIN_PER_STRATUM}"
        )
    due = {facets: math.sqrt(r) * (NEAR_WEIGHT if facets.band.is_near else 1.0) for facets, r in rows.items()}
    given = dict.fromkeys(rows, 0)
    queue = [(0, -due[facets], facets.place, facets) for facets in rows]
    heapq.heapify(queue)
    for _ in range(total):
        facets = heapq.heappop(queue)[-1]
        given[facets] += 1
        has = given[facets]
        if has < rows[facets]:
            heapq.heappush(queue, (min(has, MIN_PER_STRATUM), -due[facets] / (has + 1), facets.place, facets))
    return given
