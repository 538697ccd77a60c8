"""Measures text-rich selection on labelled images, and its cost: accuracy, core-milliseconds, memory, determinism.

    python -m benchmarks.text_rich --web labelled/ --score-tool score.py [--json]

`--web` is a folder of labelled tars with truth.csv, in the layout of examples/corpus; the second half of its tars
(without samples whose group is also in the first half, which the defaults were fitted to) is reported on.
Without it the project's own drawn corpus is made and used, which says little about photographs.

accuracy   scan to choose with default settings on two cores; what `--score-tool` says of the manifest, and the
           shipped operating points; once more with every image stored as JPEG of one size. A photograph on which a
           text was planted is labelled as without text in that corpus: counted both as they are and left out.
cost       one process pinned to one core. Core-milliseconds an image by step and class: decode and density of the
           scan, decode and steps of score; fingerprints not. Weighed to the web's mix. Beside it, on some of the same
           images, evenly spaced: EasyOCR's CRAFT detector alone (random weights: the same work) and RapidOCR's full
           reading, each with one thread. Without the easyocr extra CRAFT is left out.
steps      every step run on every labelled image, then the cascade replayed: what each saw, settled and lost.
laws       the same scores for batches of 1, 8 and 64, the same digest on 1, 2 and 4 cores; peak memory of a worker.
"""

import contextlib
import csv
import dataclasses
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pyarrow.dataset as ds
from PIL import Image

from curation.pictures.decode import decode
from curation.text.bounds import CascadeSettings, TextStep, default_bounds, default_rules
from curation.text.cascade import Cascade, parse_text_trail
from curation.text.scoring import ENOUGH_PIXELS, enough_of
from curation.trust.calibration import Interval, LabelledRow, share, step_reports
from curation.trust.labels import Label
from filters.protocol import Boxes, Line, Rgb, TextProbabilities, load_engine
from filters.text_density import text_map, text_probabilities
from manifests.format.store import open_manifest

