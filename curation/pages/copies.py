"""The page "duplicates": clusters by size and kind, and the pairs that the strictness has only just decided."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from curation.copies.describe import describe_evidence
from curation.copies.kinds import Evidence, Strictness, kind_of
from curation.pages.picks import ROWS, Rows
from curation.pages.plots import histogram
from manifests import storage
from manifests.errors import ManifestError
from manifests.format.schema import Stage
from manifests.format.store import EVIDENCE_FOLDER, Manifest, open_manifest
from manifests.sql.engine import sql_text
from manifests.sql.opaque_files import duckdb_name

PairKey = tuple[str, str]
MAX_CLUSTERS = 50
MAX_MEMBERS = 9
MAX_REJECTED = 500_000
_PDQ_ONLY = "duplicate_evidence LIKE '%\"differing\"%'"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster: how many members it has, and the first of them, the representative before its copies."""

    name: str
    size: int
    kinds: Mapping[str, int]
    members: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two pictures that were compared, and what was found of the first in the second. `verdict`: the kind, if any."""

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    evidence: Mapping[str, Any]
    verdict: str
    described: str

    @property
    def key(self) -> PairKey:
        """The keys of both."""
        return self.first["key"], self.second["key"]


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Numbers of all clusters with copies: how many, how many copies, and rows by kind."""

    count: int
    copies: int
    kinds: Sequence[tuple[str, int]]
    sizes: Markup | None


def summary(rows: Rows) -> Clusters | None:
    """Return the numbers of the clusters, None before dedupe."""
    if not rows.has("cluster_id"):
        return None
    kinds = rows.fetch(
        f"SELECT coalesce(duplicate_kind, '?') AS kind, count(*) AS n FROM {ROWS} WHERE duplicate_of IS NOT NULL "
        "GROUP BY kind ORDER BY n DESC, kind"
    )
    sizes = rows.fetch(
        f"SELECT n AS size, count(*) AS clusters FROM (SELECT count(*) AS n FROM {ROWS} GROUP BY cluster_id) "
        "WHERE n > 1 GROUP BY n ORDER BY n"
    )
    return Clusters(
        count=sum(int(row["clusters"]) for row in sizes),
        copies=sum(int(row["n"]) for row in kinds),
        kinds=[(row["kind"], int(row["n"])) for row in kinds],
        sizes=_size_plot(sizes),
    )


