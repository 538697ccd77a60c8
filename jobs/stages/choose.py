"""Choose: rules and a target turn measurements into verdicts. It reads no image, so it can be repeated in seconds."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.choosing.rules import check_expressions
from curation.choosing.selection import NOTHING, Cutoff, Selection, is_settled, narrow
from curation.choosing.verdicts import (
    COUNT_SCHEMA,
    KEY_SCHEMA,
    Chooser,
    columns_counted,
    count_places,
    kept_bytes,
    keys_at,
)
from curation.config import PipelineConfig
from curation.config_choose import ChooseConfig
from jobs.spark import frames
from jobs.spark.part_stages import MapPart, plan_parts
from jobs.spark.run import Context, read_parent, run_stage
from jobs.units.plan import Plan, Unit
from manifests.errors import InputError
from manifests.format.cost import UNITS
from manifests.format.schema import Stage
from manifests.format.store import Manifest


def plan_choose(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of choosing from the scored manifest at `source`.

    Raises InputError for a rule of `choose.where` that cannot be evaluated, and for a setting that needs what the
    scoring did not measure, and as `read_parent` does.
    """
    check_expressions(config.choose.rules())
    lineage = read_parent(source, Stage.SCORE)
    if lineage.manifest.config.get("ask") == "heavy" and (setting := config.choose.needs_light):
        raise InputError(
            f"{source}: scored with score.ask: heavy, so light is not known, which {setting} needs; score it with "
            "ask: light"
        )
    settings = config.choose.model_dump(mode="json")
    return plan_parts(
        Stage.CHOOSE, lineage, output, settings, {"choose": "2", "duckdb": duckdb.__version__}, config.storage
    )


def choose(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Choose from the scored manifest at `source` into the manifest at `output` and return it."""
    plan = plan_choose(config, source, output)
    parent = read_parent(source, Stage.SCORE).manifest

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        ctx.account.begin("selection")
        selection = find_selection(spark, parent, config.choose, ctx, plan.options)
        perform = MapPart(
            stage=Stage.CHOOSE,
            parent=parent.uri,
            roots=plan.roots,
            make=functools.partial(Chooser, config.choose.rules(), selection, config.choose.salt),
            count=kept_bytes,
        )
        ctx.account.begin(UNITS)
        frames.map_units(spark, plan, todo, perform)

    return run_stage(plan, work, ctx)


def find_selection(
    spark: SparkSession,
    parent: Manifest,
    config: ChooseConfig,
    ctx: Context,
    options: Mapping[str, Mapping[str, Any]],
) -> Selection:
    """Return the selection that keeps exactly the target's number of the rows that pass the rules.

    Each pass counts the rows by the next digit of their rank, from the columns that the rules name; the driver gets
    at most a million counts.
    """
    wanted = config.wanted_rows(parent.rows)
    if wanted is None:
        return Selection()
    if wanted == 0:
        return NOTHING
    rules, parts = config.rules(), frames.parts_of(parent, options)
    columns = columns_counted(rules)
    cutoff = Cutoff(remaining=wanted)
    while True:
        count = functools.partial(count_places, rules=rules, salt=config.salt, prefix=cutoff.digits)
        frame = frames.read(spark, parts, columns, COUNT_SCHEMA, count)
        totals = frame.groupBy("digit").agg(F.sum("rows").alias("rows")).toArrow()
        counts = dict(zip(totals.column("digit").to_pylist(), totals.column("rows").to_pylist(), strict=True))
        if not cutoff.digits and sum(counts.values()) <= wanted:
            if sum(counts.values()) < wanted:
                ctx.reporter.say(
                    f"choose: the target is {wanted:,} rows, {sum(counts.values()):,} pass the rules; "
                    "all of them are kept. Relax the rules (choose.keep: all) to reach it"
                )
            return Selection()
        cutoff, bucket_rows = narrow(cutoff, counts)
        if is_settled(cutoff, bucket_rows):
            break
    if cutoff.remaining == bucket_rows:
        return Selection(digits=cutoff.digits)
    tied = functools.partial(keys_at, rules=rules, salt=config.salt, digits=cutoff.digits)
    frame = frames.read(spark, parts, columns, KEY_SCHEMA, tied)
    last = frame.orderBy("key").limit(cutoff.remaining).agg(F.max("key").alias("key")).first()
    return Selection(digits=cutoff.digits, last_key=None if last is None else last["key"])
