"""Find pictures that dedupe compared with one and that are no copies of it, in the evidence beside its manifest."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.copies.compare_pixels import inverted
from curation.copies.kinds import Evidence
from curation.explaining.cluster import Member, member_of
from manifests import storage
from manifests.errors import ManifestError
from manifests.format.parquet_files import open_parquet
from manifests.format.schema import Stage
from manifests.format.store import EVIDENCE_FOLDER, Manifest
from manifests.sql.engine import DuckEngine, columns_of
from manifests.sql.lookup import PLACES, rows_at

MAX_OTHERS = 5
_PAIR = ("first_sha256", "second_sha256")
_COLUMNS = (
    "key",
    "cluster_id",
    "source",
    "member",
    "offset",
    "size",
    "sha256",
    "format",
    "status",
    "width",
    "height",
)


def compared_with(
    rows: Sequence[Mapping[str, Any]],
    made: Iterable[Manifest],
    whole: Manifest,
    config: Mapping[str, Any] | None,
    engine: DuckEngine,
) -> dict[str, tuple[Member, ...]]:
    """Return key → the pictures that dedupe compared with each of `rows` and that are in other clusters.

    Those of which most agrees come first, MAX_OTHERS at most. `made`: the manifests of the lineage; `whole` has the
    rows of the others, and `config` are the settings of dedupe. All hashes of the evidence are read.
    """
    deduped = next((each for each in made if each.stage is Stage.DEDUPE and not each.derivation), None)
    own = {row["sha256"]: row for row in rows if row.get("sha256")}
    if deduped is None or not own:
        return {}
    pairs: dict[str, list[tuple[str, Evidence]]] = {}
    for mine, other, evidence in _pairs(deduped, set(own)):
        pairs.setdefault(mine, []).append((other, evidence))
    others = _rows_with({other for found in pairs.values() for other, _ in found}, whole, engine)
    answers = {}
    for row in rows:
        near = sorted(pairs.get(row.get("sha256") or "", ()), key=lambda pair: (pair[1].differing, pair[0]))
        members = (
            _described(others[other], evidence, config)
            for other, evidence in near
            if other in others and others[other]["cluster_id"] != row["cluster_id"]
        )
        answers[row["key"]] = tuple(member for member, _ in zip(members, range(MAX_OTHERS), strict=False))
    return answers


def _pairs(deduped: Manifest, wanted: set[str]) -> Iterator[tuple[str, str, Evidence]]:
    """Yield the sha256 of a wanted picture, that of another, and the evidence of the first in the second."""
    hashes = pa.array([bytes.fromhex(each) for each in sorted(wanted)], pa.binary())
    for path, about in sorted(deduped.files.items()):
        if not path.startswith(f"{EVIDENCE_FOLDER}/"):
            continue
        uri = storage.join(deduped.uri, path)
        try:
            with open_parquet(uri, about["bytes"]) as parquet:
                for number in range(len(parquet.group_rows)):
                    pair = parquet.read_group(number, _PAIR)
                    is_wanted = pc.or_(*(pc.is_in(pair.column(name), hashes) for name in _PAIR))
                    if pc.any(is_wanted).as_py():
                        found = parquet.read_group(number, [*_PAIR, "evidence"]).filter(is_wanted)
                        for row in found.to_pylist():
                            yield from _oriented(row, wanted)
        except FileNotFoundError as e:
            raise ManifestError(f"{uri}: missing; without it, leave out --compared") from e


def _oriented(row: Mapping[str, Any], wanted: set[str]) -> Iterator[tuple[str, str, Evidence]]:
    if row["evidence"] is None:
        return  # nothing in common
    recorded = json.loads(row["evidence"])
    if "matrix" not in recorded:
        return  # fingerprints or embeddings, whose pixels were not compared
    evidence = Evidence(**{**recorded, "matrix": tuple(recorded["matrix"])})
    first, second = (row[name].hex() for name in _PAIR)
    if first in wanted:
        yield first, second, evidence
    if second in wanted and second != first:
        yield second, first, inverted(evidence)


def _rows_with(hashes: set[str], manifest: Manifest, engine: DuckEngine) -> dict[str, dict[str, Any]]:
    """Return sha256 → the first row with it."""
    if not hashes:
        return {}
    engine.view("pictures", manifest, columns_of(["key", "sha256"]))
    engine.table("others", pa.table({"sha256": pa.array(sorted(hashes), pa.string())}))
    found = engine.fetch(
        "SELECT part, row, key FROM (SELECT p.*, row_number() OVER (PARTITION BY sha256 ORDER BY key) AS place "
        "FROM pictures p JOIN others o USING (sha256)) WHERE place = 1 ORDER BY part, row"
    )
    rows = (row for table in rows_at(manifest, found.cast(PLACES), _COLUMNS) for row in table.to_pylist())
    return {row["sha256"]: row for row in rows}


def _described(row: Mapping[str, Any], evidence: Evidence, config: Mapping[str, Any] | None) -> Member:
    recorded = {"kind": "", "verified": True, "distance": None, **dataclasses.asdict(evidence)}
    member = member_of({**row, "duplicate_evidence": json.dumps(recorded)}, config)
    if not evidence.changed:
        return member
    return dataclasses.replace(member, found=f"{member.found}, {evidence.changed:.1%} of what is legible differs")
