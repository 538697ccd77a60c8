"""Dedupe: which pictures are copies, over everything; clusters of them; one representative each.

A wide net catches pairs that may be copies: near PDQ fingerprints, and local features that agree. Each pair is
judged, by reading both pictures where so configured; what is proven hangs together in components, and a component
becomes clusters in which every member is a copy of its representative. Only narrow columns are shuffled, and each
part gets its own slice of the answer to write beside its rows.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import faiss
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig, PipelineConfig
from curation.copies import compare_pixels, cosine_search
from curation.copies.kinds import Strictness
from curation.pictures import local_features
from curation.pictures.decode import DECODER_VERSION, DecodeLimits
from jobs.dedupe.anchors import anchored
from jobs.dedupe.candidates import embedding_candidates, local_candidates, print_candidates
from jobs.dedupe.judges import CosineJudge, Judge, PixelJudge, PrintJudge, judge_pairs
from jobs.dedupe.pictures import OWN, REFERENCE, PictureSet, pictures_of, read_rows, read_set, with_places
from jobs.dedupe.sets import ROLES, picture_sets
from jobs.dedupe.stars import stars
from jobs.spark import frames
from jobs.spark.part_stages import plan_parts, write_slices
from jobs.spark.run import Context, read_parent, run_stage
from jobs.units.plan import Plan, Unit
from manifests.format.schema import COLUMNS, DuplicateKind, Stage
from manifests.format.store import Manifest

ONLY_EXACT = ("exact",)
FROM_CONFIG_ALONE = {"references", "against"}  # what they hold is in the plan's inputs, by digest


def plan_dedupe(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of deduplicating the scan's manifest at `source`.

    Raises as `read_parent` does, and InputError when a set lacks what the configured kinds of copies need.
    """
    lineage = read_parent(source, Stage.SCAN)
    sets = picture_sets(config.dedupe, lineage.manifest)
    settings = _settings(config.dedupe)
    software = {"dedupe": "2", "faiss": faiss.__version__}
    if config.dedupe.fingerprint == "embedding":
        software["semantic"] = cosine_search.VERSION
    if config.dedupe.needs_local_features:
        software["local_features"] = local_features.version()
    if _verifies(config.dedupe):
        software |= {"verification": compare_pixels.VERSION, "decoder": DECODER_VERSION, "opencv": cv2.__version__}
    others = {f"{ROLES[each.origin]}:{each.name}": each.manifest for each in sets if each.origin != OWN}
    return plan_parts(Stage.DEDUPE, lineage.joined_by(others), output, settings, software, config.storage)


def _settings(config: DedupeConfig) -> dict[str, Any]:
    """Return the settings that decide the rows."""
    settings = config.model_dump(exclude=FROM_CONFIG_ALONE)
    settings["copies"] = sorted(config.copies)
    if settings["copies"] == list(ONLY_EXACT):
        return {"copies": settings["copies"]}
    if config.fingerprint == "embedding":
        of_embedding = ("copies", "fingerprint", "min_cosine", "pictures_per_cell", "probes")
        return {name: settings[name] for name in of_embedding}
    del settings["fingerprint"], settings["min_cosine"]
    unused = [kind for kind in settings["strictness"] if kind not in config.copies]
    for name in unused:
        del settings["strictness"][name]
    if not config.needs_local_features:
        for name in ("neighbours", "min_points", "pictures_per_cell"):
            del settings[name]
    return settings


def _verifies(config: DedupeConfig) -> bool:
    return config.verify and config.fingerprint == "pdq" and tuple(config.copies) != ONLY_EXACT


