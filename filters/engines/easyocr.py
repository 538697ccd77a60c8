"""EasyOCR as a `TextEngine`: CRAFT finds the lines, a CRNN reads them, on a CPU or a GPU.

EasyOCR's networks and its pre- and post-processing are used, but not its loading of weights, which downloads missing
files and unpickles them. Here nothing is downloaded (`curate models fetch easyocr` does that, on a machine with a
network), and only tensors are loaded, so that a file cannot run code.
"""

import importlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.engines.model_files import ModelFile, check_model_files, path_from_home
from filters.geometry import crop_line, shrink_to_area
from filters.protocol import Boxes, EngineUnavailable, Line, Rgb, model_id

INSTALL_ADVICE = "pip install easyocr"
FETCH_ADVICE = (
    "on a machine with a network run `curate models fetch easyocr`, copy the folder to every worker and set "
    "EASYOCR_MODULE_PATH (or the option module_path) to it"
)
_NETWORKS = {  # EasyOCR's own parameters of its two generations of recognisers
    "gen1": ("easyocr.model.model", {"input_channel": 1, "output_channel": 512, "hidden_size": 512}),
    "gen2": ("easyocr.model.vgg_model", {"input_channel": 1, "output_channel": 256, "hidden_size": 256}),
}


class EasyOcrEngine:
    """A `TextEngine` of EasyOCR's CRAFT detector and its recogniser for `languages`.

    `languages` are EasyOCR's codes, in combinations that one of its models reads. `gpu` requires CUDA. Weights are
    read from `module_path`, else from EASYOCR_MODULE_PATH, else from ~/.EasyOCR. Raises `EngineUnavailable`, with
    advice, if a file or a package is missing. Needs about 1.2 GB of memory on a CPU.
    """

    name = "easyocr"

    def __init__(
        self, *, languages: Sequence[str] = ("en",), gpu: bool = False, module_path: str | None = None
    ) -> None:
        self._torch = _import_torch()
        self._device = self._pick_device(gpu)
        reader, generation = _configured_reader(languages)
        files = model_files(languages=languages, module_path=module_path)
        check_model_files(self.name, files)
        detection, recognition = (file.path for file in files)
        self.version = (
            f"easyocr-{metadata.version('easyocr')}+torch-{self._torch.__version__.split('+')[0]}"
            f"+{model_id(detection)}+{model_id(recognition)}+{'-'.join(languages)}+{self._device}"
        )
        if self._device == "cpu":
            self._torch.set_num_threads(1)  # a worker has one core
        self._reader = reader
        self._reader.device = self._device
        self._load(detection, recognition, generation)

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> list[Boxes]:
        """Return the lines of each picture, found in it shrunk to at most `max_area_pixels`, with a score of 1.

        CRAFT (Baek et al., 2019, arXiv:1904.01941) finds the characters without scores, and EasyOCR groups them into
        lines. On a GPU, pictures of equal size run together.
        """
        shrunk = [shrink_to_area(rgb, max_area_pixels) for rgb in pictures]
        found: list[Boxes | None] = [None] * len(pictures)
        for places in _batches(shrunk, together=self._device != "cpu"):
            batch = np.stack([shrunk[place] for place in places])
            longest = max(batch.shape[1:3])
            flat, free = self._reader.detect(
                batch if len(batch) > 1 else batch[0], canvas_size=longest, reformat=False
            )
            for place, mine, turned in zip(places, flat, free, strict=True):
                found[place] = _boxes(mine, turned, pictures[place], shrunk[place])
        return [boxes for boxes in found if boxes is not None]

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> list[list[Line]]:
        """Return the text of each of the boxes of each picture, in their order, each read separately."""
        return [
            [self._read_line(crop_line(rgb, quad)) for quad in mine.quads]
            for rgb, mine in zip(pictures, boxes, strict=True)
        ]

    def _read_line(self, line: Rgb) -> Line:
        grey = cv2.cvtColor(line, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        ((_, text, confidence),) = self._reader.recognize(grey, [[0, width, 0, height]], [], reformat=False)
        return Line(text=str(text), confidence=float(np.clip(confidence, 0, 1)) if text else 0.0)

    def _pick_device(self, gpu: bool) -> str:
        if not gpu:
            return "cpu"
        if not self._torch.cuda.is_available():
            raise EngineUnavailable(
                "text engine 'easyocr': gpu is set, but PyTorch finds no CUDA device; remove gpu, or run it on a "
                "machine with one"
            )
        return "cuda"

    def _load(self, detection: Path, recognition: Path, generation: str) -> None:
        craft = importlib.import_module("easyocr.craft").CRAFT()
        self._reader.detector = self._with_weights(craft, detection)
        self._reader.get_textbox = importlib.import_module("easyocr.detection").get_textbox
        module, parameters = _NETWORKS[generation]
        self._reader.converter = importlib.import_module("easyocr.utils").CTCLabelConverter(
            self._reader.character, {}, {}
        )
        network = importlib.import_module(module).Model(num_class=len(self._reader.converter.character), **parameters)
        self._reader.recognizer = self._with_weights(network, recognition)

    def _with_weights(self, network: Any, path: Path) -> Any:
        try:
            state = self._torch.load(path, map_location=self._device, weights_only=True)
            network.load_state_dict(OrderedDict((k.removeprefix("module."), v) for k, v in state.items()))
        except Exception as error:
            raise EngineUnavailable(
                f"text engine 'easyocr': {path} has other weights than this network ({error}); {FETCH_ADVICE}"
            ) from error
        return network.to(self._device).eval()


def model_files(*, languages: Sequence[str] = ("en",), module_path: str | None = None) -> tuple[ModelFile, ModelFile]:
    """Return the weights of the detector and of the recogniser of `languages`, as EasyOCR publishes them."""
    reader, generation = _configured_reader(languages)
    config = importlib.import_module("easyocr.config")
    folder = path_from_home(module_path or os.environ.get("EASYOCR_MODULE_PATH") or "~/.EasyOCR") / "model"
    models = (config.detection_models["craft"], _recogniser(config, reader, generation))
    detection, recognition = (
        ModelFile(path=folder / m["filename"], advice=FETCH_ADVICE, url=m["url"], md5=m["md5sum"]) for m in models
    )
    return detection, recognition


def _import_torch() -> Any:
    for package in ("torch", "torchvision", "easyocr"):
        if util.find_spec(package) is None:
            raise EngineUnavailable(f"text engine 'easyocr': package {package} is missing; {INSTALL_ADVICE}")
    return importlib.import_module("torch")


def _configured_reader(languages: Sequence[str]) -> tuple[Any, str]:
    """Return EasyOCR's reader for `languages`, without networks, and the generation of its recogniser."""
    _import_torch()
    easyocr = importlib.import_module("easyocr")
    with tempfile.TemporaryDirectory() as nowhere:  # EasyOCR makes the folders it is given
        try:
            reader = easyocr.Reader(
                list(languages), gpu=False, model_storage_directory=nowhere, user_network_directory=nowhere,
                download_enabled=False, detector=False, recognizer=False, verbose=False,
            )  # fmt: skip
        except ValueError as error:
            why = " ".join(str(part) for part in error.args)
            raise EngineUnavailable(f"text engine 'easyocr': languages {list(languages)}: {why}") from error
    config = importlib.import_module("easyocr.config")
    for generation in ("gen2", "gen1"):
        if _recogniser(config, reader, generation) is not None:
            return reader, generation
    raise EngineUnavailable(f"text engine 'easyocr': no recogniser for languages {list(languages)}")


def _recogniser(config: Any, reader: Any, generation: str) -> Any:
    models: Mapping[str, Mapping[str, str]] = config.recognition_models[generation]
    alike = (m for m in models.values() if m["characters"] == reader.character)
    return next(alike, None)


def _batches(pictures: Sequence[Rgb], *, together: bool) -> Iterator[list[int]]:
    """Yield the indexes of `pictures` in batches: of equal shape if `together`, else one by one."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for place, rgb in enumerate(pictures):
        by_shape.setdefault(rgb.shape if together else (place,), []).append(place)
    yield from by_shape.values()


def _boxes(flat: Sequence[Any], turned: Sequence[Any], rgb: Rgb, shrunk: Rgb) -> Boxes:
    corners = [[(left, top), (right, top), (right, bottom), (left, bottom)] for left, right, top, bottom in flat]
    quads: NDArray[np.float32] = np.array([*corners, *turned], dtype=np.float32).reshape(-1, 4, 2)
    ratio = np.array([rgb.shape[1] / shrunk.shape[1], rgb.shape[0] / shrunk.shape[0]], dtype=np.float32)
    edge = np.array([rgb.shape[1], rgb.shape[0]], dtype=np.float32)
    return Boxes(quads=np.clip(quads * ratio, 0, edge), scores=np.ones(len(quads), dtype=np.float32))
