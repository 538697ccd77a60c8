"""Pictures drawn as the corpus draws them, and what is done to pictures when they are copied."""

from collections.abc import Callable

import cv2
import numpy as np

from examples.corpus.samples import Painter
from filters.protocol import Rgb
from tests.support.pictures import as_jpeg, turned


def paint(painter: Painter, seed: int = 5, *, width: int = 480, height: int = 400) -> Rgb:
    """Return what `painter` draws by `seed`."""
    return np.asarray(painter(np.random.default_rng(seed), width, height).convert("RGB"))


def resized(rgb: Rgb, across: float, down: float) -> Rgb:
    size = (round(rgb.shape[1] * across), round(rgb.shape[0] * down))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def grey(rgb: Rgb) -> Rgb:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def cropped(rgb: Rgb, share: float) -> Rgb:
    """Return `share` of the area of `rgb`, off its middle."""
    height, width = (round(side * share**0.5) for side in rgb.shape[:2])
    top, left = (rgb.shape[0] - height) // 3, (rgb.shape[1] - width) * 2 // 3
    return np.ascontiguousarray(rgb[top : top + height, left : left + width])


def mirrored(rgb: Rgb) -> Rgb:
    return np.ascontiguousarray(rgb[:, ::-1])


def written_on(rgb: Rgb) -> Rgb:
    """Return `rgb` with a line of text on a band across it."""
    marked, (height, width) = rgb.copy(), rgb.shape[:2]
    marked[height // 2 - height // 14 : height // 2 + height // 14] = (250, 240, 60)
    place = (width // 20, height // 2 + height // 28)
    cv2.putText(marked, "www.pictures.example", place, cv2.FONT_HERSHEY_SIMPLEX, width / 420, (140, 0, 0), 2)
    return marked


def bordered(rgb: Rgb) -> Rgb:
    return cv2.copyMakeBorder(rgb, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(20, 20, 90))


COPIES: dict[str, tuple[str, Callable[[Rgb], Rgb]]] = {
    "jpeg": ("mild", lambda rgb: as_jpeg(rgb, 40)),
    "half": ("mild", lambda rgb: resized(rgb, 0.5, 0.5)),
    "aspect": ("mild", lambda rgb: resized(rgb, 0.8, 1)),
    "grey": ("mild", grey),
    "blur": ("mild", lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 1.2)),
    "text": ("overlay", written_on),
    "border": ("overlay", bordered),
    "crop 75": ("crop", lambda rgb: cropped(rgb, 0.75)),
    "crop 50": ("crop", lambda rgb: cropped(rgb, 0.5)),
    "mirror": ("mirror", mirrored),
    "turn 90": ("turn", lambda rgb: np.ascontiguousarray(np.rot90(rgb))),
    "turn 5": ("turn", lambda rgb: turned(rgb, 5)),
}
"""What is done to a picture, by name: the kind of copy that makes, and how."""
