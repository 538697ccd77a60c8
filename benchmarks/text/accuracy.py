"""Accuracy on the labelled corpus: what a score tool says of the manifest, and the shipped operating points."""

import dataclasses
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from benchmarks.text.corpus import WEB_MIX, as_jpeg_of_one_size, without_planted, write_truth
from benchmarks.text.pipeline import choose_all
from curation.trust.calibration import Interval, share


def score_with_tool(tool: Path, manifest: Path, truth: Path) -> dict[str, Any]:
    """Return what the score tool says of `manifest`."""
    command = [sys.executable, str(tool), str(manifest), "--truth", str(truth), "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {k: v for k, v in found.items() if k.startswith("text_")}


def operating_points(manifest: Path, truth: Sequence[Mapping[str, str]]) -> dict[str, Interval]:
    """Return recall and false rate of heavy and light at the shipped thresholds, with 95 % intervals."""
    labels = {(r["tar"], r["key"]): r["label"] for r in truth if r["label"] in WEB_MIX and not r.get("boundary")}
    names = ["source", "member", "status", "duplicate_of", "text_class"]
    parts = sorted(str(p) for p in manifest.glob("*.parquet"))
    classes: dict[str, list[str]] = defaultdict(list)
    for row in ds.dataset(parts).to_table(columns=names).to_pylist():
        place = (row["source"].rsplit("/", 1)[-1], row["member"].partition(".")[0])
        if place in labels and row["status"] == "ok" and row["duplicate_of"] is None:
            classes[labels[place]].append(row["text_class"])
    rich, some, none = (classes[label] for label in ("rich", "some", "none"))

    def of(found: Sequence[str], *wanted: str) -> Interval:
        return share(np.array([c in wanted for c in found]), np.ones(len(found)))

    return {
        "heavy recall (rich)": of(rich, "heavy"),
        "heavy false rate (some and none)": of(some + none, "heavy"),
        "light recall (rich and some)": of(rich + some, "heavy", "light"),
        "light recall (some)": of(some, "heavy", "light"),
        "light false rate (none)": of(none, "heavy", "light"),
    }


def measure_accuracy(
    web: Path, chosen: Path, half: Sequence[Mapping[str, str]], tool: Path | None, work: Path
) -> dict[str, Any]:
    """Return the accuracy on `half` of the manifest `chosen`, and of one over the images as JPEG of one size."""
    one_size = choose_all(as_jpeg_of_one_size(web, work / "jpeg"), work / "one-size")
    found: dict[str, Any] = {}
    for name, manifest in (("as stored", chosen), ("JPEG of one size", one_size)):
        for which, rows in (("labels as they are", half), ("planted texts left out", without_planted(half))):
            path = write_truth(work / "truth.csv", rows)
            found[f"{name}, {which}"] = score_with_tool(tool, manifest, path) if tool else {}
        found[f"{name}, operating points"] = {
            k: dataclasses.asdict(v) for k, v in operating_points(manifest, without_planted(half)).items()
        }
    return found
