"""Draw the stratified sample of an audit: the images of a run that a person labels.

Rows with pixels that are no duplicates and were scored are divided into strata: by the step of the cascade that
decided, by `text_class`, by whether they were kept, and by how near `text_score` is to a threshold. From each stratum
the rows with the smallest keyed hashes are drawn, so that the sample does not depend on order or parts.
`curation.trust.audit_labels` weights the labels by the sizes of the strata.
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
from filters.logistic import logits
from manifests.errors import InputError
from manifests.format.schema import STATUSES_WITH_PIXELS

FORMAT_VERSION = 1
COLUMNS = ("key", "status", "duplicate_of", "text_score", "text_step", "text_class", "keep")
LABELS = ("none", "light", "heavy")

NEAR_LOG_ODDS = 1.0
"""The distance from a threshold within which a score counts as near."""
MIN_PER_STRATUM = 5
NEAR_WEIGHT = 3.0  # an image near a threshold is more informative than one far from both
LEAST_SCORE = 1e-6  # the precision of scores; 0 and 1 have no log-odds


class Band(StrEnum):
    """Where a score is relative to the two thresholds, in log-odds."""

    FAR_BELOW_LIGHT = "far below light"
    JUST_BELOW_LIGHT = "just below light"
    JUST_ABOVE_LIGHT = "just above light"
    BETWEEN = "between"
    """At least light, below heavy, and near neither threshold."""
    JUST_BELOW_HEAVY = "just below heavy"
    JUST_ABOVE_HEAVY = "just above heavy"
    FAR_ABOVE_HEAVY = "far above heavy"

    @property
    def is_near(self) -> bool:
        """Whether the scores in this band are near a threshold."""
        return self.value.startswith("just")


_BANDS = tuple(Band)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditRules:
    """The settings by which the audited manifest was chosen, with their names in `choose`."""

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
        """The name of the stratum."""
        return f"{self.text_step} / {self.text_class} / {'kept' if self.is_kept else 'dropped'} / {self.band}"

    @property
    def place(self) -> tuple[str, int, str, int, bool]:
        """The place in a total order: by step, then from none to heavy."""
        known = LABELS.index(self.text_class) if self.text_class in LABELS else -1
        return self.text_step, known, self.text_class, _BANDS.index(self.band), self.is_kept


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stratum:
    """A stratum: how many rows of the manifest are in it, and the keys drawn from it."""

    name: str
    facets: Facets
    rows: int
    keys: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """A drawn sample, as stored in `audit.json`: its manifest, how it was drawn, and the strata.

    `rows`: all rows of the manifest. Rows without pixels, duplicates and rows that were not scored are in no stratum.
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
        """How many rows are in the strata. The estimates are about these rows."""
        return sum(s.rows for s in self.strata)

    @property
    def keys(self) -> list[str]:
        """The drawn keys in an order that is independent of the strata, so that the first ones are a fair sample."""
        # Not by the hash of the draw, by which large strata would come first: their smallest hashes are smaller.
        return sorted(
            (k for s in self.strata for k in s.keys), key=lambda k: (keyed_hash64(f"audit order:{self.salt}", k), k)
        )

    @property
    def name(self) -> str:
        """Sixteen hexadecimal digits that identify the sample."""
        return hashlib.blake2b(self.to_json(), digest_size=8).hexdigest()

    def to_json(self) -> bytes:
        """Return the content of `audit.json`."""
        return (json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Audit":
        """Return the sample in `data`. Raises ValueError when it is invalid or of another format version."""
        found = pydantic.TypeAdapter(cls).validate_json(data)
        if found.format_version != FORMAT_VERSION:
            raise ValueError(f"format version {found.format_version}, this curate reads {FORMAT_VERSION}")
        return found


# --- strata


def bands(scores: npt.NDArray[np.float64], rules: AuditRules) -> npt.NDArray[np.int64]:
    """Return the position in Band of each score, (rows,). A score is near one threshold at most, the nearer one."""
    odds = logits(scores, least=LEAST_SCORE)
    from_light = np.abs(odds - logits(rules.min_light_score, least=LEAST_SCORE))
    from_heavy = np.abs(odds - logits(rules.min_heavy_score, least=LEAST_SCORE))
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


def _audited(batch: pa.RecordBatch) -> pa.RecordBatch:
    has_picture = pc.is_in(batch.column("status"), pa.array(STATUSES_WITH_PIXELS))
    is_first = pc.is_null(batch.column("duplicate_of"))
    return batch.filter(pc.and_(pc.and_(has_picture, is_first), pc.is_valid(batch.column("text_score"))))


def _by_facets(batch: pa.RecordBatch, rules: AuditRules) -> Iterator[tuple[Facets, npt.NDArray[np.int64]]]:
    """Yield each stratum with rows in `batch`, and the positions of these rows."""
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
    """The number of rows of a stratum, and its `limit` smallest rows as (keyed hash, key, part)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows = 0
        self.drawn: list[tuple[int, str, str]] = []

    def add(self, hashes: npt.NDArray[np.uint64], keys: Sequence[str], part: str) -> None:
        self.rows += len(keys)
        candidates = np.arange(len(keys))
        if len(self.drawn) == self.limit:
            candidates = np.flatnonzero(hashes <= np.uint64(self.drawn[-1][0]))
        if len(candidates):
            more = ((int(hashes[place]), keys[place], part) for place in candidates.tolist())
            self.drawn = heapq.nsmallest(self.limit, (*self.drawn, *more))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """The strata with their keys, the part of each key, and the number of rows that were read."""

    strata: tuple[Stratum, ...]
    parts: Mapping[str, str]
    rows: int


def draw(batches: Iterable[tuple[str, pa.RecordBatch]], rules: AuditRules, *, n: int, salt: str) -> Drawn:
    """Return a stratified sample of min(n, audited rows) rows, from (part, rows with COLUMNS) in any order.

    It reads the rows once, and keeps at most `n` rows of each stratum in memory. Raises InputError when `n` is less
    than the number of strata.
    """
    # Choose breaks ties by the hashes of the plain salt, so the smallest hashes of kept rows are not a fair sample.
    own_salt = f"audit:{salt}"
    found: dict[Facets, _Smallest] = {}
    seen = 0
    for part, batch in batches:
        seen += batch.num_rows
        audited = _audited(batch)
        keys = audited.column("key").to_pylist()
        hashes = np.fromiter((keyed_hash64(own_salt, k) for k in keys), np.uint64, len(keys))
        for facets, places in _by_facets(audited, rules):
            smallest = found.setdefault(facets, _Smallest(n))
            smallest.add(hashes[places], [keys[place] for place in places.tolist()], part)
    wanted = allocate({facets: smallest.rows for facets, smallest in found.items()}, n)
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

    Rows are assigned one by one, first MIN_PER_STRATUM to each stratum in turn, then by D'Hondt's method. So a
    smaller sample is contained in a larger one. The weight of a stratum is the square root of its rows, between an
    equal share and a proportional share (power allocation: Bankier, 1988, The American Statistician 42), times
    NEAR_WEIGHT near a threshold. Raises InputError when there are more strata than `n`.
    """
    total = min(n, sum(rows.values()))
    if total < len(rows):
        raise InputError(
            f"--n {n}: there are {len(rows)} strata, and each needs an image for an estimate; "
            f"set at least {len(rows)}, better {len(rows) * MIN_PER_STRATUM}"
        )
    weights = {facets: math.sqrt(r) * (NEAR_WEIGHT if facets.band.is_near else 1.0) for facets, r in rows.items()}
    assigned = dict.fromkeys(rows, 0)
    queue = [(0, -weights[facets], facets.place, facets) for facets in rows]
    heapq.heapify(queue)
    for _ in range(total):
        facets = heapq.heappop(queue)[-1]
        assigned[facets] += 1
        has = assigned[facets]
        if has < rows[facets]:
            heapq.heappush(queue, (min(has, MIN_PER_STRATUM), -weights[facets] / (has + 1), facets.place, facets))
    return assigned