def _size_plot(sizes: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not sizes:
        return None
    largest = max(int(row["size"]) for row in sizes)
    last = min(largest, 40)
    counts = np.zeros(last - 1)
    for row in sizes:
        counts[min(int(row["size"]), last) - 2] += row["clusters"]
    label = "pictures in a cluster" + (f" ({last}: {last} or more)" if largest > last else "")
    return histogram(
        np.arange(2, last + 2, dtype=np.float64) - 0.5,
        {"clusters": counts},
        xlabel=label,
        ylabel="clusters",
        described="Histogram of the number of pictures in a cluster",
    )


def largest(rows: Rows) -> list[Cluster]:
    """Return the MAX_CLUSTERS largest clusters, each with at most MAX_MEMBERS members, of different kinds first."""
    found = rows.fetch(
        f"SELECT cluster_id, count(*) AS n FROM {ROWS} GROUP BY cluster_id HAVING n > 1 "
        f"ORDER BY n DESC, cluster_id LIMIT {MAX_CLUSTERS}"
    )
    if not found:
        return []
    names = ", ".join(sql_text(row["cluster_id"]) for row in found)
    kinds: dict[str, dict[str, int]] = {}
    for row in rows.fetch(
        f"SELECT cluster_id AS c, duplicate_kind AS kind, count(*) AS n FROM {ROWS} WHERE cluster_id IN ({names}) "
        "AND duplicate_of IS NOT NULL GROUP BY ALL ORDER BY n DESC, kind"
    ):
        kinds.setdefault(row["c"], {})[row["kind"] or "?"] = int(row["n"])
    members = rows.fetch(
        f"SELECT cluster_id AS c, part, row FROM (SELECT *, row_number() OVER (PARTITION BY cluster_id, "
        f"duplicate_kind ORDER BY hash) AS turn FROM {ROWS} WHERE cluster_id IN ({names})) "
        "QUALIFY row_number() OVER (PARTITION BY cluster_id ORDER BY duplicate_of IS NOT NULL, turn, hash) "
        f"<= {MAX_MEMBERS} ORDER BY c, duplicate_of IS NOT NULL, turn, hash"
    )
    read = rows.rows({(row["part"], row["row"]) for row in members})
    by_cluster: dict[str, list[Mapping[str, Any]]] = {}
    for row in members:
        by_cluster.setdefault(row["c"], []).append(read[row["part"], row["row"]])
    return [
        Cluster(
            name=row["cluster_id"],
            size=int(row["n"]),
            kinds=kinds.get(row["cluster_id"], {}),
            members=by_cluster[row["cluster_id"]],
        )
        for row in found
    ]


def accepted(rows: Rows, count: int) -> list[Pair]:
    """Return copies of each kind that agree least with their representative, at most `count` of each kind."""
    if not rows.has("duplicate_evidence"):
        return []
    agrees = "(json_extract(duplicate_evidence, '$.differing'))::DOUBLE"
    found = rows.fetch(
        f"SELECT part, row, duplicate_of AS other FROM {ROWS} WHERE {_PDQ_ONLY} "
        f"QUALIFY row_number() OVER (PARTITION BY duplicate_kind ORDER BY {agrees} DESC, hash) <= {count} "
        f"ORDER BY duplicate_kind, {agrees} DESC, hash"
    )
    read = rows.rows({(row["part"], row["row"]) for row in found})
    others = _by(rows, "key", {row["other"] for row in found})
    pairs = []
    for row in found:
        first = read[row["part"], row["row"]]
        if (second := others.get(row["other"])) is not None:  # it may be in another manifest
            text = first["duplicate_evidence"]
            pairs.append(
                Pair(
                    first=first,
                    second=second,
                    evidence=json.loads(text),
                    verdict=first["duplicate_kind"],
                    described=describe_evidence(text),
                )
            )
    return pairs


def rejected(rows: Rows, count: int) -> list[Pair]:
    """Return pairs that were compared and are no copies, those that agree most: at most `count`.

    They are read from the evidence that dedupe keeps beside its manifest; there are none if that was removed.
    """
    found = _deduplicated(rows.manifest)
    if found is None:
        return []
    strictness = Strictness(**(found.config.get("strictness") or {}))
    copies = set(found.config.get("copies") or ())
    files = [
        duckdb_name(storage.join(found.uri, path), int(about["bytes"]))
        for path, about in sorted(found.files.items())
        if path.startswith(f"{EVIDENCE_FOLDER}/")
    ]
    if not files:
        return []
    listed = ", ".join(map(sql_text, files))
    candidates = rows.fetch(
        "SELECT lower(hex(first_sha256)) AS a, lower(hex(second_sha256)) AS b, evidence AS e FROM (SELECT * FROM "
        f"read_parquet([{listed}], hive_partitioning=false) WHERE evidence IS NOT NULL LIMIT {MAX_REJECTED}) "
        "WHERE (json_extract(e, '$.differing'))::DOUBLE < 0.5 "
        f"ORDER BY (json_extract(e, '$.differing'))::DOUBLE, a, b LIMIT {40 * count + 2000}"
    )
    refused = [
        (each, evidence)
        for each in candidates
        if (evidence := _evidence(each["e"])) is not None and kind_of(evidence, strictness, copies) is None
    ][: 3 * count]
    pictures = _by(rows, "sha256", {each[name] for each, _ in refused for name in ("a", "b")})
    pairs = [
        Pair(
            first=pictures[each["a"]],
            second=pictures[each["b"]],
            evidence=dataclasses.asdict(evidence),
            verdict="",
            described=describe_evidence(json.dumps({"kind": "", "verified": True, **dataclasses.asdict(evidence)})),
        )
        for each, evidence in refused
        if each["a"] in pictures and each["b"] in pictures
        and pictures[each["a"]]["cluster_id"] != pictures[each["b"]]["cluster_id"]
    ]  # fmt: skip
    return pairs[:count]


def _evidence(text: str) -> Evidence | None:
    found = json.loads(text)
    names = {field.name for field in dataclasses.fields(Evidence)}
    try:
        return Evidence(**{name: value for name, value in found.items() if name in names})
    except TypeError:  # by an earlier version
        return None


def _deduplicated(manifest: Manifest) -> Manifest | None:
    """Return the manifest of dedupe behind `manifest`, None if it is no longer there."""
    with contextlib.suppress(ManifestError, IndexError, OSError):
        while manifest.stage is not Stage.DEDUPE:
            parent = manifest.parents[0]
            manifest = open_manifest(parent.uri)
            if manifest.digest != parent.digest:
                return None
        return manifest
    return None


def _by(rows: Rows, column: str, values: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return value → the row with it in `column`, the first by key."""
    if not values:
        return {}
    listed = ", ".join(sql_text(value) for value in sorted(values))
    found = rows.fetch(f"SELECT part, row, {column} AS v FROM {ROWS} WHERE {column} IN ({listed}) ORDER BY key DESC")
    read = rows.rows({(row["part"], row["row"]) for row in found})
    return {row["v"]: read[row["part"], row["row"]] for row in found}


def pictures_of(clusters: Sequence[Cluster], pairs: Sequence[Pair]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows whose pictures the page shows."""
    for cluster in clusters:
        yield from cluster.members
    for pair in pairs:
        yield from (pair.first, pair.second)
