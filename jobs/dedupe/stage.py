"""The dedupe stage: find which pictures are copies of each other, and form clusters with one representative each.

1. Candidate pairs: near PDQ fingerprints, and local features that agree (`candidates`).
2. Matching decides which candidates are copies, by default by comparing pixels (`matching`).
3. Clusters are formed in which every member is a copy of its representative: of small connected components of
   candidates, each in one task (`whole_components`), of large ones in rounds (`star_clusters`). Pictures of other
   manifests always represent (`fixed_representatives`).

Only narrow columns are shuffled. At the end each part gets the new columns of its rows.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import faiss
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.config import DedupeConfig, PipelineConfig
from curation.copies import compare_pixels, cosine_search, local_search
from curation.copies.kinds import Strictness
from curation.pictures import local_features
from curation.pictures.decode import DECODER_VERSION, DecodeLimits
from jobs.dedupe.candidates import find_candidates
from jobs.dedupe.clusters import form_clusters
from jobs.dedupe.earlier_evidence import files_at, files_of, read_evidence, software_name, write_evidence
from jobs.dedupe.judging import summary
from jobs.dedupe.matching import CosineMatcher, FingerprintMatcher, Matcher, PixelMatcher
from jobs.dedupe.picture_sets import ROLES, picture_sets
from jobs.dedupe.pictures import (
    PARENT,
    PICTURE_BYTES,
    PICTURES,
    REFERENCE,
    PictureSet,
    pictures_of,
    read_rows,
)
from jobs.dedupe.whole_components import MAX_PAIRS_IN_TASK
from jobs.spark import frames
from jobs.spark.onto import earlier
from jobs.spark.part_stages import write_slices
from jobs.spark.run import Context, run_stage
from jobs.spark.steps import Steps, Table, units_for
from jobs.units.lineage import read_parent
from jobs.units.part_plan import plan_parts
from jobs.units.plan import Plan, Unit
from manifests.format.digest import settings_hash
from manifests.format.schema import COLUMNS, DuplicateKind, Stage
from manifests.format.store import Manifest, Whole

ONLY_EXACT = ("exact",)
NOT_RECORDED = {"references", "against"}  # the plan's inputs record these manifests by digest


def plan_dedupe(config: PipelineConfig, source: str, output: str, *, onto: Manifest | None = None) -> Plan:
    """Return the plan of deduplicating the scan's manifest at `source`.

    `onto` is the manifest of an earlier dedupe, of which the evidence of pairs that are the same is taken. Raises
    like `read_parent`, and InputError when a manifest lacks measurements that the configured kinds need.
    """
    lineage = read_parent(source, Stage.SCAN)
    sets = picture_sets(config.dedupe, lineage.manifest)
    settings = _settings(config.dedupe)
    software = {"dedupe": "3", "faiss": faiss.__version__}
    if config.dedupe.fingerprint == "embedding":
        software["semantic"] = cosine_search.VERSION
    if config.dedupe.needs_local_features:
        software |= {"local_features": local_features.version(), "local_search": local_search.VERSION}
    if _compares_pixels(config.dedupe):
        software |= _comparing(config.dedupe)
    others = {f"{ROLES[each.origin]}:{each.name}": each.manifest for each in sets if each.origin != PARENT}
    plan = plan_parts(Stage.DEDUPE, lineage.joined_by(others), output, settings, software, config.storage)
    notices = [] if onto is None else [f"pairs that were compared are taken from {onto.uri}"]
    return dataclasses.replace(plan, reads=[*plan.reads, *others.values()], notices=notices)


def _comparing(config: DedupeConfig) -> dict[str, str]:
    """Return the software that decides what is found when two pictures are compared."""
    found = {"verification": compare_pixels.version(), "decoder": DECODER_VERSION, "opencv": cv2.__version__}
    if config.needs_local_features:  # the keypoints of a scan are used, too
        found["local_features"] = local_features.version()
    return found


def _settings(config: DedupeConfig) -> dict[str, Any]:
    """Return the settings that have an effect on the rows."""
    settings = config.model_dump(exclude=NOT_RECORDED)
    settings["copies"] = sorted(config.copies)
    if settings["copies"] == list(ONLY_EXACT):
        return {"copies": settings["copies"]}
    if config.fingerprint == "embedding":
        of_embedding = ("copies", "fingerprint", "min_cosine", "cell_bytes", "probes")
        return {name: settings[name] for name in of_embedding}
    del settings["fingerprint"], settings["min_cosine"]
    unused = [kind for kind in settings["strictness"] if kind not in config.copies]
    for name in unused:
        del settings["strictness"][name]
    if not config.needs_local_features:
        del settings["min_points"]
    return settings


def _compares_pixels(config: DedupeConfig) -> bool:
    return config.verify and config.fingerprint == "pdq" and tuple(config.copies) != ONLY_EXACT


def dedupe(config: PipelineConfig, source: str, output: str, ctx: Context) -> Manifest:
    """Deduplicate the scan's manifest at `source` into the manifest at `output` and return it."""
    onto = earlier(Stage.DEDUPE, output, ctx)
    plan = plan_dedupe(config, source, output, onto=onto)
    parent = read_parent(source, Stage.SCAN).manifest
    beside: dict[str, Mapping[str, Any]] = {}

    def work(spark: SparkSession, plan: Plan, todo: Sequence[Unit]) -> None:
        sets = picture_sets(config.dedupe, parent)
        layouts = [[(part.name, part.sha256) for part in each.manifest.parts] for each in sets]
        steps = Steps.of(spark, plan, settings_hash(plan.fingerprint, layouts), ctx.reporter)
        limits = DecodeLimits(max_pixels=config.scan.max_image_pixels, max_bytes=config.scan.max_image_bytes)
        name = software_name({**_comparing(config.dedupe), "limits": dataclasses.asdict(limits)})
        files = dict[str, int]()
        if _compares_pixels(config.dedupe):
            files = files_at(plan.output, name)
            for each in [*([] if onto is None else [onto]), *(each.manifest for each in sets[1:])]:
                files |= files_of(each, name)
        known = read_evidence(spark, files, plan.options)
        found = Deduplication(sets=sets, config=config.dedupe, limits=limits, steps=steps, known=known)
        assigned = found.assignments(begin=ctx.account.begin)
        if _compares_pixels(config.dedupe):
            ctx.reporter.say(f"dedupe: {summary(found.judged, with_earlier=known is not None)}")
            beside.update(write_evidence(found.judged, steps, plan.output, name))
        ctx.account.add_earlier(steps.earlier_seconds)
        ctx.account.begin("writing")
        columns = [f.name for f in COLUMNS[Stage.DEDUPE]]
        write_slices(assigned, plan, todo, parent, columns)

    plan = dataclasses.replace(plan, summarise=lambda receipts: Whole(in_place=beside))
    return run_stage(plan, work, ctx)


