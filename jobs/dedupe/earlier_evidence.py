"""What earlier runs have found when they compared pictures, kept beside their manifests and taken by later runs.

Files in the folder `_evidence` of a deduplicated manifest have a row for each pair that was judged, also for those
that are no copies: the sha256 of both pictures and the evidence, as columns of EVIDENCE. It depends on the bytes of
the pictures and on software only, so a file is named by a hash of that software, and files of other software are
passed over. Kinds, strictness and clusters are decided anew, and the evidence holds for either picture as the better.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.spark import frames
from jobs.spark.steps import UNIT, Making, Steps, Table, unit_of_hash, units_for
from manifests import storage
from manifests.errors import ManifestError
from manifests.format.digest import settings_hash
from manifests.format.schema import Stage
from manifests.format.store import EVIDENCE_FOLDER, Manifest, open_manifest, read_batches

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


def take_evidence(files: Mapping[str, int], sha256s: pa.ChunkedArray) -> pa.Table:
    """Return what `read_evidence` does, of pairs among the pictures with these hashes, in this process."""
    mine = pa.array([bytes.fromhex(each) for each in sha256s.drop_null().to_pylist()], pa.binary())
    found = [EVIDENCE.empty_table()]
    for uri, size_bytes in files.items():
        for batch in read_batches(uri, EVIDENCE.names, size_bytes=size_bytes):
            table = pa.Table.from_batches([batch]).cast(EVIDENCE)
            are_mine = (pc.is_in(table.column(name), mine) for name in _BY)
            found.append(table.filter(functools.reduce(pc.and_, are_mine)))
    once = pa.concat_tables(found).group_by(_BY, use_threads=False).aggregate([("evidence", "first")])
    text = [pa.array([each.hex() for each in once.column(name).to_pylist()], pa.string()) for name in _BY]
    return pa.table([*text, once.column("evidence_first")], EVIDENCE.names)


def write_evidence(
    judged: Sequence[Table], steps: Steps, output: str, name: str, *, in_process: bool
) -> Mapping[str, Mapping[str, Any]]:
    """Write the evidence of `judged` pairs beside the manifest at `output`; return path → `bytes` and `sha256`.

    If there is little of it, it may be written `in_process`, without Spark.
    """
    tables = [table for table in judged if table.rows]
    units = units_for(sum(table.rows for table in tables), ROW_BYTES)
    if not tables:
        return {}
    folder = storage.join(output, EVIDENCE_FOLDER)
    making = Making(name=name, schema=EVIDENCE, units=units, order=EVIDENCE.names, folder=folder)
    if in_process and units == 1:
        read = pa.concat_tables([table.read(*EVIDENCE.names) for table in tables])
        text = [[bytes.fromhex(each) for each in read.column(column).to_pylist()] for column in _BY]
        mine = [*(pa.array(column, pa.binary()) for column in text), read.column("evidence")]
        made = steps.make_here(pa.table(mine, EVIDENCE.names), making)
    else:
        found = functools.reduce(DataFrame.unionByName, [table.frame(*EVIDENCE.names) for table in tables])
        rows = found.select(*(F.unhex(column).alias(column) for column in _BY), "evidence")
        made = steps.make(rows.withColumn(UNIT, unit_of_hash(_BY, units)), making)
    return {
        f"{EVIDENCE_FOLDER}/{receipt.part}": {"bytes": receipt.size_bytes, "sha256": receipt.sha256}
        for receipt in made.receipts
        if receipt.rows
    }
