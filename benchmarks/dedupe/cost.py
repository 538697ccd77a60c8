"""What each step costs: kernels of the scan, candidate pairs, their comparison, bytes of columns."""

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import pyarrow.parquet as pq

from benchmarks.dedupe.clock import Clock
from benchmarks.dedupe.corpus import Pairs, Row
from benchmarks.dedupe.local_pairs import Features, voted_pairs
from benchmarks.dedupe.quality import near_fingerprints
from curation.config import DedupeConfig
from curation.copies.judge import PixelJudge
from curation.copies.kinds import Strictness, kind_of
from curation.pictures import local_features as local
from curation.pictures.decode import DEFAULT_LIMITS, decode
from curation.pictures.pdq import pdq
from curation.sources.byte_ranges import image_range, read_ranges
from curation.text.first_look import first_look
from manifests.format.store import Manifest


def measure_kernels(rows: Sequence[Row], folder: Path) -> tuple[dict[str, float], list[tuple[bytes, int]]]:
    """Return core-milliseconds an image of the scan's kernels, and PDQ bits and quality of each picture of `rows`.

    Every picture is written into `folder` as PNG, named by its place in `rows`, for others to read.
    """
    cv2.setNumThreads(1)
    clock, prints = Clock(), []
    local.codebook()
    for place, row in enumerate(rows):
        (data,) = read_ranges([image_range(row)])
        with clock.on("decode"):
            rgb = decode(data).rgb
        assert rgb is not None, row["key"]
        with clock.on("PDQ"):
            made = pdq(rgb)
        with clock.on("density"):
            first_look(rgb)
        with clock.on("local features"):
            local.local_features(rgb)
        prints.append((made.bits, made.quality))
        cv2.imwrite(str(folder / f"{place}.png"), rgb[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return {part: round(ms / len(rows), 3) for part, ms in clock.milliseconds.items()}, prints


def judge_cost(pairs: Sequence[tuple[Row, Row]]) -> dict[str, float]:
    """Return core-milliseconds of judging a pair, reading included, and the share of `pairs` that are copies."""
    cv2.setNumThreads(1)
    copies = frozenset(DedupeConfig().copies)
    started = time.process_time_ns()
    found = list(PixelJudge(DEFAULT_LIMITS).evidence(pairs))
    milliseconds = (time.process_time_ns() - started) / 1e6 / len(pairs)
    proven = sum(each is not None and kind_of(each, Strictness(), copies) is not None for each in found)
    return {"milliseconds_a_pair": round(milliseconds, 2), "share_proven": round(proven / len(pairs), 3)}


def candidate_pairs(
    rows: Sequence[Row], prints: Sequence[tuple[bytes, int]], config: DedupeConfig
) -> dict[str, Pairs]:
    """Return the pairs of nodes that dedupe compares first, by what finds them: each picture once."""
    by_node = {row["node"]: (row, made) for row, made in zip(rows, prints, strict=True)}
    distinct = [row for row, _ in by_node.values()]
    near = near_fingerprints(
        dict(enumerate(made for _, made in by_node.values())), config.min_quality, config.max_distance
    )
    searched = [row for row in distinct if row["local_points"]]
    voted, _ = voted_pairs(Features.of([row["local_points"] for row in searched]), len(searched), Clock())
    pairs = [(searched[a], searched[b]) for a, b in voted]
    agree = [
        (min(a["node"], b["node"]), max(a["node"], b["node"]))
        for a, b in pairs
        if local.consistent_points(a["local_points"], b["local_points"]) >= config.min_points
    ]
    nodes = [row["node"] for row in distinct]
    return {
        "PDQ": {(min(nodes[a], nodes[b]), max(nodes[a], nodes[b])) for a, b in near},
        "local features": set(agree),
    }


def column_bytes(manifest: Manifest, names: Sequence[str], images: int) -> dict[str, float]:
    """Return the compressed bytes an image of columns."""
    found: dict[str, int] = defaultdict(int)
    for part in manifest.parts:
        meta = pq.read_metadata(manifest.part_uri(part).removeprefix("file://"))
        for group in range(meta.num_row_groups):
            for n in range(meta.num_columns):
                column = meta.row_group(group).column(n)
                if column.path_in_schema in names:
                    found[column.path_in_schema] += column.total_compressed_size
    return {name: round(found[name] / images, 1) for name in names}