@dataclasses.dataclass(kw_only=True)
class Deduplication:
    """Finds the copies among `sets`, of which the first is the parent.

    `known`: evidence of pairs that were compared before, see `form_clusters`. `large`: a component of more candidate
    pairs is judged in rounds. `units_in_memory`: local candidates of more units are shuffled. `judged`: at the end,
    the tables of judged pairs.
    """

    sets: Sequence[PictureSet]
    config: DedupeConfig
    limits: DecodeLimits
    steps: Steps
    known: DataFrame | None = None
    large: int = MAX_PAIRS_IN_TASK
    units_in_memory: int = 1
    judged: Sequence[Table] = ()

    def assignments(self, *, begin: Callable[[str], None]) -> DataFrame:
        """Return `part`, `key` and the columns of dedupe for each row of the parent.

        `begin` is called with the name of each phase when it begins.
        """
        begin("reading")
        sets, config, steps = self.sets, self.config, self.steps
        rows = read_rows(steps.spark, sets, steps.options, config.min_quality)
        units = units_for(sum(each.manifest.rows for each in sets), PICTURE_BYTES)
        pictures = steps.keep("pictures", pictures_of(rows), PICTURES, ["node"], units=units)
        parents = read_rows(steps.spark, sets[:1], steps.options, config.min_quality)
        if tuple(config.copies) == ONLY_EXACT:
            return duplicate_columns(parents, pictures.frame(), None)
        begin("candidates")
        candidates = find_candidates(
            pictures, sets, config, steps, large=self.large, units_in_memory=self.units_in_memory
        )
        begin("matching")
        matcher = _matcher(config, self.limits)
        copies, self.judged = form_clusters(candidates, pictures, sets, matcher, steps, known=self.known)
        begin("clusters")
        return duplicate_columns(parents, pictures.frame(), copies)


