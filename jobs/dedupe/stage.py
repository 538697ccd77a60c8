"""The dedupe stage: find which pictures are copies of each other, and form clusters with one representative each.

1. Candidate pairs: near PDQ fingerprints, and local features that agree (`candidates`).
2. Matching decides which candidates are copies, by default by comparing pixels (`matching`).
3. Clusters are formed in which every member is a copy of its representative: of small connected components of
   candidates, each in one task (`whole_components`), of large ones in rounds (`star_clusters`). Pictures of other
   manifests always represent (`fixed_representatives`).

Only narrow columns are shuffled. At the end each part gets the new columns of its rows.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import faiss
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from curation.config import DedupeConfig, PipelineConfig
from curation.copies import compare_pixels, cosine_search, local_search
from curation.copies.kinds import Strictness
from curation.pictures import local_features
from curation.pictures.decode import DECODER_VERSION, DecodeLimits
from jobs.dedupe.answers import duplicate_columns
from jobs.dedupe.candidates import find_candidates, local_candidates, local_units
from jobs.dedupe.clusters import form_clusters
from jobs.dedupe.earlier_evidence import (
    files_at,
    files_of,
    read_evidence,
    software_name,
    take_evidence,
    write_evidence,
)
from jobs.dedupe.in_process import is_small, read_small
from jobs.dedupe.judging import summary
from jobs.dedupe.matching import CosineMatcher, FingerprintMatcher, Matcher, PixelMatcher
from jobs.dedupe.picture_sets import ROLES, picture_sets
from jobs.dedupe.pictures import (
    PARENT,
    PICTURE_BYTES,
    PICTURES,
    PictureSet,
    pictures_of,
    read_rows,
    read_set,
)
from jobs.dedupe.whole_components import MAX_PAIRS_IN_TASK, judge_locally, judge_rows
from jobs.spark.onto import earlier
from jobs.spark.part_stages import write_slices
from jobs.spark.run import Context, run_small_stage, run_stage
from jobs.spark.steps import Steps, Table, units_for
from jobs.units.lineage import read_parent
from jobs.units.part_plan import plan_parts
from jobs.units.plan import Plan, Unit
from manifests.format.digest import settings_hash
from manifests.format.schema import COLUMNS, Stage
from manifests.format.store import Manifest, Whole

ONLY_EXACT = ("exact",)
UNITS_IN_MEMORY = 3
"""So many units of keypoints, of 8,388 pictures, are searched by a small run itself: in ten seconds and 0.8 GB."""
NOT_RECORDED = {"references", "against", "rows_in_process"}
"""The plan's inputs record two sets of manifests by digest; where rows are worked on has no effect on them."""


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
    sets = picture_sets(config.dedupe, parent)
    beside: dict[str, Mapping[str, Any]] = {}

    def work(plan: Plan, todo: Sequence[Unit]) -> None:
        layouts = [[(part.name, part.sha256) for part in each.manifest.parts] for each in sets]
        steps = Steps.of(lambda: ctx.spark, plan, settings_hash(plan.fingerprint, layouts), ctx.reporter)
        limits = DecodeLimits(max_pixels=config.scan.max_image_pixels, max_bytes=config.scan.max_image_bytes)
        name = software_name({**_comparing(config.dedupe), "limits": dataclasses.asdict(limits)})
        files = dict[str, int]()
        if _compares_pixels(config.dedupe):
            files = files_at(plan.output, name)
            for each in [*([] if onto is None else [onto]), *(each.manifest for each in sets[1:])]:
                files |= files_of(each, name)
        found = Deduplication(
            sets=sets,
            config=config.dedupe,
            limits=limits,
            steps=steps,
            earlier=files,
            local_workers=lambda: ctx.local_workers,
        )
        assigned = found.assignments(begin=ctx.account.begin)
        if _compares_pixels(config.dedupe):
            ctx.reporter.say(f"dedupe: {summary(found.judged, with_earlier=bool(files))}")
            in_process = isinstance(assigned, pa.Table)
            beside.update(write_evidence(found.judged, steps, plan.output, name, in_process=in_process))
        ctx.account.add_earlier(steps.earlier_seconds)
        ctx.account.begin("writing")
        columns = [f.name for f in COLUMNS[Stage.DEDUPE]]
        write_slices(assigned, plan, todo, parent, columns)

    plan = dataclasses.replace(plan, summarise=lambda receipts: Whole(in_place=beside))
    if is_small(sets, config.dedupe):
        return run_small_stage(plan, work, ctx)
    return run_stage(plan, lambda _spark, begun, todo: work(begun, todo), ctx)


