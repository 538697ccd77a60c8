"""The scan: every sample becomes one row; a unit is some tars and files of folders."""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from curation.config import PipelineConfig, ScanConfig
from curation.pictures.decode import DecodeLimits
from curation.scan import embedder
from curation.scan.guarded import measure_within_limits
from curation.scan.measure import SCAN_SCHEMA, Measures, Origin, Requested, measure, rows, software
from curation.scan.user_filters import cached_user_filters, filter_versions, load_user_filters, recorded_settings
from curation.sources.folders import read_folder, state_of
from curation.sources.grouping import Slice, group_sources
from curation.sources.listings import Listings
from curation.sources.members import SampleNames
from curation.sources.samples import Contents
from curation.sources.sibling_tables import NO_TABLE, sibling_states, sibling_table
from curation.sources.sources import Source, expand
from curation.sources.tars import read_tar
from curation.takedown.deny_list import DenyList
from jobs.spark import frames
from jobs.spark.onto import earlier
from jobs.spark.run import Context, run_stage
from jobs.stages.taken_down import take_down
from jobs.stages.unique_keys import make_keys_unique
from jobs.units.accepted import accepted_receipts
from jobs.units.earlier import with_parts_of
from jobs.units.plan import Plan, Unit, UnitMaker
from jobs.units.worker import Attempt, is_retry, receipt_of
from manifests import storage
from manifests.errors import BrokenSource, StageFailed
from manifests.file_names import numbered
from manifests.format.cost import UNITS
from manifests.format.digest import settings_hash
from manifests.format.receipts import Receipt, write_part
from manifests.format.roots import longest_first
from manifests.format.schema import Stage
from manifests.format.store import Manifest, is_committed, open_manifest

DECIDES_ROWS = ("max_image_bytes", "max_image_pixels", "text_density", "sample_names")
MAX_WARNINGS = 5
MOST_HALVED = 3  # sizes of units that are tried to find those of an earlier scan


def plan_scan(config: PipelineConfig, output: str, *, onto: Manifest | None = None) -> Plan:
    """Return the plan of a scan of the configured input. Lists the storage and reads no image.

    `onto` is the manifest of an earlier scan, whose parts are taken for units that are the same.

    Loads user filters and the embedding's model once, so that missing or wrong ones are refused before any work
    starts. Raises InputError when an input is missing, compressed, or contains credentials, and
    filters.protocol.FilterError.
    """
    listings = Listings()
    sources = expand(config.input, listings)
    settings = {name: getattr(config.scan, name) for name in DECIDES_ROWS}
    settings["local_features"] = config.dedupe.needs_local_features
    settings["filters"] = recorded_settings(config.scan.user_filters())
    if config.scan.embedding is not None:
        settings["embedding"] = config.scan.embedding.recorded()
    versions = software() | filter_versions(load_user_filters(config.scan.user_filters()))
    if config.scan.embedding is not None:
        versions["embedding"] = embedder.load(config.scan.embedding.as_model()).version
    inputs = {"sources": {s.uri: s.etag for s in sources}, **_reading(config.scan)}
    denied = DenyList.read(config.scan.takedown).lines
    if not settings["local_features"]:
        settings["local_features"] = _has_local_features(output, settings, versions, inputs, denied)
    maker = UnitMaker(stage=Stage.SCAN, config=settings, software=versions, shared={})
    make = functools.partial(_units, maker, sources, config.scan, _Known.of(sources, listings))
    plan = Plan(
        stage=Stage.SCAN,
        output=storage.absolute(output),
        config=settings,
        software=versions,
        inputs=inputs,
        parents=[],
        roots=sorted({s.root for s in sources}),
        funnel=[],
        taken_down=denied,
        units=make() if onto is None else _most_alike(make, onto),
        options=config.storage,
    )
    return plan if onto is None else with_parts_of(plan, onto)


