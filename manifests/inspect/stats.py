"""Statistics of a manifest's columns, by group and in bounded memory: means, quantiles, histograms, top values.

No number depends on the threads or parts: counts, extremes and hashes do not depend on order, and means are exact
sums of integers, rounded once. With more than MAX_EXACT_ROWS rows, quantiles, histograms and the top values of
columns with many distinct values are computed from a sample by a keyed hash. All else is computed from all rows.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pyarrow as pa

from manifests.errors import InputError
from manifests.format.schema import is_binary
from manifests.format.store import Manifest
from manifests.sql.duckdb_errors import duckdb_errors
from manifests.sql.engine import DuckEngine, quoted
from manifests.sql.expressions import check_expression
from manifests.sql.lookup import known_columns

MAX_EXACT_ROWS = 5_000_000
SAMPLED_ROWS = 1_000_000
MAX_EXACT_VALUES = 100_000
MAX_GROUPS = 50
BINS = 20
QUANTILES = ("0.01", "0.05", "0.25", "0.50", "0.75", "0.95", "0.99")
QUANTILE_NAMES = tuple(f"p{round(100 * float(q))}" for q in QUANTILES)
SALT = "curate stats"
SUM_BITS = 120  # of the 127 that a sum may have
HASH_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class StatsRequest:
    """What to compute: statistics of `columns` (None is all), grouped `by` columns, of the rows that meet `where`.

    `top` is the number of frequent values. Above `max_exact_rows` rows, a sample of about `sampled_rows` is used, and
    for a column of values only if it has more than about `max_exact_values` distinct ones.
    """

    columns: Sequence[str] | None = None
    by: Sequence[str] = ()
    where: str | None = None
    top: int = 10
    max_exact_rows: int = MAX_EXACT_ROWS
    sampled_rows: int = SAMPLED_ROWS
    max_exact_values: int = MAX_EXACT_VALUES


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Rows in bins of equal width from `low` to `high`. The outer bins also count the values beyond them."""

    low: float
    high: float
    rows: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Statistics of a column's numbers, or of the lengths of its bytes.

    A quantile such as p25 is the smallest value that at least 25 % of the rows do not exceed. NaN and infinities are
    counted as `not_finite` and left out of everything else.
    """

    min: float | None
    max: float | None
    mean: float | None
    not_finite: int = 0
    quantiles: Mapping[str, float] = field(default_factory=dict)
    histogram: Histogram | None = None


@dataclass(frozen=True, kw_only=True)
class TopValue:
    """A frequent value; `share` is of all rows, nulls included. From a sample, `rows` is an estimate."""

    value: Any
    rows: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Values:
    """A column's distinct values. If `is_exact` is false, `distinct` is an estimate and `top` is from a sample."""

    distinct: int
    is_exact: bool
    top: Sequence[TopValue]


@dataclass(frozen=True, kw_only=True)
class ColumnStats:
    """One column in one group: `numbers` for numbers, `values` for texts and truth values, `lengths` for bytes."""

    name: str
    type: str
    rows: int
    nulls: int
    numbers: Numbers | None = None
    values: Values | None = None
    lengths: Numbers | None = None


