"""Draw samples by a keyed hash of `key`, so that the result does not depend on order, parts or the engine.

Rows are drawn in the order of `md5(salt:key)`, so a larger sample with the same salt contains a smaller one. A
fraction alone is a threshold on that hash, so that no row depends on the others. `--top` draws by a value first.
Weights use priority sampling without replacement: the priority is weight / u, with u in (0, 1] from the hash
(Duffield, Lund and Thorup, Journal of the ACM 54, 2007). It needs only one division, and so is the same everywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import pyarrow as pa

from manifests.draw.apportion import equal, proportional
from manifests.errors import InputError
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, count_rows, quoted, sql_text
from manifests.sql.expressions import check_expression, check_value, columns_in

MAX_STRATA = 10_000
MAX_RANKED = 1_000_000  # rows that are sorted to find the last one to draw
PICKS = "picks"
_HASH_DIGITS = (4, 4, 4, 4, 4, 4, 4, 4)
_VALUE_DIGITS = (4, 4, 4, 4)
_HALF = 1 << 63
_ALL, _NONE = "~", ""  # these sort after and before every prefix
Shares = Literal["proportional", "equal"]
Among = Literal["all", "kept", "dropped"]
_VERDICT = ("keep", "drop_reason")
_AMONG: Mapping[Among | None, tuple[str, ...]] = {"kept": ("keep",), "dropped": ("NOT keep",)}


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What to draw: a `fraction`, a `count`, or the `top` rows `by` a value, of the rows that meet `where`.

    Only rows that were kept, or dropped, are drawn if `among` says so; None has no such condition, see `settled`.
    `weight` is an expression for the relative probability of a row. `per_cluster` first reduces each `cluster_id` to
    so many rows. Each combination of values in the columns `stratify_by` gets its share, proportional or equal.
    """

    fraction: float | None = None
    count: int | None = None
    top: int | None = None
    by: str | None = None
    weight: str | None = None
    stratify_by: tuple[str, ...] = ()
    shares: Shares = "proportional"
    per_cluster: int | None = None
    where: str | None = None
    salt: str = "curate"
    among: Among | None = None

    def settled(self, manifest: Manifest) -> "Draw":
        """Return this draw with the rows of `manifest` that it is made among; "all" becomes None.

        Without `among`, these are the kept ones if there are verdicts, and no expression or stratum is about them.
        Raises InputError when there are none and `among` needs them.
        """
        has_verdicts = "keep" in manifest.schema.names
        if self.among in ("kept", "dropped") and not has_verdicts:
            raise InputError(
                f"--from {self.among}: {manifest.uri} is a manifest of stage {manifest.stage}, which says of no row "
                "whether it is kept; `curate choose` decides"
            )
        if self.among is not None:
            return replace(self, among=None if self.among == "all" else self.among)
        names = [each for each in (self.where, self.by, self.weight) if each is not None]
        asks = {name for each in names for name in columns_in(each, _VERDICT)} | {*self.stratify_by} & {*_VERDICT}
        is_shards = "shard" in manifest.schema.names  # which have what was kept alone
        return replace(self, among="kept") if has_verdicts and not asks and not is_shards else self

    @property
    def conditions(self) -> list[str]:
        """The conditions on a row, in SQL: which of its verdicts are wanted, then `where`."""
        return [*_AMONG.get(self.among, ()), *([f"({self.where})"] if self.where is not None else [])]

    @property
    def is_local(self) -> bool:
        """Whether the decision on a row does not depend on other rows."""
        ranked = (self.count, self.top, self.weight, self.per_cluster)
        return all(each is None for each in ranked) and not self.stratify_by

    @property
    def settings(self) -> dict[str, Any]:
        """What a manifest records of the draw: the salt and all settings that differ from the defaults."""
        defaults = asdict(Draw())
        chosen = {name: value for name, value in asdict(self).items() if name == "salt" or value != defaults[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}

    def check(self, manifest: Manifest) -> None:
        """Raise InputError when these options contradict each other or do not fit the manifest."""
        amounts = [name for name in ("fraction", "count", "top") if getattr(self, name) is not None]
        if len(amounts) > 1:
            raise InputError(f"--{amounts[0]} and --{amounts[1]}: give one of them")
        if not amounts and self.per_cluster is None and self.where is None:
            raise InputError("the number of rows is missing: --fraction, --count, --top, --per-cluster or --where")
        if self.fraction is not None and not 0 <= self.fraction <= 1:
            raise InputError(f"--fraction {self.fraction}: must be a share of the rows, from 0 to 1")
        for name in ("count", "top", "per_cluster"):
            if (number := getattr(self, name)) is not None and number < 0:
                raise InputError(f"--{name.replace('_', '-')} {number}: must be a number of rows")
        if (self.top is None) != (self.by is None):
            raise InputError("--top N goes with --by COLUMN, and --by with --top")
        if self.weight is not None and (self.top is not None or not amounts):
            raise InputError("--weight goes with --count or --fraction")
        if self.shares == "equal" and not self.stratify_by:
            raise InputError("--shares equal goes with --stratify-by")
        if self.stratify_by and not amounts:
            raise InputError("--stratify-by goes with --count, --fraction or --top")
        self._check_columns(manifest)

    def _check_columns(self, manifest: Manifest) -> None:
        wanted = {name: f"--stratify-by {name}" for name in self.stratify_by}
        if self.per_cluster is not None:
            wanted["cluster_id"] = "--per-cluster: cluster_id"
        for name, shown in wanted.items():
            if name not in manifest.schema.names:
                raise InputError(
                    f"{shown}: no column of {manifest.uri}, a manifest of stage {manifest.stage}; "
                    f"`curate show {manifest.uri}` lists them"
                )
        for option, expression in (("--by", self.by), ("--weight", self.weight)):
            if expression is not None:
                check_value(expression, manifest.schema, option)
        if self.where is not None:
            check_expression(self.where, manifest.schema, "--where")


def hash_sql(salt: str) -> str:
    """Return SQL for the hash that orders rows: 32 pseudo-random hexadecimal digits."""
    return f"md5({sql_text(salt + ':')} || key)"


def fraction_condition(fraction: float, salt: str) -> str:
    """Return SQL for a condition that about a `fraction` of all keys meets."""
    if fraction >= 1:
        return "true"
    return f"{hash_sql(salt)} < '{int(Fraction(fraction) * (1 << 128)):032x}'"


def local_condition(draw: Draw) -> str:
    """Return SQL for the rows to draw, for a draw that `is_local`."""
    conditions = draw.conditions
    if draw.fraction is not None:
        conditions.append(fraction_condition(draw.fraction, draw.salt))
    return " AND ".join(conditions) or "true"


def pick_sample(engine: Engine, manifest: Manifest, draw: Draw) -> None:
    """Store the rows to draw in the table PICKS (`source` is 0, `part`, `row`)."""
    place, digits = _order(draw)
    strata = ", ".join(f"{quoted(c)}::VARCHAR" for c in draw.stratify_by)
    columns = {"key": "key", "place": place, "stratum": f"to_json([{strata}])::VARCHAR" if strata else "''"}
    conditions = draw.conditions
    value = draw.by if draw.weight is None else draw.weight
    if value is not None:
        conditions.append(f"({value}) IS NOT NULL AND NOT isnan(({value})::DOUBLE)")
    if draw.weight is not None:
        conditions.append(f"({draw.weight}) > 0")
    if draw.per_cluster is not None:
        columns["cluster"] = "cluster_id"
    engine.view("eligible", manifest, columns, where=" AND ".join(conditions) or None)
    if draw.per_cluster is not None:
        engine.keep(
            "few",
            "SELECT part, row, key, place, stratum FROM (SELECT *, row_number() OVER "
            "(PARTITION BY cluster ORDER BY place, key) AS nth FROM eligible) AS ranked "
            f"WHERE nth <= {draw.per_cluster}",
        )
    rows = "eligible" if draw.per_cluster is None else "few"
    wanted = draw.count if draw.top is None else draw.top
    if wanted is None and draw.fraction is None:
        engine.keep(PICKS, f"SELECT 0 AS source, part, row FROM {rows}")
        return
    _pick_first(engine, rows, digits, lambda counts: _seats(draw, counts, wanted))


def _order(draw: Draw) -> tuple[str, tuple[int, ...]]:
    """Return SQL for a text that orders the rows, the first to draw first, and the lengths of its digits."""
    hashed = hash_sql(draw.salt)
    if draw.by is None and draw.weight is None:
        return hashed, _HASH_DIGITS
    value = f"({draw.by})::DOUBLE"
    if draw.weight is not None:
        value = f"(({draw.weight})::DOUBLE / ((('0x' || substr({hashed}, 1, 13))::BIGINT + 1) / {1 << 52}))"
    # The bits of positive floats sort like the floats. Larger values come first, and -0.0 equals 0.0.
    bits = f"(abs({value})::BIT)::BIGINT"
    descending = f"CASE WHEN {value} > 0 THEN {_HALF - 1} - {bits} ELSE {_HALF}::UBIGINT + {bits} END"
    return f"lpad(to_hex(({descending})::UBIGINT), 16, '0') || {hashed}", (*_VALUE_DIGITS, *_HASH_DIGITS)


def _seats(draw: Draw, counts: Mapping[str, int], wanted: int | None) -> dict[str, int]:
    total = sum(counts.values())
    if wanted is None:
        wanted = int(Fraction(draw.fraction or 0) * total + Fraction(1, 2))
    share = equal if draw.shares == "equal" else proportional
    return share(counts, min(wanted, total))


def _pick_first(
    engine: Engine, rows: str, digits: tuple[int, ...], seats: Callable[[Mapping[str, int]], Mapping[str, int]]
) -> None:
    """Store in PICKS the first rows of each stratum by `place`; `seats` returns how many from the rows of each.

    This is a radix selection: rows are counted by their first digit, and only those with the digit of the last row to
    draw are counted by the next one. Counts stay in the engine, which returns a row for each stratum.
    """
    _count(engine, f"SELECT stratum, substr(place, 1, {digits[0]}) AS digit FROM {rows}")
    totals = _count_strata(engine)
    given = seats(totals)
    cuts = {s: (_ALL if given[s] == n else _NONE, given[s] % n) for s, n in totals.items()}
    engine.table("cuts", _cut_table(cuts))
    tied = _narrow(engine, cuts)
    length = digits[0]
    for width in digits[1:]:
        if tied <= MAX_RANKED:
            break
        _count(
            engine,
            f"SELECT r.stratum AS stratum, substr(r.place, {length + 1}, {width}) AS digit FROM {rows} r "
            f"JOIN cuts c ON r.stratum = c.stratum AND substr(r.place, 1, {length}) = c.prefix",
        )
        tied = _narrow(engine, cuts)
        length += width
    engine.keep(
        PICKS,
        f"SELECT 0 AS source, r.part AS part, r.row AS row FROM {rows} r JOIN cuts c ON r.stratum = c.stratum "
        f"WHERE substr(r.place, 1, {length}) < c.prefix "
        "UNION ALL SELECT 0 AS source, part, row FROM (SELECT r.part AS part, r.row AS row, c.rest AS rest, "
        "row_number() OVER (PARTITION BY r.stratum ORDER BY r.place, r.key) AS nth "
        f"FROM {rows} r JOIN cuts c ON r.stratum = c.stratum AND substr(r.place, 1, {length}) = c.prefix) AS last "
        "WHERE nth <= rest",
    )


def _count(engine: Engine, sql: str) -> None:
    """Store in the table `digits` how many rows of `sql` have each `digit` in each `stratum`."""
    engine.keep("digits", f"SELECT stratum, digit, count(*) AS n FROM ({sql}) AS each GROUP BY stratum, digit")


def _count_strata(engine: Engine) -> dict[str, int]:
    """Return stratum → rows. Raises InputError when there are more than MAX_STRATA strata."""
    by_stratum = "SELECT stratum, sum(n)::BIGINT AS n FROM digits GROUP BY stratum"
    table = engine.fetch(f"{by_stratum} LIMIT {MAX_STRATA + 1}")
    if len(table) > MAX_STRATA:
        raise InputError(
            f"--stratify-by: {count_rows(engine, f'({by_stratum}) AS strata'):,} strata, at most {MAX_STRATA:,}; "
            "choose columns with fewer values"
        )
    return dict(zip(table.column("stratum").to_pylist(), table.column("n").to_pylist(), strict=True))


def _narrow(engine: Engine, cuts: dict[str, tuple[str, int]]) -> int:
    """Add the digit of the last row to draw to the prefix of each stratum that is cut, by the counts in `digits`.

    The table `cuts` has the same content as `cuts`, before and after. Return how many rows have these prefixes.
    """
    found = engine.fetch(
        "SELECT stratum, digit, (rest - before)::BIGINT AS rest, n FROM (SELECT d.stratum AS stratum, "
        "d.digit AS digit, d.n AS n, c.rest AS rest, sum(d.n) OVER (PARTITION BY d.stratum ORDER BY d.digit) - d.n "
        "AS before FROM digits d JOIN cuts c ON d.stratum = c.stratum) AS each WHERE before < rest "
        "AND rest <= before + n"
    )
    for stratum, digit, rest in zip(
        *(found.column(c).to_pylist() for c in ("stratum", "digit", "rest")), strict=True
    ):
        cuts[stratum] = (cuts[stratum][0] + digit, rest)
    engine.table("cuts", _cut_table(cuts))
    return sum(found.column("n").to_pylist())


def _cut_table(cuts: Mapping[str, tuple[str, int]]) -> pa.Table:
    prefixes, rests = zip(*cuts.values(), strict=True) if cuts else ((), ())
    return pa.table(
        {
            "stratum": pa.array(list(cuts), pa.string()),
            "prefix": pa.array(prefixes, pa.string()),
            "rest": pa.array(rests, pa.int64()),
        }
    )
