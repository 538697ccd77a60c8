"""Flat pictures as they look from one side."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from examples.corpus.textures import Rng
from examples.corpus.words import Box

Quad = Sequence[tuple[float, float]]  # upper left, upper right, lower right, lower left


def paste_quad(image: Image.Image, patch: Image.Image, quad: Quad) -> None:
    """Paste `patch` so that its corners come to lie on `quad`, as seen in perspective."""
    w, h = patch.size
    rows, goals = [], []
    for (x, y), (u, v) in zip(quad, ((0, 0), (w, 0), (w, h), (0, h)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        goals += [u, v]
    matrix = np.linalg.solve(np.array(rows, float), np.array(goals, float)).tolist()
    left, top = (int(min(p[k] for p in quad)) for k in (0, 1))
    right, bottom = (math.ceil(max(p[k] for p in quad)) for k in (0, 1))
    turned = patch.convert("RGBA").transform(
        image.size, Image.Transform.PERSPECTIVE, matrix, Image.Resampling.BILINEAR
    )
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in quad], fill=255)
    box = (max(0, left), max(0, top), min(image.width, right), min(image.height, bottom))
    shown = ImageChops.multiply(mask, turned.getchannel("A"))
    image.paste(turned.convert("RGB").crop(box), box[:2], shown.crop(box))


def lean(rng: Rng, box: Box, strength: float = 0.08) -> Quad:
    """The corners of `box`, moved as if it were seen from one side."""
    w, h = box[2] - box[0], box[3] - box[1]
    shift = [(float(rng.normal(0, strength)) * w * 0.5, float(rng.normal(0, strength)) * h) for _ in range(4)]
    corners = ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))
    return [(x + dx, y + dy) for (x, y), (dx, dy) in zip(corners, shift, strict=True)]
