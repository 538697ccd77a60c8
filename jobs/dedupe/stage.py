"""The dedupe stage: find which pictures are copies of each other, and form clusters with one representative each.

1. Candidate pairs: near PDQ fingerprints, and local features that agree (`candidates`).
2. Matching decides which candidates are copies, by default by comparing pixels (`matching`).
3. Copies form connected components (`components`), and these become clusters in which every member is a copy of its
   representative (`star_clusters`). Pictures of other manifests always represent (`fixed_representatives`).

Only narrow columns are shuffled. At the end each part gets the new columns of its rows.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import faiss
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig, PipelineConfig
from curation.copies import compare_pixels, cosine_search, local_search
from curation.copies.kinds import Strictness
from curation.pictures import local_features
from curation.pictures.decode import DECODER_VERSION, DecodeLimits
from jobs.dedupe.candidates import embedding_candidates, local_candidates, pdq_candidates
from jobs.dedupe.fixed_representatives import match_fixed
from jobs.dedupe.matching import CosineMatcher, FingerprintMatcher, Matcher, PixelMatcher, match_pairs
from jobs.dedupe.picture_sets import ROLES, picture_sets
from jobs.dedupe.pictures import PARENT, REFERENCE, PictureSet, pictures_of, read_rows, read_set, with_places
from jobs.dedupe.star_clusters import star_clusters
from jobs.spark import frames
from jobs.spark.part_stages import plan_parts, write_slices
from jobs.spark.run import Context, read_parent, run_stage
from jobs.units.plan import Plan, Unit
from manifests.format.schema import COLUMNS, DuplicateKind, Stage
from manifests.format.store import Manifest

ONLY_EXACT = ("exact",)
NOT_RECORDED = {"references", "against"}  # the plan's inputs record these manifests by digest


def plan_dedupe(config: PipelineConfig, source: str, output: str) -> Plan:
    """Return the plan of deduplicating the scan's manifest at `source`.

    Raises like `read_parent`, and InputError when a manifest lacks measurements that the configured kinds need.
    """
    lineage = read_parent(source, Stage.SCAN)
    sets = picture_sets(config.dedupe, lineage.manifest)
    settings = _settings(config.dedupe)
    software = {"dedupe": "2", "faiss": faiss.__version__}
    if config.dedupe.fingerprint == "embedding":
        software["semantic"] = cosine_search.VERSION
    if config.dedupe.needs_local_features:
        software |= {"local_features": local_features.version(), "local_search": local_search.VERSION}
    if _compares_pixels(config.dedupe):
        software |= {"verification": compare_pixels.VERSION, "decoder": DECODER_VERSION, "opencv": cv2.__version__}
    others = {f"{ROLES[each.origin]}:{each.name}": each.manifest for each in sets if each.origin != PARENT}
    plan = plan_parts(Stage.DEDUPE, lineage.joined_by(others), output, settings, software, config.storage)
    return dataclasses.replace(plan, reads=[*plan.reads, *others.values()])


def _settings(config: DedupeConfig) -> dict[str, Any]:
    """Return the settings that have an effect on the rows."""
    settings = config.model_dump(exclude=NOT_RECORDED)
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
    del settings["pictures_per_cell"]
    if not config.needs_local_features:
        del settings["min_points"]
    return settings


def _compares_pixels(config: DedupeConfig) -> bool:
    return config.verify and config.fingerprint == "pdq" and tuple(config.copies) != ONLY_EXACT


def dedupe(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Deduplicate the scan's manifest at `source` into the manifest at `output` and return it."""
    plan = plan_dedupe(config, source, output)
    parent = read_parent(source, Stage.SCAN).manifest

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        sets = picture_sets(config.dedupe, parent)
        limits = DecodeLimits(max_pixels=config.scan.max_image_pixels, max_bytes=config.scan.max_image_bytes)
        assigned = assignments(spark, sets, config.dedupe, limits, plan.options, begin=ctx.account.begin)
        ctx.account.begin("writing")
        columns = [f.name for f in COLUMNS[Stage.DEDUPE]]
        write_slices(assigned, plan, todo, parent, columns)

    return run_stage(plan, work, ctx)