def _most_alike(make: Callable[..., list[Unit]], onto: Manifest) -> list[Unit]:
    """Return the units of the size of which most are in `onto`, whose input may have been small, and so its units."""
    known = {part.fingerprint for part in onto.parts}
    best, most = list[Unit](), -1
    for halved in range(MOST_HALVED + 1):
        units = make(halved=halved)
        found = sum(unit.size_bytes or 0 for unit in units if unit.fingerprint in known)
        if found > most:
            best, most = units, found
        if 2 * most >= sum(unit.size_bytes or 0 for unit in units):
            break
    return best


def _has_local_features(
    output: str,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    inputs: Mapping[str, Any],
    denied: Sequence[str],
) -> bool:
    """Return whether a scan is committed at `output` that measured the same and, in addition, local features.

    Dedupe ignores local features that its kinds of copies do not need, so that such a scan is as good.
    """
    if not is_committed(output):
        return False
    wanted = {**settings, "local_features": True}
    more = [list(denied)] if denied else []
    return open_manifest(output).fingerprint == settings_hash(Stage.SCAN, wanted, versions, inputs, *more)


def _reading(config: ScanConfig) -> dict[str, Any]:
    """Return the settings without which some tars cannot be read; they change no row of other tars."""
    return {"ignore_zeros": True} if config.ignore_zeros else {}


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What is known of all sources: the states of tables beside tars, by tar, and the roots, the longest first."""

    tables: Mapping[str, str]
    roots: Sequence[str]

    @classmethod
    def of(cls, sources: Sequence[Source], listings: Listings) -> "_Known":
        tables = sibling_states([s.uri for s in sources if not s.is_folder], listings)
        return cls(tables=tables, roots=longest_first(list({s.root for s in sources})))


def _units(
    maker: UnitMaker, sources: Sequence[Source], config: ScanConfig, known: _Known, *, halved: int = 0
) -> list[Unit]:
    """Return the units: each reads tars, and files of folders, with what changes with their content."""
    groups = group_sources(sources, config.unit_bytes, halved=halved)
    read = [[_input(each, known) for each in some] for some in groups]
    return [
        maker.unit(
            f"part-{numbered(i, len(read))}", {"sources": some}, size_bytes=sum(each["bytes"] for each in some)
        )
        for i, some in enumerate(read)
    ]


def _input(some: Slice, known: _Known) -> dict[str, Any]:
    source = some.source
    # The digest counts a source relative to its root: with another root, the unit is another.
    root = next(each for each in known.roots if source.uri.startswith(each))
    read: dict[str, Any] = {"uri": source.uri, "root": root, "name": source.name, "bytes": some.size_bytes}
    if not source.is_folder:
        return {**read, "state": source.etag, "table": known.tables.get(source.uri)}
    # Of its own files alone, so that a new file in the folder changes no other unit.
    return {**read, "state": state_of(some.files), "files": [(file.path, file.size_bytes) for file in some.files]}


def scan(config: PipelineConfig, output: str, ctx: Context) -> Manifest:
    """Scan the configured input into the manifest at `output` and return it."""
    plan = plan_scan(config, output, onto=earlier(Stage.SCAN, output, ctx))

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> Mapping[str, Receipt]:
        perform = functools.partial(
            perform_unit,
            config=config.scan,
            embedding=plan.software.get("embedding"),
            with_local=plan.config["local_features"],
            roots=tuple(plan.roots),
        )
        ctx.account.begin(UNITS)
        frames.map_units(spark, plan, todo, perform)
        names = {unit.name for unit in plan.units}
        receipts = {name: each for name, each in accepted_receipts(plan.run).items() if name in names}
        _check_broken(receipts.values(), config.scan.max_broken_tars, ctx)
        ctx.account.begin("keys")
        unique = make_keys_unique(spark, plan, receipts)
        ctx.account.begin("takedown")
        return unique | take_down(spark, plan, receipts | unique, DenyList.of(plan.taken_down))

    return run_stage(plan, work, ctx)


def perform_unit(
    attempt: Attempt, *, config: ScanConfig, embedding: str | None, with_local: bool, roots: Sequence[str]
) -> Receipt:
    """Scan one unit as configured, in a worker, which builds user filters and the embedder once.

    `embedding` is the version of the driver's embedder.
    """
    limits = DecodeLimits(max_pixels=config.max_image_pixels, max_bytes=config.max_image_bytes)
    requested = Requested(density=config.text_density, local_features=with_local)
    on_image = functools.partial(measure, limits=limits, requested=requested)
    models = _models(config, embedding)
    with_models = (
        functools.partial(measure, limits=limits, requested=replace(requested, **models)) if models else None
    )
    reading = ReadSettings(
        max_image_bytes=limits.max_bytes,
        names=SampleNames(config.sample_names),
        ignore_zeros=config.ignore_zeros,
    )
    return scan_unit(attempt, reading=reading, on_image=on_image, roots=roots, with_models=with_models)


def _models(config: ScanConfig, embedding: str | None) -> dict[str, Any]:
    """Return the fields of `Requested` that may load models."""
    models: dict[str, Any] = {}
    if config.filters:
        models["filters"] = cached_user_filters(config.user_filters())
    if config.embedding is not None and embedding is not None:
        models["embedder"] = embedder.embedder(config.embedding.as_model(), embedding)
    return models


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How sources are read; see ScanConfig."""

    max_image_bytes: int
    names: SampleNames = SampleNames.AUTO
    ignore_zeros: bool = False


