"""Choose the rows of a selection, a merge or a patched manifest. Each function stores them in the table PICKS."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from manifests.compare.diff_set import DiffSet
from manifests.draw.sampling import PICKS
from manifests.errors import InputError
from manifests.exchange.comparable_values import ValueKind, parse_value_sql, shorten
from manifests.format.schema import Status
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, columns_of, count_rows, quoted, relative_source
from manifests.sql.names import MEMBER_NAMES, base_stem

SHOWN = 3


class OnConflict(StrEnum):
    """What to do with a key that several manifests have with different rows."""

    REFUSE = "refuse"
    """Refuse the merge and name the keys."""
    FIRST = "first"
    """Take the row of the manifest that was named first."""
    BEST = "best"
    """Take the best row: complete before truncated, then most pixels, then most bytes, then by a hash of the row."""


# --- select


@dataclass(frozen=True, kw_only=True)
class Unmatched:
    """Listed values that no row matches.

    `values` is their number, `of` that of all listed values, and `ambiguous` that of values which several keys have.
    `first` are some of them, and `kind` is that of the first. If nothing matches at all, `against` is the manifest's
    first value, or None if it has none.
    """

    values: int
    of: int
    ambiguous: int
    first: Sequence[str]
    kind: ValueKind
    against: str | None

    def sentence(self, column: str, list_type: str | None) -> str:
        """Return a message: what was not matched by `column`, of a list with values of the type `list_type`."""
        several = f"; ambiguous, as the value of several keys: {self.ambiguous:,}" if self.ambiguous else ""
        examples = [shorten(each) for each in self.first]
        if self.values < self.of:
            more = ", ".join(examples) + " …" * (self.values > len(examples))
            return f"{self.values:,} of {self.of:,} listed are in no row, by {column} ({more}){several}"
        against = "no value at all" if self.against is None else shorten(self.against)
        what = f"{list_type or self.kind.name.lower()} {examples[0]}"
        return f"0 of {self.of:,} values matched on {column}: {what} against {against}{several}"


def values_digest(values: pa.Table) -> str:
    """Return the sha256 of a set of values (columns `value` and `kind`), which does not depend on their order."""
    hashed = hashlib.sha256()
    for kind in ValueKind:
        texts = values.filter(pc.equal(values.column("kind"), kind)).column("value")
        if kind is not ValueKind.TEXT and len(texts):
            hashed.update(f"\n{kind.name}\n".encode())  # unambiguous because no text is empty
        ordered = texts.cast(pa.large_string()).combine_chunks().take(pc.sort_indices(texts))
        for first in range(0, len(ordered), 1 << 16):
            lines = ordered.slice(first, 1 << 16)
            hashed.update(b"\n".join(v.as_buffer().to_pybytes() for v in lines) + b"\n")
    return hashed.hexdigest()


def pick_listed(
    engine: Engine, manifest: Manifest, column: str, values: pa.Table, *, is_inverted: bool, by_names: bool = False
) -> None:
    """Pick the rows whose `column` matches one of `values` (`value` and `kind`), or the others if `is_inverted`.

    A value matches an equal text. An integer or a UUID that equals no key as a text matches the only key with the
    same value, if there is exactly one. With `by_names`, a text that equals no key matches all rows with this URL or
    sha256, or else the only row whose member has such a name (see MEMBER_NAMES).
    """
    kinds = {ValueKind(kind) for kind in pc.unique(values.column("kind")).to_pylist()} - {ValueKind.TEXT}
    by_value = sorted(kinds) if column == "key" else []
    engine.table("listed", _with_names(values) if by_names else values)
    parsed = {f"as_{kind.name}": parse_value_sql(quoted(column), kind) for kind in by_value}
    engine.view("candidates", manifest, {"value": quoted(column), **parsed})
    # For a listed value that equals no key as a text: the first and the last of the keys with the same value.
    of_kinds = [
        "SELECT l.value AS value, l.kind AS kind, min(c.value) AS low, max(c.value) AS high FROM listed l "
        f"JOIN candidates c ON l.value = c.as_{kind.name} WHERE l.kind = {kind.value} AND {_EQUALS_NO_TEXT} "
        "GROUP BY l.value, l.kind"
        for kind in by_value
    ]
    if by_names and count_rows(engine, "listed l", _IS_NO_KEY):
        of_kinds += _names_sql(engine, manifest)
    engine.keep("by_value", " UNION ALL ".join(of_kinds) or _NO_MATCH_BY_VALUE)
    has = "NOT EXISTS" if is_inverted else "EXISTS"
    engine.keep(
        PICKS,
        "SELECT 0 AS source, c.part AS part, c.row AS row FROM candidates c WHERE "
        f"{has} (SELECT 1 FROM (SELECT value FROM listed UNION ALL SELECT low AS value FROM by_value "
        "WHERE low = high) AS w WHERE w.value = c.value)",
    )


_EQUALS_NO_TEXT = "NOT EXISTS (SELECT 1 FROM candidates e WHERE e.value = l.value)"
_IS_NO_KEY = f"l.kind = {ValueKind.TEXT.value} AND {_EQUALS_NO_TEXT}"
_NO_MATCH_BY_VALUE = "SELECT value, kind, value AS low, value AS high FROM listed WHERE false"


def _with_names(values: pa.Table) -> pa.Table:
    """Return `values` with `common`, what all names of a member have in common, and `lower`, as a hash is written."""
    texts = values.column("value")
    base = pc.replace_substring_regex(texts, "(?s)^.*/", "")
    common = pc.replace_substring_regex(base, r"(?s)\..*$", "")
    return values.append_column("common", common).append_column("lower", pc.ascii_lower(texts))


def _names_sql(engine: Engine, manifest: Manifest) -> list[str]:
    """Return SQL for (`value`, `kind`, `low`, `high`) of listed texts that are names of rows, as in `pick_listed`."""
    pictures = [name for name in ("sha256", "url") if name in manifest.schema.names]
    columns = {**columns_of(pictures), **MEMBER_NAMES, "common": base_stem("member"), "row_key": quoted("key")}
    engine.view("others", manifest, columns)
    of_pictures = [
        "SELECT l.value AS value, l.kind AS kind, o.row_key AS low, o.row_key AS high FROM listed l JOIN others o "
        f"ON o.{name} = l.{'lower' if name == 'sha256' else 'value'} WHERE {_IS_NO_KEY}"
        for name in pictures
    ]
    engine.keep("of_pictures", " UNION ALL ".join(of_pictures) or _NO_MATCH_BY_VALUE)
    return [
        "SELECT value, kind, low, high FROM of_pictures",
        "SELECT l.value AS value, l.kind AS kind, min(o.row_key) AS low, max(o.row_key) AS high FROM listed l "
        f"JOIN others o ON o.common = l.common WHERE l.value IN ({', '.join(f'o.{name}' for name in MEMBER_NAMES)}) "
        f"AND {_IS_NO_KEY} AND NOT EXISTS (SELECT 1 FROM of_pictures p WHERE p.value = l.value) "
        "GROUP BY l.value, l.kind",
    ]


def unmatched(engine: Engine) -> Unmatched:
    """Return the values that no row matched in `pick_listed`, which must have run on this engine."""
    engine.keep(
        "missing",
        f"SELECT l.value AS value, l.kind AS kind FROM listed l WHERE {_EQUALS_NO_TEXT} AND NOT EXISTS "
        "(SELECT 1 FROM by_value b WHERE b.value = l.value AND b.kind = l.kind AND b.low = b.high)",
    )
    shown_rows = engine.fetch(f"SELECT value, kind FROM missing ORDER BY value, kind LIMIT {SHOWN}").to_pylist()
    missing, listed = count_rows(engine, "missing"), count_rows(engine, "listed")
    against = None
    if missing == listed:
        against = engine.fetch("SELECT min(value) AS value FROM candidates").column("value")[0].as_py()
    return Unmatched(
        values=missing,
        of=listed,
        ambiguous=count_rows(engine, "by_value", "low <> high"),
        first=[each["value"] for each in shown_rows],
        kind=ValueKind(shown_rows[0]["kind"]) if shown_rows else ValueKind.TEXT,
        against=against,
    )


# --- merge


def check_mergeable(sources: Sequence[Manifest]) -> None:
    """Raise InputError when the stages or columns differ, when there are shards, or when roots are nested."""
    first = sources[0]
    for each in sources[1:]:
        if each.stage is not first.stage:
            raise InputError(
                f"{each.uri}: of stage {each.stage}, and {first.uri} of {first.stage}; merge manifests of one stage"
            )
        if not each.schema.equals(first.schema):
            differ = sorted(set(each.schema.names) ^ set(first.schema.names))
            raise InputError(f"{each.uri}: other columns than {first.uri} ({', '.join(differ[:5])}); make one again")
    if "shard" in first.schema.names:
        raise InputError(
            f"{first.uri}: shards have tars with equal names; merge the chosen manifests and shard again"
        )
    own = [{root.rstrip("/") + "/" for root in each.roots} for each in sources]
    for outer, inner in itertools.pairwise(sorted(set().union(*own))):
        if inner.startswith(outer) and any({outer, inner} - roots for roots in own):
            raise InputError(
                f"{inner}: is in {outer}, the root of another manifest, so sources would be ambiguous; scan them "
                "together"
            )


def pick_merged(engine: Engine, sources: Sequence[Manifest], rule: OnConflict) -> tuple[int, int]:
    """Pick each key once from all `sources`.

    Return how many keys several sources have, and how many of those have different rows. Raises InputError when there
    are such rows and `rule` is to refuse them.
    """
    names = [name for name in sources[0].schema.names if name != "key"]
    for i, each in enumerate(sources):
        values = (relative_source(each.roots) if name == "source" else quoted(name) for name in names)
        columns = {
            "key": "key",
            "h": f"(hash({', '.join(values)}) // 2)::BIGINT",
            "is_bad": f"CASE WHEN status = '{Status.OK}' THEN 0 ELSE 1 END",
            "less_area": "-coalesce(width::BIGINT * height, 0)",
            "less_size": "-coalesce(size, 0)",
        }
        engine.view(f"rows_{i}", each, columns)
    everything = " UNION ALL ".join(
        f"SELECT {i} AS source, part, row, key, h, is_bad, less_area, less_size FROM rows_{i}"
        for i in range(len(sources))
    )
    engine.keep("twice", f"SELECT key FROM ({everything}) AS e GROUP BY key HAVING count(*) > 1")
    engine.keep("several", f"SELECT e.* FROM ({everything}) e JOIN twice t ON e.key = t.key")
    engine.keep("conflicts", "SELECT key FROM several GROUP BY key HAVING count(DISTINCT h) > 1")
    shared, differ = count_rows(engine, "twice"), count_rows(engine, "conflicts")
    if differ and rule is OnConflict.REFUSE:
        shown = engine.fetch(f"SELECT key FROM conflicts ORDER BY key LIMIT {SHOWN}").column("key").to_pylist()
        raise InputError(
            f"{differ:,} keys have different rows ({', '.join(shown)}{' …' if differ > SHOWN else ''}); "
            "`curate diff` shows them; choose with --on-conflict first or best"
        )
    order = "source" if rule is OnConflict.FIRST else "is_bad, less_area, less_size, h, source"
    engine.keep(
        PICKS,
        f"SELECT e.source AS source, e.part AS part, e.row AS row FROM ({everything}) e "
        "WHERE NOT EXISTS (SELECT 1 FROM twice t WHERE t.key = e.key) "
        "UNION ALL SELECT source, part, row FROM (SELECT source, part, row, "
        f"row_number() OVER (PARTITION BY key ORDER BY {order}) AS nth FROM several) AS ranked WHERE nth = 1",
    )
    return shared, differ


# --- patch


def check_patch(a: Manifest, diff: DiffSet) -> None:
    """Raise InputError when `diff` cannot be applied to `a`: it is of another manifest, or not complete."""
    if diff.a_digest != a.digest:
        raise InputError(
            f"{diff.uri}: the diff of {diff.a_uri} with digest {diff.a_digest[:16]}…; {a.uri} has {a.digest[:16]}…"
        )
    if not diff.is_whole:
        raise InputError(
            f"{diff.uri}: a diff of some columns or rows, which cannot be applied; make it again without "
            "--columns, --ignore and --where"
        )


def pick_unchanged(engine: Engine, a: Manifest, gone: pa.Table) -> None:
    """Pick the rows of `a` whose `key` is not in `gone` (one column, `key`)."""
    engine.table("gone", gone)
    engine.view("before", a, {"key": "key"})
    engine.keep(
        PICKS,
        "SELECT 0 AS source, b.part AS part, b.row AS row FROM before b "
        "WHERE NOT EXISTS (SELECT 1 FROM gone g WHERE g.key = b.key)",
    )


def rebased(a: Manifest, b: Manifest) -> tuple[str, str] | None:
    """Return the root of the sources of `a` and the root that replaces it in `b`; None if they are the same.

    Raises InputError when there are several roots, so that this is unknown.
    """
    ours, theirs = ({root.rstrip("/") for root in each.roots} for each in (a, b))
    if ours == theirs:
        return None
    if len(ours) == len(theirs) == 1:
        return ours.pop() + "/", theirs.pop() + "/"
    raise InputError(f"{b.uri}: its sources have other roots than those of {a.uri}, and there are several")
