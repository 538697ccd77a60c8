"""Where the samples of shards are read: in their sources, in the shards that they come from, or in temporary copies.

`curation.shards.reading_cost` says whether gather or stream is cheaper. Stream copies samples in the tasks that read
rows, before these are shuffled.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from curation.config_shard import ShardConfig
from curation.shards.copies import copy_samples
from curation.shards.layout import Layout, layout_of
from curation.shards.read import COPY, COPY_OFFSET, InShards, Place, Stored, columns_read, in_source
from curation.shards.reading_cost import Reading, ReadingPlan, costs_of, speed_of
from jobs.spark import frames
from jobs.stages.shard_order import PLACE, TO_SHARD, FindShards
from jobs.units.lease import work_uri
from jobs.units.plan import Plan
from manifests import exclusive, storage
from manifests.errors import ManifestError
from manifests.format.lineage import find_shards
from manifests.format.schema import Stage
from manifests.format.store import Manifest, read_batches, unit_of

COPIES = "copies"
LOOKED_AT_PARTS, LOOKED_AT_ROWS = 8, 2048


def reading_of(config: ShardConfig, parent: Manifest, output: str) -> ReadingPlan:
    """Return how the samples of `parent` are read for shards at `output`, and what it costs.

    The first kept rows of a few parts are looked at.
    """
    shards_uri = find_shards(parent) if parent.stage is Stage.SHARD else None
    place: Place = in_source
    if shards_uri is not None:
        is_source_json = layout_of(parent) is Layout.ORIGINAL or config.form().layout is Layout.UNIFORM
        place = InShards(uri=shards_uri, has_json=is_source_json)
    parts = list(_kept_in_some_parts(parent, place))
    read_from = next((where.image.uri for part in parts for where in part), parent.uri)
    speeds = {"source": speed_of(read_from), "output": speed_of(storage.absolute(output))}
    costs = costs_of(parts, parent.counts.get("keep", {}).get("true", 0), **speeds)
    forced = None if config.read == "auto" else Reading(config.read)
    notes = [] if parent.stage is not Stage.SHARD or shards_uri else [f"{parent.shards_uri}: {_NO_SHARDS}"]
    return ReadingPlan(place=place, costs=costs, forced=forced, notes=notes)


_NO_SHARDS = "there are no shards any more; samples are read from the sources that they came from"


def _kept_in_some_parts(parent: Manifest, place: Place) -> Iterator[list[Stored]]:
    """Yield where the first kept samples of some parts are, without damaged parts: the run says what is wrong."""
    columns = ["keep", *columns_read(parent.schema.names)]
    for part in parent.parts[:: max(1, -(-len(parent.parts) // LOOKED_AT_PARTS))]:
        with contextlib.suppress(ManifestError):
            uri, known = parent.part_uri(part), {"rows": part.rows, "size_bytes": part.size_bytes}
            batches = read_batches(uri, columns, LOOKED_AT_ROWS, **known)
            rows = [row for batch in itertools.islice(batches, 1) for row in batch.to_pylist()]
            yield [where for row in rows if row["keep"] and (where := place(row)) is not None]


def ready_copies(plan: Plan, place: Place) -> str:
    """Return the URI of the folder for temporary copies from `place`, which later runs of the same plan use, too.

    Others are removed: of another plan, and of shards if samples come from the sources now, whose json can be other
    bytes. All of them are removed when the manifest is committed.
    """
    origin = "sources" if place is in_source else "shards"
    folder, mine = storage.join(work_uri(plan.output), COPIES), f"{plan.fingerprint[:16]}-{origin}"
    for name in storage.list_names(folder):
        if name != mine:
            exclusive.clear_folder(storage.join(folder, name))
    return storage.join(folder, mine)


def place_rows(
    spark: SparkSession,
    parent: Manifest,
    find: FindShards,
    options: frames.Options,
    copy: "CopySamples | None" = None,
) -> DataFrame:
    """Return the kept rows of `parent` with their PLACE in the order and the number of their shard, TO_SHARD.

    With `copy`, their files are copied when the rows are read, and the rows say where to.
    """
    added = [(PLACE, pa.binary()), (TO_SHARD, pa.int64())]
    added += [(COPY, pa.string()), (COPY_OFFSET, pa.int64())] if copy else []
    change = find if copy is None else _Both(find=find, copy=copy)
    columns = pa.schema([*parent.schema, *added])
    return frames.read(spark, frames.parts_of(parent, options), parent.schema.names, columns, change)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopySamples:
    """Copies the files of rows in a worker, from `place` to files below `folder`."""

    place: Place
    folder: str

    def __call__(self, table: pa.Table, part: str) -> pa.Table:
        """Return rows of `part` with COPY and COPY_OFFSET."""
        order = (TO_SHARD, PLACE, "key")
        return copy_samples(table, place=self.place, folder=self.folder, group=unit_of(part), order=order)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Both:
    find: FindShards
    copy: CopySamples

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.copy(self.find(table), table.column(frames.PART)[0].as_py())
