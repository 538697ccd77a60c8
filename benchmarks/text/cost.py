"""What an image costs: core-milliseconds of each step and of other tools, and images a second on a GPU."""

import contextlib
import dataclasses
import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import util
from typing import Any

import cv2
import numpy as np
import onnxruntime

from benchmarks.text.corpus import WEB_MIX, Labelled, picture_to_score, whole_picture
from curation.pictures.decode import decode
from curation.text.bounds import CascadeSettings, TextStep
from curation.text.cascade import Cascade, settled_measures
from curation.text.first_look import FirstLook, first_look, network_kinds
from filters.protocol import EngineUnavailable, Rgb, TextProbabilities, load_engine

IMAGES_ON_THE_WEB = 2_000_000_000
IN_THE_SCAN = (TextStep.DENSITY, TextStep.KIND)
PARTS = ("decode", *IN_THE_SCAN, "decode again", *(step for step in TextStep if step not in IN_THE_SCAN))
"""The parts of the work on an image, in their order."""
GPU_BATCH_IMAGES, GPU_WARM_IMAGES = 32, 64
NO_GPU = "no GPU here"


class Clock:
    """Adds up the processor time spent in parts of the work."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = defaultdict(float)
        self._since = time.process_time_ns()

    def start(self) -> None:
        """Start a lap."""
        self._since = time.process_time_ns()

    def lap(self, part: str) -> None:
        """Count the time since the lap's start for `part`, and start the next lap."""
        now = time.process_time_ns()
        self.milliseconds[part] += (now - self._since) / 1e6
        self._since = now

    @contextlib.contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count the time of the block for `part`."""
        self.start()
        yield
        self.lap(part)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimedSettings(CascadeSettings):
    """Settings that say when a step has ended: the cascade then asks them whether the image goes on."""

    ended: Callable[[str], None]

    def is_open(self, step: TextStep, probabilities: TextProbabilities) -> bool:
        """Count the time of `step`, and answer."""
        self.ended(str(step))
        return super().is_open(step, probabilities)


def cost_by_class(images: Sequence[Labelled], *, with_light: bool) -> dict[str, dict[str, float]]:
    """Return core-milliseconds an image by class and part: two decodes at most, and each step with all it needs."""
    clocks = {label: Clock() for label in WEB_MIX}
    settings = CascadeSettings(with_light=with_light)
    engine = load_engine("rapidocr")
    cascades = {
        label: Cascade(engine, TimedSettings(with_light=with_light, ended=clock.lap))
        for label, clock in clocks.items()
    }
    for image in images:
        clock = clocks[image.label]
        with clock.on("decode"):
            rgb = decode(image.data).rgb
        if rgb is None:
            continue
        look = timed_look(rgb, clock)
        if settled_measures(look, settings) is not None:
            continue
        with clock.on("decode again"):
            again = picture_to_score(image.data)
        clock.start()
        (measures,) = cascades[image.label].measure([again], [look])
        clock.lap(measures.text_step if measures.text_lines is None else TextStep.READ)
    counts = {label: sum(i.label == label for i in images) for label in WEB_MIX}
    return {
        label: {part: ms / max(1, counts[label]) for part, ms in clock.milliseconds.items()}
        for label, clock in clocks.items()
    }


def timed_look(rgb: Rgb, clock: Clock) -> FirstLook:
    """Return the first look at `rgb`, timed: what its second network takes, in a run of its own, counts as `kind`."""
    with clock.on(TextStep.DENSITY):
        look = first_look(rgb)
    if look.has_rich_kinds:
        before = clock.milliseconds[TextStep.KIND]
        with clock.on(TextStep.KIND):
            network_kinds(rgb)
        clock.milliseconds[TextStep.DENSITY] -= clock.milliseconds[TextStep.KIND] - before
    return look


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
            rgb = whole_picture(image.data)
            for name, reader in readers.items():
                with clock.on(name):
                    reader(rgb)
        for name, by_label in found.items():
            by_label[label] = clock.milliseconds[name] / max(1, len(chosen))
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


def gpu_throughput(images: Sequence[Labelled]) -> dict[str, float] | str:
    """Return images a second of one process with the engine on a GPU, by question, or why there is no figure.

    The pictures are decoded before; the steps that need no engine run where they always run. Wall time, over the
    web's mix.
    """
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return NO_GPU
    try:
        engine = load_engine("rapidocr", gpu=True)
    except EngineUnavailable as error:
        return f"{NO_GPU}: {error}"
    pictures = {label: [picture_to_score(i.data) for i in images if i.label == label] for label in WEB_MIX}
    found = {}
    for question in ("heavy", "light"):
        cascade = Cascade(engine, CascadeSettings(with_light=question == "light"))
        _run(cascade, [rgb for some in pictures.values() for rgb in some][:GPU_WARM_IMAGES])
        seconds = {}
        for label, some in pictures.items():
            started = time.perf_counter()
            _run(cascade, some)
            seconds[label] = (time.perf_counter() - started) / max(1, len(some))
        found[question] = round(1 / mixed(seconds), 1)
    return found


def _run(cascade: Cascade, pictures: Sequence[Rgb]) -> None:
    for first in range(0, len(pictures), GPU_BATCH_IMAGES):
        batch = pictures[first : first + GPU_BATCH_IMAGES]
        cascade.measure(batch, [first_look(rgb) for rgb in batch])


def measure_cost(images: Sequence[Labelled], peer_images: int) -> dict[str, Any]:
    """Return the cost of both questions and of the peers, on one pinned core, and what a GPU does if there is one."""
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
    found["images_a_second_on_a_gpu"] = gpu_throughput(images)
    return found
