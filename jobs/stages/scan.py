"""The scan: every sample becomes one row; a unit is a few tars, or a slice of a folder.

After the units, keys that several sources declared are told apart: the first sample keeps the key, by the source's
name, so that the answer depends neither on the order of the input nor on its place.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import PipelineConfig, ScanConfig
from curation.pictures.decode import DecodeLimits
from curation.scan import embedder
from curation.scan.guarded import measure_guarded
from curation.scan.measure import SCAN_SCHEMA, Asked, Measures, Origin, measure, rows, software
from curation.scan.own_filters import load_own, own_filters, settings_of, software_of
from curation.sources.folders import read_folder, slices
from curation.sources.keys import collided_key
from curation.sources.samples import Contents, SampleNames
from curation.sources.sibling_tables import NO_TABLE, sibling_states, sibling_table
from curation.sources.sources import Source, expand
from curation.sources.tars import read_tar
from jobs.spark import frames
from jobs.spark.run import Context, run_stage
from jobs.units.failures import note_failure
from jobs.units.plan import Plan, Unit, UnitMaker
from jobs.units.worker import DONE_DDL, Recorder, Task, prepare_worker, receipt_of
from manifests import storage
from manifests.errors import BrokenSource, StageFailed
from manifests.format.receipts import Receipt, read_receipts, set_receipt_aside, write_part, write_receipt
from manifests.format.roots import split_source
from manifests.format.schema import Stage
from manifests.format.store import Manifest, lanes_of, read_batches

DECIDES_ROWS = ("max_image_bytes", "max_image_pixels", "text_density", "sample_names")
MAX_ROWS_HERE = 1_000_000  # keys of so many rows, some 100 MB, may be looked at on the driver
MAX_WARNINGS = 5
LOCATED = ("key", "source", "member", "offset")


def plan_scan(config: PipelineConfig, output: str) -> Plan:
    """Return the plan of a scan of the configured input. Lists the storage, reads no image.

    Loads own filters and the embedding's model once, so that what is missing or wrong is refused before any work
    starts. Raises InputError when an input is missing, compressed, or carries credentials, and
    filters.protocol.FilterError.
    """
    sources = expand(config.input)
    settings = {name: getattr(config.scan, name) for name in DECIDES_ROWS}
    settings["local_features"] = config.dedupe.needs_local_features
    settings["filters"] = settings_of(config.scan.own_filters())
    if config.scan.embedding is not None:
        settings["embedding"] = config.scan.embedding.recorded()
    versions = software() | software_of(load_own(config.scan.own_filters()))
    if config.scan.embedding is not None:
        versions["embedding"] = embedder.load(config.scan.embedding.as_model()).version
    maker = UnitMaker(stage=Stage.SCAN, config=settings, software=versions, shared={})
    units = [
        maker.unit(f"part-{i:05d}", {"sources": read}, size_bytes=sum(each["bytes"] for each in read))
        for i, read in enumerate(_group(sources, config.scan))
    ]
    return Plan(
        stage=Stage.SCAN,
        output=storage.absolute(output),
        config=settings,
        software=versions,
        inputs={"sources": {s.uri: s.etag for s in sources}, **_reading(config.scan)},
        parents=[],
        roots=sorted({s.root for s in sources}),
        funnel=[],
        units=units,
        options=config.storage,
    )


def _reading(config: ScanConfig) -> dict[str, Any]:
    """Return how tars are read that could not be read otherwise: it changes no row of the others."""
    return {"ignore_zeros": True} if config.ignore_zeros else {}


def _group(sources: Sequence[Source], config: ScanConfig) -> Iterator[list[dict[str, Any]]]:
    """Yield what each unit reads: up to `tars_per_unit` tars, or up to `files_per_unit` images of one folder."""
    tars = [s for s in sources if not s.is_folder]
    tables_beside = sibling_states([s.uri for s in tars])
    for first in range(0, len(tars), config.tars_per_unit):
        yield [
            {
                "uri": s.uri,
                "name": s.name,
                "state": s.etag,
                "bytes": s.size_bytes,
                "table": tables_beside.get(s.uri),
            }
            for s in tars[first : first + config.tars_per_unit]
        ]
    for folder in (s for s in sources if s.is_folder):
        for some in slices(folder.files, config.files_per_unit):
            size = sum(file.size_bytes for file in some)
            files = [(file.path, file.size_bytes) for file in some]
            yield [{"uri": folder.uri, "name": folder.name, "state": folder.etag, "bytes": size, "files": files}]


def scan(config: PipelineConfig, output: str, ctx: Context) -> Manifest:
    """Scan the configured input into the manifest at `output` and return it."""
    plan = plan_scan(config, output)

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        perform = functools.partial(
            perform_unit,
            config=config.scan,
            embedding=plan.software.get("embedding"),
            with_local=config.dedupe.needs_local_features,
            output=plan.output,
            roots=tuple(plan.roots),
        )
        frames.map_units(
            spark, todo, Task(recorder=Recorder(output=plan.output, options=plan.options), perform=perform)
        )
        _check_broken(plan, config.scan.max_broken_tars, ctx)
        make_keys_unique(spark, plan)

    return run_stage(plan, work, ctx)


def perform_unit(
    unit: Unit, *, config: ScanConfig, embedding: str | None, with_local: bool, output: str, roots: Sequence[str]
) -> Receipt:
    """Scan one unit as configured, in a worker, which builds own filters and the embedder once in its life.

    `embedding` is the version of the embedder that the driver found.
    """
    limits = DecodeLimits(max_pixels=config.max_image_pixels, max_bytes=config.max_image_bytes)
    asked = Asked(density=config.text_density, local_features=with_local)
    on_image = functools.partial(measure, limits=limits, asked=asked)
    models = _models(config, embedding)
    with_models = functools.partial(measure, limits=limits, asked=replace(asked, **models)) if models else None
    reading = Reading(
        max_image_bytes=limits.max_bytes,
        names=SampleNames(config.sample_names),
        ignore_zeros=config.ignore_zeros,
    )
    return scan_unit(unit, output=output, reading=reading, on_image=on_image, roots=roots, with_models=with_models)


def _models(config: ScanConfig, embedding: str | None) -> dict[str, Any]:
    """Return what of `Asked` may hold models."""
    models: dict[str, Any] = {}
    if config.filters:
        models["own"] = own_filters(config.own_filters())
    if config.embedding is not None and embedding is not None:
        models["embedder"] = embedder.embedder(config.embedding.as_model(), embedding)
    return models


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How sources are read; see ScanConfig."""

    max_image_bytes: int
    names: SampleNames = SampleNames.AUTO
    ignore_zeros: bool = False


