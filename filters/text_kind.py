"""What a picture with text is: a document, a table, a chart, … or a poster, a photograph, or nothing to read at all.

Where text is says little about what the picture is: a poster and a page have the same lines. So a network looks at
the picture as a whole, at about 256 × 256 pixels: EfficientNet-lite0 (Tan and Le, 2019, arXiv:1905.11946, in the
variant for small devices), whose first five blocks are as trained on ImageNet, and whose others learned the kinds.

The network (text_kind.onnx) is made by scripts/kind_net, where its data are named.
"""

import math
from enum import StrEnum
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from filters.networks import network_version, open_session, read_network
from filters.protocol import Rgb

AREA_PIXELS = 256 * 256
STEP_PIXELS = 32  # the network's total stride
MAX_ASPECT = 4.0  # longer pictures are squeezed to this ratio of the sides

_NETWORK = "text_kind.onnx"


class TextKind(StrEnum):
    """The kinds of pictures that are told apart; the order is that of the network's outputs."""

    DOCUMENT = "document"
    TABLE = "table"
    CHART = "chart"
    DIAGRAM = "diagram"
    SCREENSHOT = "screenshot"
    SLIDE = "slide"
    HANDWRITING = "handwriting"
    MAP = "map"
    DESIGNED = "designed"
    SCENE = "scene"
    NONE = "none"


RICH_KINDS = (
    TextKind.DOCUMENT, TextKind.TABLE, TextKind.CHART, TextKind.DIAGRAM, TextKind.SCREENSHOT, TextKind.SLIDE,
    TextKind.HANDWRITING, TextKind.MAP,
)  # fmt: skip
"""The kinds that Web-SSL's question for charts, tables and documents means: Fan et al., 2025, arXiv:2504.01017."""


def version() -> str:
    """Return what the numbers depend on: the network by a short sha256, and onnxruntime's version."""
    return network_version("text_kind", _NETWORK)


def network_size(height: int, width: int) -> tuple[int, int]:
    """Return (height, width), in pixels, of what the network sees of a picture of this size: about AREA_PIXELS."""
    aspect = min(MAX_ASPECT, max(1 / MAX_ASPECT, width / height))
    side = math.sqrt(AREA_PIXELS)
    down, across = (max(1, round(s / STEP_PIXELS)) * STEP_PIXELS for s in (side / aspect**0.5, side * aspect**0.5))
    return down, across


def network_input(rgb: Rgb) -> Rgb:
    """Return `rgb`, (height, width, 3) uint8, in the size that the network sees."""
    height, width = network_size(*rgb.shape[:2])
    is_smaller = height < rgb.shape[0] or width < rgb.shape[1]
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=how), dtype=np.uint8)


def kind_log_odds(rgb: Rgb) -> NDArray[np.float32]:
    """Return the network's outputs for `rgb`, (height, width, 3) uint8: (11,), one for each TextKind, unnormalised.

    Their softmax are probabilities. Raises ValueError for another shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ValueError(
            f"text_kind: got an array {rgb.shape} of {rgb.dtype}; pass a picture (height, width, 3) of uint8"
        )
    found: NDArray[np.float32] = _session().run(None, {"x": network_input(rgb)[None]})[0][0]
    return found


@lru_cache(maxsize=1)
def _session() -> Any:
    return open_session(read_network(_NETWORK))
