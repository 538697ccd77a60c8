"""What a small run does in the process of the command: everything but comparing pictures.

For Spark, each shuffle of a few rows is a plan to make and code to compile, which costs more than the rows. So a run
of few rows reads them once, and finds pictures, candidates and the answer with DuckDB and Arrow. Components of
candidate pairs are judged by processes of this machine, or by Spark's tasks. The answer is that of the shuffles,
which a test compares. See docs/adr/0044 and 0045.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.config import DedupeConfig
from curation.copies.cells import BYTES, cell_count
from jobs.dedupe.answers import ANSWER
from jobs.dedupe.candidates import LOCAL_COLUMNS, PAIRS_SCHEMA, local_pairs, near_limits, with_local_features
from jobs.dedupe.components import PLACED, placed_in_memory
from jobs.dedupe.pdq_search import near_pairs_in_memory
from jobs.dedupe.pictures import EXISTING, NARROW, PARENT, PLACE, RANK, ROW_SCHEMA, PictureSet, rows_of, taking_part
from jobs.dedupe.whole_components import EARLIER, NARROW_PICTURE, PAIR, PICTURE
from jobs.spark import frames
from manifests.format.schema import Stage, schema
from manifests.format.store import read_batches
from manifests.sql.expressions import sealed

COPIES = pa.schema(
    [("member", pa.binary()), ("representative", pa.binary()), ("kind", pa.string()), ("described", pa.string())]
)

_PICTURES = f"""
    SELECT node, min(place) AS place, min(pdq) AS pdq, min(is_text) AS is_text, min(cluster) AS cluster,
        min(CASE WHEN origin = {PARENT} THEN key END) AS first_key
    FROM rows GROUP BY node ORDER BY place
"""
_PRINTS = """
    SELECT pdq AS node, min(is_text) AS is_text, arg_min(node, place) AS owner
    FROM pictures WHERE pdq IS NOT NULL GROUP BY pdq
"""
_PAIRS = f"""
    WITH found AS (
        SELECT pictures.node AS a, owner AS b FROM pictures JOIN prints ON pdq = prints.node
        UNION ALL
        SELECT first.owner, second.owner
        FROM near JOIN prints AS first ON a = first.node JOIN prints AS second ON b = second.node
        UNION ALL
        SELECT a, b FROM local
    )
    SELECT least(a, b) AS a, greatest(a, b) AS b
    FROM found JOIN pictures AS first ON a = first.node JOIN pictures AS second ON b = second.node
    WHERE a != b AND {PARENT} IN (first.origin, second.origin)
    ORDER BY ALL
"""
_ANSWER = f"""
    WITH clustered AS (
        SELECT member AS node, representative AS leader, kind, described AS evidence FROM copies
        UNION ALL SELECT DISTINCT representative, representative, NULL, NULL FROM copies
    ), named AS (
        SELECT leader, coalesce(min(cluster), min(first_key)) AS cluster_id
        FROM clustered JOIN pictures USING (node) GROUP BY leader
    ), heads AS (
        SELECT node AS leader, {{'node': node, 'key': key, 'sha256': sha256, 'origin': origin, 'set': "set"}} AS head
        FROM pictures
    ), found AS (
        SELECT node, coalesce(leader, node) AS leader, coalesce(cluster_id, cluster, first_key) AS cluster_id,
            kind, evidence
        FROM pictures LEFT JOIN clustered USING (node) LEFT JOIN named USING (leader)
    )
    SELECT part, key, {", ".join(f"{what} AS {name}" for name, what in ANSWER.items())}
    FROM rows JOIN found USING (node) JOIN heads USING (leader) WHERE origin = {PARENT} ORDER BY place
