"""The built-in text engine: PP-OCRv6 small through RapidOCR and ONNX Runtime, on one core, offline.

RapidOCR's classes decode the outputs of the models; sizes, padding and batching are chosen here, so that a picture's
numbers depend only on the picture.
"""

import logging
import math
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from filters.engines.model_files import ModelFile, check_model_files
from filters.geometry import crop_line, shrink_to_area
from filters.protocol import Boxes, EngineUnavailable, Line, Rgb, model_id

if TYPE_CHECKING:
    from rapidocr.ch_ppocr_det.utils import DBPostProcess
    from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode

DETECTION_MODEL = "PP-OCRv6_det_small.onnx"
RECOGNITION_MODEL = "PP-OCRv6_rec_small.onnx"
DETECTION_STEP_PIXELS = 32  # the detector's total stride
LINE_HEIGHT_PIXELS = 48  # what the recogniser was trained on
LINE_STEP_PIXELS = 64
MAX_LINE_WIDTH_PIXELS = 960
# The detector was trained with ImageNet's statistics, on B, G, R. RapidOCR's default, 0.5 for all six, finds fewer
# lines and more often mistakes a whole photograph for one line.
DETECTION_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
DETECTION_DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
RECOGNITION_MEAN = RECOGNITION_DEVIATION = np.full(3, 0.5, dtype=np.float32)


class RapidOcrEngine:
    """A `TextEngine` that detects and reads with the PP-OCRv6 small models of the rapidocr wheel.

    `model_folder` may name another folder with both model files. Nothing is downloaded: raises `EngineUnavailable` if
    rapidocr or a model file is missing. Needs about 100 MB of memory when loaded, 240 MB at the largest detection.
    """

    name = "rapidocr"

    def __init__(self, *, model_folder: str | None = None, min_box_score: float = 0.3) -> None:
        files = model_files(model_folder=model_folder)
        check_model_files(self.name, files)
        detection, recognition = (file.path for file in files)
        cv2.setNumThreads(1)  # a worker has one core; OpenCV would start a thread for each core of the machine
        self.version = (
            f"rapidocr-{metadata.version('rapidocr')}+onnxruntime-{onnxruntime.__version__}"
            f"+{model_id(detection)}+{model_id(recognition)}+min_box_score={min_box_score:g}"
        )
        self._detector = _session(detection)
        self._recogniser = _session(recognition)
        self._find_boxes = _box_finder(min_box_score)
        self._decode_line = _line_decoder(self._recogniser, recognition)

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> list[Boxes]:
        """Return the text lines of each picture, found in it shrunk to about `max_area_pixels`, sides multiples of
        32.

        The method is differentiable binarisation (Liao et al., 2019, arXiv:1911.08947), with PaddleOCR's parameters.
        Pictures run through the network one at a time: on one core, a batch of eight takes longer.
        """
        return [self._detect_one(rgb, max_area_pixels) for rgb in pictures]

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> list[list[Line]]:
        """Return the text of each of the boxes of each picture, in their order.

        Lines run through the network one at a time. In a batch, the padding of a line would depend on the other lines
        and change its numbers, and on one core a batch is not faster.
        """
        return [
            [self._read_line(crop_line(rgb, quad)) for quad in mine.quads]
            for rgb, mine in zip(pictures, boxes, strict=True)
        ]

    def _detect_one(self, rgb: Rgb, max_area_pixels: int) -> Boxes:
        height, width = rgb.shape[:2]
        shrunk = shrink_to_area(rgb, max_area_pixels, step_pixels=DETECTION_STEP_PIXELS)
        heat = self._detector.run(None, {"x": _network_input(shrunk, DETECTION_MEAN, DETECTION_DEVIATION)})[0]
        quads, scores = self._find_boxes(heat, (height, width))
        return Boxes(
            quads=np.asarray(quads, dtype=np.float32).reshape(-1, 4, 2),
            scores=np.asarray(scores, dtype=np.float32),
        )

    def _read_line(self, line: Rgb) -> Line:
        fitted = _network_input(_fit_line(line), RECOGNITION_MEAN, RECOGNITION_DEVIATION)
        probabilities = self._recogniser.run(None, {"x": fitted})[0]
        ((text, confidence),), _ = self._decode_line(probabilities)
        return Line(text=str(text), confidence=float(confidence) if text else 0.0)


def model_files(*, model_folder: str | None = None) -> tuple[ModelFile, ModelFile]:
    """Return the detector's file and the recogniser's, in `model_folder` or the rapidocr wheel."""
    folder = Path(model_folder) if model_folder is not None else _rapidocr_folder() / "models"
    detection, recognition = (
        ModelFile(
            path=folder / name,
            advice=f"reinstall rapidocr, whose wheel contains it, or set model_folder to a folder with {name}",
        )
        for name in (DETECTION_MODEL, RECOGNITION_MODEL)
    )
    return detection, recognition


def _rapidocr_folder() -> Path:
    found = util.find_spec("rapidocr")
    if found is None or found.origin is None:
        raise EngineUnavailable("text engine 'rapidocr': package rapidocr is missing; pip install rapidocr")
    return Path(found.origin).parent


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena never frees the memory of the largest picture
    options.enable_mem_pattern = False  # pictures differ in shape, and each shape would have a plan in memory
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except (onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf, RuntimeError) as error:
        raise EngineUnavailable(
            f"text engine 'rapidocr': onnxruntime cannot load {path}: {error}; "
            "restore the file from the rapidocr wheel"
        ) from error


def _box_finder(min_box_score: float) -> "DBPostProcess":
    from rapidocr.ch_ppocr_det.utils import DBPostProcess  # noqa: PLC0415 - a second to import: only when used

    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    return DBPostProcess(thresh=0.3, box_thresh=min_box_score, unclip_ratio=1.6, use_dilation=True)


def _line_decoder(recogniser: Any, path: Path) -> "CTCLabelDecode":
    from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode  # noqa: PLC0415

    characters = recogniser.get_modelmeta().custom_metadata_map.get("character")
    if characters is None:
        raise EngineUnavailable(
            f"text engine 'rapidocr': {path} has no character list; use the recognition model of the rapidocr wheel"
        )
    return CTCLabelDecode(character=characters.splitlines())


def _network_input(rgb: Rgb, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `rgb` as the input of the models: (1, 3, height, width) float32, channels B, G, R, normalised."""
    scale, shift = 1 / (np.float32(255) * deviation), mean / deviation
    planes = (rgb[:, :, ::-1] * scale - shift).transpose(2, 0, 1)
    return np.ascontiguousarray(planes[None], dtype=np.float32)


def _fit_line(line: Rgb) -> Rgb:
    """Return `line` 48 pixels high, its width padded with grey (the network's zero) to a multiple of 64."""
    height, width = line.shape[:2]
    fitted_width = min(MAX_LINE_WIDTH_PIXELS, max(1, math.ceil(LINE_HEIGHT_PIXELS * width / height)))
    how = cv2.INTER_AREA if height > 2 * LINE_HEIGHT_PIXELS else cv2.INTER_LINEAR
    fitted = cv2.resize(np.ascontiguousarray(line), (fitted_width, LINE_HEIGHT_PIXELS), interpolation=how)
    padding = -fitted_width % LINE_STEP_PIXELS
    return np.pad(fitted, ((0, 0), (0, padding), (0, 0)), constant_values=128)
