"""Runs the pipeline, or one stage of it, with the settings of pipeline files and options."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from curation.config import PipelineConfig
from curation.config_files import load_config
from filters.protocol import UnknownEngine
from jobs import pipeline as pipelines
from jobs.commands.reference_sets import named_sets
from jobs.commands.shared import has_summary, reporter
from jobs.show import answers
from jobs.spark.run import Context, context
from jobs.units.cost import Account
from manifests import storage
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import Manifest


def run(pipeline: Sequence[str], overrides: Sequence[str], **flags: Any) -> None:
    """Run all stages of the pipeline that the files `pipeline` configure."""
    config = load_config(pipeline, [*overrides, *_master(flags)])
    storage.configure(config.storage)
    earlier = pipelines.onto_run(flags["onto"]) if flags["onto"] else {}
    if flags["dry_run"]:
        places = {
            stage: (
                pipelines.place_of(config, pipelines.READS[stage]) if stage in pipelines.READS else None,
                pipelines.place_of(config, stage),
            )
            for stage in Stage
        }
        pipelines.check_ahead(config)
        ctx = Context(restart=flags["restart"], onto=earlier)
        answers.print_outlook(pipelines.outlook(config, list(Stage), places, ctx), as_json=flags["as_json"])
        return
    _run(config, flags, earlier, lambda ctx: pipelines.run(config, ctx))


def scan(inputs: tuple[str, ...], **flags: Any) -> None:
    """Scan the tars, folders, patterns and lists `inputs`."""
    _run_stage(Stage.SCAN, None, inputs, _taken(flags, "unit_bytes", "max_broken_tars"), flags)


def dedupe(manifest: str, copies: str | None, references: tuple[str, ...], no_verify: bool, **flags: Any) -> None:
    """Deduplicate a scan, or decide a deduplicated manifest again."""
    settings = _taken(flags, "against", "max_distance", "fingerprint", "min_cosine")
    settings["copies"] = None if copies is None else [kind.strip() for kind in copies.split(",")]
    settings["references"] = named_sets(references) or None
    settings["verify"] = False if no_verify else None
    _run_stage(Stage.DEDUPE, manifest, (), settings, flags)


def score(manifest: str, **flags: Any) -> None:
    """Measure the text of the images of a deduplicated manifest."""
    _run_stage(Stage.SCORE, manifest, (), _taken(flags, "engine", "ask"), flags)


def choose(manifest: str, where: tuple[str, ...], **flags: Any) -> None:
    """Choose among the rows of a scored manifest. `where` are texts NAME=SQL."""
    settings = _taken(flags, "preset", "keep", "target_fraction", "target_count", "min_side", "max_aspect")
    if where:
        settings["where"] = dict(map(_named_rule, where))
    _run_stage(Stage.CHOOSE, manifest, (), settings, flags)


def shard(manifest: str, **flags: Any) -> None:
    """Write the kept images of a chosen manifest, or of shards, as tars."""
    settings = _taken(flags, "samples_per_shard", "target_shard_bytes", "salt", "layout", "resize", "read")
    _run_stage(Stage.SHARD, manifest, (), settings, flags)


_OPTIONS = {"references": "--reference", "verify": "--no-verify"}
"""Settings whose options have another name."""


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _taken(flags: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the flags that become settings of the stage, taken out of `flags`."""
    return {name: flags.pop(name) for name in names}


def _named_rule(text: str) -> tuple[str, str]:
    name, equals, expression = text.partition("=")
    if not (equals and name.isidentifier()):
        raise InputError(f"--where {text}: write NAME=SQL, for example large='width >= 512'")
    return name, expression


def _master(flags: Mapping[str, Any]) -> list[str]:
    return [f"spark.master={flags['master']}"] if flags["master"] else []


def _run_stage(
    stage: Stage, source: str | None, patterns: Sequence[str], settings: dict[str, Any], flags: dict[str, Any]
) -> None:
    """Run one stage. Settings given as options win over the files and --set."""
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    last = {"input": list(patterns) or [str(source)], "output": flags["output"], stage.value: given}
    options = {"output": "-o", **{f"{stage}.{name}": _OPTIONS.get(name, _option(name)) for name in given}}
    config = load_config(flags["config_files"], [*flags["overrides"], *_master(flags)], last=last, options=options)
    storage.configure(config.storage)
    earlier = {stage: flags["onto"]} if flags.get("onto") else {}
    with _blaming(options):
        if flags["dry_run"]:
            places = {stage: (source, flags["output"])}
            found = pipelines.outlook(config, [stage], places, Context(restart=flags["restart"], onto=earlier))
            answers.print_outlook(found, as_json=flags["as_json"])
            return
        _run(config, flags, earlier, lambda ctx: pipelines.run_one(config, stage, source, flags["output"], ctx))


@contextlib.contextmanager
def _blaming(options: Mapping[str, str]) -> Iterator[None]:
    """Name options instead of settings, such as choose.where.large, in errors that the block raises."""
    try:
        yield
    except InputError as e:
        text = str(e)
        for setting, option in options.items():
            if text.startswith((f"{setting}.", f"{setting}:")):
                rest = text.removeprefix(setting)
                raise InputError(f"{option} {rest[1:]}" if rest.startswith(".") else f"{option}{rest}") from e
        raise
    except UnknownEngine as e:
        if "score.engine" in options:
            raise InputError(f"{options['score.engine']}: {e}") from e
        raise


def _run(
    config: PipelineConfig,
    flags: Mapping[str, Any],
    earlier: Mapping[Stage, str],
    work: Callable[[Context], Manifest],
) -> None:
    progress = reporter(as_json=flags["as_json"])
    account = Account(from_start=True)
    given = {"restart": flags["restart"], "onto": earlier, "account": account}
    with context(config, reporter=progress, **given) as ctx:
        manifest = work(ctx)
    if has_summary(as_json=flags["as_json"]):
        answers.print_done(manifest, as_json=flags["as_json"])
