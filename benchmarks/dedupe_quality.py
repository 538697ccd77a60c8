"""Copies held against labels: what is found beside peers, what it costs, and what stays findable among many pictures.

    python -m benchmarks.dedupe_quality --web labelled/ --score-tool score.py [--imagededup-python PYTHON] [--json]
                                        [--distractors 2000,20000,200000] [--cache FOLDER] [--plot curves.png]

`--web` is a folder of labelled tars with truth.csv, in the layout of examples/corpus, which is drawn and used without
it: that says little about photographs. All of it is reported on; the codebook of local features was made from
pictures of the first half of such a folder's tars, so the halves are told apart, too.

quality   `curate scan` and `curate dedupe` through Spark: as configured by default; with `copies: [exact, mild]`; and
          so with `verify: false`. Beside them, on the pictures the scan decoded: PDQ at 31 bits, all pairs compared,
          components joined, once for every picture and once for those of quality 50 and more, as its authors advise;
          imagededup's PHash at its default distance of 10, run by `--imagededup-python`, left out without it. Equal
          pixels count as copies in all. Every answer is written as a manifest and scored by `--score-tool`: recall by
          difficulty, precision, false merges. In a cluster a copy may be found by way of another one of its original,
          of which such a corpus has several; `growth` asks for each alone. A half holds the pictures of its tars; a
          copy counts in it when its original lies there, too, though another copy of it may lie in the other half.
cost      one process, one thread. Core-milliseconds an image of decode, PDQ, text density and local features over the
          pictures that decode; pairs that go to the judge first (`candidates`; when clusters are formed some more
          may), and core-milliseconds a pair of `renderings` (decode, at most 96 kept as in a worker) and `compare`,
          without the reading. Wall seconds of dedupe with Spark started. Bytes an image in Parquet, compressed.
growth    recall among distractors: crops (40 to 70 % of the area), mirrored, of other tone, half of them blended with
          another picture, of 4,000 of the project's own drawn pictures. What is drawn is another kind of picture
          than a photograph, and distractors of one drawing are alike: 200,000 of them are fewer than 200,000 of the
          web's. All labelled pictures are asked, as `curation.copies.local_search` asks in one cell, exhaustively.
          A copy counts as found when it or its original has the other among its `neighbours` nearest (`nearest`),
          and when their keypoints then agree, too (`agree`). Copies of equal pixels are not asked for; one without
          local features is not found. `candidates` an image are the pairs that agree, `strangers` those of them
          that are
          not labelled copies of one picture; malformed samples, many of them alike, are labelled as copies of none.
          Core-milliseconds an image of the search and of comparing keypoints.
"""

import contextlib
import csv
import dataclasses
import hashlib
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import click
import cv2
import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curation.config import DedupeConfig, PipelineConfig, SparkConfig
from curation.copies.cells import BITS
from curation.copies.compare_pixels import compare
from curation.copies.kinds import Strictness, kind_of
from curation.copies.local_search import LocalSearch
from curation.copies.rendering import Rendering, renderings
from curation.pictures import local_features as local
from curation.pictures.decode import DEFAULT_LIMITS, decode
from curation.pictures.pdq import PDQ_MATCH_DISTANCE, PDQ_MIN_QUALITY, pdq
from curation.sources.byte_ranges import image_range, read_ranges
from examples.corpus.samples import FLAT, PAINTERS, pick_size
from examples.corpus.textures import Rng, through_camera
from filters.geometry import shrink_to_area
from filters.text_density import text_map, text_probabilities
from jobs.dedupe import pictures
from jobs.dedupe.matching import MAX_IMAGES_KEPT
from jobs.dedupe.stage import dedupe
from jobs.spark.run import context
from jobs.spark.session import ONE_THREAD
from jobs.stages.scan import scan
from jobs.units.progress import Reporter
from manifests.format.schema import STATUSES_WITH_PIXELS
from manifests.format.store import Manifest, open_manifest

DIFFICULTIES = ("exact", "mild", "overlay", "crop", "geometric", "strong")
TOLD = ("key", "source", "member", "status", "cluster_id", "duplicate_of")
NEW_COLUMNS = {"scan": ("local", "local_points"), "dedupe": ("duplicate_evidence",)}