@dataclass(frozen=True, kw_only=True)
class GroupStats:
    """The rows that have the values `group` (column → value), and the statistics of their columns."""

    group: Mapping[str, Any]
    rows: int
    columns: Sequence[ColumnStats] = ()


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Statistics of a manifest. `sampled_rows` is the size of the sample, None if all rows were used.

    `rows_left_out` counts the rows of groups beyond the MAX_GROUPS largest.
    """

    uri: str
    digest: str
    rows: int
    where: str | None
    by: Sequence[str]
    sampled_rows: int | None
    groups: Sequence[GroupStats]
    rows_left_out: int


def compute_stats(manifest: Manifest, request: StatsRequest, engine: DuckEngine) -> Stats:
    """Return statistics of the columns: of the MAX_GROUPS largest groups, or of one group without `by`.

    Raises InputError when a column is unknown or cannot be grouped by, or when `where` is not a condition on a row or
    fails on one; ManifestError when a part differs from what `_manifest.json` records.
    """
    columns = [manifest.schema.field(name) for name in known_columns(manifest, request.columns or ())]
    by = [manifest.schema.field(name) for name in known_columns(manifest, request.by)] if request.by else []
    if unfit := [each.name for each in by if is_binary(each.type)]:
        raise InputError(
            f"--by {','.join(unfit)}: rows cannot be grouped by bytes; name a column of texts or numbers"
        )
    if request.where is not None:
        check_expression(request.where, manifest.schema, "--where")
    with duckdb_errors(manifest.uri, where=request.where):
        engine.view("seen", manifest, _seen(columns, by), where=request.where)
        groups, total = _groups(engine, [each.name for each in by])
        seen = _Seen(engine=engine, request=request, rows=[each.rows for each in groups], source=_numbered(len(by)))
        if total > request.max_exact_rows:
            seen = seen.sampled(len(columns), request.sampled_rows / total)
        found = [seen.look(i, each) for i, each in enumerate(columns)]
    return Stats(
        uri=manifest.uri,
        digest=manifest.digest,
        rows=total,
        where=request.where,
        by=[each.name for each in by],
        sampled_rows=None if seen.sample_rows is None else sum(seen.sample_rows),
        groups=[dataclasses.replace(each, columns=[column[i] for column in found]) for i, each in enumerate(groups)],
        rows_left_out=total - sum(each.rows for each in groups),
    )


def _seen(columns: Sequence[pa.Field], by: Sequence[pa.Field]) -> dict[str, str]:
    """Return SQL for what is used of a row: `c0` … for columns (lengths of bytes), `b0` … to group by, and a hash."""
    seen = {
        f"c{i}": f"octet_length({quoted(each.name)})" if is_binary(each.type) else quoted(each.name)
        for i, each in enumerate(columns)
    }
    seen |= {f"b{i}": quoted(each.name) for i, each in enumerate(by)}
    return {**seen, "hashed": f"substr(md5('{SALT}:' || key), 1, {HASH_DIGITS})"}


def _groups(engine: DuckEngine, by: Sequence[str]) -> tuple[list[GroupStats], int]:
    """Return the largest groups, which the table `numbered` gets with a number `g`, and the number of all rows."""
    names = [f"b{i}" for i in range(len(by))]
    chosen = "".join(f"{name}, " for name in names)
    engine.keep("grouped", f"SELECT {chosen}count(*) AS rows FROM seen{' GROUP BY ALL' * bool(by)}")
    total = engine.fetch("SELECT coalesce(sum(rows), 0)::BIGINT AS rows FROM grouped").column("rows")[0].as_py()
    order = ", ".join(["rows DESC", *(f"{name} NULLS LAST" for name in names)])
    largest = engine.fetch(f"SELECT * FROM grouped ORDER BY {order} LIMIT {MAX_GROUPS}")
    engine.table("numbered", largest.append_column("g", pa.array(range(largest.num_rows), pa.int32())))
    groups = [
        GroupStats(group={name: row[b] for name, b in zip(by, names, strict=True)}, rows=row["rows"])
        for row in largest.to_pylist()
    ]
    return groups, total


def _numbered(count: int) -> str:
    """Return SQL for the rows with the number `g` of their group. `count` is the number of columns in `by`."""
    if not count:
        return "(SELECT 0 AS g, * FROM seen)"
    same = " AND ".join(f"s.b{i} IS NOT DISTINCT FROM n.b{i}" for i in range(count))
    return f"(SELECT n.g, s.* FROM seen s JOIN numbered n ON {same})"


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Where to read rows: all of them in `source`, and some in `sample` if there are many. `rows` is by group."""

    engine: DuckEngine
    request: StatsRequest
    rows: Sequence[int]
    source: str
    sample: str | None = None
    sample_rows: Sequence[int] | None = None

    def sampled(self, columns: int, share: float) -> "_Seen":
        """Return the same with a sample of about `share` of the rows, drawn by a hash of their keys."""
        below = f"{math.ceil(share * 16**HASH_DIGITS):0{HASH_DIGITS}x}"
        names = ", ".join(f"c{i}" for i in range(columns))
        self.engine.keep("sampled", f"SELECT g, {names} FROM {self.source} WHERE hashed < '{below}'")
        counted = self._by_group("SELECT g, count(*) AS rows FROM sampled GROUP BY g")
        rows = [counted.get(g, {"rows": 0})["rows"] for g in range(len(self.rows))]
        return dataclasses.replace(self, sample="sampled", sample_rows=rows)

    def look(self, place: int, column: pa.Field) -> list[ColumnStats]:
        """Return the statistics of the column at `place`, group by group."""
        about: dict[str, Any] = {"name": column.name, "type": str(column.type)}
        kind, name = column.type, f"c{place}"
        if pa.types.is_floating(kind) or pa.types.is_integer(kind) or is_binary(kind):
            kept_as = "lengths" if is_binary(kind) else "numbers"
            found: list[tuple[int, Any]] = self._numbers(name, is_float=bool(pa.types.is_floating(kind)))
        else:
            kept_as, found = "values", self._values(name)
        return [
            ColumnStats(**about, rows=rows, nulls=nulls, **{kept_as: each})
            for rows, (nulls, each) in zip(self.rows, found, strict=True)
        ]

    def _by_group(self, sql: str) -> dict[int, dict[str, Any]]:
        return {row["g"]: row for row in self.engine.fetch(sql).to_pylist()}

    # --- numbers

    def _numbers(self, name: str, *, is_float: bool) -> list[tuple[int, Any]]:
        """Return nulls and numbers of each group."""
        # Adding zero makes -0.0 to 0.0: they compare as equal, so that either could be the minimum.
        finite = f"CASE WHEN isfinite({name}) THEN {name} + 0.0::DOUBLE END" if is_float else f"{name}::BIGINT"
        values = f"(SELECT g, {name} AS c, {finite} AS x FROM {{}})"
        all_values, some_values = values.format(self.source), values.format(self.sample or self.source)
        ends = self._by_group(
            f"SELECT g, count(c) AS present, count(x) AS finite, min(x) AS low, max(x) AS high "
            f"FROM {all_values} GROUP BY g"
        )
        means = self._means(all_values, ends, is_float=is_float)
        cuts = f"quantile_disc(x, [{', '.join(QUANTILES)}])"
        quantiles = self._by_group(f"SELECT g, {cuts} AS q FROM {some_values} WHERE x IS NOT NULL GROUP BY g")
        overall = (
            self.engine.fetch(f"SELECT {cuts} AS q FROM {some_values} WHERE x IS NOT NULL").column("q")[0].as_py()
        )
        bars = self._histograms(some_values, overall, is_float=is_float) if overall else {}
        found: list[tuple[int, Any]] = []
        for g, rows in enumerate(self.rows):
            end = ends.get(g, {"present": 0, "finite": 0, "low": None, "high": None})
            cut = quantiles.get(g, {"q": None})["q"]
            numbers = Numbers(
                min=end["low"],
                max=end["high"],
                mean=means.get(g),
                not_finite=end["present"] - end["finite"],
                quantiles=dict(zip(QUANTILE_NAMES, cut, strict=True)) if cut else {},
                histogram=bars.get(g),
            )
            found.append((rows - end["present"], numbers))
        return found

    def _means(self, values: str, ends: Mapping[int, Mapping[str, Any]], *, is_float: bool) -> dict[int, float]:
        """Return the mean of each group: an exact sum, of numbers rounded to less than the last bit of the mean."""
        counted = {g: end["finite"] for g, end in ends.items() if end["finite"]}
        bits = dict.fromkeys(counted, 0)
        if is_float:
            for g, rows in counted.items():
                largest = max(abs(ends[g]["low"]), abs(ends[g]["high"]))
                bits[g] = SUM_BITS - math.frexp(largest)[1] - rows.bit_length()
        scaled = f"({scaling(bits)})::HUGEINT" if is_float and counted else "x"
        sums = self._by_group(
            f"SELECT g, sum({scaled})::VARCHAR AS total FROM {values} WHERE x IS NOT NULL GROUP BY g"
        )
        return {g: float(Fraction(int(row["total"]), counted[g]) / Fraction(2) ** bits[g]) for g, row in sums.items()}

    def _histograms(self, values: str, cuts: Sequence[float], *, is_float: bool) -> dict[int, Histogram]:
        """Return the histogram of each group that has numbers. All have the same bins."""
        low, high, bins = bin_edges(cuts[0], cuts[-1], is_float=is_float)
        width = (high - low) / bins
        inside = f"floor((x - {low!r}) / {width!r})" if bins > 1 else "0"
        place = f"CASE WHEN x <= {low!r} THEN 0 WHEN x >= {high!r} THEN {bins - 1} ELSE {inside} END"
        counted = self.engine.fetch(
            f"SELECT g, least({bins - 1}, {place})::INTEGER AS bin, count(*) AS rows FROM {values} "
            "WHERE x IS NOT NULL GROUP BY ALL"
        )
        found: dict[int, list[int]] = {}
        for row in counted.to_pylist():
            found.setdefault(row["g"], [0] * bins)[row["bin"]] = row["rows"]
        return {g: Histogram(low=low, high=high, rows=rows) for g, rows in found.items()}

    # --- values

    def _values(self, name: str) -> list[tuple[int, Any]]:
        """Return nulls and values of each group."""
        counted = self._by_group(
            f"SELECT g, count({name}) AS present, approx_count_distinct({name}) AS about "
            f"FROM {self.source} GROUP BY g"
        )
        is_exact = self.sample is None or sum(e["about"] for e in counted.values()) <= self.request.max_exact_values
        source = self.source if is_exact else self.sample
        self.engine.keep(
            "valued",
            f"SELECT g, {name} AS value, count(*) AS rows FROM {source} WHERE {name} IS NOT NULL GROUP BY ALL",
        )
        distinct = self._by_group("SELECT g, count(*) AS rows FROM valued GROUP BY g")
        top: dict[int, list[dict[str, Any]]] = {}
        least = 1 if is_exact else 2  # a value found once in a sample is no estimate
        ranked = "SELECT *, row_number() OVER (PARTITION BY g ORDER BY rows DESC, value) AS place FROM valued"
        wanted = f"SELECT g, value, rows FROM ({ranked}) WHERE place <= {self.request.top} AND rows >= {least} "
        wanted += "ORDER BY g, place"
        for row in self.engine.fetch(wanted).to_pylist():
            top.setdefault(row["g"], []).append(row)
        found: list[tuple[int, Any]] = []
        for g, rows in enumerate(self.rows):
            each = counted.get(g, {"present": 0, "about": 0})
            looked_at = rows if is_exact or self.sample_rows is None else self.sample_rows[g]
            values = Values(
                distinct=distinct.get(g, {"rows": 0})["rows"] if is_exact else min(each["about"], each["present"]),
                is_exact=is_exact,
                top=[
                    TopValue(value=t["value"], rows=round(t["rows"] * rows / looked_at), share=t["rows"] / looked_at)
                    for t in top.get(g, ())
                ],
            )
            found.append((rows - each["present"], values))
        return found


def scaling(bits: Mapping[int, int]) -> str:
    """Return SQL for `x` times 2 to the power of `bits` of the group `g`, in two steps that do not overflow."""
    steps = [{g: power // 2 for g, power in bits.items()}, {g: power - power // 2 for g, power in bits.items()}]
    cases = [
        " ".join(f"WHEN {g} THEN '{math.ldexp(1.0, power)!r}'::DOUBLE" for g, power in step.items()) for step in steps
    ]
    return "x" + "".join(f" * CASE g {case} END" for case in cases)


def bin_edges(low: float, high: float, *, is_float: bool) -> tuple[float, float, int]:
    """Return the lower end, upper end and number of bins of a histogram of the numbers from `low` to `high`."""
    if not is_float and high - low < BINS:  # one bin for each number
        return low - 0.5, high + 0.5, int(high - low) + 1
    span = float(high) - float(low)
    return float(low), float(high), BINS if math.isfinite(span) and span / BINS > 0 else 1