"""


def is_small(sets: Sequence[PictureSet], config: DedupeConfig) -> bool:
    """Return whether `sets` have at most `rows_in_process` rows, and their fingerprints fit one cell."""
    rows = sum(each.manifest.rows for each in sets)
    return (
        rows <= config.rows_in_process
        and config.fingerprint == "pdq"
        and cell_count(rows, BYTES, config.cell_bytes) == 1
    )


@dataclass(frozen=True, kw_only=True)
class SmallRun:
    """The pictures of a small run, in memory, and what is found of them.

    Attributes:
        rows: those of all manifests, as ROW_SCHEMA with `origin`, `set` and `place`, that in the order of RANK.
        pictures: each picture once, the best first, as `pictures_of` makes them, with `place`, PLACE and what the
            matcher needs of its best row.
        with_keypoints: LOCAL_SCHEMA of the rows with keypoints, if those are needed.
    """

    rows: pa.Table
    pictures: pa.Table
    with_keypoints: Sequence[pa.RecordBatch]

    def local_pairs(self, config: DedupeConfig) -> pa.Table:
        """Return the pairs (`a`, `b`) of pictures whose keypoints agree."""
        return pa.Table.from_batches(local_pairs(self.with_keypoints, min_points=config.min_points), PAIRS_SCHEMA)

    def candidates(self, config: DedupeConfig, local: pa.Table, *, large: int) -> pa.Table:
        """Return what `find_candidates` does, PLACED. `local`: the pairs of pictures whose keypoints agree."""
        pictures = self.pictures.select(["node", "pdq", "is_text", "origin", "place"])
        prints = _query(_PRINTS, pictures=pictures)
        near = near_pairs_in_memory(prints.select(["node", "is_text"]), near_limits(config))
        pairs = _query(_PAIRS, pictures=pictures, prints=prints, near=near, local=local)
        return pa.Table.from_batches(placed_in_memory(iter(pairs.to_batches()), large=large), PLACED)

    def to_judge(self, placed: pa.Table, measured: Sequence[str], known: pa.Table) -> pa.Table:
        """Return the components in `placed`, PLACED, as `judge_rows` takes them.

        `measured`: the columns that the matcher needs. `known` is as `take_evidence` returns it.
        """
        is_node = pc.is_null(placed.column("b"))
        nodes, pairs = placed.filter(is_node), placed.filter(pc.invert(is_node))
        pictures = self.pictures.take(pc.index_in(nodes.column("a"), _values(self.pictures, "node")))
        pictures = pictures.append_column("component", nodes.column("component"))
        places = pc.index_in(known.column("first_sha256"), _values(pictures, "sha256"))
        known = known.filter(pc.is_valid(places)).rename_columns({"first_sha256": "sha256"})
        known = known.append_column("component", pictures.column("component").take(places.drop_null()))
        pairs = pa.table(pairs.columns[:3], ["node", "other", "component"])
        pictures = pictures.select(list(dict.fromkeys([*NARROW_PICTURE, *PLACE, *measured])))
        kinds = {PICTURE: pictures, EARLIER: known, PAIR: pairs}
        rows = [each.append_column("row", _repeated(kind, pa.int32(), each)) for kind, each in kinds.items()]
        # Spark takes an empty batch for the end of the table.
        return pa.concat_tables(rows, promote_options="default").combine_chunks()

    def answer(self, copies: pa.Table | None) -> pa.Table:
        """Return what `duplicate_columns` does.

        `copies`: (`member`, `representative`, `kind`, `described`) of each picture that is a copy; None if none is.
        """
        pictures = self.pictures.select(["node", "key", "sha256", "origin", "set", "cluster", "first_key"])
        rows = self.rows.select([frames.PART, "key", "node", "sha256", "origin", "place"])
        return _query(
            _ANSWER, rows=rows, pictures=pictures, copies=COPIES.empty_table() if copies is None else copies
        )


def read_small(
    sets: Sequence[PictureSet], config: DedupeConfig, measured: Sequence[str] = (), *, with_keypoints: bool = False
) -> SmallRun:
    """Return the pictures of `sets`, of which each part is read once.

    `measured`: the columns that a matcher needs. `with_keypoints`: whether to keep those of all rows, to search them.
    """
    kept = list(dict.fromkeys([*PLACE, *measured]))
    tables, local = [_wide(kept).empty_table()], list[pa.RecordBatch]()
    for each in sets:
        names = {*NARROW, *kept, *(LOCAL_COLUMNS if with_keypoints else ())}
        names |= {"cluster_id", "duplicate_of"} if each.origin == EXISTING else set()
        for table in _parts(each, sorted(names)):
            rows = rows_of(table, min_quality=config.min_quality)
            rows = rows.append_column("origin", _repeated(each.origin, pa.int32(), rows))
            rows = rows.append_column("set", _repeated(each.name, pa.string(), rows))
            tables.append(pa.table([*rows.columns, *table.select(kept).columns], [*rows.column_names, *kept]))
            if with_keypoints:
                local += with_local_features(table).to_batches()
    wide = pa.concat_tables(tables).sort_by([(name, "ascending") for name in RANK])
    wide = wide.append_column("place", pa.array(range(len(wide)), pa.int64()))
    rows = wide.drop_columns(kept)
    found = _query(_PICTURES, rows=rows)
    best = wide.take(found.column("place"))
    best = best.drop_columns([name for name in found.column_names if name in best.column_names])
    pictures = pa.table([*found.columns, *best.columns], [*found.column_names, *best.column_names])
    return SmallRun(rows=rows, pictures=pictures, with_keypoints=local)


def _wide(kept: Sequence[str]) -> pa.Schema:
    empty = frames.for_spark(pa.schema([schema(Stage.SCAN).field(name) for name in kept]).empty_table())
    types = [(field.name, field.type) for field in empty.schema]
    return pa.schema([*ROW_SCHEMA, ("origin", pa.int32()), ("set", pa.string()), *types])


def _parts(pictures: PictureSet, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of a manifest that take part, batch by batch, with the name of their part."""
    manifest = pictures.manifest
    for part in manifest.parts:
        uri = manifest.part_uri(part)
        for batch in read_batches(uri, columns, rows=part.rows, size_bytes=part.size_bytes):
            table = frames.for_spark(pa.Table.from_batches([batch]))
            table = table.append_column(frames.PART, _repeated(part.name, pa.string(), table))
            yield table if pictures.origin == PARENT else taking_part(table)


def _values(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks()


def _repeated(value: Any, kind: pa.DataType, table: pa.Table) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), len(table))


def _query(sql: str, **tables: pa.Table) -> pa.Table:
    with sealed() as db:
        for name, table in tables.items():
            db.register(name, table)
        return db.sql(sql).to_arrow_table()