def scan_unit(
    unit: Unit,
    *,
    output: str,
    reading: Reading,
    on_image: Callable[[bytes], Measures],
    roots: Sequence[str],
    with_models: Callable[[bytes], Measures] | None = None,
) -> Receipt:
    """Read the sources of one unit into its part and return its receipt. A broken tar is named and left out.

    `with_models` measures what `on_image` does, and what may not survive a fork besides, where there is any. A second
    attempt measures each image in a process of its own, so that one that crashes the decoder is a row, too.
    """
    task = TaskContext.get()
    measure_one = with_models or on_image
    if task is not None and task.attemptNumber() > 0:
        measure_one = functools.partial(measure_guarded, on_image=on_image, then=with_models)
    found = _Noted()
    batches = _unit_rows(unit, reading, measure_one, found)
    part = write_part(storage.join(output, unit.part), batches, SCAN_SCHEMA, roots=roots)
    return receipt_of(
        unit, part, broken_sources=found.broken, source_warnings=found.warnings, facts=dict(found.facts)
    )


@dataclass(kw_only=True)
class _Noted:
    """What is worth knowing of a unit's sources: why they are broken, warnings, counts."""

    broken: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)


def _unit_rows(
    unit: Unit, reading: Reading, on_image: Callable[[bytes], Measures], found: _Noted
) -> Iterator[pa.RecordBatch]:
    for source in unit.inputs["sources"]:
        uri: str = source["uri"]
        table = NO_TABLE
        try:
            contents = _read(source, reading, on_image)
            if source.get("table"):
                table = sibling_table(uri, contents.stems())
        except BrokenSource as e:
            if uri.endswith("/"):
                raise
            found.broken[uri] = str(e)
            continue
        for name in ("directories", "other_members", "unused_sidecars"):
            found.facts[name] += getattr(contents, name)
        yield from rows(contents.samples(), Origin(uri=uri, name=source["name"], table=table))
        if warning := table.warning():
            found.warnings[uri] = warning


def _read(source: Mapping[str, Any], reading: Reading, on_image: Callable[[bytes], Measures]) -> Contents[Measures]:
    uri: str = source["uri"]
    if uri.endswith("/"):
        return read_folder(
            uri,
            source["files"],
            max_image_bytes=reading.max_image_bytes,
            on_image=on_image,
            names=reading.names,
        )
    with storage.open_input(uri) as stream:
        return read_tar(
            stream,
            source=uri,
            max_image_bytes=reading.max_image_bytes,
            on_image=on_image,
            names=reading.names,
            ignore_zeros=reading.ignore_zeros,
        )


def _check_broken(plan: Plan, allowed: int, ctx: Context) -> None:
    receipts = read_receipts(plan.output)
    broken = {s: why for r in receipts.values() for s, why in r.broken_sources.items()}
    if len(broken) > allowed:
        shown = "\n".join(f"  {why}" for _, why in sorted(broken.items())[:10])
        raise StageFailed(
            f"scan: {len(broken)} broken tars, {allowed} allowed\n{shown}\n"
            "Restore them and run the same command, or leave them out with --set "
            f"scan.max_broken_tars={len(broken)}; all other units are kept."
        )
    for why in broken.values():
        ctx.reporter.say(f"scan: left out: {why}")
    warnings = {s: why for r in receipts.values() for s, why in r.source_warnings.items()}
    for _, why in sorted(warnings.items())[:MAX_WARNINGS]:
        ctx.reporter.say(f"scan: warning: {why}")
    if len(warnings) > MAX_WARNINGS:
        ctx.reporter.say(f"scan: warning: {len(warnings) - MAX_WARNINGS:,} more; `curate show --json` has them all")


