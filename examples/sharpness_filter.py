"""A small filter as an example: how sharp a picture is.

    PYTHONPATH=examples curate scan 'data/*.tar' -o scan/ --set scan.filters.sharpness=sharpness_filter:Sharpness

docs/guides/add-a-filter.md explains it.
"""

from collections.abc import Mapping

import cv2

from filters.protocol import Measured, Rgb

VERSION = "1"  # raise it whenever the same picture could measure differently


class Sharpness:
    """Measures the variance of a picture's Laplacian: small if everything is blurred (Pech-Pacheco et al., 2000).

    Pictures are shrunk, never enlarged, until no side is longer than `max_side_pixels`, so that sizes compare.
    """

    name = "sharpness"
    columns = ("variance",)

    def __init__(self, *, max_side_pixels: int = 512) -> None:
        if max_side_pixels < 1:
            raise ValueError(f"max_side_pixels is {max_side_pixels}, which leaves nothing to look at")
        self.version = f"sharpness-{VERSION}+opencv-{cv2.__version__}+max_side_pixels={max_side_pixels}"
        self._max_side_pixels = max_side_pixels

    def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
        """Return `variance` of `rgb`, in squared grey levels."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        height, width = grey.shape
        scale = min(1.0, self._max_side_pixels / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shrunk = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return {"variance": float(cv2.Laplacian(shrunk, cv2.CV_64F).var())}