def dedupe(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Deduplicate the scan's manifest at `source` into the manifest at `output` and return it."""
    plan = plan_dedupe(config, source, output)
    parent = read_parent(source, Stage.SCAN).manifest

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        sets = picture_sets(config.dedupe, parent)
        limits = DecodeLimits(max_pixels=config.scan.max_image_pixels, max_bytes=config.scan.max_image_bytes)
        assigned = assignments(spark, sets, config.dedupe, limits, plan.options)
        columns = [f.name for f in COLUMNS[Stage.DEDUPE]]
        write_slices(assigned, plan, todo, parent, columns)

    return run_stage(plan, work, ctx)


def assignments(
    spark: SparkSession,
    sets: Sequence[PictureSet],
    config: DedupeConfig,
    limits: DecodeLimits,
    options: Mapping[str, Mapping[str, Any]],
) -> DataFrame:
    """Return `part`, `key` and the columns of dedupe, one row for each of the parent's, the first of `sets`."""
    rows = read_rows(spark, sets, options, config.min_quality).localCheckpoint()
    pictures = pictures_of(rows).localCheckpoint()
    if tuple(config.copies) == ONLY_EXACT:
        return _answer(rows, pictures, None)
    by_embedding = config.fingerprint == "embedding"
    read = functools.partial(read_set, spark, options=options)
    pairs = embedding_candidates(sets, config, read) if by_embedding else print_candidates(pictures, config)
    if config.needs_local_features:
        pairs = pairs.unionByName(local_candidates(sets, config, read))
    pairs = _worth_judging(pairs, pictures).localCheckpoint()
    involved = pairs.select(F.col("a").alias("node")).union(pairs.select(F.col("b").alias("node"))).distinct()
    known = with_places(
        spark, pictures.join(involved, "node", "left_semi"), sets, options, with_embedding=by_embedding
    ).localCheckpoint()
    judge = functools.partial(judge_pairs, known=known, judge=_judge(config, limits), options=options)
    copies = judge(pairs)
    if all(each.origin == OWN for each in sets):
        return _answer(rows, pictures, stars(copies, known, judge))
    settled, left = anchored(copies, known, judge)
    return _answer(rows, pictures, settled.unionByName(stars(left, known, judge)))


def _judge(config: DedupeConfig, limits: DecodeLimits) -> Judge:
    if config.fingerprint == "embedding":
        return CosineJudge(min_cosine=config.min_cosine)
    if not _verifies(config):
        return PrintJudge(max_distance=config.max_distance, max_text_distance=config.max_text_distance)
    return PixelJudge(
        copies=frozenset(config.copies),
        strictness=Strictness(**config.strictness.model_dump()),
        limits=limits,
    )


def _worth_judging(pairs: DataFrame, pictures: DataFrame) -> DataFrame:
    """Return each pair (`a`, `b`; a < b) once, but those of which neither is a picture of the parent's own."""
    ordered = pairs.select(F.least("a", "b").alias("a"), F.greatest("a", "b").alias("b")).where("a != b").distinct()
    origins = pictures.select("node", "origin")
    ordered = ordered.join(origins.toDF("a", "origin_a"), "a").join(origins.toDF("b", "origin_b"), "b")
    return ordered.where((F.col("origin_a") == OWN) | (F.col("origin_b") == OWN)).select("a", "b")


def _answer(rows: DataFrame, pictures: DataFrame, copies: DataFrame | None) -> DataFrame:
    """Return what is said of each row, given what each picture that is a copy is a copy of."""
    if copies is None:
        placed = rows.withColumns({"head": F.col("node"), "kind": F.lit(None), "evidence": F.lit(None)})
    else:
        found = copies.withColumnsRenamed({"member": "node", "representative": "copied"})
        placed = rows.join(found, "node", "left").withColumn("head", F.coalesce("copied", "node"))
    heads = pictures.select(
        F.col("node").alias("head"),
        F.col("key").alias("head_key"),
        F.col("sha256").alias("head_sha256"),
        F.col("origin").alias("head_origin"),
        F.col("set").alias("head_set"),
    )
    # A cluster keeps the name it has in a manifest that is already there.
    names = placed.groupBy("head").agg(
        F.coalesce(F.min("cluster"), F.min(F.when(F.col("origin") == OWN, F.col("key")))).alias("cluster_id")
    )
    joined = placed.where(F.col("origin") == OWN).join(heads, "head").join(names, "head")
    is_head = (F.col("key") == F.col("head_key")) & (F.col("head_origin") == OWN)
    is_reference = F.col("head_origin") == REFERENCE
    same_picture = F.col("node") == F.col("head")
    same_bytes = F.col("sha256") == F.col("head_sha256")
    how = F.when(same_picture, F.lit(str(DuplicateKind.EXACT))).otherwise(F.col("kind"))
    kind = F.when(is_reference, F.lit(str(DuplicateKind.REFERENCE))).otherwise(how)
    told = (
        F.when(same_bytes, F.lit('{"kind": "exact", "same": "bytes"}'))
        .when(same_picture, F.lit('{"kind": "exact", "same": "pixels"}'))
        .otherwise(F.concat(F.lit('{"kind": "'), how, F.lit('", '), F.substring("evidence", 2, 1 << 30)))
    )
    return joined.select(
        frames.PART,
        "key",
        "cluster_id",
        F.when(~is_head, F.col("head_key")).alias("duplicate_of"),
        F.when(~is_head, kind).alias("duplicate_kind"),
        F.when(~is_head, told).alias("duplicate_evidence"),
        F.when(is_reference, F.col("head_set")).alias("reference"),
    )
