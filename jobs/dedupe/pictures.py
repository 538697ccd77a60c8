"""From rows of manifests to pictures: rows with the same pixels are one picture, in whichever manifest they are."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.representative import Rank, rank_columns
from jobs.spark import frames
from manifests import storage
from manifests.format.schema import STATUSES_WITH_PIXELS, Stage, schema
from manifests.format.store import Manifest, read_batches

TEXT_DENSITY = 0.5  # from this `text_density` on, an image counts as full of text
REFERENCE, EXISTING, PARENT = 0, 1, 2
NARROW = (
    "key",
    "sha256",
    "status",
    "width",
    "height",
    "size",
    "pdq",
    "pdq_quality",
    "pixels",
    "text_density",
)
ROW_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("node", pa.binary()),
        ("pdq", pa.binary()),
        ("is_text", pa.bool_()),
        ("sha256", pa.string()),
        ("damage", pa.int32()),
        ("negative_area_pixels", pa.int64()),
        ("negative_size_bytes", pa.int64()),
        ("cluster", pa.string()),
        (frames.PART, pa.string()),
    ]
)
AT_PART = "at_part"
PICTURES = pa.schema(
    [
        ("node", pa.binary()),
        ("pdq", pa.binary()),
        ("is_text", pa.bool_()),
        ("origin", pa.int32()),
        ("damage", pa.int32()),
        ("negative_area_pixels", pa.int64()),
        ("negative_size_bytes", pa.int64()),
        ("key", pa.string()),
        ("sha256", pa.string()),
        ("set", pa.string()),
        (AT_PART, pa.string()),
        ("cluster", pa.string()),
        ("first_key", pa.string()),
    ]
)
PICTURE_BYTES, PLACE_BYTES = 300, 1_024
RANK = ("origin", *Rank._fields, "sha256", "set")
PLACE = ("source", "member", "offset", "size")


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """A manifest with pictures to compare. `origin`: PARENT, EXISTING or REFERENCE; `name`: unique in its origin."""

    manifest: Manifest
    origin: int
    name: str = ""

    def parts(self, options: Mapping[str, Mapping[str, Any]]) -> frames.Parts:
        """Return the parts of the manifest, as workers read them."""
        return frames.parts_of(self.manifest, options)


def read_rows(
    spark: SparkSession,
    sets: Sequence[PictureSet],
    options: Mapping[str, Mapping[str, Any]],
    min_quality: int,
) -> DataFrame:
    """Return ROW_SCHEMA, `origin` and `set` of the rows of `sets`; of existing manifests only representatives."""
    from_each = []
    for each in sets:
        columns = [*NARROW, *(["cluster_id"] * (each.origin == EXISTING))]
        transform = functools.partial(rows_of, min_quality=min_quality)
        rows = read_set(spark, each, columns, ROW_SCHEMA, transform, options=options)
        from_each.append(rows.withColumns({"origin": F.lit(each.origin), "set": F.lit(each.name)}))
    return functools.reduce(DataFrame.unionByName, from_each)


def read_set(
    spark: SparkSession,
    pictures: PictureSet,
    columns: Sequence[str],
    schema: pa.Schema,
    transform: frames.Transform,
    *,
    options: Mapping[str, Mapping[str, Any]],
) -> DataFrame:
    """Return the rows of `pictures` that take part, transformed by `transform` to `schema`.

    All rows of the parent take part. From other sets, rows without pixels are left out, since they would be mistaken
    for the parent's row with the same key. From existing manifests, duplicates are left out, since their
    representative stands for them.
    """
    narrow = list(dict.fromkeys([*columns, "status", *(["duplicate_of"] * (pictures.origin == EXISTING))]))
    transforms = (transform,) if pictures.origin == PARENT else (taking_part, transform)
    return frames.read(spark, pictures.parts(options), narrow, schema, _InTurn(transforms))


@dataclass(frozen=True)
class _InTurn:
    transforms: Sequence[frames.Transform]

    def __call__(self, table: pa.Table) -> pa.Table:
        for each in self.transforms:
            table = each(table)
        return table


def taking_part(table: pa.Table) -> pa.Table:
    """Return the rows of another manifest than the parent that are compared."""
    table = table.filter(has_pixels(table))
    return table.filter(pc.is_null(table.column("duplicate_of"))) if "duplicate_of" in table.column_names else table


def rows_of(table: pa.Table, *, min_quality: int) -> pa.Table:
    """Return the rows of `table`, which has the columns NARROW, as ROW_SCHEMA.

    `pdq` is null where its quality is below `min_quality`. Duplicates in an already deduplicated table are left out.
    """
    if "duplicate_of" in table.column_names:
        table = table.filter(pc.is_null(table.column("duplicate_of")))
    comparable = has_pixels(table)
    quality = pc.fill_null(table.column("pdq_quality"), -1)
    is_trusted = pc.and_(comparable, pc.greater_equal(quality, min_quality))
    nothing = pa.nulls(len(table), pa.string())
    ranks = rank_columns(table)
    found = {
        "key": ranks.pop("key"),
        "node": node_of(table),
        "pdq": pc.if_else(is_trusted, table.column("pdq"), pa.scalar(None, pa.binary())),
        "is_text": pc.fill_null(pc.greater_equal(table.column("text_density"), TEXT_DENSITY), False),
        "sha256": table.column("sha256"),
        **ranks,
        "cluster": table.column("cluster_id") if "cluster_id" in table.column_names else nothing,
        frames.PART: table.column(frames.PART),
    }
    return pa.table(found).cast(ROW_SCHEMA)


def has_pixels(table: pa.Table) -> pa.ChunkedArray:
    """Return, as booleans, which rows of `table` have pixels."""
    return pc.is_in(table.column("status"), pa.array(STATUSES_WITH_PIXELS))


def node_of(table: pa.Table) -> pa.Array:
    """Return the identity of the picture in each row: the hash of its pixels if the scan made one, else its sha256.

    A row without pixels equals no other row; its identity is made from its key.
    """
    columns = (table.column(name).to_pylist() for name in ("key", "sha256", "pixels"))
    comparable = has_pixels(table).to_pylist()
    nodes = [
        (pixels or bytes.fromhex(sha256)) if with_pixels and sha256 else b"k" + key.encode()
        for with_pixels, key, sha256, pixels in zip(comparable, *columns, strict=True)
    ]
    return pa.array(nodes, pa.binary())


def pictures_of(rows: DataFrame) -> DataFrame:
    """Return each picture in `rows` once, as PICTURES.

    RANK and AT_PART, the name of its part, are those of its best row. `cluster` is the first that one of its rows has
    in an existing manifest, and `first_key` the smallest key of its rows in the parent.
    """
    rows = rows.withColumn("best", F.struct(*RANK, F.col(frames.PART).alias(AT_PART)))
    found = rows.groupBy("node").agg(
        F.min("best").alias("best"),
        F.min("pdq").alias("pdq"),
        F.min("is_text").alias("is_text"),
        F.min("cluster").alias("cluster"),
        F.min(F.when(F.col("origin") == PARENT, F.col("key"))).alias("first_key"),
    )
    return found.select("*", "best.*").select(*PICTURES.names)


def ranked(pictures: DataFrame) -> DataFrame:
    """Return `pictures` with their `rank`: the better, the smaller."""
    return pictures.withColumn("rank", F.struct(*RANK))


def with_places(
    pictures: DataFrame,
    columns: Sequence[str],
    sets: Sequence[PictureSet],
    options: Mapping[str, Mapping[str, Any]],
    measured: Sequence[str],
) -> DataFrame:
    """Return `columns` of `pictures`, with PLACE and the columns `measured` of their best rows, read from parts.

    Only `columns` are shuffled: a task for each part gets those of the pictures whose rows it shall read.
    """
    names = [*PLACE, *measured]
    added = frames.ddl(pa.schema([schema(Stage.SCAN).field(name) for name in names]))
    found = []
    for each in sets:
        mine = pictures.where((F.col("origin") == each.origin) & (F.col("set") == each.name))
        read = _ReadPlaces(parts=each.parts(options), columns=columns, names=names)
        kept = mine.select(*dict.fromkeys([*columns, "key", AT_PART]))
        types = ", ".join(f"`{name}` {kind}" for name, kind in mine.select(*columns).dtypes)
        found.append(frames.map_groups(kept, AT_PART, read, f"{types}, {added}", options))
    return functools.reduce(DataFrame.unionByName, found)


@dataclass(frozen=True)
class _ReadPlaces:
    parts: frames.Parts
    columns: Sequence[str]
    names: Sequence[str]

    def __call__(self, wanted: pa.Table) -> pa.Table:
        name = wanted.column(AT_PART)[0].as_py()
        keys, wanted = wanted.column("key").combine_chunks(), wanted.select(self.columns)
        uri = storage.join(self.parts.folder, name)
        known = {"rows": self.parts.rows[name], "size_bytes": self.parts.size_bytes[name]}
        found = []
        for batch in read_batches(uri, ["key", *self.names], **known):
            places = pc.index_in(batch.column("key"), keys)
            read = pa.Table.from_batches([batch.filter(pc.is_valid(places))]).select(self.names)
            mine = wanted.take(places.drop_null())
            found.append(pa.table([*mine.columns, *read.columns], [*self.columns, *self.names]))
        return frames.for_spark(pa.concat_tables(found))
