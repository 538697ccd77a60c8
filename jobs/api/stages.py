"""Runs stages and whole pipelines from Python, on a Spark session of the caller's or one of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from curation.config import PipelineConfig, check_config
from curation.config_files import merge_settings, read_layers
from jobs import pipeline
from jobs.api.errors import translated
from jobs.api.manifest import Manifest, configure
from jobs.spark.run import Context, context
from jobs.units.progress import Progress, Reporter
from manifests.errors import InputError
from manifests.format import store
from manifests.format.schema import Stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Config = str | Sequence[str] | Mapping[str, Any] | PipelineConfig
"""A pipeline file or several, or the same as a mapping."""
OnProgress = bool | Callable[[Progress], None]
"""True shows progress on stderr, as the command line does; a function is called now and then, in another thread."""
Storage = Mapping[str, Mapping[str, Any]]
"""fsspec arguments by protocol, such as {"s3": {"endpoint_url": …}}."""


def run(
    config: Config,
    *,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
    onto: str | None = None,
) -> Manifest:
    """Run every stage of a pipeline that is not up to date and return the manifest of the shards.

    A pipeline with several choices is for `run_variants`.

    Args:
        config: a pipeline file, several (later ones win), or the same as a mapping.
        spark: the session to use. It is never stopped, and only its SQL settings are changed, until the call ends.
            By default the session that this process has, else a new one, which is stopped in the end.
        storage: fsspec arguments by protocol, besides those of `config`.
        progress: True for a bar or lines on stderr, or a function of a Progress.
        restart: discard work of another configuration at the output, instead of refusing.
        onto: the output of an earlier run, of whose stages the new run takes what is unchanged.

    Raises:
        InputError: the configuration or the input is wrong; nothing was started.
        FilterError: a filter, a text engine or an embedding model cannot be loaded.
        StageFailed: a stage could not finish; the same call goes on from there.
        RunChanged, RunAtWork: other work is at the output.
    """
    made = _run_all(config, storage, onto, _Call(spark=spark, progress=progress, restart=restart), may_vary=False)
    return made[""]


def run_variants(
    config: Config,
    *,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
    onto: str | None = None,
) -> dict[str, Manifest]:
    """Run a pipeline whose section `choose` has variants, and return the manifest of each one's shards, by name.

    The arguments and errors are those of `run`. The stages before `choose` run once.
    """
    return _run_all(config, storage, onto, _Call(spark=spark, progress=progress, restart=restart), may_vary=True)


def scan(
    inputs: str | Sequence[str],
    output: str,
    *,
    config: Config | None = None,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
    onto: str | None = None,
    **settings: Any,
) -> Manifest:
    """Locate, decode and measure every sample of `inputs`, once, and return the manifest of the scan.

    Args:
        inputs: tars, folders of images, globs, brace patterns or @LIST.TXT, on any fsspec URI.
        output: where the manifest is committed.
        config: further settings, of which dedupe.copies decides what is measured: {"dedupe": {"copies": ["exact",
            "mild"]}} costs less. It needs neither input nor output.
        spark, storage, progress, restart: see `run`, also for the errors.
        onto: the manifest of an earlier scan, of which the new one takes the parts whose sources are unchanged.
        settings: settings of the section `scan` of a pipeline file, such as unit_bytes=2 << 30.
    """
    given = [inputs] if isinstance(inputs, str) else list(inputs)
    earlier = {} if onto is None else {Stage.SCAN: onto}
    call = _Call(spark=spark, progress=progress, restart=restart, onto=earlier)
    return _run_stage(
        Stage.SCAN, given, output, _settings(config, {"storage": storage or {}, "scan": settings}), call
    )


def dedupe(
    manifest: str | Manifest,
    output: str,
    *,
    config: Config | None = None,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
    onto: str | None = None,
    **settings: Any,
) -> Manifest:
    """Find copies over a whole scan and one representative of each cluster, and return the manifest.

    Args:
        manifest: a scan, or a deduplicated manifest to decide again with other settings.
        output: where the new manifest is committed.
        config: further settings; it needs neither input nor output.
        spark, storage, progress, restart: see `run`, also for the errors.
        onto: the manifest of an earlier dedupe, of which the new one takes the pairs that were compared.
        settings: settings of the section `dedupe` of a pipeline file, such as
            copies=["exact", "mild"].
    """
    earlier = {} if onto is None else {Stage.DEDUPE: onto}
    call = _Call(spark=spark, progress=progress, restart=restart, onto=earlier)
    layer = _settings(config, {"storage": storage or {}, "dedupe": settings})
    return _run_stage(Stage.DEDUPE, _uri(manifest), output, layer, call)


def score(
    manifest: str | Manifest,
    output: str,
    *,
    config: Config | None = None,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
    onto: str | None = None,
    **settings: Any,
) -> Manifest:
    """Measure text on what dedupe kept, each image read by byte range, and return the manifest.

    Args:
        manifest: a deduplicated manifest.
        output: where the new manifest is committed.
        config: further settings; it needs neither input nor output.
        spark, storage, progress, restart: see `run`, also for the errors.
        onto: the manifest of an earlier score, of which the new one takes the scores of images that are unchanged.
        settings: settings of the section `score` of a pipeline file, such as
            engine="rapidocr".
    """
    earlier = {} if onto is None else {Stage.SCORE: onto}
    call = _Call(spark=spark, progress=progress, restart=restart, onto=earlier)
    layer = _settings(config, {"storage": storage or {}, "score": settings})
    return _run_stage(Stage.SCORE, _uri(manifest), output, layer, call)


def choose(
    manifest: str | Manifest,
    output: str,
    *,
    config: Config | None = None,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
    **settings: Any,
) -> Manifest:
    """Decide which rows are kept, by their columns alone, and return the manifest.

    Args:
        manifest: a scored manifest.
        output: where the new manifest is committed.
        config: further settings; it needs neither input nor output.
        spark: a session to choose on. By default this process chooses, and Spark is started only for more than 100
            million rows; the bytes are the same.
        storage, progress, restart: see `run`, also for the errors.
        settings: settings of the section `choose` of a pipeline file, such as
            preset="documents", target_fraction=0.013.
    """
    call = _Call(spark=spark, progress=progress, restart=restart)
    layer = _settings(config, {"storage": storage or {}, "choose": settings})
    return _run_stage(Stage.CHOOSE, _uri(manifest), output, layer, call)


def shard(
    manifest: str | Manifest,
    output: str,
    *,
    config: Config | None = None,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
    **settings: Any,
) -> Manifest:
    """Write the kept images as webdataset tars, byte for byte, and return the manifest of the shards.

    Args:
        manifest: a chosen manifest.
        output: where the new manifest is committed.
        config: further settings; it needs neither input nor output.
        spark, storage, progress, restart: see `run`, also for the errors.
        settings: settings of the section `shard` of a pipeline file, such as
            samples_per_shard=5000.
    """
    call = _Call(spark=spark, progress=progress, restart=restart)
    layer = _settings(config, {"storage": storage or {}, "shard": settings})
    return _run_stage(Stage.SHARD, _uri(manifest), output, layer, call)


@dataclass(frozen=True, kw_only=True)
class _Call:
    """How to run, whatever is run."""

    spark: "SparkSession | None"
    progress: OnProgress
    restart: bool
    onto: Mapping[Stage, str] = field(default_factory=dict)


def _run_all(
    config: Config, storage: Storage | None, onto: str | None, call: _Call, *, may_vary: bool
) -> dict[str, Manifest]:
    settings = _settings(config, {"storage": storage or {}})
    names = list(check_config(settings, origin="settings").variants())
    if names != [""] and not may_vary:
        raise InputError(f"choose: has the variants {', '.join(names)}; run_variants returns the manifest of each")
    earlier = {} if onto is None else pipeline.onto_run(onto)
    return _perform(settings, replace(call, onto=earlier), pipeline.run)


def _settings(config: Config | None, layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of `config`, unchecked, under those of `layer`."""
    if config is None:
        base: Mapping[str, Any] = {}
    elif isinstance(config, PipelineConfig):
        base = config.model_dump(mode="json", by_alias=True, exclude_unset=True)  # what is unset, a preset may decide
    elif isinstance(config, Mapping):
        base = config
    else:
        base = read_layers([config] if isinstance(config, str) else config)
    return merge_settings(base, layer)


def _uri(manifest: str | Manifest) -> str:
    return manifest.uri if isinstance(manifest, Manifest) else manifest


def _run_stage(
    stage: Stage, source: str | list[str], output: str, settings: Mapping[str, Any], call: _Call
) -> Manifest:
    """Run one stage, which reads the manifest `source`; of the scan these are inputs."""
    whole = merge_settings(settings, {"input": source, "output": output})
    parent = source if isinstance(source, str) else None
    made = _perform(whole, call, lambda config, ctx: {"": pipeline.run_one(config, stage, parent, output, ctx)})
    return made[""]


def _perform(
    settings: Mapping[str, Any], call: _Call, work: Callable[[PipelineConfig, Context], Mapping[str, store.Manifest]]
) -> dict[str, Manifest]:
    config = check_config(settings, origin="settings")
    configure(config.storage)
    on_progress = call.progress if callable(call.progress) else None
    reporter = Reporter(quiet=call.progress is not True, on_progress=on_progress)
    flags = {"restart": call.restart, "given": call.spark, "onto": call.onto}
    with translated(), context(config, reporter=reporter, **flags) as ctx:
        made = work(config, ctx)
    return {name: Manifest(each, storage_options=config.storage) for name, each in made.items()}