def scan_unit(
    attempt: Attempt,
    *,
    reading: ReadSettings,
    on_image: Callable[[bytes], Measures],
    roots: Sequence[str],
    with_models: Callable[[bytes], Measures] | None = None,
) -> Receipt:
    """Read the sources of one unit into its part and return its receipt. A broken tar is named and left out.

    `with_models`, if given, measures the same as `on_image` and what does not work after a fork. A second attempt
    tries each image in its own process, so that an image that crashes or stalls the decoder becomes a row, too.
    """
    measure_one = functools.partial(
        measure_within_limits, on_image=on_image, with_models=with_models, is_retry=is_retry()
    )

    def measure_and_tell(data: bytes) -> Measures:
        measured = measure_one(data)
        attempt.tell(len(data))
        return measured

    found = _Notes()
    batches = _unit_rows(attempt.unit, reading, measure_and_tell, found)
    part = write_part(attempt.part, batches, SCAN_SCHEMA, roots=roots)
    return receipt_of(
        attempt.unit, part, broken_sources=found.broken, source_warnings=found.warnings, facts=dict(found.facts)
    )


@dataclass(kw_only=True)
class _Notes:
    """Notes on a unit's sources: why they are broken, warnings, counts."""

    broken: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)


def _unit_rows(
    unit: Unit, reading: ReadSettings, on_image: Callable[[bytes], Measures], found: _Notes
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


def _read(
    source: Mapping[str, Any], reading: ReadSettings, on_image: Callable[[bytes], Measures]
) -> Contents[Measures]:
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


def _check_broken(receipts: Collection[Receipt], allowed: int, ctx: Context) -> None:
    broken = {s: why for r in receipts for s, why in r.broken_sources.items()}
    if len(broken) > allowed:
        shown = "\n".join(f"  {why}" for _, why in sorted(broken.items())[:10])
        raise StageFailed(
            f"scan: {len(broken)} broken tars, {allowed} allowed\n{shown}\n"
            "Restore them and run the same command, or leave them out with --set "
            f"scan.max_broken_tars={len(broken)}; all other units are kept."
        )
    for why in broken.values():
        ctx.reporter.say(f"scan: left out: {why}")
    warnings = {s: why for r in receipts for s, why in r.source_warnings.items()}
    for _, why in sorted(warnings.items())[:MAX_WARNINGS]:
        ctx.reporter.say(f"scan: warning: {why}")
    if len(warnings) > MAX_WARNINGS:
        ctx.reporter.say(f"scan: warning: {len(warnings) - MAX_WARNINGS:,} more; `curate show --json` has them all")