@dataclasses.dataclass(kw_only=True)
class Deduplication:
    """Finds the copies among `sets`, of which the first is the parent.

    `earlier`: files with evidence of pairs that were compared before, see `files_at`. `local_workers` returns how
    many processes compare pictures if Spark does not, see `Context.local_workers`. `large`: a component of more
    candidate pairs is judged in rounds. `judged`: at the end, the tables of judged pairs.
    """

    sets: Sequence[PictureSet]
    config: DedupeConfig
    limits: DecodeLimits
    steps: Steps
    earlier: Mapping[str, int] = dataclasses.field(default_factory=dict)
    local_workers: Callable[[], int] = lambda: 0
    large: int = MAX_PAIRS_IN_TASK
    judged: Sequence[Table] = ()

    def assignments(self, *, begin: Callable[[str], None]) -> DataFrame | pa.Table:
        """Return `part`, `key` and the columns of dedupe for each row of the parent, of a small run in memory.

        `begin` is called with the name of each phase when it begins.
        """
        begin("reading")
        if is_small(self.sets, self.config):
            answer = self._in_process(begin)
            if answer is not None:
                return answer
        return self._shuffled(begin)

    def _in_process(self, begin: Callable[[str], None]) -> pa.Table | None:
        """Return the answer of a small run, or None if it has a large component."""
        sets, config, steps = self.sets, self.config, self.steps
        if tuple(config.copies) == ONLY_EXACT:
            return read_small(sets, config).answer(None)
        matcher = _matcher(config, self.limits)
        in_memory = config.needs_local_features and local_units(sets) <= UNITS_IN_MEMORY
        run = read_small(sets, config, matcher.measured, with_keypoints=in_memory)
        begin("candidates")
        local = run.local_pairs(config)
        if config.needs_local_features and not in_memory:
            read = functools.partial(read_set, steps.spark, options=steps.options)
            local = local_candidates(sets, config, read, steps).toArrow()
        placed = run.candidates(config, local, large=self.large)
        if pc.any(placed.column("is_large")).as_py():
            return None
        begin("matching")
        copies = None
        if count := len(placed) - placed.column("b").null_count:
            known = take_evidence(self.earlier, run.pictures.column("sha256"))
            rows = run.to_judge(placed, matcher.measured, known)
            if workers := self.local_workers():
                self.judged = [judge_locally(rows, count, matcher, steps, workers=workers)]
            else:
                self.judged = [judge_rows(steps.spark.createDataFrame(rows), count, matcher, steps)]
            judged = self.judged[0].read("member", "representative", "kind", "described", "is_settled")
            copies = judged.filter(judged.column("is_settled"))
        begin("clusters")
        return run.answer(copies)

    def _shuffled(self, begin: Callable[[str], None]) -> DataFrame:
        sets, config, steps = self.sets, self.config, self.steps
        rows = read_rows(steps.spark, sets, steps.options, config.min_quality)
        units = units_for(sum(each.manifest.rows for each in sets), PICTURE_BYTES)
        pictures = steps.keep("pictures", pictures_of(rows), PICTURES, ["node"], units=units)
        parents = read_rows(steps.spark, sets[:1], steps.options, config.min_quality)
        if tuple(config.copies) == ONLY_EXACT:
            return duplicate_columns(parents, pictures.frame(), None)
        begin("candidates")
        candidates = find_candidates(pictures, sets, config, steps, large=self.large)
        begin("matching")
        matcher = _matcher(config, self.limits)
        known = read_evidence(steps.spark, self.earlier, steps.options)
        copies, self.judged = form_clusters(candidates, pictures, sets, matcher, steps, known=known)
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
