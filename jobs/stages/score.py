"""Score: the text cascade on the images that dedupe kept, each read by byte range."""

import functools
import logging
from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import SparkSession

from curation.config import PipelineConfig, ScoreConfig
from curation.pictures.decode import DECODER_VERSION, DecodeLimits
from curation.text.earlier_scores import NEEDED, EarlierScores
from curation.text.scoring import Scorer
from filters.protocol import load_engine
from jobs.spark import frames
from jobs.spark.onto import earlier
from jobs.spark.run import Context, run_stage
from jobs.units.earlier import with_rows_of
from jobs.units.lineage import read_parent
from jobs.units.part_plan import AddColumns, MapPart, plan_parts
from jobs.units.plan import Plan, Unit
from jobs.units.worker import is_retry
from manifests.errors import ManifestError
from manifests.format.cost import UNITS
from manifests.format.digest import settings_hash
from manifests.format.schema import Stage
from manifests.format.store import Manifest, read_batches
from manifests.redaction import redact

_log = logging.getLogger(__name__)


def plan_score(config: PipelineConfig, source: str, output: str, *, onto: Manifest | None = None) -> Plan:
    """Return the plan of scoring the deduplicated manifest at `source`.

    `onto` is the manifest of an earlier score, of which the scores of images that are the same are taken.

    Loads the engine once, so that a missing model or a wrong option is refused before any work starts.
    Raises filters.protocol.FilterError, and as `read_parent` does.
    """
    lineage = read_parent(source, Stage.DEDUPE)
    engine = load_engine(config.score.engine, **config.score.engine_options)
    options = config.score.engine_options
    # The manifest shows redacted options; their hash shows when a redacted one changes.
    shown = {"options": redact(options), "mark": settings_hash(options)} if options else {}
    settings = {**config.score.model_dump(exclude={"batch_images"}), "engine_options": shown}
    versions = {"engine": engine.version, "cascade": Scorer.VERSION, "decoder": DECODER_VERSION}
    plan = plan_parts(Stage.SCORE, lineage, output, settings, versions, config.storage)
    return plan if onto is None else with_rows_of(plan, onto)


def score(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Score the deduplicated manifest at `source` into the manifest at `output` and return it."""
    plan = plan_score(config, source, output, onto=earlier(Stage.SCORE, output, ctx))
    parent = read_parent(source, Stage.DEDUPE).manifest

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        limits = DecodeLimits(max_pixels=config.scan.max_image_pixels, max_bytes=config.scan.max_image_bytes)
        perform = MapPart(
            stage=Stage.SCORE,
            parent=parent.uri,
            roots=plan.roots,
            make=functools.partial(make_scorer, config.score, limits),
            reuse=with_earlier_scores,
        )
        ctx.account.begin(UNITS)
        frames.map_units(spark, plan, todo, perform)

    return run_stage(plan, work, ctx)


def with_earlier_scores(score: AddColumns, uri: str) -> AddColumns:
    """Return a function that scores as `score` does, but takes the scores of the same images from the part at `uri`.

    If the part cannot be read, all images are scored.
    """
    try:
        batches = list(read_batches(uri, list(NEEDED)))
    except ManifestError as e:
        _log.warning("%s", e)
        return score
    return EarlierScores(score, pa.Table.from_batches(batches)) if batches else score


def make_scorer(config: ScoreConfig, limits: DecodeLimits) -> frames.Transform:
    """Return what scores a table in this task. A worker loads the engine's models once."""
    key = settings_hash(config.model_dump(), limits.max_pixels, limits.max_bytes)
    if key not in _SCORERS:
        _SCORERS.clear()
        _SCORERS[key] = Scorer(
            load_engine(config.engine, **config.engine_options),
            config.cascade(),
            limits,
            batch_images=config.batch_images,
        )
    return functools.partial(_SCORERS[key], is_retry=is_retry())


_SCORERS: dict[str, Scorer] = {}
