"""An image in the sizes and features in which it is compared with others, computed when they are first needed."""

import functools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.pictures.bounded import decode_bounded
from curation.pictures.decode import DecodeLimits
from curation.pictures.local_features import Roots, root_sift
from filters.geometry import shrink_to_area
from filters.protocol import Rgb

COARSE_AREA_PIXELS = 320 * 320
FINE_AREA_PIXELS = 640 * 640
MAX_KEYPOINTS = 500
_TRANSPARENT = ("RGBA", "LA", "PA", "P", "La", "RGBa")

Grey = NDArray[Any]
"""float32, (height, width)."""


class Rendering:
    """An image of at most FINE_AREA_PIXELS, with its grey versions and keypoints."""

    def __init__(self, rgb: Rgb) -> None:
        self.rgb = shrink_to_area(rgb, FINE_AREA_PIXELS)

    @functools.cached_property
    def fine(self) -> Grey:
        """Grey, float32 (height, width)."""
        return np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY), np.float32)

    @functools.cached_property
    def coarse(self) -> NDArray[np.uint8]:
        """Grey at COARSE_AREA_PIXELS, uint8 (height, width)."""
        return np.asarray(cv2.cvtColor(shrink_to_area(self.rgb, COARSE_AREA_PIXELS), cv2.COLOR_RGB2GRAY), np.uint8)

    @functools.cached_property
    def keypoints(self) -> tuple[NDArray[np.float32], Roots]:
        """Positions (N, 2) in pixels of `coarse`, and RootSIFT descriptors (N, 128), float32."""
        found, descriptors = cv2.SIFT.create(MAX_KEYPOINTS).detectAndCompute(self.coarse, None)
        if descriptors is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
        return np.array([each.pt for each in found], np.float32).reshape(-1, 2), root_sift(descriptors)


def renderings(data: bytes, limits: DecodeLimits) -> list[Rendering]:
    """Return the renderings of an encoded image: one, or two if it is transparent, on white and opaque.

    A program that copied the image may have ignored its transparency. Returns none if it cannot be decoded.
    """
    decoded = decode_bounded(data, limits, enough_pixels=FINE_AREA_PIXELS)
    if decoded.rgb is None:
        return []
    found = [Rendering(decoded.rgb)]
    if decoded.mode in _TRANSPARENT:
        opaque = decode_bounded(data, limits, enough_pixels=FINE_AREA_PIXELS, is_opaque=True).rgb
        if opaque is not None and not np.array_equal(opaque, decoded.rgb):
            found.append(Rendering(opaque))
    return found
