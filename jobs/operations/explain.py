"""Collect what manifests, their ancestors and the evidence of dedupe know about single rows."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from curation.choosing.rules import DROP_TARGET
from curation.copies.representative import why_it_represents
from curation.explaining.cluster import ClusterStory, Member, member_of
from curation.explaining.explanation import ORIGIN, PICTURE, SHARD, Explanation, outcome
from curation.explaining.text import text_story
from curation.explaining.verdict import Cutoff, verdict
from jobs.operations.explain_compared import compared_with
from manifests.errors import CurateError
from manifests.format.families import shards_of
from manifests.format.lineage import Step, lineage
from manifests.format.schema import STATUSES_WITH_PIXELS, Stage
from manifests.format.store import Manifest, open_manifest
from manifests.sql.engine import DuckEngine, columns_of, sql_text
from manifests.sql.lookup import PLACES, rows_at
from manifests.sql.names import Names, find_named

_SUBSETS = ("sample", "select")
_NOT_SHOWN = ("pdq", "pixels", "local", "local_points", "embedding")
_BEST = "status <> 'ok', -(coalesce(width, 0)::BIGINT * coalesce(height, 0)), -coalesce(size, 0), key"
"""The order of `curation.copies.representative.Rank`."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Explanations in the order in which the rows were named, and a sentence for each name without a row."""

    explanations: Sequence[Explanation]
    problems: Sequence[str]


def explain_rows(
    manifest: Manifest, typed: Sequence[str], *, listed: Sequence[str] = (), limit: int = 20, compared: bool = False
) -> Answers:
    """Return what is known about the rows that are named, as for `find_named`.

    Rows that `manifest` left out, as shards leave out what is not kept, are looked for in what it was made from.
    `limit`: how many members of a cluster each answer has at most. `compared`: whether to look for pictures that were
    compared with each and are no copies; that reads the hashes of all pairs that dedupe compared. Raises
    ManifestError when a part of the manifest is missing or damaged.
    """
    found: dict[str, Explanation] = {}
    keys: dict[str, Sequence[str]] = {}
    problems: list[str] = []
    steps = lineage(manifest)
    with DuckEngine() as engine:
        for place, names in _look(steps, typed, listed, engine):
            here = Rows(steps[place:], engine, limit=limit, compared=compared)
            left_out = (f"it is not in {manifest.uri}, made by {manifest.made_by}",) if place else ()
            found |= {each.key: each for each in here.explain(names.places, notes=left_out)}
            keys |= names.keys
            problems += names.problems(manifest.uri)
    ordered = dict.fromkeys(key for text in [*typed, *listed] for key in keys.get(text, ()))
    return Answers(explanations=[found[key] for key in ordered], problems=problems)


def _look(
    steps: Sequence[Step], typed: Sequence[str], listed: Sequence[str], engine: DuckEngine
) -> Iterator[tuple[int, Names]]:
    """Yield each manifest that has some of the rows: its place in `steps`, and them. The last has the problems."""
    first = find_named(steps[0].manifest, typed, engine, listed=listed)
    missing = set(first.missing)
    if not missing or not _leaves_out(steps[0].manifest):
        yield 0, first
        return
    yield 0, Names(places=first.places, keys=first.keys, ambiguous=first.ambiguous)
    for place, step in enumerate(steps[1:], start=1):
        if _leaves_out(step.manifest):
            continue
        names = find_named(
            step.manifest,
            [each for each in typed if each in missing],
            engine,
            listed=[each for each in listed if each in missing],
        )
        yield place, names
        return
    yield 0, Names(places=first.places.slice(0, 0), keys={}, missing=first.missing, nearest=first.nearest)


def _leaves_out(manifest: Manifest) -> bool:
    """Return whether rows of what `manifest` was made from are not in it, but may still be shown."""
    return manifest.made_by in (Stage.SHARD, *_SUBSETS)