def _matcher(config: DedupeConfig, limits: DecodeLimits) -> Matcher:
    if config.fingerprint == "embedding":
        return CosineMatcher(min_cosine=config.min_cosine)
    if not _compares_pixels(config):
        return FingerprintMatcher(max_distance=config.max_distance, max_text_distance=config.max_text_distance)
    return PixelMatcher(
        copies=frozenset(config.copies),
        strictness=Strictness(**config.strictness.model_dump()),
        limits=limits,
        measured=("local_points",) if config.needs_local_features else (),
    )


def duplicate_columns(rows: DataFrame, pictures: DataFrame, copies: DataFrame | None) -> DataFrame:
    """Return `part`, `key` and the columns of dedupe for each row of the parent.

    `rows` are as `read_rows` returns them. `copies`: (`member`, `representative`, `kind`, `evidence`) of each picture
    that is a copy, or None if none is. Rows are shuffled once, by picture; what belongs to a cluster is found before.
    """
    answers = _alone(pictures) if copies is None else _answers(pictures, copies)
    answers = answers.select("node", "head", "cluster_id", "kind", "evidence")
    joined = rows.where(F.col("origin") == PARENT).join(answers, "node")
    is_head = (F.col("key") == F.col("head.key")) & (F.col("head.origin") == PARENT)
    is_reference = F.col("head.origin") == REFERENCE
    same_picture = F.col("node") == F.col("head.node")
    same_bytes = F.col("sha256") == F.col("head.sha256")
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
        F.when(~is_head, F.col("head.key")).alias("duplicate_of"),
        F.when(~is_head, kind).alias("duplicate_kind"),
        F.when(~is_head, evidence).alias("duplicate_evidence"),
        F.when(is_reference, F.col("head.set")).alias("reference"),
    )


def _head_of_itself() -> Column:
    return F.struct("node", "key", "sha256", "origin", "set")


def _answers(pictures: DataFrame, copies: DataFrame) -> DataFrame:
    """Return (`node`, `head`, `cluster_id`, `kind`, `evidence`) of each picture; `head` represents its cluster."""
    members = copies.select(F.col("member").alias("node"), F.col("representative").alias("of"), "kind", "evidence")
    heads = copies.select(F.col("representative").alias("node"), F.col("representative").alias("of")).distinct()
    clustered = members.unionByName(heads, allowMissingColumns=True)
    narrow = pictures.select("node", "key", "sha256", "origin", "set", "cluster", "first_key")
    placed = clustered.join(narrow, "node")
    # A cluster keeps the name that it has in an existing manifest.
    clusters = placed.groupBy("of").agg(
        F.max(F.when(F.col("node") == F.col("of"), _head_of_itself())).alias("head"),
        F.coalesce(F.min("cluster"), F.min("first_key")).alias("cluster_id"),
    )
    found = clustered.join(clusters, "of").select("node", "head", "cluster_id", "kind", "evidence")
    return found.unionByName(_alone(narrow.join(found.select("node"), "node", "left_anti")))


def _alone(pictures: DataFrame) -> DataFrame:
    """Return the same columns of pictures that are copies of none and represent no other."""
    nothing = F.lit(None).cast("string")
    return pictures.select(
        "node",
        _head_of_itself().alias("head"),
        F.coalesce("cluster", "first_key").alias("cluster_id"),
        nothing.alias("kind"),
        nothing.alias("evidence"),
    )
