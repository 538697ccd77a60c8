"""The whole pipeline, stage after stage, and what it did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from curation.choosing.rules import check_expressions
from curation.config import PipelineConfig
from curation.scan.embedder import load as load_embedding
from curation.scan.user_filters import load_user_filters
from filters.protocol import load_engine
from jobs.dedupe.stage import dedupe, plan_dedupe
from jobs.dedupe.stage_again import dedupe_again, plan_dedupe_again
from jobs.operations.choose import choose, engine_for, plan_choose
from jobs.setup.places import require_readable_input, require_writable
from jobs.show.answers import Outlook
from jobs.spark.master import require_master
from jobs.spark.onto import earlier
from jobs.spark.part_tasks import PartTasks
from jobs.spark.run import Context
from jobs.stages.scan import plan_scan, scan
from jobs.stages.score import plan_score, score
from jobs.stages.shard import plan_shard, shard
from jobs.stages.shard_reading import reading_of
from jobs.units.outlook import outlook_of
from jobs.units.part_threads import PartThreads
from jobs.units.plan import Plan
from manifests import storage
from manifests.errors import InputError
from manifests.format.families import STAGE_FOLDERS
from manifests.format.schema import Stage
from manifests.format.store import Manifest, is_committed, open_manifest

ONTO = (Stage.SCAN, Stage.DEDUPE, Stage.SCORE)
READS: Mapping[Stage, Stage] = {
    Stage.DEDUPE: Stage.SCAN,
    Stage.SCORE: Stage.DEDUPE,
    Stage.CHOOSE: Stage.SCORE,
    Stage.SHARD: Stage.CHOOSE,
}


def _dedupe(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Deduplicate a scan, or decide a deduplicated manifest again."""
    return (dedupe_again if _is_deduped(source) else dedupe)(config, source, output, ctx)


def _plan_dedupe(config: PipelineConfig, source: str, output: str, ctx: Context) -> Plan:
    if _is_deduped(source):
        return plan_dedupe_again(config, source, output)
    return plan_dedupe(config, source, output, onto=earlier(Stage.DEDUPE, output, ctx))


def _is_deduped(source: str) -> bool:
    return is_committed(source) and open_manifest(source).stage is Stage.DEDUPE


def _choose(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Choose in this process, or on Spark if that is asked for, at hand on a cluster, or needed for so many rows."""

    def workers(parent: Manifest) -> PartThreads | PartTasks:
        kind = "spark" if ctx.has_cluster and ctx.engine == "auto" else engine_for(ctx.engine, parent.rows)
        return PartTasks(ctx.spark, config.storage) if kind == "spark" else PartThreads()

    return choose(config, source, output, ctx, workers)


_LATER: Mapping[Stage, Callable[[PipelineConfig, str, str, Context], Manifest]] = {
    Stage.DEDUPE: _dedupe,
    Stage.SCORE: score,
    Stage.CHOOSE: _choose,
    Stage.SHARD: shard,
}
_PLANS: Mapping[Stage, Callable[[PipelineConfig, str, str], Plan]] = {
    Stage.CHOOSE: plan_choose,
    Stage.SHARD: plan_shard,
}


def onto_run(uri: str) -> dict[Stage, str]:
    """Return what the run with the output `uri` has finished of the stages that can take over earlier work.

    Raises InputError if it has not finished its scan.
    """
    output = storage.absolute(uri)
    places = {stage: storage.join(output, STAGE_FOLDERS[stage]) for stage in ONTO}
    found = {stage: place for stage, place in places.items() if is_committed(place)}
    if Stage.SCAN not in found:
        raise InputError(f"--onto {uri}: no finished scan in {places[Stage.SCAN]}; name the output of an earlier run")
    return found


def place_of(config: PipelineConfig, stage: Stage) -> str:
    """Return where the pipeline commits the manifest of `stage`."""
    return storage.join(storage.absolute(config.output), STAGE_FOLDERS[stage])


def run_one(config: PipelineConfig, stage: Stage, source: str | None, output: str, ctx: Context) -> Manifest:
    """Run one stage, reading the manifest at `source` (the scan reads the configured input)."""
    if source is None:
        return scan(config, output, ctx)
    return _LATER[stage](config, source, output, ctx)


def run(config: PipelineConfig, ctx: Context) -> Manifest:
    """Run every stage that is not up to date and return the manifest of the shards.

    Everything that can be refused beforehand is refused before the first stage starts.
    """
    check_ahead(config)
    manifest = None
    for stage in Stage:
        source = place_of(config, READS[stage]) if stage in READS else None
        manifest = run_one(config, stage, source, place_of(config, stage), ctx)
    if manifest is None:
        raise AssertionError("there are stages")
    return manifest


def check_ahead(config: PipelineConfig) -> None:
    """Refuse, before any stage runs, what a stage would refuse: user filters, the models, the rules."""
    config.check_run()
    load_user_filters(config.scan.user_filters())
    if config.scan.embedding is not None:
        load_embedding(config.scan.embedding.as_model())
    check_expressions(config.choose.rules())
    load_engine(config.score.engine, **config.score.engine_options)


def outlook(
    config: PipelineConfig,
    stages: Sequence[Stage],
    places: Mapping[Stage, tuple[str | None, str]],
    ctx: Context,
) -> list[Outlook]:
    """Return what running `stages` would do as `ctx` says, without writing anything or starting Spark.

    Tries the input, the outputs and the address of Spark's master, and raises as the stages would. A stage whose
    parent is not committed yet, or will be made again, cannot be planned: its outlook says so.
    """
    found: list[Outlook] = []
    waits_for: Stage | None = None
    for stage in stages:
        source, output = places[stage]
        if waits_for is not None or (source is not None and not is_committed(source)):
            reason = waits_for or READS[stage]
            found.append(Outlook(stage=stage, output=output, state=f"after {reason}"))
            continue
        plan = _plan(config, stage, source, output, ctx)
        if source is None:
            require_readable_input(plan)
        found.append(outlook_of(plan, restart=ctx.restart))
        if stage is Stage.SHARD and found[-1].state != "up to date":
            lines = [found[-1].detail, *reading_of(config.shard, plan.reads[0], output).lines()]
            found[-1] = replace(found[-1], detail="; ".join(filter(None, lines)))
        if found[-1].state != "up to date":
            waits_for = stage
    if waits_for is not None:
        require_master(config.spark)
        for each in found:
            require_writable(each.output)
    return found


def _plan(config: PipelineConfig, stage: Stage, source: str | None, output: str, ctx: Context) -> Plan:
    if source is None:
        return plan_scan(config, output, onto=earlier(stage, output, ctx))
    if stage is Stage.DEDUPE:
        return _plan_dedupe(config, source, output, ctx)
    if stage is Stage.SCORE:
        return plan_score(config, source, output, onto=earlier(stage, output, ctx))
    return _PLANS[stage](config, source, output)
