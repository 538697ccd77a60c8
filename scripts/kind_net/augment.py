"""Changes a picture as the web does, so that its kind is all that the network can learn from it."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from filters.protocol import Rgb
from filters.text_kind import TextKind, network_input

MIN_PART, MIN_PART_OF_PAGE = 0.72, 0.6  # of a side: a part of a page, a table or a screen is still one
PAGES = (TextKind.DOCUMENT, TextKind.TABLE, TextKind.SCREENSHOT)
LEAST_SIDE_PIXELS = 16
ROTATED = 0.1  # by a quarter or a half turn, as pages are scanned and cameras are held
PASTED = 0.22  # of the pictures without words, made into designed ones by pasting lines of text


def augment(rng: np.random.Generator, rgb: Rgb, kind: TextKind, strips: Sequence[np.ndarray]) -> tuple[Rgb, TextKind]:
    """Return a changed copy of `rgb`, in the size that the network sees, and its kind.

    `strips`: lines of text on nothing, (height, width, 4) uint8; pasted on a picture without words, they make it a
    designed one.
    """
    if rng.random() < ROTATED:
        rgb = np.rot90(rgb, int(rng.integers(1, 4)))
    changed = np.ascontiguousarray(network_input(_reshaped(rng, _cut(rng, rgb, kind))))
    if kind is TextKind.NONE and strips and rng.random() < PASTED:
        for _ in range(int(rng.integers(1, 4))):
            _paste(rng, changed, strips[int(rng.integers(len(strips)))])
        kind = TextKind.DESIGNED
    if kind is TextKind.NONE and rng.random() < 0.5:
        changed = np.ascontiguousarray(changed[:, ::-1])
    if rng.random() < 0.15:
        changed = _turned(rng, changed)
    return _coloured(rng, changed), kind


def _cut(rng: np.random.Generator, rgb: Rgb, kind: TextKind) -> Rgb:
    """Return a part of the picture, or the picture with a margin, or the picture."""
    height, width = rgb.shape[:2]
    if rng.random() < 0.6:
        part = rng.uniform(MIN_PART_OF_PAGE if kind in PAGES else MIN_PART, 1)
        down, across = (
            min(side, max(LEAST_SIDE_PIXELS, int(side * part * rng.uniform(0.9, 1)))) for side in (height, width)
        )
        top, left = int(rng.integers(0, height - down + 1)), int(rng.integers(0, width - across + 1))
        return rgb[top : top + down, left : left + across]
    if rng.random() < 0.25:
        most = rng.uniform(0.02, 0.2)
        above, below, left, right = (int(most * side * rng.random()) for side in (height, height, width, width))
        colour = [int(value) for value in rgb[0, 0]]
        bordered = cv2.copyMakeBorder(rgb, above, below, left, right, cv2.BORDER_CONSTANT, value=colour)
        return np.asarray(bordered, np.uint8)
    return rgb


def _reshaped(rng: np.random.Generator, rgb: Rgb) -> Rgb:
    """Return the picture with less detail, or stretched, or as it is."""
    if rng.random() < 0.3:
        scale = rng.uniform(0.35, 0.9) * 500 / math.sqrt(rgb.shape[0] * rgb.shape[1])
        if scale < 1:
            rgb = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.35:
        stretch = math.exp(rng.normal(0, 0.12))
        rgb = np.asarray(cv2.resize(rgb, None, fx=stretch, fy=1 / stretch), np.uint8)
    return rgb


def _paste(rng: np.random.Generator, rgb: Rgb, strip: np.ndarray) -> None:
    """Paste a line of text on `rgb`, in place."""
    height, width = rgb.shape[:2]
    line = math.exp(rng.uniform(math.log(0.04 * height), math.log(0.22 * height)))
    scale = min(line / strip.shape[0], 0.95 * width / strip.shape[1])
    across, down = max(2, int(strip.shape[1] * scale)), max(2, int(strip.shape[0] * scale))
    ink = cv2.resize(strip, (across, down), interpolation=cv2.INTER_AREA)
    left, top = int(rng.integers(0, max(1, width - across + 1))), int(rng.integers(0, max(1, height - down + 1)))
    under = rgb[top : top + down, left : left + across]
    ink = ink[: under.shape[0], : under.shape[1]]
    opacity = ink[:, :, 3:].astype(np.float32) / 255 * (1 if rng.random() < 0.8 else rng.uniform(0.4, 1))
    under[:] = (under * (1 - opacity) + ink[:, :, :3] * opacity).astype(np.uint8)


def _turned(rng: np.random.Generator, rgb: Rgb) -> Rgb:
    height, width = rgb.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 4)), float(rng.uniform(0.95, 1.1)))
    return np.asarray(cv2.warpAffine(rgb, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _coloured(rng: np.random.Generator, rgb: Rgb) -> Rgb:
    """Return the picture inverted, recoloured, blurred, with noise and compressed; each only sometimes."""
    x = rgb.astype(np.float32)
    if rng.random() < 0.15:
        x = 255 - x
    if rng.random() < 0.12:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    elif rng.random() < 0.15:
        x = x[:, :, rng.permutation(3)]
    if rng.random() < 0.5:
        mean = x.mean()
        x = (x - mean) * rng.uniform(0.5, 1.2) + mean + rng.uniform(-30, 30)
    if rng.random() < 0.25:
        x = 255 * np.power(np.clip(x, 0, 255) / 255, float(np.exp(rng.normal(0, 0.3))))
    if rng.random() < 0.15:
        x = x * rng.uniform(0.75, 1.0, 3).astype(np.float32)
    if rng.random() < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.2:
        x = x + rng.normal(0, rng.uniform(2, 10), x.shape).astype(np.float32)
    out = np.ascontiguousarray(np.clip(x, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))])[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out
