"""What must always hold (equal scores in any batch, equal digests), memory, and what each step does."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.text.corpus import WEB_MIX, Labelled, picture_to_score
from benchmarks.text.looking import measure_alone
from benchmarks.text.pipeline import curate
from curation.text.bounds import CascadeSettings, default_bounds
from curation.text.cascade import Cascade, parse_text_trail
from curation.text.first_look import first_look
from curation.trust.calibration import LabelledRow, step_reports
from curation.trust.labels import Label
from filters.protocol import load_engine
from manifests.format.store import open_manifest

NAMES: dict[str, Label] = {"none": "none", "some": "light", "rich": "heavy"}
BATCH_SIZES = (1, 8, 64)
LAW_IMAGES = 128


def all_steps(images: Sequence[Labelled]) -> list[LabelledRow]:
    """Return what every step thinks of each image."""
    cascade = Cascade(load_engine("rapidocr"), CascadeSettings(is_exhaustive=True))
    found = []
    for image in images:
        measures = measure_alone(cascade, picture_to_score(image.data))
        found.append(
            LabelledRow(
                key=image.key,
                label=NAMES[image.label],
                probabilities=parse_text_trail(measures.text_trail),
            )
        )
    return found


def measure_steps(images: Sequence[Labelled]) -> dict[str, list[dict[str, Any]]]:
    """Return what each step saw, settled and lost under the shipped bounds, by question, in the web's mix."""
    samples = all_steps(images)
    weights = {NAMES[label]: weight for label, weight in WEB_MIX.items()}
    counts = {label: sum(s.label == label for s in samples) for label in weights}
    samples = [dataclasses.replace(s, weight=weights[s.label] / counts[s.label] * len(samples)) for s in samples]
    return {
        question: [
            dataclasses.asdict(r) for r in step_reports(samples, default_bounds(), with_light=question == "light")
        ]
        for question in ("heavy", "light")
    }


def are_batches_equal(images: Sequence[Labelled], sizes: Sequence[int] = BATCH_SIZES) -> bool:
    """Whether the same pictures measure the same in batches of each size."""
    cascade = Cascade(load_engine("rapidocr"), CascadeSettings())
    pictures = [picture_to_score(i.data) for i in images]
    looks = [first_look(rgb) for rgb in pictures]
    runs = [
        [
            m
            for k in range(0, len(pictures), size)
            for m in cascade.measure(pictures[k : k + size], looks[k : k + size])
        ]
        for size in sizes
    ]
    return all(run == runs[0] for run in runs)


def digests_by_cores(deduped: Path, out: Path) -> dict[str, str]:
    """Return the digest of scoring `deduped` on 1, 2 and 4 cores."""
    found = {}
    for cores in (1, 2, 4):
        curate("score", deduped, "-o", out / f"cores{cores}", "--master", f"local[{cores}]", "-q")
        found[f"local[{cores}]"] = open_manifest(str(out / f"cores{cores}")).digest
    return found


def measure_laws(images: Sequence[Labelled], run: Path, work: Path) -> dict[str, Any]:
    """Return the peak memory of a worker in `run`, a folder of manifests by stage, and whether the laws hold."""
    costs = {s: open_manifest(str(run / s)).cost for s in ("scan", "scored")}
    digests = digests_by_cores(run / "deduped", work)
    return {
        "peak_worker_memory_megabytes": {s: round(c["peak_worker_memory_bytes"] / 1e6) for s, c in costs.items()},
        "same_scores_in_batches_of_1_8_64": are_batches_equal(images[:LAW_IMAGES]),
        "same_digest_on_1_2_4_cores": len(set(digests.values())) == 1,
    }