def config_of(steps: Sequence[Step], stage: Stage) -> Mapping[str, Any] | None:
    """Return the recorded settings of a stage; None if its manifest is gone, or merged from several with others."""
    made = [step.manifest for step in steps]
    configs = [each.config for each in made if each.stage is stage]
    is_merged = any(each.made_by == "merge" for each in made)
    is_known = bool(configs) and not (is_merged and any(each != configs[0] for each in configs))
    return configs[0] or None if is_known else None


class Rows:
    """Explains rows of the first manifest of a lineage."""

    def __init__(self, steps: Sequence[Step], engine: DuckEngine, *, limit: int, compared: bool) -> None:
        self.manifest = steps[0].manifest
        self.steps = steps
        self.engine = engine
        self.limit = limit
        self.compared = compared
        self.whole = next((s.manifest for s in steps if not _leaves_out(s.manifest)), self.manifest)
        """The nearest manifest with complete clusters."""

    def explain(self, places: pa.Table, *, notes: tuple[str, ...] = ()) -> list[Explanation]:
        """Return the explanation of each row at `places`, with `notes`."""
        rows = _read(self.manifest, places)
        clusters = self._clusters([row["cluster_id"] for row in rows if _was_compared(row)])
        shards = self._shards([row["key"] for row in rows if row.get("keep")])
        found = [self._explanation(row, clusters, shards, notes) for row in rows]
        return self._with_compared(rows, found) if self.compared else found

    def _with_compared(self, rows: Sequence[Mapping[str, Any]], found: Sequence[Explanation]) -> list[Explanation]:
        config = config_of(self.steps, Stage.DEDUPE)
        made = [step.manifest for step in self.steps]
        others = compared_with([row for row in rows if _was_compared(row)], made, self.whole, config, self.engine)
        return [
            each
            if each.cluster is None
            else replace(each, cluster=replace(each.cluster, compared=others.get(each.key, ())))
            for each in found
        ]

    def _explanation(
        self,
        row: Mapping[str, Any],
        clusters: Mapping[str, Sequence[Mapping[str, Any]]],
        shards: Mapping[str, Mapping[str, Any]],
        notes: tuple[str, ...],
    ) -> Explanation:
        cluster = self._cluster(row, clusters.get(row["cluster_id"], ())) if _was_compared(row) else None
        cutoff = self._cutoff if row.get("drop_reason") == DROP_TARGET else None
        decided = verdict(row, config_of(self.steps, Stage.CHOOSE), cutoff)
        shard = {name: row[name] for name in SHARD if name in row} if "shard" in row else shards.get(row["key"])
        picture = {name: row[name] for name in PICTURE if name in row}
        lacking = [
            f"the settings of {stage} are not recorded here any more: {self._lost}"
            for stage, value in ((Stage.CHOOSE, row.get("keep")), (Stage.SCORE, row.get("text_score")))
            if value is not None and config_of(self.steps, stage) is None
        ]
        return Explanation(
            key=row["key"],
            manifest=self.manifest.uri,
            stage=str(self.manifest.stage),
            outcome=outcome(picture, cluster, decided, shard, row),
            origin={name: row[name] for name in ORIGIN if name in row},
            picture=picture,
            text=text_story(row, config_of(self.steps, Stage.SCORE)),
            cluster=cluster,
            verdict=decided,
            shard=shard,
            notes=(*notes, *lacking),
        )

    @functools.cached_property
    def _lost(self) -> str:
        """Why the oldest manifest that is there has no parent."""
        gone = [link for step in self.steps for link in step.row_links if link.found is None]
        return gone[0].why if gone else "manifests with different settings were merged"

    @functools.cached_property
    def _cutoff(self) -> Cutoff:
        columns = {"keep": "keep", "score": "text_score", "missed": f"drop_reason = {sql_text(DROP_TARGET)}"}
        self.engine.view("verdicts", self.whole, columns)
        found = self.engine.fetch(
            "SELECT min(score) FILTER (keep) AS score, count(*) FILTER (keep) AS kept, "
            "count(*) FILTER (missed) AS missed FROM verdicts"
        )
        return Cutoff(**found.to_pylist()[0])

    def _clusters(self, ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Return cluster_id → its rows: some, and the best ones, each with `count`, the representative first."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        names = ("cluster_id", "key", "duplicate_of", "status", "width", "height", "size")
        self.engine.view("members", self.whole, columns_of(names))
        self.engine.table("clusters", pa.table({"cluster_id": pa.array(wanted, pa.string())}))
        found = self.engine.fetch(
            "SELECT part, row, key, count FROM (SELECT m.part AS part, m.row AS row, m.key AS key, "
            "count(*) OVER (PARTITION BY cluster_id) AS count, "
            "row_number() OVER (PARTITION BY cluster_id ORDER BY duplicate_of IS NOT NULL, key) AS place, "
            f"row_number() OVER (PARTITION BY cluster_id, duplicate_of IS NULL ORDER BY {_BEST}) AS best "
            "FROM members m JOIN clusters c USING (cluster_id)) "
            f"WHERE place <= {self.limit} OR best = 1 ORDER BY part, row"
        )
        counts = dict(zip(found.column("key").to_pylist(), found.column("count").to_pylist(), strict=True))
        clusters: dict[str, list[dict[str, Any]]] = {}
        for row in _read(self.whole, found.select(PLACES.names).cast(PLACES)):
            clusters.setdefault(row["cluster_id"], []).append({**row, "count": counts[row["key"]]})
        for rows in clusters.values():
            rows.sort(key=lambda each: (each["duplicate_of"] is not None, each["key"]))
        return clusters

    def _cluster(self, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> ClusterStory:
        config = config_of(self.steps, Stage.DEDUPE)
        heads = [each for each in rows if each["duplicate_of"] is None]
        if heads:
            others = [each for each in rows if each["duplicate_of"] is not None]
            representative, why = member_of(heads[0], config), why_it_represents(heads[0], others)
        else:
            representative, why = self._outside(row)
        members = [member_of(each, config) for each in rows]
        shown = [each for each in members[: self.limit] if each.key != row["key"]]
        own = next((each for each in members if each.key == row["key"]), member_of(row, config))
        ordered = sorted([own, *shown[: self.limit - 1]], key=lambda each: (each.duplicate_of is not None, each.key))
        return ClusterStory(
            cluster_id=row["cluster_id"],
            count=rows[0]["count"] if rows else 1,
            own=own,
            representative=representative,
            why=why,
            members=tuple(ordered),
        )

    def _outside(self, row: Mapping[str, Any]) -> tuple[Member, str]:
        """Return the representative of `row` in another manifest, its key alone if that cannot be read, and why."""
        name = row["reference"]
        why = (
            f"it is in the reference set {name}" if name else "it was in a manifest that this one was checked against"
        )
        for link in (link for step in self.steps for link in step.links):
            if link.role == f"reference:{name}" if name else link.role.startswith("against:"):
                found = self._row_in(link.recorded.uri, row["duplicate_of"])
                if found is not None:
                    return member_of(found, None, manifest=link.recorded.uri), why
        return Member(key=row["duplicate_of"]), f"{why}, which is no longer where it was"

    def _row_in(self, uri: str, key: str) -> Mapping[str, Any] | None:
        try:
            other = open_manifest(uri)
            return next(iter(_read(other, find_named(other, (), self.engine, listed=[key]).places)), None)
        except (CurateError, OSError):
            return None  # moved since; its key is known nevertheless

    def _shards(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return key → where the sample is in the shards beside this manifest, for those that are there."""
        shards = None if not keys or self.manifest.stage is Stage.SHARD else shards_of(self.manifest)
        if shards is None:
            return {}
        rows = _read(shards, find_named(shards, (), self.engine, listed=keys).places)
        return {row["key"]: {name: row[name] for name in SHARD if name in row} for row in rows}


def _was_compared(row: Mapping[str, Any]) -> bool:
    return row.get("cluster_id") is not None and row["status"] in STATUSES_WITH_PIXELS


def _read(manifest: Manifest, places: pa.Table) -> list[dict[str, Any]]:
    columns = [name for name in manifest.schema.names if name not in _NOT_SHOWN]
    return [row for table in rows_at(manifest, places, columns) for row in table.to_pylist()]
