"""Which row of one manifest is which of another: by key, by a column that several rows may share, or by the image."""

from collections.abc import Sequence
from typing import Literal

from manifests.format.store import Manifest
from manifests.sql.engine import Engine, quoted, relative_source

By = Literal["key", "sha256", "url", "image"]
VERDICTS = ("status", "duplicate_kind", "text_class", "keep", "drop_reason")
"""What is compared of rows that are matched by the image: all else differs between crawls."""
MIN_PDQ_QUALITY = 50
_FINGERPRINT = f"CASE WHEN pdq_quality >= {MIN_PDQ_QUALITY} THEN 'pdq:' || hex(pdq) ELSE 'pixels:' || hex(pixels) END"
_PLACES = "part, row, m, key, h"


def join_rows(
    engine: Engine,
    sides: Sequence[Manifest],
    names: Sequence[str],
    *,
    by: By,
    where: str | None,
    places: Sequence[Sequence[int]],
) -> None:
    """Store in the table `changes` the rows of two manifests that only one has, or that may differ in `names`.

    Its columns are `m` (what rows are matched by), `key`, and their places: `a_part`, `a_row`, `b_part`, `b_row`. Of
    several rows with one value of `by`, the first is matched with the first: by key; with the image, kept ones first.
    `places` are the parts that are read of each manifest. With `by` image, rows are matched by `sha256`, and those
    that are left by their PDQ fingerprint, or where that is not to be trusted by the hash of their pixels.
    """
    for view, each, own in zip(("a", "b"), sides, places, strict=True):
        columns = {"m": _match(by), "key": "key", "h": _row_hash(each, names)}
        if by == "image":
            kept = "CASE WHEN keep THEN 0 ELSE 1 END" if "keep" in each.schema.names else "0"
            columns |= {"m": _match("sha256"), "fingerprint": _FINGERPRINT, "rank": kept}
        engine.view(f"{view}_rows", each, columns, where=where, parts=own)
    if by == "key":
        _store_changes(engine, "a_rows", "b_rows", "a.m = b.m")
        return
    rank = "rank, key" if by == "image" else "key"
    for view in ("a", "b"):
        more = ", fingerprint, rank" if by == "image" else ""
        engine.keep(
            f"{view}_numbered",
            f"SELECT {_PLACES}{more}, row_number() OVER (PARTITION BY m ORDER BY {rank}) AS nth FROM {view}_rows",
        )
    if by == "image":
        _match_rest_by_fingerprint(engine)
    _store_changes(engine, "a_numbered", "b_numbered", "a.m = b.m AND a.nth = b.nth")


def _match_rest_by_fingerprint(engine: Engine) -> None:
    """Give rows whose bytes the other manifest does not have their fingerprint as `m`, numbered anew."""
    for view, other in (("a", "b"), ("b", "a")):
        engine.keep(
            f"{view}_rest",
            f"SELECT x.part AS part, x.row AS row, coalesce(x.fingerprint, 'key:' || x.key) AS m, x.key AS key, "
            f"x.h AS h, x.rank AS rank FROM {view}_numbered x WHERE NOT EXISTS "
            f"(SELECT 1 FROM {other}_numbered y WHERE y.m = x.m AND y.nth = x.nth)",
        )
    for view, other in (("a", "b"), ("b", "a")):
        engine.keep(
            f"{view}_both",
            f"SELECT {_PLACES}, nth FROM {view}_numbered x WHERE EXISTS "
            f"(SELECT 1 FROM {other}_numbered y WHERE y.m = x.m AND y.nth = x.nth) UNION ALL "
            f"SELECT {_PLACES}, row_number() OVER (PARTITION BY m ORDER BY rank, key) AS nth FROM {view}_rest",
        )
    for view in ("a", "b"):
        engine.keep(f"{view}_numbered", f"SELECT {_PLACES}, nth FROM {view}_both")


def _store_changes(engine: Engine, a: str, b: str, on: str) -> None:
    engine.keep(
        "changes",
        "SELECT coalesce(a.m, b.m) AS m, coalesce(a.key, b.key) AS key, a.part AS a_part, a.row AS a_row, "
        f"b.part AS b_part, b.row AS b_row FROM {a} a FULL OUTER JOIN {b} b ON {on} "
        "WHERE a.m IS NULL OR b.m IS NULL OR a.h <> b.h",
    )


def _match(by: str) -> str:
    return "key" if by == "key" else f"coalesce({by}, 'key:' || key)"


def _row_hash(manifest: Manifest, names: Sequence[str]) -> str:
    """Return SQL for a hash of the compared columns of a row, with `source` relative to its root."""
    known = set(manifest.schema.names)
    values = [
        "NULL" if name not in known else relative_source(manifest.roots) if name == "source" else quoted(name)
        for name in names
    ]
    return f"hash({', '.join(values)})" if values else "0"
