"""Which rows the galleries of a report show: few, drawn by a keyed hash, so that equal manifests give equal pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from manifests.format.roots import split_source
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine, quoted, sql_text
from manifests.sql.lookup import rows_at

ROWS = "m"
"""The view of a manifest's rows; beside its columns it has `part`, `row`, and `hash`, by which samples are drawn."""

SHOWN = (
    *("key", "source", "member", "offset", "size", "sha256", "status", "error", "format", "width", "height", "url"),
    *("caption", "cluster_id", "duplicate_of", "duplicate_kind", "duplicate_evidence", "text_kind", "text_score"),
    *("text_step", "text_chars", "text_class", "keep", "drop_reason"),
    *("shard", "shard_offset", "shard_size", "shard_sha256"),
)
"""The columns of a row that a page may show, or needs to read its picture; those that the manifest has."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows for a part of a page: of each `group`, an expression, the first `count` rows by `order`, if `where` holds.

    `order` is one expression, ascending; ties are broken by the keyed hash.
    """

    name: str
    where: str
    count: int
    group: str = "''"
    order: str = "0"


def with_source_name(row: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """Return `row` with `source_name`, its source relative to the manifest's roots."""
    return {**row, "source_name": split_source(row["source"], manifest.roots)[1]}


class Rows:
    """The rows of a manifest, asked for by DuckDB; use it as a context manager's value.

    `salt` draws other samples.
    """

    def __init__(self, manifest: Manifest, engine: DuckEngine, salt: str) -> None:
        self.manifest, self.engine = manifest, engine
        columns = {name: quoted(name) for name in manifest.schema.names if name not in ("local_points", "embedding")}
        engine.view(ROWS, manifest, {**columns, "hash": f"md5({sql_text(salt + ':')} || key)"})

    def has(self, *columns: str) -> bool:
        """Return whether the manifest has all of `columns`."""
        return set(columns) <= set(self.manifest.schema.names)

    def fetch(self, sql: str) -> list[dict[str, Any]]:
        """Return the few rows of `sql` over the view ROWS."""
        found: list[dict[str, Any]] = self.engine.fetch(sql).to_pylist()
        return found

    def pick(self, galleries: Sequence[Gallery]) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Return gallery → group → rows with the columns SHOWN, in the order of the gallery."""
        places: dict[str, dict[str, list[tuple[int, int]]]] = {}
        for each in galleries:
            found = self.fetch(
                f"SELECT ({each.group})::VARCHAR AS g, "
                "arg_min({'part': part, 'row': row}, {'order': "
                + each.order
                + f", 'hash': hash}}, {each.count}) AS at "
                f"FROM {ROWS} WHERE {each.where} GROUP BY g ORDER BY g"
            )
            places[each.name] = {
                row["g"] or "": [(place["part"], place["row"]) for place in row["at"]] for row in found
            }
        rows = self.rows({place for groups in places.values() for some in groups.values() for place in some})
        return {
            name: {group: [rows[place] for place in some] for group, some in groups.items()}
            for name, groups in places.items()
        }

    def rows(self, places: set[tuple[int, int]]) -> dict[tuple[int, int], dict[str, Any]]:
        """Return (part, row) → row with the columns SHOWN, and `source_name`."""
        ordered = sorted(places)
        names = [name for name in SHOWN if self.has(name)]
        table = pa.table(
            {
                "part": pa.array([part for part, _ in ordered], pa.int32()),
                "row": pa.array([row for _, row in ordered], pa.int64()),
            }
        )
        found = [row for rows in rows_at(self.manifest, table, names) for row in rows.to_pylist()]
        return dict(zip(ordered, (with_source_name(row, self.manifest) for row in found), strict=True))