WEB_MIX = {"none": 0.497, "some": 0.490, "rich": 0.013}  # Web-SSL's shares: light kept 50.3 %, heavy 1.3 %
ONE_SIZE_PIXELS = 512
IMAGES_ON_THE_WEB = 2_000_000_000
PLANTED = "overlay_text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """One image of the reported half: its bytes and its label (none, some or rich)."""

    tar: str
    key: str
    label: str
    data: bytes


# --- the corpus -------------------------------------------------------------------------------------------


def read_truth(web: Path) -> list[dict[str, str]]:
    """Return the rows of truth.csv."""
    with (web / "truth.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def reported(truth: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Return the rows of the second half of the tars without groups that are also in the first."""
    tars = sorted({row["tar"] for row in truth})
    first = set(tars[: len(tars) // 2])
    known = {row["group"] for row in truth if row["tar"] in first and row["group"]}
    return [row for row in truth if row["tar"] not in first and row["group"] not in known]


def without_planted(truth: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return `truth` with the label of photographs on which a text was planted marked as debatable."""
    return [
        {**row, "label": f"{row['label']}?"} if row["transform"] == PLANTED and row["label"] == "none" else dict(row)
        for row in truth
    ]


def write_truth(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write truth rows as CSV."""
    with path.open("w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def labelled_images(web: Path, truth: Sequence[Mapping[str, str]]) -> Iterator[Labelled]:
    """Yield the images with a sure label, original or copied, that decode."""
    labels = {
        (r["tar"], r["key"]): r["label"]
        for r in truth
        if r["label"] in WEB_MIX and not r.get("boundary") and r["expected"] == "decodable"
        and not (r["transform"] == PLANTED and r["label"] == "none")
    }  # fmt: skip
    for name in sorted({tar for tar, _ in labels}):
        with tarfile.open(web / name) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                file = tar.extractfile(member)
                if (name, key) in labels and extension not in ("txt", "json") and file is not None:
                    yield Labelled(tar=name, key=key, label=labels[name, key], data=file.read())


def as_jpeg_of_one_size(web: Path, out: Path) -> Path:
    """Return `out`, holding the tars of `web` with every decodable image as JPEG, its longer side 512 pixels."""
    out.mkdir()
    for path in sorted(web.glob("*.tar")):
        with tarfile.open(path) as old, tarfile.open(out / path.name, "w") as new:
            for member in old:
                file = old.extractfile(member)
                data = file.read() if file else b""
                name, decoded = member.name, None
                if not name.endswith((".txt", ".json")):
                    decoded = decode(data)
                if decoded is not None and decoded.rgb is not None:
                    picture = Image.fromarray(decoded.rgb)
                    scale = ONE_SIZE_PIXELS / max(picture.size)
                    size = [max(1, round(side * scale)) for side in picture.size]
                    encoded = io.BytesIO()
                    picture.resize((size[0], size[1]), Image.Resampling.LANCZOS).save(encoded, "JPEG", quality=90)
                    data, name = encoded.getvalue(), name.partition(".")[0] + ".jpg"
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                new.addfile(entry, io.BytesIO(data))
    return out


# --- running the pipeline ---------------------------------------------------------------------------------


def curate(*args: str | Path) -> None:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "jobs", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"curate {' '.join(map(str, args))}\n{done.stderr}")


def choose_all(tars: Path, out: Path) -> Path:
    """Return the chosen manifest of a run over `tars`, up to `choose`, on two cores."""
    curate("scan", f"{tars}/*.tar", "-o", out / "scan", "--master", "local[2]", "-q")
    curate("dedupe", out / "scan", "-o", out / "deduped", "--master", "local[2]", "-q")
    curate("score", out / "deduped", "-o", out / "scored", "--master", "local[2]", "-q")
    curate("choose", out / "scored", "-o", out / "chosen", "--master", "local[2]", "-q")
    return out / "chosen"


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


class TimedEngine:
    """The default engine, its detections and readings timed."""

    name = "timed"
    version = "timed"

    def __init__(self, clock: Clock) -> None:
        self.engine, self.clock = load_engine("rapidocr"), clock
        self.detections = 0

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> Sequence[Boxes]:
        """Detect, timed for the first or the second detection of a picture."""
        self.detections += 1
        with self.clock.on("detect_small" if self.detections == 1 else "detect_large"):
            return self.engine.detect(pictures, max_area_pixels=max_area_pixels)

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> Sequence[Sequence[Line]]:
        """Read, timed."""
        with self.clock.on("read"):
            return self.engine.read(pictures, boxes)


def cost_by_class(images: Sequence[Labelled], *, with_light: bool) -> dict[str, dict[str, float]]:
    """Return core-milliseconds an image by class and part: two decodes at most, density, the steps, the rest."""
    clocks = {label: Clock() for label in WEB_MIX}
    settings = CascadeSettings(with_light=with_light)
    engine = TimedEngine(clocks["none"])
    cascade = Cascade(engine, settings)
    for image in images:
        clock = engine.clock = clocks[image.label]
        engine.detections = 0
        with clock.on("decode"):
            rgb = decode(image.data).rgb
        if rgb is None:
            continue
        with clock.on("density"):
            prior = text_probabilities(text_map(rgb))
        if not settings.is_open(TextStep.DENSITY, prior):
            continue
        with clock.on("decode again"):
            again = _ready(image.data)
        before = sum(clock.milliseconds[step] for step in ("detect_small", "detect_large", "read"))
        with clock.on("all steps"):
            cascade.measure([again], [prior])
        after = sum(clock.milliseconds[step] for step in ("detect_small", "detect_large", "read"))
        clock.milliseconds["map and views"] += clock.milliseconds.pop("all steps") - (after - before)
    counts = {label: sum(i.label == label for i in images) for label in WEB_MIX}
    return {
        label: {part: ms / max(1, counts[label]) for part, ms in clock.milliseconds.items()}
        for label, clock in clocks.items()
    }


def mixed(by_class: Mapping[str, float]) -> float:
    """Return the mean over the web's mix of a figure by class."""
    return sum(WEB_MIX[label] * value for label, value in by_class.items())


def peers(images: Sequence[Labelled], count: int) -> dict[str, dict[str, float]]:
    """Return core-milliseconds an image by class of RapidOCR's full reading and, if it is installed, CRAFT's."""
    readers = {"rapidocr": _rapidocr_reader()}
    if util.find_spec("easyocr") is not None:
        readers["craft"] = _craft_detector()
    found: dict[str, dict[str, float]] = {name: {} for name in readers}
    for label in WEB_MIX:
        mine = [i for i in images if i.label == label]
        chosen = [mine[round(p)] for p in np.linspace(0, len(mine) - 1, min(count, len(mine)))]
        clock = Clock()
        for image in chosen:
            rgb = _whole(image.data)
            for name, reader in readers.items():
                with clock.on(name):
                    reader(rgb)
        for name, by_label in found.items():
            by_label[label] = clock.milliseconds[name] / len(chosen)
    return found


def _rapidocr_reader() -> Callable[[Rgb], object]:
    from rapidocr import RapidOCR  # noqa: PLC0415 - a second to import

    threads = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "EngineConfig.onnxruntime.inter_op_num_threads": 1}
    reader = RapidOCR(params={**threads, "Global.log_level": "critical"})
    return lambda rgb: reader(rgb[:, :, ::-1].copy())


def _craft_detector() -> Callable[[Rgb], object]:
    """Return EasyOCR's detection with its own defaults, and weights nobody trained: the work is the same."""
    import torch  # noqa: PLC0415 - of the easyocr extra
    from easyocr.craft import CRAFT  # noqa: PLC0415
    from easyocr.detection import get_textbox  # noqa: PLC0415

    torch.set_num_threads(1)
    torch.manual_seed(0)
    craft = CRAFT().eval()
    return lambda rgb: get_textbox(craft, rgb, 2560, 1.0, 0.7, 0.4, 0.4, False, "cpu")


# --- steps and laws ---------------------------------------------------------------------------------------


def all_steps(images: Sequence[Labelled]) -> list[LabelledRow]:
    """Return what every step thinks of each image."""
    cascade = Cascade(load_engine("rapidocr"), CascadeSettings(is_exhaustive=True))
    names: dict[str, Label] = {"none": "none", "some": "light", "rich": "heavy"}
    found = []
    for image in images:
        rgb = _ready(image.data)
        (measures,) = cascade.measure([rgb], [text_probabilities(text_map(rgb))])
        found.append(
            LabelledRow(
                key=image.key,
                label=names[image.label],
                probabilities=parse_text_trail(measures.text_trail),
            )
        )
    return found


def _whole(data: bytes, *, enough_pixels: int | None = None) -> Rgb:
    rgb = decode(data, enough_pixels=enough_pixels).rgb
    assert rgb is not None
    return rgb


def _ready(data: bytes) -> Rgb:
    return enough_of(_whole(data, enough_pixels=ENOUGH_PIXELS))


def are_batches_equal(images: Sequence[Labelled], sizes: Sequence[int] = (1, 8, 64)) -> bool:
    """Whether the same pictures measure the same in batches of each size."""
    cascade = Cascade(load_engine("rapidocr"), CascadeSettings())
    pictures = [_ready(i.data) for i in images]
    priors: list[TextProbabilities] = [text_probabilities(text_map(rgb)) for rgb in pictures]
    runs = [
        [
            m
            for k in range(0, len(pictures), size)
            for m in cascade.measure(pictures[k : k + size], priors[k : k + size])
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


# --- the report -------------------------------------------------------------------------------------------


def measure_cost(images: Sequence[Labelled], peer_images: int) -> dict[str, Any]:
    """Return the cost in both modes and of the peers, on one pinned core."""
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(pinned)})
    cv2.setNumThreads(1)
    try:
        cost_by_class(images[:20], with_light=True)  # warm
        modes = {name: cost_by_class(images, with_light=name == "light") for name in ("heavy", "light")}
        theirs = peers(images, peer_images)
    finally:
        os.sched_setaffinity(0, pinned)
    found: dict[str, Any] = {"by_class": modes, "peers_by_class": theirs}
    found["peers"] = {name: round(mixed(by_class), 1) for name, by_class in theirs.items()}
    for name, by_class in modes.items():
        total = mixed({label: sum(parts.values()) for label, parts in by_class.items()})
        found[name] = {
            "core_milliseconds": round(total, 2),
            **{f"times_cheaper_than_{peer}": round(cost / total, 1) for peer, cost in found["peers"].items()},
            "core_hours_for_2_billion_extrapolated": round(IMAGES_ON_THE_WEB * total / 3.6e6),
        }
    found["memory_megabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return found


def measure(web: Path, tool: Path | None, work: Path, peer_images: int) -> dict[str, Any]:
    """Return everything this benchmark shows."""
    truth = read_truth(web)
    half = reported(truth)
    images = list(labelled_images(web, half))
    found: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}",
        "images_reported_on": {label: sum(i.label == label for i in images) for label in WEB_MIX},
        "cost": measure_cost(images, peer_images),
    }
    manifest = choose_all(web, work / "as-stored")
    one_size = choose_all(as_jpeg_of_one_size(web, work / "jpeg"), work / "one-size")
    found["accuracy"] = {}
    for name, chosen in (("as stored", manifest), ("JPEG of one size", one_size)):
        for which, rows in (("labels as they are", half), ("planted texts left out", without_planted(half))):
            path = write_truth(work / "truth.csv", rows)
            scores = score_with_tool(tool, chosen, path) if tool else {}
            found["accuracy"][f"{name}, {which}"] = scores
        found["accuracy"][f"{name}, operating points"] = {
            k: dataclasses.asdict(v) for k, v in operating_points(chosen, without_planted(half)).items()
        }
    found["thresholds"] = dict(default_rules())
    samples = all_steps(images)
    weights = {"none": 0.497, "light": 0.49, "heavy": 0.013}
    counts = {label: sum(s.label == label for s in samples) for label in weights}
    samples = [dataclasses.replace(s, weight=weights[s.label] / counts[s.label] * len(samples)) for s in samples]
    found["steps"] = {
        mode: [dataclasses.asdict(r) for r in step_reports(samples, default_bounds(), with_light=mode == "light")]
        for mode in ("heavy", "light")
    }
    costs = {s: open_manifest(str(work / "as-stored" / s)).cost for s in ("scan", "scored")}
    found["peak_worker_memory_megabytes"] = {s: round(c["peak_worker_memory_bytes"] / 1e6) for s, c in costs.items()}
    found["same_scores_in_batches_of_1_8_64"] = are_batches_equal(images[:128])
    digests = digests_by_cores(work / "as-stored" / "deduped", work)
    found["same_digest_on_1_2_4_cores"] = len(set(digests.values())) == 1
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def print_report(found: Mapping[str, Any]) -> None:
    """Print what was found, a table after another."""
    click.echo(f"machine: {found['machine']}\nimages reported on: {found['images_reported_on']}\n")
    for name, values in found["accuracy"].items():
        click.echo(name)
        for key, value in values.items():
            shown = (
                f"{value['share']:.3f} ({value['low']:.3f} to {value['high']:.3f})" if "low" in str(value) else value
            )
            click.echo(f"  {key:34} {shown}")
    cost = found["cost"]
    for mode in ("heavy", "light"):
        parts = sorted({part for by_part in cost["by_class"][mode].values() for part in by_part})
        click.echo(f"\ncore-milliseconds an image, mode {mode}" + "".join(f"{p:>15}" for p in parts) + f"{'all':>9}")
        for label, by_part in cost["by_class"][mode].items():
            shown = "".join(f"{by_part.get(part, 0):15.2f}" for part in parts)
            click.echo(f"  {label:38}{shown}{sum(by_part.values()):9.2f}")
        for key, value in cost[mode].items():
            click.echo(f"  {key:38} {value:,}")
    click.echo(f"\npeers, core-milliseconds an image: {cost['peers']} (by class: {cost['peers_by_class']})")
    for mode, steps in found["steps"].items():
        click.echo(f"\nsteps, mode {mode}: saw, settled (web's mix); heavy lost; light lost")
        for step in steps:
            lost = [f"{step[k]['share']:.3%} (to {step[k]['high']:.1%})" for k in ("heavy_lost", "light_lost")]
            click.echo(f"  {step['step']:14}{step['saw']:8.1%}{step['settled']:8.1%}   {lost[0]:22}{lost[1]}")
    for key in ("peak_worker_memory_megabytes", "same_scores_in_batches_of_1_8_64", "same_digest_on_1_2_4_cores"):
        click.echo(f"{key:38} {found[key]}")


@click.command()
@click.option("--web", type=click.Path(exists=True, path_type=Path), help="Folder of labelled tars with truth.csv.")
@click.option("--score-tool", type=click.Path(exists=True, path_type=Path), help="Script that scores a manifest.")
@click.option("--peer-images", default=24, show_default=True, help="Images of each class the peers are timed on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(web: Path | None, score_tool: Path | None, peer_images: int, as_json: bool) -> None:
    """Measure text-rich selection: accuracy, cost, memory, determinism."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if web is None:
            from examples.corpus import make_corpus  # noqa: PLC0415

            web = make_corpus(work / "drawn", images=600, tars=8)
        found = measure(web, score_tool, work, peer_images)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_report(found)


if __name__ == "__main__":
    main()
