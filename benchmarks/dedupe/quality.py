"""Clusters of this project and of other tools, scored by one script."""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from benchmarks.dedupe.corpus import Row, place_of
from curation.copies.cells import BITS
from curation.pictures.pdq import PDQ_MATCH_DISTANCE

SCORED = ("key", "source", "member", "status", "cluster_id", "duplicate_of")

IMAGEDEDUP = """
import json, sys
from imagededup.methods import PHash
folder, out = sys.argv[1:]
method = PHash(verbose=False)
found = method.find_duplicates(encoding_map=method.encode_images(image_dir=folder, num_enc_workers=0))
json.dump(found, open(out, "w"))
"""


def connected(rows: Sequence[Row], pairs: Sequence[tuple[int, int]]) -> list[Row]:
    """Return `rows` clustered into the connected components of `pairs`; the first row of each represents it."""
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(rows), len(rows)))
    _, labels = connected_components(links, directed=False)
    return with_clusters(rows, labels.tolist())


def with_clusters(rows: Sequence[Row], clusters: Sequence[Any]) -> list[Row]:
    """Return `rows` with these clusters; the first of each represents it."""
    heads: dict[Any, str] = {}
    for row, cluster in zip(rows, clusters, strict=True):
        heads.setdefault(cluster, row["key"])
    placed = zip(rows, (heads[cluster] for cluster in clusters), strict=True)
    return [{**row, "cluster_id": head, "duplicate_of": None if head == row["key"] else head} for row, head in placed]


def same_pictures(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return pairs of places of rows with the same picture."""
    first: dict[bytes, int] = {}
    return [(first.setdefault(row["node"], place), place) for place, row in enumerate(rows)]


def near_fingerprints(
    prints: Mapping[int, tuple[bytes, int]], min_quality: int, max_distance: int = PDQ_MATCH_DISTANCE
) -> list[tuple[int, int]]:
    """Return pairs of places whose PDQ is near enough, all compared with all."""
    places = [place for place, (_, quality) in prints.items() if quality >= min_quality]
    bits = np.frombuffer(b"".join(prints[place][0] for place in places), np.uint8).reshape(-1, BITS // 8)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(bits)
    limits, _, labels = index.range_search(bits, max_distance + 1)
    askers = np.repeat(np.arange(len(bits)), np.diff(limits.astype(np.int64)))
    return [(places[a], places[b]) for a, b in zip(askers.tolist(), labels.tolist(), strict=True) if a < b]


def imagededup_pairs(python: Path, folder: Path, where: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs of places that imagededup calls duplicates; `folder` has a PNG for each of `where`."""
    out = folder.with_suffix(".json")
    done = subprocess.run(
        [str(python), "-c", IMAGEDEDUP, str(folder), str(out)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"{python}: imagededup failed; is it installed there?\n{done.stderr[-2000:]}")
    found = json.loads(out.read_text())
    return [(where[int(Path(a).stem)], where[int(Path(b).stem)]) for a, several in found.items() for b in several]


def score_with_tool(tool: Path, rows: Sequence[Row], truth: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return how the score tool rates `rows` as a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        truth_csv = Path(folder, "truth.csv")
        with truth_csv.open("w", newline="") as f:
            writer = csv.DictWriter(f, list(truth[0]))
            writer.writeheader()
            writer.writerows(truth)
        schema = pa.schema([(name, pa.string()) for name in SCORED])
        pq.write_table(
            pa.Table.from_pylist([{n: row[n] for n in SCORED} for row in rows], schema), f"{folder}/0.parquet"
        )
        command = [sys.executable, str(tool), folder, "--truth", str(truth_csv), "--json"]
        found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {key: value for key, value in found.items() if key.startswith("dedupe_")}


def in_halves(rows: Sequence[Row], truth: Sequence[Mapping[str, str]]) -> dict[str, tuple[list[Row], list[Any]]]:
    """Return the rows and the truth of either half of the tars, clusters restricted to the half."""
    tars = sorted({t["tar"] for t in truth})
    found = {}
    for name, half in (("first", tars[: len(tars) // 2]), ("second", tars[len(tars) // 2 :])):
        mine = [row for row in rows if place_of(row)[0] in half]
        # A member whose representative is in the other half gets another one.
        heads = with_clusters(mine, [row["cluster_id"] for row in mine])
        found[f"{name} half ({half[0]} to {half[-1]})"] = (heads, [t for t in truth if t["tar"] in half])
    return found
