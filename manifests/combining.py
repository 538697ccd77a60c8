"""Which rows a selection, a merge or a patched manifest has. Each leaves them in the table PICKS."""

import hashlib
import itertools
from collections.abc import Sequence
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from manifests.diff import relative_source
from manifests.diff_set import DiffSet
from manifests.engine import Engine, quoted
from manifests.errors import InputError
from manifests.sampling import PICKS
from manifests.schema import Status
from manifests.store import Manifest

SHOWN = 3


class OnConflict(StrEnum):
    """What becomes of a key that several manifests have with different rows."""

    REFUSE = "refuse"
    """The merge is refused, and the keys are named."""
    FIRST = "first"
    """The row of the manifest that was named first."""
    BEST = "best"
    """Whole before truncated, then most pixels, then most bytes, then a hash of the row: whatever the order."""


def count(engine: Engine, table: str) -> int:
    """Return how many rows a table of the engine has."""
    return int(engine.fetch(f"SELECT count(*) AS n FROM {table}").column("n")[0].as_py())


# --- select


def values_digest(values: pa.ChunkedArray | pa.Array) -> str:
    """Return a hash of a set of texts that does not depend on their order."""
    one = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    ordered = one.cast(pa.large_string()).take(pc.sort_indices(one))
    hashed = hashlib.sha256()
    for first in range(0, len(ordered), 1 << 16):
        lines = ordered.slice(first, 1 << 16)
        hashed.update(b"\n".join(v.as_buffer().to_pybytes() for v in lines) + b"\n")
    return hashed.hexdigest()


def pick_listed(engine: Engine, manifest: Manifest, column: str, values: pa.Table, *, is_inverted: bool) -> None:
    """Pick the rows whose `column` is among `values` (one column, `value`), or is not when `is_inverted`."""
    engine.table("listed", values)
    engine.view("candidates", manifest, {"value": quoted(column)})
    has = "NOT EXISTS" if is_inverted else "EXISTS"
    engine.keep(
        PICKS,
        "SELECT 0 AS source, c.part AS part, c.row AS row FROM candidates c "
        f"WHERE {has} (SELECT 1 FROM listed l WHERE l.value = c.value)",
    )


def not_found(engine: Engine) -> tuple[int, list[str]]:
    """Return how many of the values of `pick_listed` no row has, and the first of them."""
    missing = "FROM listed l WHERE NOT EXISTS (SELECT 1 FROM candidates c WHERE c.value = l.value)"
    engine.keep("missing", f"SELECT l.value AS value {missing}")
    shown = engine.fetch(f"SELECT value FROM missing ORDER BY value LIMIT {SHOWN}")
    return count(engine, "missing"), shown.column("value").to_pylist()


# --- merge


def check_mergeable(sources: Sequence[Manifest]) -> None:
    """Raise InputError when the manifests cannot be one: other stages or columns, tars of their own, nested roots."""
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
            f"{first.uri}: shards have tars of their own, whose names meet; merge the chosen manifests, shard again"
        )
    own = [{root.rstrip("/") + "/" for root in each.roots} for each in sources]
    for outer, inner in itertools.pairwise(sorted(set().union(*own))):
        if inner.startswith(outer) and any({outer, inner} - roots for roots in own):
            raise InputError(
                f"{inner}: lies in {outer}, the root of another manifest, so sources cannot be told apart; scan them "
                "in one go"
            )


def pick_merged(engine: Engine, sources: Sequence[Manifest], rule: OnConflict) -> tuple[int, int]:
    """Pick each key once from all `sources`; return how many keys several have, and how many of them differ.

    Raises InputError when rows differ and the rule is to refuse.
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
    shared, differ = (
        engine.fetch(f"SELECT count(*) AS n FROM {t}").column("n")[0].as_py() for t in ("twice", "conflicts")
    )
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
    """Raise when `diff` cannot be applied to `a`: it is of another manifest, or does not hold everything."""
    if diff.a_digest != a.digest:
        raise InputError(
            f"{diff.uri}: the diff of {diff.a_uri} with digest {diff.a_digest[:16]}…; {a.uri} has {a.digest[:16]}…"
        )
    if not diff.is_whole:
        raise InputError(
            f"{diff.uri}: a diff of some columns or rows, which says nothing of the others; make it again without "
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
    """Return the root that sources of `a` lie under and the one that they lie under in `b`; None when they stay.

    Raises InputError when that cannot be told, for there are several.
    """
    ours, theirs = ({root.rstrip("/") for root in each.roots} for each in (a, b))
    if ours == theirs:
        return None
    if len(ours) == len(theirs) == 1:
        return ours.pop() + "/", theirs.pop() + "/"
    raise InputError(f"{b.uri}: its sources count from other roots than those of {a.uri}, and there are several")
