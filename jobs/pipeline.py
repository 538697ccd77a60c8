"""The whole pipeline, stage after stage, and what it did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
VARIED = (Stage.CHOOSE, Stage.SHARD)
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


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage of a pipeline: what it reads (the scan reads the input), where it commits, and its settings.

    `variant` is the name of the choice that it makes or follows, if there are several.
    """

    stage: Stage
    source: str | None
    output: str
    config: PipelineConfig
    variant: str = ""


def steps_of(config: PipelineConfig) -> list[Step]:
    """Return the steps of a pipeline in order. Variants share all steps before `choose`."""

    def place(stage: Stage, variant: str) -> str:
        return storage.join(storage.absolute(config.output), "-".join(filter(None, (STAGE_FOLDERS[stage], variant))))

    def step(stage: Stage, config: PipelineConfig, variant: str = "") -> Step:
        before = READS.get(stage)
        source = None if before is None else place(before, variant if before is Stage.CHOOSE else "")
        return Step(stage=stage, source=source, output=place(stage, variant), config=config, variant=variant)

    shared = [step(stage, config) for stage in Stage if stage not in VARIED]
    return shared + [step(stage, one, name) for name, one in config.variants().items() for stage in VARIED]


def run_one(config: PipelineConfig, stage: Stage, source: str | None, output: str, ctx: Context) -> Manifest:
    """Run one stage, reading the manifest at `source` (the scan reads the configured input)."""
    if source is None:
        return scan(config, output, ctx)
    return _LATER[stage](config, source, output, ctx)


def run(config: PipelineConfig, ctx: Context) -> dict[str, Manifest]:
    """Run every stage that is not up to date and return the manifests of the shards, by variant, the only one by "".

    Everything that can be refused beforehand is refused before the first stage starts.
    """
    check_ahead(config)
    made: dict[str, Manifest] = {}
    for step in steps_of(config):
        made[step.variant] = run_one(step.config, step.stage, step.source, step.output, ctx)
    return {name: made[name] for name in config.variants()}


def check_ahead(config: PipelineConfig) -> None:
    """Refuse, before any stage runs, what a stage would refuse: user filters, the models, the rules."""
    config.check_run()
    load_user_filters(config.scan.user_filters())
    if config.scan.embedding is not None:
        load_embedding(config.scan.embedding.as_model())
    for each in config.variants().values():
        check_expressions(each.choose.rules())
    load_engine(config.score.engine, **config.score.engine_options)


def outlook(steps: Sequence[Step], ctx: Context) -> list[Outlook]:
    """Return what running `steps` would do as `ctx` says, without writing anything or starting Spark.

    Tries the input, the outputs and the address of Spark's master, and raises as the stages would. A step whose
    parent is not committed yet, or will be made again, cannot be planned: its outlook says so.
    """
    found: list[Outlook] = []
    waits_for: dict[str, Stage] = {}
    for step in steps:
        if step.source is not None and (step.source in waits_for or not is_committed(step.source)):
            reason = waits_for.get(step.source, READS[step.stage])
            found.append(Outlook(stage=step.stage, variant=step.variant, output=step.output, state=f"after {reason}"))
            waits_for[step.output] = reason
            continue
        plan = _plan(step, ctx)
        if step.source is None:
            require_readable_input(plan)
        each = replace(outlook_of(plan, restart=ctx.restart), variant=step.variant)
        if each.state != "up to date":
            waits_for[step.output] = step.stage
            if step.stage is Stage.SHARD:
                lines = [each.detail, *reading_of(step.config.shard, plan.reads[0], step.output).lines()]
                each = replace(each, detail="; ".join(filter(None, lines)))
        found.append(each)
    if waits_for:
        require_master(steps[0].config.spark)
        for each in found:
            require_writable(each.output)
    return found


def _plan(step: Step, ctx: Context) -> Plan:
    config, source, output = step.config, step.source, step.output
    if source is None:
        return plan_scan(config, output, onto=earlier(step.stage, output, ctx))
    if step.stage is Stage.DEDUPE:
        return _plan_dedupe(config, source, output, ctx)
    if step.stage is Stage.SCORE:
        return plan_score(config, source, output, onto=earlier(step.stage, output, ctx))
    return _PLANS[step.stage](config, source, output)