def assignments(
    spark: SparkSession,
    sets: Sequence[PictureSet],
    config: DedupeConfig,
    limits: DecodeLimits,
    options: Mapping[str, Mapping[str, Any]],
    *,
    begin: Callable[[str], None],
) -> DataFrame:
    """Return `part`, `key` and the columns of dedupe for each row of the parent, which is the first of `sets`.

    `begin` is called with the name of each phase when it begins.
    """
    begin("reading")
    rows = read_rows(spark, sets, options, config.min_quality).localCheckpoint()
    pictures = pictures_of(rows).localCheckpoint()
    if tuple(config.copies) == ONLY_EXACT:
        return duplicate_columns(rows, pictures, None)
    begin("candidates")
    by_embedding = config.fingerprint == "embedding"
    read = functools.partial(read_set, spark, options=options)
    pairs = embedding_candidates(sets, config, read) if by_embedding else pdq_candidates(pictures, config)
    if config.needs_local_features:
        pairs = pairs.unionByName(local_candidates(sets, config, read))
    pairs = _worth_matching(pairs, pictures).localCheckpoint()
    begin("matching")
    involved = pairs.select(F.col("a").alias("node")).union(pairs.select(F.col("b").alias("node"))).distinct()
    matched = with_places(
        spark, pictures.join(involved, "node", "left_semi"), sets, options, with_embedding=by_embedding
    ).localCheckpoint()
    match = functools.partial(match_pairs, pictures=matched, matcher=_matcher(config, limits), options=options)
    copies = match(pairs)
    begin("clusters")
    if all(each.origin == PARENT for each in sets):
        return duplicate_columns(rows, pictures, star_clusters(copies, matched, match))
    settled, left = match_fixed(copies, matched, match)
    return duplicate_columns(rows, pictures, settled.unionByName(star_clusters(left, matched, match)))


def _matcher(config: DedupeConfig, limits: DecodeLimits) -> Matcher:
    if config.fingerprint == "embedding":
        return CosineMatcher(min_cosine=config.min_cosine)
    if not _compares_pixels(config):
        return FingerprintMatcher(max_distance=config.max_distance, max_text_distance=config.max_text_distance)
    return PixelMatcher(
        copies=frozenset(config.copies),
        strictness=Strictness(**config.strictness.model_dump()),
        limits=limits,
    )


def _worth_matching(pairs: DataFrame, pictures: DataFrame) -> DataFrame:
    """Return each pair (`a`, `b`; a < b) once, without pairs in which neither picture is the parent's."""
    ordered = pairs.select(F.least("a", "b").alias("a"), F.greatest("a", "b").alias("b")).where("a != b").distinct()
    origins = pictures.select("node", "origin")
    ordered = ordered.join(origins.toDF("a", "origin_a"), "a").join(origins.toDF("b", "origin_b"), "b")
    return ordered.where((F.col("origin_a") == PARENT) | (F.col("origin_b") == PARENT)).select("a", "b")


def duplicate_columns(rows: DataFrame, pictures: DataFrame, copies: DataFrame | None) -> DataFrame:
    """Return `part`, `key` and the columns of dedupe for each row of the parent.

    `copies`: (`member`, `representative`, `kind`, `evidence`) of each picture that is a copy, or None for exact
    duplicates only.
    """
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
    # A cluster keeps the name that it has in an existing manifest.
    names = placed.groupBy("head").agg(
        F.coalesce(F.min("cluster"), F.min(F.when(F.col("origin") == PARENT, F.col("key")))).alias("cluster_id")
    )
    joined = placed.where(F.col("origin") == PARENT).join(heads, "head").join(names, "head")
    is_head = (F.col("key") == F.col("head_key")) & (F.col("head_origin") == PARENT)
    is_reference = F.col("head_origin") == REFERENCE
    same_picture = F.col("node") == F.col("head")
    same_bytes = F.col("sha256") == F.col("head_sha256")
    how = F.when(same_picture, F.lit(str(DuplicateKind.EXACT))).otherwise(F.col("kind"))
    kind = F.when(is_reference, F.lit(str(DuplicateKind.REFERENCE))).otherwise(how)
    evidence = (
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
        F.when(~is_head, evidence).alias("duplicate_evidence"),
        F.when(is_reference, F.col("head_set")).alias("reference"),
    )
