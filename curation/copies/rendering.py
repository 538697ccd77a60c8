"""An image in the sizes and features in which it is compared with others, computed when they are first needed."""

import functools
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.copies.noise import noise_level, smoothed
from curation.pictures.bounded import decode_bounded
from curation.pictures.decode import DecodeLimits
from curation.pictures.local_features import Roots, root_sift
from filters.geometry import shrink_smoothly
from filters.protocol import Rgb
from filters.text_density import TextMap, map_features, text_map, text_probabilities

COARSE_AREA_PIXELS = 320 * 320
FINE_STEP_PIXELS = 8  # of its sides, so that smaller versions are halves of halves
NEARLY = 0.9  # of the fine size: half of it is the coarse size
FINE_AREA_PIXELS = 640 * 640
SHARP_AREA_PIXELS = 1536 * 1536
THUMB_PIXELS = 32
COLOUR_STEP = 4
MAX_KEYPOINTS = 500
BLUR_REACH = 3  # standard deviations
BYTES_PER_PIXEL = 17  # in colour, grey, blurred and with repeated edges as float32, and all of that in smaller sizes
FLAT_CELL_PIXELS, FLAT_BLUR_PIXELS, FLAT_VARIANCE, DRAWN_FLAT_SHARE = 8, 0.7, 2.0, 0.3
LETTERED_PROBABILITY = 0.5
_TRANSPARENT = ("RGBA", "LA", "PA", "P", "La", "RGBa")

Grey = NDArray[Any]
"""float32 or uint8, (height, width)."""


class Layer:
    """A grey image in one size, `grey`, uint8 (height, width), and how it looks when it is blurred."""

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        self.grey = grey
        self._kept: dict[float, Grey] = {}
        self._spread: tuple[tuple[int, float], Grey] | None = None

    def blurred(self, pixels: float) -> Grey:
        """Return the image after a Gaussian blur with a standard deviation of `pixels`, float32 (height, width).

        The first one is kept.
        """
        if pixels in self._kept:
            return self._kept[pixels]
        found = blurred(self.grey.astype(np.float32), pixels)
        if not self._kept:
            self._kept[pixels] = found
        return found

    def spread(self, edge: int, pixels: float) -> Grey:
        """Return the image after such a blur, none with 0, with its edges repeated around it, `edge` pixels wide.

        The last one is kept.
        """
        if self._spread is None or self._spread[0] != (edge, pixels):
            self._spread = (edge, pixels), spread(self.grey, edge, pixels)
        return self._spread[1]


def spread(grey: Grey, edge: int, pixels: float) -> Grey:
    """Return `grey`, blurred by `pixels` if that is not 0, with its edges repeated around it, `edge` pixels wide."""
    smooth = cv2.GaussianBlur(grey, (0, 0), pixels) if pixels else grey
    return cv2.copyMakeBorder(smooth, edge, edge, edge, edge, cv2.BORDER_REPLICATE).astype(np.float32)


def blurred(grey: Grey, pixels: float) -> Grey:
    """Return `grey`, float32, after a Gaussian blur with a standard deviation of `pixels`."""
    size = 2 * reach(pixels) + 1
    return np.asarray(cv2.GaussianBlur(grey, (size, size), pixels))


def reach(pixels: float) -> int:
    """Return how many pixels away `blurred` still looks."""
    return round(BLUR_REACH * pixels)


