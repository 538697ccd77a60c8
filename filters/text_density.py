"""How much of a picture looks like text, measured in three milliseconds, so that every picture can be measured.

The picture is shrunk to the area of a 384-pixel square. For each cell of 8 × 8 pixels, a small convolutional network
gives the log-odds that it is part of a line of text, and the height of that line. Two logistic regressions on this
map answer the two questions that Web-SSL put to a VLM: is there any text to read (`text_presence`), and is the
picture mostly text (`text_density`)?

The network (text_net.onnx) and the weights (text_net.json) are made by scripts/text_net, where their data are named.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.geometry import shrink_to_area
from filters.logistic import sigmoids, weighted_probability
from filters.protocol import Rgb, TextProbabilities

AREA_PIXELS = 384 * 384
CELL_PIXELS = 8
STEP_PIXELS = 16  # the network's total stride
DECIMALS = 6
HEIGHT_CENTRE = 3.5  # log2 of a line's height where the network returns 0
FLAT_STEP = 4  # largest difference between neighbouring grey levels in a flat area
BLOCKS = 8  # a side of the grid on which the spread of text is measured

_NETWORK, _WEIGHTS = "text_net.onnx", "text_net.json"

Grid = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TextMap:
    """Where text seems to be: one value for each cell of 8 × 8 pixels of the shrunken picture.

    `log_odds`, (rows, columns) float32: that the cell is part of a line of text. `heights_pixels`, (rows, columns)
    float32: the height of that line, in pixels of the shrunken picture. `flat_share`: the share of the picture, in
    [0, 1], without texture, as paper, screens and drawings have it.
    """

    log_odds: Grid
    heights_pixels: Grid
    flat_share: float

    @property
    def probabilities(self) -> Grid:
        """The probability that a cell is part of a line of text, (rows, columns) float32 in [0, 1]."""
        return sigmoids(self.log_odds)


def version() -> str:
    """Return what the numbers depend on: network and weights by a short sha256, and onnxruntime's version."""
    short_hash = hashlib.sha256(_resource(_NETWORK) + _resource(_WEIGHTS)).hexdigest()[:8]
    return f"text_net@{short_hash}+onnxruntime-{metadata.version('onnxruntime')}"


def text_map(rgb: Rgb, *, area_pixels: int = AREA_PIXELS, max_enlargement: float = 1.0) -> TextMap:
    """Return where text seems to be in `rgb`, (height, width, 3) uint8, resized to about `area_pixels`.

    Smaller pictures are enlarged by at most `max_enlargement`. Raises `ValueError` for another shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ValueError(
            f"text_density: got an array {rgb.shape} of {rgb.dtype}; pass a picture (height, width, 3) of uint8"
        )
    enlargement = min(max_enlargement, math.sqrt(area_pixels / (rgb.shape[0] * rgb.shape[1])))
    if enlargement > 1:
        size = [
            max(1, round(side * enlargement / STEP_PIXELS)) * STEP_PIXELS for side in (rgb.shape[1], rgb.shape[0])
        ]
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        area_pixels = max(area_pixels, size[0] * size[1])
    shown = shrink_to_area(rgb, area_pixels, step_pixels=STEP_PIXELS, is_quick=True)
    maps = _session().run(None, {"x": np.ascontiguousarray(shown)[None]})[0][0]
    return TextMap(
        log_odds=maps[0],
        heights_pixels=np.exp2(np.clip(maps[1] + HEIGHT_CENTRE, 1.5, 8)),
        flat_share=_flat_share(shown),
    )


def text_probabilities(found: TextMap) -> TextProbabilities:
    """Return both probabilities of the picture with the map `found`, rounded to 6 decimals."""
    features = map_features(found)
    light, heavy = (
        weighted_probability(_weights()[question], features, decimals=DECIMALS) for question in ("light", "heavy")
    )
    return TextProbabilities(light=light, heavy=heavy)


def map_features(found: TextMap) -> dict[str, float]:
    """Return the features of a map that the probabilities are computed from, by name.

    `line`: the highest mean log-odds of three cells in a row or column; `surest`: the mean of the twelve highest
    log-odds; `letters`: log of the area of text in squares of its letters; `area`: log of the share of cells with
    text; `spread`: the share of the blocks of a coarse grid with text; `flat`: the share without texture.
    """
    odds, probabilities = found.log_odds, found.probabilities
    in_line = max(float(cv2.blur(odds, size).max()) for size in ((3, 1), (1, 3)))
    surest = np.sort(odds, axis=None)[::-1][:12]
    letters = float((probabilities * (probabilities > 0.2) * CELL_PIXELS**2 / found.heights_pixels**2).sum())
    is_text = (probabilities > 0.4).astype(np.float32)
    blocks = cv2.resize(is_text, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    return {
        "line": in_line,
        "surest": float(surest.mean()),
        "letters": math.log(letters + 0.05),
        "area": math.log(float(is_text.mean()) + 1e-3),
        "spread": float((blocks > 0.02).mean()),
        "flat": found.flat_share,
    }


def _flat_share(rgb: Rgb) -> float:
    """Return the share of pixels in areas without texture: neighbours differ only by noise and compression."""
    smooth = cv2.blur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (3, 3))
    ground = np.ones((3, 3), np.uint8)
    steps = cv2.subtract(cv2.dilate(smooth, ground), cv2.erode(smooth, ground))
    return cv2.countNonZero(cv2.threshold(steps, FLAT_STEP, 255, cv2.THRESH_BINARY_INV)[1]) / steps.size


def _resource(name: str) -> bytes:
    return resources.files("filters").joinpath(name).read_bytes()  # also from a zip, as spark-submit sends it


@lru_cache(maxsize=1)
def _weights() -> Mapping[str, Mapping[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(_resource(_WEIGHTS))["chances"]
    return found


@lru_cache(maxsize=1)
def _session() -> Any:
    import onnxruntime  # noqa: PLC0415 - a third of a second to import: only when used

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # shapes differ: memory would grow
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(_resource(_NETWORK), sess_options=options, providers=["CPUExecutionProvider"])
