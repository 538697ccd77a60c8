"""Draw the boxes of detected text on a picture."""

import numpy as np

from curation.pictures.marks import Quads, fit_within, outline
from filters.protocol import Boxes, Rgb

BOX_COLOUR = (0, 114, 178)
SIDE_PIXELS = 1280


def unit_boxes(boxes: Boxes, height: int, width: int) -> Quads:
    """Return the quads of `boxes`, found in a picture of this size in pixels, as parts of its sides."""
    return np.asarray(boxes.quads.astype(np.float64) / [width, height])


def draw_boxes(rgb: Rgb, boxes: Boxes, *, side_pixels: int = SIDE_PIXELS) -> Rgb:
    """Return `rgb`, uint8 (height, width, 3), with an outline around each of `boxes`, which are in its pixels.

    The result is shrunk until no side is longer than `side_pixels`.
    """
    return outline(fit_within(rgb, side_pixels), unit_boxes(boxes, *rgb.shape[:2]), BOX_COLOUR, fill=0.15)