DRAWN, DRAWN_SIDE = 4000, 760
LEAST_PART, LARGEST_PART = 0.4, 0.7
DRAWN_AREA_PIXELS = round(local.AREA_PIXELS / LEAST_PART)  # so that a part is as large as what is measured
DISTRACTORS_A_FILE, DRAWN_A_FILE = 2000, 250
RECIPE = "1"  # raise it when other distractors are made

IMAGEDEDUP = """
import json, sys
from imagededup.methods import PHash
folder, out = sys.argv[1:]
method = PHash(verbose=False)
found = method.find_duplicates(encoding_map=method.encode_images(image_dir=folder, num_enc_workers=0))
json.dump(found, open(out, "w"))
"""

Row = dict[str, Any]
Grey = NDArray[np.uint8]
Pairs = set[tuple[bytes, bytes]]


# --- the corpus -------------------------------------------------------------------------------------------


def read_truth(web: Path) -> list[dict[str, str]]:
    """Return the rows of truth.csv."""
    with (web / "truth.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def place_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the tar and the key there of a manifest row, as truth names them."""
    return row["source"].rsplit("/", 1)[-1], row["member"].rsplit("/", 1)[-1].partition(".")[0]


def read_rows(manifest: Manifest, *columns: str) -> list[Row]:
    """Return all rows in the order of their keys; with `node`, what tells a picture from others, where asked."""
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


# --- distractors ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """Local features of N pictures: `bits` (N, 32) uint8, and the `points` of each."""

    bits: NDArray[np.uint8]
    points: Sequence[bytes]

    def __add__(self, other: "Features") -> "Features":
        return Features(bits=np.concatenate([self.bits, other.bits]), points=[*self.points, *other.points])

    def __len__(self) -> int:
        return len(self.points)


def draw_pictures(path: Path, first: int) -> Path:
    """Draw the pictures numbered from `first` into `path`, in grey, unless they lie there; return it."""
    if path.exists():
        return path
    cv2.setNumThreads(1)
    painters = [(painter, label) for label, several in PAINTERS.items() for painter in several]
    drawn = []
    for number in range(first, first + DRAWN_A_FILE):
        rng = np.random.default_rng([2026, number])
        painter, label = painters[number % len(painters)]
        image = painter(rng, *pick_size(rng, DRAWN_SIDE))
        if label != "rich" and painter not in FLAT:
            image = through_camera(rng, image)
        small = shrink_to_area(np.asarray(image.convert("RGB")), DRAWN_AREA_PIXELS)
        drawn.append(cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))[1])
    return _save(path, {str(number): each for number, each in enumerate(drawn)})


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    aside = path.with_suffix(".part.npz")
    np.savez(aside, **arrays)  # type: ignore[arg-type]
    return aside.rename(path)


_album: list[Grey] = []


def _open_album(paths: Sequence[Path]) -> None:
    cv2.setNumThreads(1)
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            _album.extend(np.asarray(cv2.imdecode(stored[n], cv2.IMREAD_GRAYSCALE), np.uint8) for n in stored.files)


def pick_part(rng: Rng, grey: Grey) -> Grey:
    """Return a part of a picture, perhaps mirrored, of other tone."""
    share = rng.uniform(LEAST_PART, LARGEST_PART)
    across = float(np.clip(share**0.5 * np.exp(rng.normal(0, 0.12)), share, 1))
    height, width = (round(side * part) for side, part in zip(grey.shape, (share / across, across), strict=True))
    top, left = rng.integers(grey.shape[0] - height + 1), rng.integers(grey.shape[1] - width + 1)
    part = grey[top : top + height, left : left + width]
    tones = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.35))
    tones = 255 - tones if rng.random() < 0.15 else tones
    return np.asarray(cv2.LUT(part[:, ::-1] if rng.random() < 0.5 else part, tones.astype(np.uint8)))


