"""What earlier runs have found when they compared pictures, kept beside their manifests and taken by later runs.

Files in the folder `_evidence` of a deduplicated manifest have a row for each pair that was judged, also for those
that are no copies: the sha256 of both pictures and the evidence, as columns of EVIDENCE. It depends on the bytes of
the pictures and on software only, so a file is named by a hash of that software, and files of other software are
passed over. Kinds, strictness and clusters are decided anew, and the evidence holds for either picture as the better.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.star_clusters import union
from jobs.spark import frames
from jobs.spark.steps import UNIT, Making, Steps, Table, unit_of_hash, units_for
from manifests import storage
from manifests.errors import ManifestError
from manifests.format.digest import settings_hash
from manifests.format.schema import Stage
from manifests.format.store import EVIDENCE_FOLDER, Manifest, open_manifest

EVIDENCE = pa.schema([("first_sha256", pa.binary()), ("second_sha256", pa.binary()), ("evidence", pa.string())])
"""A pair in the order in which its pictures are compared, and what is found of the first in the second."""
ROW_BYTES = 200
_BY = ["first_sha256", "second_sha256"]


def software_name(software: Mapping[str, Any]) -> str:
    """Return the beginning of the names of files with evidence found by this software, and its limits."""
    return f"pairs-{settings_hash({**software, 'columns': EVIDENCE.names})[:12]}"


def files_at(output: str, name: str) -> dict[str, int]:
    """Return the URIs of the files of software `name` that a run has left at `output`, with their bytes."""
    folder = storage.join(output, EVIDENCE_FOLDER)
    sizes = {file: int(entry["size"]) for file, entry in storage.entries(folder).items()}
    return {storage.join(folder, file): size for file, size in sizes.items() if file.startswith(f"{name}-")}


def files_of(manifest: Manifest, name: str) -> dict[str, int]:
    """Return the URIs of the files of software `name` beside the deduplicated manifest behind `manifest`."""
    with contextlib.suppress(ManifestError, IndexError):
        while manifest.stage is not Stage.DEDUPE:
            parent = manifest.parents[0]
            manifest = open_manifest(parent.uri)
            if manifest.digest != parent.digest:
                return {}
    start = f"{EVIDENCE_FOLDER}/{name}-"
    mine = {path: about["bytes"] for path, about in manifest.files.items() if path.startswith(start)}
    return {storage.join(manifest.uri, path): size for path, size in mine.items()}


def read_evidence(spark: SparkSession, files: Mapping[str, int], options: frames.Options) -> DataFrame | None:
    """Return (`first_sha256`, `second_sha256`, `evidence`), each pair once; None without any file."""
    if not files:
        return None
    found = frames.read_files(spark, files, EVIDENCE, options)
    text = [F.lower(F.hex(name)).alias(name) for name in _BY]
    return found.dropDuplicates(_BY).select(*text, "evidence")


def write_evidence(judged: Sequence[Table], steps: Steps, output: str, name: str) -> Mapping[str, Mapping[str, Any]]:
    """Write the evidence of `judged` pairs beside the manifest at `output`; return path → `bytes` and `sha256`."""
    units = units_for(sum(table.rows for table in judged), ROW_BYTES)
    found = union([table.frame(*EVIDENCE.names) for table in judged if table.rows])
    if found is None:
        return {}
    rows = found.select(*(F.unhex(column).alias(column) for column in _BY), "evidence")
    folder = storage.join(output, EVIDENCE_FOLDER)
    making = Making(name=name, schema=EVIDENCE, units=units, order=EVIDENCE.names, folder=folder)
    made = steps.make(rows.withColumn(UNIT, unit_of_hash(_BY, units)), making)
    return {
        f"{EVIDENCE_FOLDER}/{receipt.part}": {"bytes": receipt.size_bytes, "sha256": receipt.sha256}
        for receipt in made.receipts
        if receipt.rows
    }
