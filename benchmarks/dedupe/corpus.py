"""The labelled corpus, and rows of manifests of it."""

import csv
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.dedupe import pictures
from jobs.spark.session import ONE_THREAD
from manifests.format.store import Manifest

DIFFICULTIES = ("exact", "mild", "overlay", "crop", "geometric", "strong")

Row = dict[str, Any]
Grey = NDArray[np.uint8]
Pairs = set[tuple[bytes, bytes]]


def read_truth(web: Path) -> list[dict[str, str]]:
    """Return the rows of truth.csv."""
    with (web / "truth.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def place_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the tar and the key there of a manifest row, as truth names them."""
    return row["source"].rsplit("/", 1)[-1], row["member"].rsplit("/", 1)[-1].partition(".")[0]


def read_rows(manifest: Manifest, *columns: str) -> list[Row]:
    """Return all rows in the order of their keys; `node` identifies the pixels of an image."""
    wanted = [name for name in columns if name != "node"]
    needed = ["key", "sha256", "status", "pixels"] if "node" in columns else []
    tables = [manifest.read_part(part, list(dict.fromkeys([*wanted, *needed]))) for part in manifest.parts]
    table = pa.concat_tables(tables)
    if "node" in columns:
        table = table.append_column("node", pictures.node_of(table))
    return sorted(table.to_pylist(), key=lambda row: row["key"])


def one_thread_pool(workers: int, **settings: Any) -> ProcessPoolExecutor:
    """Return a pool of new processes in which numerical libraries use one thread, as Spark's workers do."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), **settings)