class Rendering:
    """An image in colour at up to FINE_AREA_PIXELS, `rgb`, with its grey versions and keypoints.

    `points`: the keypoints that the scan stored (`LocalFeatures.points`), if there are any. `read_sharp` returns the
    image in colour at SHARP_AREA_PIXELS or more if it has so many; it is called when that size is needed, each time.
    """

    def __init__(self, rgb: Rgb, *, points: bytes = b"", read_sharp: Callable[[], Rgb] | None = None) -> None:
        self.rgb = shrink_smoothly(rgb, FINE_AREA_PIXELS, step_pixels=FINE_STEP_PIXELS)
        self.points = points
        self._read_sharp = read_sharp or (lambda: rgb)
        self._layers: dict[tuple[float | None, bool], Layer] = {}

    @property
    def memory_bytes(self) -> int:
        """About how much memory this takes, with all that is computed when it is needed."""
        return self.rgb.nbytes // 3 * BYTES_PER_PIXEL + MAX_KEYPOINTS * 130 * 4

    def sharp(self) -> Rgb:
        """Return the image in colour at SHARP_AREA_PIXELS, where the letters of a page are legible."""
        return shrink_smoothly(self._read_sharp(), SHARP_AREA_PIXELS)

    @functools.cached_property
    def fine(self) -> NDArray[np.uint8]:
        """Grey, uint8 (height, width)."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), np.uint8)

    @functools.cached_property
    def is_drawn(self) -> bool:
        """Whether much of the image is perfectly flat, as paper and drawn grounds are and photographs rarely."""
        cells = [max(1, side // FLAT_CELL_PIXELS) for side in self.fine.shape]
        complete = self.fine[: cells[0] * FLAT_CELL_PIXELS, : cells[1] * FLAT_CELL_PIXELS]
        grey = cv2.GaussianBlur(complete, (0, 0), FLAT_BLUR_PIXELS).astype(np.float32)
        mean, power = (cv2.resize(each, cells[::-1], interpolation=cv2.INTER_AREA) for each in (grey, grey * grey))
        return bool((power - mean * mean <= FLAT_VARIANCE).mean() >= DRAWN_FLAT_SHARE)

    @functools.cached_property
    def noise(self) -> float:
        """The standard deviation of its noise, in grey levels."""
        return noise_level(self.fine)

    def without_noise(self) -> "Rendering":
        """Return the image without noise and without its finest texture."""
        return Rendering(smoothed(self.rgb), points=self.points, read_sharp=lambda: smoothed(self.sharp()))

    @functools.cached_property
    def text(self) -> TextMap:
        """Where text seems to be."""
        return text_map(self.rgb)

    @functools.cached_property
    def is_lettered(self) -> bool:
        """Whether there is probably text to read."""
        return text_probabilities(map_features(self.text)).light >= LETTERED_PROBABILITY

    @functools.cached_property
    def coarse(self) -> NDArray[np.uint8]:
        """Grey at COARSE_AREA_PIXELS, uint8 (height, width)."""
        if self.fine.size > FINE_AREA_PIXELS * NEARLY:
            return np.asarray(
                cv2.resize(self.fine, [side // 2 for side in self.fine.shape[::-1]], interpolation=cv2.INTER_AREA)
            )
        return shrink_smoothly(self.fine, COARSE_AREA_PIXELS)

    def layer(self, step: float | None, *, is_mirrored: bool = False) -> Layer:
        """Return `coarse` with each side multiplied by `step`, at most 1, or without it `fine`.

        With `is_mirrored`, it is mirrored left to right.
        """
        if (step, is_mirrored) not in self._layers:
            self._layers[step, is_mirrored] = Layer(self._grey(step, is_mirrored))
        return self._layers[step, is_mirrored]

    def _grey(self, step: float | None, is_mirrored: bool) -> NDArray[np.uint8]:
        if is_mirrored:
            return np.ascontiguousarray(self.layer(step).grey[:, ::-1])
        if step is None or step == 1:
            return self.fine if step is None else self.coarse
        size = [max(1, round(side * step)) for side in self.coarse.shape[::-1]]
        return np.asarray(cv2.resize(self.coarse, size, interpolation=cv2.INTER_AREA), np.uint8)

    @functools.cached_property
    def colours(self) -> Rgb:
        """`rgb` with each side divided by COLOUR_STEP, uint8 (height, width, 3)."""
        size = tuple(max(1, round(side / COLOUR_STEP)) for side in self.rgb.shape[1::-1])
        return np.asarray(cv2.resize(self.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)

    @functools.cached_property
    def thumb(self) -> Grey:
        """Grey at THUMB_PIXELS × THUMB_PIXELS, as a vector of length 1 with mean 0, float32 (height, width)."""
        size = (THUMB_PIXELS, THUMB_PIXELS)
        small = cv2.resize(self.layer(0.25).grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        small -= small.mean()
        return np.asarray(small / max(float(np.linalg.norm(small)), 1e-3))

    @functools.cached_property
    def keypoints(self) -> tuple[NDArray[np.float32], Roots]:
        """Positions (N, 2) in pixels of `coarse`, and RootSIFT descriptors (N, 128), float32."""
        found, descriptors = cv2.SIFT.create(MAX_KEYPOINTS).detectAndCompute(self.coarse, None)
        if descriptors is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
        return np.array([each.pt for each in found], np.float32).reshape(-1, 2), root_sift(descriptors)


def renderings(data: bytes, limits: DecodeLimits, *, points: bytes = b"") -> list[Rendering]:
    """Return the renderings of an encoded image: one, or two if it is transparent, on white and opaque.

    A program that copied the image may have ignored its transparency. `points`: the keypoints that the scan stored.
    Returns none if it cannot be decoded.
    """
    decoded = decode_bounded(data, limits, enough_pixels=FINE_AREA_PIXELS)
    if decoded.rgb is None:
        return []

    def sharp(is_opaque: bool, otherwise: Rgb) -> Rgb:
        rgb = decode_bounded(data, limits, enough_pixels=SHARP_AREA_PIXELS, is_opaque=is_opaque).rgb
        return otherwise if rgb is None else rgb

    def rendering(rgb: Rgb, *, is_opaque: bool) -> Rendering:
        is_all = rgb.size < 3 * FINE_AREA_PIXELS  # then there are no more pixels in the file
        read_sharp = None if is_all else functools.partial(sharp, is_opaque, rgb)
        return Rendering(rgb, points=points, read_sharp=read_sharp)

    found = [rendering(decoded.rgb, is_opaque=False)]
    if decoded.mode in _TRANSPARENT:
        opaque = decode_bounded(data, limits, enough_pixels=FINE_AREA_PIXELS, is_opaque=True).rgb
        if opaque is not None and not np.array_equal(opaque, decoded.rgb):
            found.append(rendering(opaque, is_opaque=True))
    return found
