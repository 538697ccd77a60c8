"""Recall and cost of the search by local features, among more and more distractors."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dedupe.clock import Clock
from benchmarks.dedupe.corpus import DIFFICULTIES, Pairs, one_thread_pool, place_of, read_rows
from benchmarks.dedupe.distractors import distractors
from benchmarks.dedupe.local_pairs import Features, voted_pairs
from curation.config import DedupeConfig
from curation.pictures.local_features import consistent_points
from manifests.format.schema import STATUSES_WITH_PIXELS
from manifests.format.store import Manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """The labelled pictures: the node of each, its features or None, and copies (difficulty, node, original)."""

    features: Mapping[bytes, bytes | None]
    copies: Sequence[tuple[str, bytes, bytes]]

    @property
    def groups(self) -> dict[bytes, bytes]:
        """The original of each picture that is a copy or has one."""
        return {node: original for _, copy, original in self.copies for node in (copy, original)}


def labelled_pictures(manifest: Manifest, truth: Sequence[Mapping[str, str]]) -> Labelled:
    """Return the labelled pictures of a scan."""
    rows = read_rows(manifest, "source", "member", "status", "local_points", "node")
    with_picture = [row for row in rows if row["status"] in STATUSES_WITH_PIXELS]
    nodes = {place_of(row): row["node"] for row in with_picture}
    originals = {t["group"]: (t["tar"], t["key"]) for t in truth if t["group"] and t["transform"] == "original"}
    copies = []
    for t in truth:
        original = originals.get(t["group"]) if t["transform"] != "original" else None
        copy = (t["tar"], t["key"])
        if original in nodes and copy in nodes and nodes[copy] != nodes[original]:
            copies.append((t["difficulty"], nodes[copy], nodes[original]))
    features = {row["node"]: row["local_points"] for row in with_picture}
    return Labelled(features=features, copies=copies)


def recall_of(copies: Sequence[tuple[str, bytes, bytes]], found: Pairs) -> dict[str, float]:
    """Return the share of copies that are among `found` with their original, by difficulty and in all."""
    hits = defaultdict(list)
    for difficulty, copy, original in copies:
        for name in (difficulty, "all"):
            hits[name].append((copy, original) in found or (original, copy) in found)
    return {name: round(sum(hits[name]) / len(hits[name]), 4) for name in (*DIFFICULTIES, "all") if name in hits}


def growth_at(labelled: Labelled, among: Features, min_points: int) -> dict[str, Any]:
    """Return what is found and what it costs when the labelled pictures are among these distractors."""
    nodes = [node for node, points in labelled.features.items() if points]
    every = Features.of([points for points in labelled.features.values() if points]) + among
    clock = Clock()
    voted, matches = voted_pairs(every, len(nodes), clock)
    ends = np.cumsum(every.counts)
    points = [each.tobytes() for each in np.split(every.points, ends[:-1])]
    with clock.on("keypoints"):
        agree = [(a, b) for a, b in voted if consistent_points(points[a], points[b]) >= min_points]
    names = dict(enumerate(nodes))
    by_votes, kept = ({(names[a], names[b]) for a, b in some if b in names} for some in (voted, agree))
    groups = labelled.groups
    friends = sum(a in groups and groups[a] == groups.get(b) for a, b in kept)
    costs = {name: clock.milliseconds[name] / len(every) for name in ("entries", "matches")}
    costs |= {name: clock.milliseconds[name] / len(nodes) for name in ("votes", "keypoints")}
    return {
        "distractors": len(among),
        "votes": recall_of(labelled.copies, by_votes),
        "agree": recall_of(labelled.copies, kept),
        "matches_an_image": round(matches / len(every), 1),
        "pairs_an_image": round(len(voted) / len(nodes), 2),
        "candidates_an_image": round(len(agree) / len(nodes), 3),
        "strangers_an_image": round((len(agree) - friends) / len(nodes), 3),
        **{f"{name}_milliseconds": round(milliseconds, 3) for name, milliseconds in costs.items()},
    }


def measure_growth(
    labelled: Labelled, sizes: Sequence[int], photographs: Path | None, cache: Path, workers: int
) -> dict[str, Any]:
    """Return recall and cost at no distractors and at each of `sizes`."""
    among = distractors(max(sizes), photographs, cache, workers)
    found = []
    for size in (0, *sorted(sizes)):
        with one_thread_pool(1) as pool:
            found.append(pool.submit(growth_at, labelled, among.first(size), DedupeConfig().min_points).result())
    by_kind: dict[str, int] = defaultdict(int)
    for difficulty, _, _ in labelled.copies:
        by_kind[difficulty] += 1
    return {"labelled": len(labelled.features), "copies": dict(by_kind), "sizes": found}


def draw_growth(growth: Mapping[str, Any], path: Path) -> None:
    """Draw recall by kind at both stages, candidates and cost over the number of pictures, into an image file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import: only when drawn

    sizes = growth["sizes"]
    across = [growth["labelled"] + each["distractors"] for each in sizes]
    figure = Figure(figsize=(11, 9), layout="constrained")
    above, below = figure.subplots(2, 2)
    titles = {"votes": "copies with votes that agree", "agree": "of these, copies whose keypoints agree"}
    for axes, (stage, title) in zip(above, titles.items(), strict=True):
        for kind, marker in zip(sizes[0][stage], "osD^vP*", strict=False):
            style = {"color": "black", "linestyle": "--"} if kind == "all" else {}
            axes.plot(across, [each[stage][kind] for each in sizes], marker=marker, alpha=0.8, label=kind, **style)
        axes.set(title=title, ylabel="recall", ylim=(0.5, 1.02))
        axes.legend(loc="lower left")
    for name, label in (("candidates_an_image", "candidates"), ("strangers_an_image", "of them no copies")):
        below[0].plot(across, [each[name] for each in sizes], "o-", label=label)
    below[0].set(title="pairs that are compared by pixels", ylabel="an image", ylim=(0, None))
    for name in ("entries", "matches", "votes", "keypoints"):
        below[1].plot(across, [each[f"{name}_milliseconds"] for each in sizes], "o-", label=name)
    below[1].set(title="cost of the search", ylabel="core-milliseconds an image", yscale="log")
    for axes in (*above, *below):
        axes.set(xscale="log", xlabel="pictures searched")
        axes.set_xticks(across, [f"{count:,}" for count in across])
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
    for axes in below:
        axes.legend(loc="center left")
    figure.suptitle(f"{growth['labelled']:,} labelled pictures among distractors")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
