"""Chooses among the rows of a scored manifest, or counts what would be kept."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from curation.choosing.rules import check_expressions
from curation.choosing.what_if import Outcome
from curation.config import PipelineConfig
from curation.config_choose import ChooseConfig
from jobs.commands.shared import blaming, has_summary, reporter
from jobs.commands.stage_settings import blaming_options, stage_config, taken
from jobs.operations.choose import choose as choose_rows
from jobs.operations.choose import engine_for, plan_choose, read_scored
from jobs.operations.engine_choice import EngineChoice
from jobs.operations.engines import engines
from jobs.operations.what_if import combinations, values_tried, what_if
from jobs.setup.places import require_writable
from jobs.show import answers
from jobs.show.choosing import Tried, print_outcome, print_tried
from jobs.units.cost import PLANNING, Account
from jobs.units.outlook import outlook_of
from jobs.units.part_threads import PartThreads
from jobs.units.running import Terms
from manifests import storage
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import Manifest

_SETTINGS = [
    "preset",
    "keep",
    "min_heavy_score",
    "min_light_score",
    "target_fraction",
    "target_count",
    "min_side",
    "max_aspect",
]


def choose(manifest: str, where: tuple[str, ...], what_ifs: tuple[str, ...], **flags: Any) -> None:
    """Choose among the rows of a scored manifest.

    `where` are texts NAME=SQL, `what_ifs` texts NAME=VALUE,...; `variant` is one of the pipeline file's choices.
    """
    settings = taken(flags, *_SETTINGS)
    if where:
        settings["where"] = dict(map(_named_rule, where))
    output = flags["output"]
    if output is None:
        if not (flags["dry_run"] or what_ifs):
            raise InputError("choose: name an output with -o, or count with --dry-run or --what-if")
        flags["output"] = "."  # a configuration has one; nothing is written there
    if what_ifs:
        _try(manifest, settings, what_ifs, flags)
        return
    config, options = _configured(manifest, settings, flags)
    with blaming_options(options):
        if flags["dry_run"]:
            _look_ahead(config, manifest, output, flags)
            return
        made = _chosen(config, manifest, flags)
    if has_summary(as_json=flags["as_json"]):
        answers.print_done(made, as_json=flags["as_json"])


def _configured(
    source: str, settings: Mapping[str, Any], flags: Mapping[str, Any]
) -> tuple[PipelineConfig, dict[str, str]]:
    """Return the configuration with the choice that is meant alone, and what `stage_config` returns beside it."""
    variant = flags["variant"]
    if variant is not None:
        written, _ = stage_config(Stage.CHOOSE, [source], {}, flags)
        with blaming(f"--variant {variant}"):
            written.variant(variant)
    config, options = stage_config(Stage.CHOOSE, [source], settings, flags, below=variant or "")
    storage.configure(config.storage)
    return config.variant(variant), options


def _named_rule(text: str) -> tuple[str, str]:
    name, equals, expression = text.partition("=")
    if not (equals and name.isidentifier()):
        raise InputError(f"--where {text}: write NAME=SQL, for example large='width >= 512'")
    return name, expression


def _chosen(config: PipelineConfig, source: str, flags: Mapping[str, Any]) -> Manifest:
    scored = read_scored(config.choose, source).manifest
    flow = {"reporter": reporter(as_json=flags["as_json"]), "restart": flags["restart"]}
    account = Account(from_start=True)
    if engine_for(flags["engine"], scored.rows) == "duckdb":
        account.begin(PLANNING)
        terms = Terms(account=account, **flow)
        return choose_rows(config, source, flags["output"], terms, lambda _: PartThreads())
    from jobs.pipeline import run_one  # noqa: PLC0415 - imports Spark
    from jobs.spark.run import context  # noqa: PLC0415

    with context(config, engine="spark", account=account, **flow) as ctx:
        return run_one(config, Stage.CHOOSE, source, flags["output"], ctx)


def _look_ahead(config: PipelineConfig, source: str, output: str | None, flags: Mapping[str, Any]) -> None:
    """Print what choosing would do and keep."""
    found = None
    if output is not None:
        found = outlook_of(plan_choose(config, source, output), restart=flags["restart"])
        require_writable(found.output)
    scored = read_scored(config.choose, source).manifest
    check_expressions(config.choose.rules())
    (outcome,) = _counted(config, scored, [config.choose], flags)
    print_outcome(outcome, scored.rows, found, as_json=flags["as_json"])


def _try(source: str, settings: Mapping[str, Any], what_ifs: Sequence[str], flags: Mapping[str, Any]) -> None:
    """Print what choosing would keep with each combination of the values."""
    tried = combinations(dict(map(values_tried, what_ifs)))
    configs = []
    for each in tried:
        given = {name: value for name, value in settings.items() if name not in each}
        place = ".".join(filter(None, ("choose", flags["variant"])))
        values = [f"{place}.{name}={json.dumps(value)}" for name, value in each.items()]
        with blaming(f"--what-if {', '.join(values)}"):
            config, options = _configured(source, given, {**flags, "overrides": [*flags["overrides"], *values]})
            with blaming_options(options):
                scored = read_scored(config.choose, source).manifest
                check_expressions(config.choose.rules())
        configs.append(config)
    outcomes = _counted(configs[0], scored, [each.choose for each in configs], flags)
    found = [Tried(settings=each, outcome=outcome) for each, outcome in zip(tried, outcomes, strict=True)]
    print_tried(found, scored.rows, as_json=flags["as_json"])


def _counted(
    config: PipelineConfig, scored: Manifest, settings: Sequence[ChooseConfig], flags: Mapping[str, Any]
) -> list[Outcome]:
    files = tuple(flags["config_files"])
    choice = EngineChoice(kind=flags["engine"], config_files=files, master=flags["master"], storage=config.storage)
    with engines(choice, reporter(as_json=flags["as_json"])) as engine:
        return what_if(scored, settings, engine([scored]))