# --- keys that several sources declared


_PLACE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("root", pa.int32()),
        ("name", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("source", pa.string()),
        (frames.PART, pa.string()),
    ]
)


def make_keys_unique(spark: SparkSession, plan: Plan) -> None:
    """Give every sample but the first of those that share a key another one, in the parts that hold them.

    A key's first sample is the one whose source comes first by name. Repeating this changes nothing.
    """
    parts = frames.Parts(folder=plan.output, names=[u.part for u in plan.units], options=plan.options)
    rows = sum(r.rows for r in read_receipts(plan.output).values())
    if rows <= MAX_ROWS_HERE and _are_keys_distinct(parts):
        return
    keys = frames.read(spark, parts, ["key"], pa.schema([("key", pa.string()), (frames.PART, pa.string())]))
    shared = keys.groupBy("key").agg(F.count("*").alias("samples")).where("samples > 1").select("key")
    if shared.isEmpty():
        return
    located = frames.read(spark, parts, LOCATED, _PLACE_SCHEMA, functools.partial(_locate, roots=tuple(plan.roots)))
    order = Window.partitionBy("key").orderBy("name", "root", "offset", "member")
    later = located.join(shared, "key").withColumn("place", F.row_number().over(order)).where("place > 1")
    later.groupBy(frames.PART).applyInArrow(frames.grouped(_Rekey(plan).rewrite), DONE_DDL).collect()


def _are_keys_distinct(parts: frames.Parts) -> bool:
    """Whether no key occurs twice, looked at on the driver: for few rows, a shuffle would cost more than it tells."""
    keys = [b.column("key") for name in parts.names for b in read_batches(storage.join(parts.folder, name), ["key"])]
    together = pa.chunked_array(keys, pa.string())
    return bool(pc.count_distinct(together).as_py() == len(together))


def _locate(table: pa.Table, *, roots: Sequence[str]) -> pa.Table:
    """Return where samples lie as _PLACE_SCHEMA, their sources as (number of the root, name below it)."""
    numbers = {root.rstrip("/") + "/": i for i, root in enumerate(roots)}
    split = {uri: split_source(uri, roots) for uri in table.column("source").unique().to_pylist()}
    places = [split[uri] for uri in table.column("source").to_pylist()]
    placed = table.append_column("root", pa.array([numbers[root] for root, _ in places], pa.int32()))
    placed = placed.append_column("name", pa.array([name for _, name in places], pa.string()))
    return placed.select(_PLACE_SCHEMA.names)


class _Rekey:
    """Rewrites one part with the new keys of the samples in a table of locations; the applyInArrow side."""

    def __init__(self, plan: Plan) -> None:
        self.output, self.roots, self.options = plan.output, list(plan.roots), plan.options

    def rewrite(self, table: pa.Table) -> pa.Table:
        """Rewrite the part of the rows in `table`; return its unit."""
        prepare_worker(self.options)
        part = table.column(frames.PART)[0].as_py()
        unit = part.removesuffix(".parquet")
        new = {
            (r["source"], r["member"], r["offset"]): collided_key(
                r["key"], root=r["root"], source_name=r["name"], member=r["member"], offset=r["offset"]
            )
            for r in table.to_pylist()
        }
        try:
            self._rewrite(unit, part, new)
        except Exception as e:
            note_failure(self.output, unit, e)
            raise
        return pa.table({"unit": [unit]})

    def _rewrite(self, unit: str, part: str, new: Mapping[tuple[str, str, int], str]) -> None:
        uri = storage.join(self.output, part)
        receipt = set_receipt_aside(self.output, unit)  # a kill from here on makes the unit be scanned again
        changed = (_with_keys(batch, new) for batch in read_batches(uri))
        written = write_part(uri, changed, SCAN_SCHEMA, roots=self.roots)
        write_receipt(
            self.output,
            replace(
                receipt,
                size_bytes=written.size_bytes,
                sha256=written.sha256,
                lanes=lanes_of(written.lanes.tolist()),
                facts={**receipt.facts, "keys_told_apart": len(new)},
            ),
        )


def _with_keys(batch: pa.RecordBatch, new: Mapping[tuple[str, str, int], str]) -> pa.RecordBatch:
    places = zip(*(batch.column(name).to_pylist() for name in LOCATED), strict=True)
    keys = [new.get((source, member, offset), key) for key, source, member, offset in places]
    return batch.set_column(0, "key", pa.array(keys, pa.string()))
