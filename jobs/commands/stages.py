"""Runs the pipeline, or one stage of it, with the settings of pipeline files and options."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from curation.config import PipelineConfig
from curation.config_files import load_config
from jobs import pipeline as pipelines
from jobs.commands.reference_sets import named_sets
from jobs.commands.shared import has_summary, reporter
from jobs.commands.stage_settings import blaming_options, master, stage_config, taken
from jobs.show import answers
from jobs.spark.run import Context, context
from jobs.units.cost import Account
from manifests import storage
from manifests.format.schema import Stage

Made = TypeVar("Made")


def run(pipeline: Sequence[str], overrides: Sequence[str], **flags: Any) -> None:
    """Run all stages of the pipeline that the files `pipeline` configure."""
    config = load_config(pipeline, [*overrides, *master(flags)])
    storage.configure(config.storage)
    earlier = pipelines.onto_run(flags["onto"]) if flags["onto"] else {}
    if flags["dry_run"]:
        pipelines.check_ahead(config)
        ctx = Context(restart=flags["restart"], onto=earlier)
        answers.print_outlook(pipelines.outlook(pipelines.steps_of(config), ctx), as_json=flags["as_json"])
        return
    made = _run(config, flags, earlier, lambda ctx: pipelines.run(config, ctx))
    if has_summary(as_json=flags["as_json"]):
        answers.print_all_done(made, as_json=flags["as_json"])


def scan(inputs: tuple[str, ...], **flags: Any) -> None:
    """Scan the tars, folders, patterns and lists `inputs`."""
    _run_stage(Stage.SCAN, None, inputs, taken(flags, "unit_bytes", "max_broken_tars", "takedown"), flags)


def dedupe(manifest: str, copies: str | None, references: tuple[str, ...], no_verify: bool, **flags: Any) -> None:
    """Deduplicate a scan, or decide a deduplicated manifest again."""
    settings = taken(flags, "against", "max_distance", "fingerprint", "min_cosine")
    settings["copies"] = None if copies is None else [kind.strip() for kind in copies.split(",")]
    settings["references"] = named_sets(references) or None
    settings["verify"] = False if no_verify else None
    _run_stage(Stage.DEDUPE, manifest, (), settings, flags)


def score(manifest: str, **flags: Any) -> None:
    """Measure the text of the images of a deduplicated manifest."""
    _run_stage(Stage.SCORE, manifest, (), taken(flags, "engine", "ask"), flags)


def shard(manifest: str, **flags: Any) -> None:
    """Write the kept images of a chosen manifest, or of shards, as tars."""
    settings = taken(flags, "samples_per_shard", "target_shard_bytes", "salt", "layout", "resize", "read")
    _run_stage(Stage.SHARD, manifest, (), settings, flags)


def _run_stage(
    stage: Stage, source: str | None, patterns: Sequence[str], settings: dict[str, Any], flags: dict[str, Any]
) -> None:
    """Run one stage. Settings given as options win over the files and --set."""
    config, options = stage_config(stage, list(patterns) or [str(source)], settings, flags)
    storage.configure(config.storage)
    earlier = {stage: flags["onto"]} if flags.get("onto") else {}
    with blaming_options(options):
        if flags["dry_run"]:
            step = pipelines.Step(stage=stage, source=source, output=flags["output"], config=config)
            found = pipelines.outlook([step], Context(restart=flags["restart"], onto=earlier))
            answers.print_outlook(found, as_json=flags["as_json"])
            return
        made = _run(
            config, flags, earlier, lambda ctx: pipelines.run_one(config, stage, source, flags["output"], ctx)
        )
    if has_summary(as_json=flags["as_json"]):
        answers.print_done(made, as_json=flags["as_json"])


def _run(
    config: PipelineConfig, flags: Mapping[str, Any], earlier: Mapping[Stage, str], work: Callable[[Context], Made]
) -> Made:
    progress = reporter(as_json=flags["as_json"])
    account = Account(from_start=True)
    given = {"restart": flags["restart"], "onto": earlier, "account": account}
    with context(config, reporter=progress, **given) as ctx:
        return work(ctx)
