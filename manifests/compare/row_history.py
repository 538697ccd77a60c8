"""Why rows were added or removed, as the earlier manifests that a manifest was made from record it."""

from manifests.format.ancestry import Ancestor, ancestors
from manifests.format.store import Manifest
from manifests.sql.engine import Engine, count_rows, sql_text


def find_reasons(engine: Engine, change: str, other: Manifest, notes: list[str]) -> None:
    """Store in the table `why_<change>` the reasons why rows of the table `changes` are missing from `other`.

    `change` is `removed` or `added`; added rows are missing from the first manifest. The columns of the new table are
    `key`, `why`, and `original`, the key that the row is a copy of. `notes` gets a sentence for each earlier manifest
    that no longer exists.
    """
    lacking = "b_part" if change == "removed" else "a_part"
    engine.keep("gone_0", f"SELECT key FROM changes WHERE {lacking} IS NULL")
    found: list[str] = []
    for i, ancestor in enumerate(ancestors(other, notes) if count_rows(engine, "gone_0") else ()):
        engine.view("old", ancestor.manifest, {"key": "key", **_verdict(ancestor, change)})
        engine.keep(
            f"reasons_{change}_{i}",
            f"SELECT g.key AS key, o.why AS why, o.original AS original FROM gone_{i} g JOIN old o ON g.key = o.key",
        )
        engine.keep(
            f"gone_{i + 1}",
            f"SELECT key FROM gone_{i} g WHERE NOT EXISTS (SELECT 1 FROM reasons_{change}_{i} t WHERE t.key = g.key)",
        )
        found.append(f"reasons_{change}_{i}")
        if not count_rows(engine, f"gone_{i + 1}"):
            break
    default = "not in its input" if change == "removed" else "new"
    nothing = f"SELECT key, '{default}' AS why, key AS original FROM gone_0 WHERE 1 = 0"
    engine.keep(
        f"why_{change}", " UNION ALL ".join([nothing, *(f"SELECT key, why, original FROM {t}" for t in found)])
    )


def _verdict(ancestor: Ancestor, change: str) -> dict[str, str]:
    """Return SQL for why a row of `ancestor` was not passed on, and for the key that it is a copy of."""
    known = ancestor.manifest.schema.names
    default = sql_text(ancestor.left_by)
    dropped = "drop_reason" if "drop_reason" in known else "NULL::VARCHAR"
    why = f"coalesce({dropped}, {default})" if ancestor.is_kept_only else default
    if change == "added":
        why = f"'was ' || {why}"
    return {"why": why, "original": "duplicate_of" if "duplicate_of" in known else "NULL::VARCHAR"}