def make_distractors(path: Path, chunk: int) -> Path:
    """Measure the distractors of one file into `path`, unless they lie there; return it."""
    if path.exists():
        return path
    rng = np.random.default_rng([2027, chunk])
    found: list[local.LocalFeatures] = []
    number = chunk * DISTRACTORS_A_FILE
    while len(found) < DISTRACTORS_A_FILE:
        grey = pick_part(rng, _album[number % len(_album)])
        number += 1
        if rng.random() < 0.5:
            other = pick_part(rng, _album[rng.integers(len(_album))])
            other = np.asarray(cv2.resize(other, (grey.shape[1], grey.shape[0])), np.uint8)
            grey = np.asarray(cv2.addWeighted(grey, 0.5, other, 0.5, 0), np.uint8)
        measured = local.local_features(np.repeat(grey[:, :, None], 3, axis=2))
        if measured is not None:
            found.append(measured)
    bits = np.frombuffer(b"".join(each.bits for each in found), np.uint8).reshape(-1, local.BYTES)
    points = np.frombuffer(b"".join(each.points for each in found), np.uint8)
    return _save(path, {"bits": bits, "points": points, "sizes": np.array([len(each.points) for each in found])})


def read_distractors(paths: Sequence[Path], count: int) -> Features:
    """Return the first `count` distractors in the files at `paths`."""
    bits, points = [np.zeros((0, local.BYTES), np.uint8)], []
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            bits.append(stored["bits"])
            ends, joined = np.cumsum(stored["sizes"]), stored["points"].tobytes()
        points += [joined[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    return Features(bits=np.concatenate(bits)[:count], points=points[:count])


def distractors(count: int, cache: Path, workers: int) -> Features:
    """Return `count` distractors, from `cache` where they lie there; fewer are the first of more."""
    cache.mkdir(parents=True, exist_ok=True)
    book = resources.files("curation").joinpath(local.CODEBOOK).read_bytes()
    what = f"{RECIPE} {local.version()} {DRAWN} {cv2.__version__}".encode() + book
    name = hashlib.sha256(what).hexdigest()[:12]
    drawn = [
        (cache / f"drawn-{RECIPE}-{DRAWN_AREA_PIXELS}-{first:05d}.npz", first)
        for first in range(0, DRAWN, DRAWN_A_FILE)
    ]
    files = range(-(-count // DISTRACTORS_A_FILE))
    measured = [(cache / f"features-{name}-{chunk:05d}.npz", chunk) for chunk in files]
    if not all(path.exists() for path, _ in measured):
        with one_thread_pool(workers) as pool:
            paths = list(pool.map(draw_pictures, *zip(*drawn, strict=True)))
        with one_thread_pool(workers, initializer=_open_album, initargs=(paths,)) as pool:
            list(pool.map(make_distractors, *zip(*measured, strict=True)))
    return read_distractors([path for path, _ in measured], count)


# --- growth -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """The labelled pictures: the node of each, its features or None, and copies (difficulty, node, original)."""

    features: Mapping[bytes, tuple[bytes, bytes] | None]
    copies: Sequence[tuple[str, bytes, bytes]]

    @property
    def groups(self) -> dict[bytes, bytes]:
        """The original of each picture that is a copy or has one."""
        return {node: original for _, copy, original in self.copies for node in (copy, original)}


def labelled_pictures(manifest: Manifest, truth: Sequence[Mapping[str, str]]) -> Labelled:
    """Return the labelled pictures of a scan."""
    rows = read_rows(manifest, "source", "member", "status", "local", "local_points", "node")
    with_picture = [row for row in rows if row["status"] in STATUSES_WITH_PIXELS]
    nodes = {place_of(row): row["node"] for row in with_picture}
    originals = {t["group"]: (t["tar"], t["key"]) for t in truth if t["group"] and t["transform"] == "original"}
    copies = []
    for t in truth:
        original = originals.get(t["group"]) if t["transform"] != "original" else None
        copy = (t["tar"], t["key"])
        if original in nodes and copy in nodes and nodes[copy] != nodes[original]:
            copies.append((t["difficulty"], nodes[copy], nodes[original]))
    features = {row["node"]: (row["local"], row["local_points"]) if row["local"] else None for row in with_picture}
    return Labelled(features=features, copies=copies)


def recall_of(copies: Sequence[tuple[str, bytes, bytes]], found: Pairs) -> dict[str, float]:
    """Return the share of copies that are among `found` with their original, by difficulty and in all."""
    hits = defaultdict(list)
    for difficulty, copy, original in copies:
        for name in (difficulty, "all"):
            hits[name].append((copy, original) in found or (original, copy) in found)
    return {name: round(sum(hits[name]) / len(hits[name]), 4) for name in (*DIFFICULTIES, "all") if name in hits}


def growth_at(labelled: Labelled, among: Features, search: LocalSearch) -> dict[str, Any]:
    """Return what is found and what it costs when the labelled pictures lie among these distractors."""
    nodes = [node for node, features in labelled.features.items() if features]
    kept = [features for features in labelled.features.values() if features]
    bits = np.frombuffer(b"".join(b for b, _ in kept), np.uint8).reshape(-1, local.BYTES)
    every = Features(bits=bits, points=[points for _, points in kept]) + among
    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(np.ascontiguousarray(every.bits))
    clock = Clock()
    with clock.on("search"):
        _, nearest = index.search(np.ascontiguousarray(bits), min(search.neighbours + 1, len(every)))
    pairs = {
        (min(asker, other), max(asker, other))
        for asker, row in enumerate(nearest.tolist())
        for other in row
        if other not in (asker, -1)
    }
    with clock.on("keypoints"):
        agree = {(i, j) for i, j in pairs if _agrees(every.points[i], every.points[j], search.min_points)}
    names = dict(enumerate(nodes))
    near, kept_pairs = (
        {(names[i], names[j]) for i, j in some if i in names and j in names} for some in (pairs, agree)
    )
    groups = labelled.groups
    friends = sum(a in groups and groups[a] == groups.get(b) for a, b in kept_pairs)
    return {
        "distractors": len(among),
        "nearest": recall_of(labelled.copies, near),
        "agree": recall_of(labelled.copies, kept_pairs),
        "pairs_an_image": round(len(pairs) / len(nodes), 2),
        "candidates_an_image": round(len(agree) / len(nodes), 3),
        "strangers_an_image": round((len(agree) - friends) / len(nodes), 3),
        "search_milliseconds": round(clock.milliseconds["search"] / len(nodes), 3),
        "keypoints_milliseconds": round(clock.milliseconds["keypoints"] / len(nodes), 3),
    }


def _agrees(first: bytes, second: bytes, min_points: int) -> bool:
    return local.consistent_points(first, second) >= min_points


def measure_growth(labelled: Labelled, sizes: Sequence[int], cache: Path, workers: int) -> dict[str, Any]:
    """Return recall and cost at no distractors and at each of `sizes`."""
    defaults = DedupeConfig()
    search = LocalSearch(neighbours=defaults.neighbours, min_points=defaults.min_points)
    among = distractors(max(sizes), cache, workers)
    found = []
    for size in (0, *sorted(sizes)):
        some = Features(bits=among.bits[:size], points=among.points[:size])
        with one_thread_pool(1) as pool:
            found.append(pool.submit(growth_at, labelled, some, search).result())
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
    told = {"nearest": "copies nearest by their bits", "agree": "copies nearest whose keypoints agree"}
    for axes, (stage, title) in zip(above, told.items(), strict=True):
        for kind, marker in zip(sizes[0][stage], "osD^vP*", strict=False):
            style = {"color": "black", "linestyle": "--"} if kind == "all" else {}
            axes.plot(across, [each[stage][kind] for each in sizes], marker=marker, alpha=0.8, label=kind, **style)
        axes.set(title=title, ylabel="recall", ylim=(0.5, 1.02))
        axes.legend(loc="lower left")
    for name, label in (("candidates_an_image", "candidates"), ("strangers_an_image", "of them no copies")):
        below[0].plot(across, [each[name] for each in sizes], "o-", label=label)
    below[0].set(title="pairs that go on to be judged", ylabel="an image", ylim=(0, None))
    for name in ("search", "keypoints"):
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


# --- cost -------------------------------------------------------------------------------------------------


class Clock:
    """Adds up the processor time spent in parts of the work."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count the time of the block for `part`."""
        started = time.process_time_ns()
        yield
        self.milliseconds[part] += (time.process_time_ns() - started) / 1e6


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
            text_probabilities(text_map(rgb))
        with clock.on("local features"):
            local.local_features(rgb)
        prints.append((made.bits, made.quality))
        cv2.imwrite(str(folder / f"{place}.png"), rgb[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return {part: round(ms / len(rows), 3) for part, ms in clock.milliseconds.items()}, prints


def judge_cost(pairs: Sequence[tuple[Row, Row]]) -> dict[str, float]:
    """Return core-milliseconds of judging a pair, and the share of `pairs` that are copies by default."""
    cv2.setNumThreads(1)
    clock, proven = Clock(), 0
    copies = frozenset(DedupeConfig().copies)

    @lru_cache(maxsize=MAX_IMAGES_KEPT)
    def looked(source: str, member: str, offset: int, size: int) -> Sequence[Rendering]:
        where = {"source": source, "member": member, "offset": offset, "size": size}
        (data,) = read_ranges([image_range(where)])
        with clock.on("looks"):
            return renderings(data, DEFAULT_LIMITS)

    for pair in pairs:
        first, second = (looked(*(row[name] for name in ("source", "member", "offset", "size"))) for row in pair)
        with clock.on("compare"):
            evidence = compare(first, second)
        proven += evidence is not None and kind_of(evidence, Strictness(), copies) is not None
    told = {f"{part}_milliseconds_a_pair": round(ms / len(pairs), 2) for part, ms in clock.milliseconds.items()}
    return {**told, "share_proven": round(proven / len(pairs), 3)}


def candidate_pairs(
    rows: Sequence[Row], prints: Sequence[tuple[bytes, int]], config: DedupeConfig
) -> dict[str, Pairs]:
    """Return the pairs of nodes that dedupe judges first, by what finds them: as in one cell, each picture once."""
    by_node = {row["node"]: (row, made) for row, made in zip(rows, prints, strict=True)}
    distinct = [row for row, _ in by_node.values()]
    near = near_prints(dict(enumerate(made for _, made in by_node.values())), config.min_quality, config.max_distance)
    asked = [row for row in distinct if row["local"]]
    columns = {name: [row[name] for row in asked] for name in ("node", "local", "local_points")}
    kinds = {"node": pa.binary(), "local": pa.binary(), "local_points": pa.binary()}
    table = pa.table({name: pa.array(column, kinds[name]) for name, column in columns.items()})
    table = table.append_column("is_home", pa.array([True] * len(asked)))
    agree = LocalSearch(neighbours=config.neighbours, min_points=config.min_points).pairs(table)
    nodes = [row["node"] for row in distinct]
    return {
        "PDQ": {(min(nodes[a], nodes[b]), max(nodes[a], nodes[b])) for a, b in near},
        "local features": set(zip(agree["a"].to_pylist(), agree["b"].to_pylist(), strict=True)),
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


# --- quality ----------------------------------------------------------------------------------------------


def joined(rows: Sequence[Row], pairs: Sequence[tuple[int, int]]) -> list[Row]:
    """Return `rows` in clusters of all that hang together by `pairs` of places; the first of each represents it."""
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(rows), len(rows)))
    _, labels = connected_components(links, directed=False)
    return in_clusters(rows, labels.tolist())


def in_clusters(rows: Sequence[Row], clusters: Sequence[Any]) -> list[Row]:
    """Return `rows` with these clusters; the first of each represents it."""
    heads: dict[Any, str] = {}
    for row, cluster in zip(rows, clusters, strict=True):
        heads.setdefault(cluster, row["key"])
    placed = zip(rows, (heads[cluster] for cluster in clusters), strict=True)
    return [{**row, "cluster_id": head, "duplicate_of": None if head == row["key"] else head} for row, head in placed]


def same_pictures(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return places of rows that hold the same picture, in pairs."""
    first: dict[bytes, int] = {}
    return [(first.setdefault(row["node"], place), place) for place, row in enumerate(rows)]


def near_prints(
    prints: Mapping[int, tuple[bytes, int]], min_quality: int, max_distance: int = PDQ_MATCH_DISTANCE
) -> list[tuple[int, int]]:
    """Return pairs of places whose PDQ is near enough, all compared with all."""
    places = [place for place, (_, quality) in prints.items() if quality >= min_quality]
    bits = np.frombuffer(b"".join(prints[place][0] for place in places), np.uint8).reshape(-1, local.BYTES)
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
    told = json.loads(out.read_text())
    return [(where[int(Path(a).stem)], where[int(Path(b).stem)]) for a, several in told.items() for b in several]


def score_with_tool(tool: Path, rows: Sequence[Row], truth: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return what the score tool says of `rows` as a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        truth_csv = Path(folder, "truth.csv")
        with truth_csv.open("w", newline="") as f:
            writer = csv.DictWriter(f, list(truth[0]))
            writer.writeheader()
            writer.writerows(truth)
        schema = pa.schema([(name, pa.string()) for name in TOLD])
        pq.write_table(
            pa.Table.from_pylist([{n: row[n] for n in TOLD} for row in rows], schema), f"{folder}/0.parquet"
        )
        command = [sys.executable, str(tool), folder, "--truth", str(truth_csv), "--json"]
        told: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {key: value for key, value in told.items() if key.startswith("dedupe_")}


def in_halves(rows: Sequence[Row], truth: Sequence[Mapping[str, str]]) -> dict[str, tuple[list[Row], list[Any]]]:
    """Return the rows and the truth of either half of the tars, clusters cut at its edge."""
    tars = sorted({t["tar"] for t in truth})
    found = {}
    for name, half in (("first", tars[: len(tars) // 2]), ("second", tars[len(tars) // 2 :])):
        mine = [row for row in rows if place_of(row)[0] in half]
        # A star cut at the edge would have members whose representative lies in the other half.
        heads = in_clusters(mine, [row["cluster_id"] for row in mine])
        found[f"{name} half ({half[0]} to {half[-1]})"] = (heads, [t for t in truth if t["tar"] in half])
    return found


# --- the run ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is measured against what: the corpus, the score tool and imagededup's Python, where there are any."""

    web: Path
    tool: Path | None
    imagededup: Path | None
    sizes: Sequence[int]
    cache: Path
    cores: int


def config_of(asked: Asked, **of_dedupe: Any) -> PipelineConfig:
    """Return the configuration of a run."""
    return PipelineConfig(
        input=(f"{asked.web}/*.tar",),
        output="unused",
        dedupe=DedupeConfig(**of_dedupe),
        spark=SparkConfig(master=f"local[{asked.cores}]"),
    )


def timed(work: Callable[[], Any]) -> float:
    """Return the wall seconds of `work`."""
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 1)


def measure(asked: Asked, work: Path) -> dict[str, Any]:
    """Return everything this benchmark shows."""
    truth = read_truth(asked.web)
    config = config_of(asked)
    mild = {"copies": ("exact", "mild")}
    runs: dict[str, dict[str, Any]] = {
        "curate": {},
        "copies: [exact, mild]": mild,
        "the same, verify: false": {**mild, "verify": False},
    }
    seconds = {}
    answers: dict[str, list[Row]] = {}
    with context(config, reporter=Reporter(quiet=True)) as ctx:
        scanned = scan(config, str(work / "scan"), ctx)
        for n, (name, settings) in enumerate(runs.items()):
            output, other = str(work / f"deduped-{n}"), config_of(asked, **settings)
            seconds[name] = timed(lambda o=output, c=other: dedupe(c, scanned.uri, o, ctx))  # type: ignore[misc]
            answers[name] = read_rows(open_manifest(output), *TOLD)
    rows = read_rows(scanned, *TOLD[:4], "offset", "size", "local", "local_points", "node")
    where = [place for place, row in enumerate(rows) if row["status"] in STATUSES_WITH_PIXELS]
    shown = [rows[place] for place in where]
    folder = work / "pictures"
    folder.mkdir()
    with one_thread_pool(1) as pool:
        kernels, prints = pool.submit(measure_kernels, [_where(row) for row in shown], folder).result()
        pairs = candidate_pairs(shown, prints, config.dedupe)
        judged = sorted(pairs["PDQ"] | pairs["local features"], key=lambda pair: pair[::-1])
        by_node = {row["node"]: row for row in reversed(shown)}
        judging = pool.submit(judge_cost, [(_where(by_node[a]), _where(by_node[b])) for a, b in judged]).result()
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "images": len(rows),
        "pictures": len(shown),
    }
    if asked.tool is not None:
        peers = dict(zip(where, prints, strict=True))
        same = same_pictures(rows)
        answers["PDQ at 31 bits"] = joined(rows, same + near_prints(peers, 0))
        answers["PDQ at 31 bits, quality 50"] = joined(rows, same + near_prints(peers, PDQ_MIN_QUALITY))
        if asked.imagededup is not None:
            answers["imagededup PHash at 10"] = joined(rows, same + imagededup_pairs(asked.imagededup, folder, where))
        found["quality"] = {name: score_with_tool(asked.tool, answer, truth) for name, answer in answers.items()}
        for name, (half, its_truth) in in_halves(answers["curate"], truth).items():
            found["quality"][f"curate, {name}"] = score_with_tool(asked.tool, half, its_truth)
    deduped = open_manifest(str(work / "deduped-0"))
    found["cost"] = {
        "scan_milliseconds_an_image": kernels,
        "candidates": {**{name: len(some) for name, some in pairs.items()}, "all": len(judged)},
        "candidates_an_image": round(len(judged) / len(shown), 3),
        "judging": judging,
        "dedupe_wall_seconds": seconds,
        "column_bytes_an_image": column_bytes(scanned, NEW_COLUMNS["scan"], len(rows))
        | column_bytes(deduped, NEW_COLUMNS["dedupe"], len(rows)),
    }
    if asked.sizes:
        found["growth"] = measure_growth(labelled_pictures(scanned, truth), asked.sizes, asked.cache, asked.cores)
    return found


def _where(row: Row) -> Row:
    return {name: row[name] for name in ("key", "source", "member", "offset", "size")}


def print_report(found: Mapping[str, Any]) -> None:
    """Print what was found, a table after another."""
    click.echo(f"machine: {found['machine']}\n{found['images']:,} images, {found['pictures']:,} of them decode\n")
    if "quality" in found:
        click.echo(f"{'recall, precision, false':38}" + "".join(f"{kind:>10}" for kind in DIFFICULTIES))
    for name, told in found.get("quality", {}).items():
        recall = "".join(f"{told['dedupe_recall'].get(kind, float('nan')):10.3f}" for kind in DIFFICULTIES)
        precision = told["dedupe_precision"]
        click.echo(f"{name:38}{recall}{precision if precision is not None else '-':>10}{told['dedupe_false']:6}")
    click.echo()
    for name, value in found["cost"].items():
        click.echo(f"{name:30} {value}")
    if "growth" not in found:
        return
    growth = found["growth"]
    click.echo(f"\n{growth['labelled']:,} labelled pictures, copies {growth['copies']}")
    for stage in ("nearest", "agree"):
        kinds = list(growth["sizes"][0][stage])
        click.echo(f"\n{'recall, ' + stage:24}" + "".join(f"{kind:>10}" for kind in kinds))
        for each in growth["sizes"]:
            click.echo(f"{each['distractors']:>24,}" + "".join(f"{each[stage][kind]:10.3f}" for kind in kinds))
    names = [name for name, value in growth["sizes"][0].items() if isinstance(value, float)]
    click.echo(f"\n{'distractors':>12}" + "".join(f"{name:>26}" for name in names))
    for each in growth["sizes"]:
        click.echo(f"{each['distractors']:>12,}" + "".join(f"{each[name]:26}" for name in names))


_FILE = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--web", type=_FILE, help="Folder of labelled tars with truth.csv.")
@click.option(
    "--score-tool", "--score", type=_FILE, help="Script that scores a manifest; no table of quality without."
)
@click.option("--imagededup-python", type=_FILE, help="Python that has imagededup; without it, it is left out.")
@click.option("--distractors", default="2000,20000,200000", show_default=True, help="How many; empty: none are made.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder that keeps distractors for the next run.")
@click.option("--plot", type=click.Path(path_type=Path), help="Image file that shows recall among distractors.")
@click.option("--cores", default=2, show_default=True, help="Cores that Spark and the drawing use.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Measure which copies are found, at what cost, and among how many pictures."""
    sizes = [int(size) for size in options["distractors"].split(",") if size]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        web = options["web"]
        if web is None:
            from examples.corpus import make_corpus  # noqa: PLC0415

            web = make_corpus(work / "drawn", images=600, tars=8)
        asked = Asked(
            web=web.resolve(),
            tool=options["score_tool"],
            imagededup=options["imagededup_python"],
            sizes=sizes,
            cache=options["cache"] or work / "cache",
            cores=options["cores"],
        )
        found = measure(asked, work)
    if plot is not None and "growth" in found:
        draw_growth(found["growth"], plot)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_report(found)


if __name__ == "__main__":
    main()
