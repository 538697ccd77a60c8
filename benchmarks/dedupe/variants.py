"""Many pictures at little cost, of which none but planned copies has anything in common with another, in tars."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.dedupe.corpus import one_thread_pool
from examples.corpus.samples import FLAT, PAINTERS, pick_size
from examples.corpus.textures import Rng, through_camera
from filters.protocol import Rgb

A_TAR, COPY_EVERY = 1_000, 10
SIDE = 900  # of a drawn picture, whose quarters are used
QUALITIES = (75, 95)
RECIPE = "2"  # raise it when other pictures are made


def make_variants(cache: Path, count: int, workers: int) -> Path:
    """Return the folder below `cache` with tars of `count` pictures, which are made unless they are there.

    Each is the average of two quarters of pictures that examples/corpus draws, perhaps mirrored and of other tones.
    A quarter is used once: two parts of one picture share things, and two pictures of one painter look alike.
    Every tenth is a copy of the one before it.
    """
    folder = cache / f"variants-{RECIPE}-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    tars = [
        (folder / f"{number:05d}.tar", number, min(A_TAR, count - number * A_TAR))
        for number in range(-(-count // A_TAR))
    ]
    missing = [each for each in tars if not each[0].exists()]
    if missing:
        with one_thread_pool(workers) as pool:
            list(pool.map(_write_tar, *zip(*missing, strict=True)))
    return folder


def _write_tar(path: Path, number: int, count: int) -> None:
    cv2.setNumThreads(1)
    aside = path.with_suffix(".part")
    rng, last = np.random.default_rng([2029, number]), np.zeros((1, 1, 3), np.uint8)
    fresh = variants(rng, count - count // COPY_EVERY)
    with tarfile.open(aside, "w") as tar:
        for place in range(count):
            last = copied(rng, last, place // COPY_EVERY % 4) if is_copy(place) else next(fresh)
            data = _jpeg(last, int(rng.integers(*QUALITIES)))
            member = tarfile.TarInfo(f"{number * A_TAR + place:09d}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    aside.rename(path)


def is_copy(number: int) -> bool:
    """Return whether a picture is a copy of the one before it."""
    return number % COPY_EVERY == COPY_EVERY - 1


def variants(rng: Rng, count: int) -> Iterator[Rgb]:
    """Yield `count` pictures (height, width, 3), each of two quarters that no other one shows."""
    quarters = [each for number in range(-(-count // 2)) for each in _quarters(_draw(rng, number))]
    order = rng.permutation(len(quarters))[: 2 * count].reshape(count, 2)
    for first, second in order:
        found = _toned(rng, quarters[first])
        other = cv2.resize(_toned(rng, quarters[second]), (found.shape[1], found.shape[0]))
        yield np.asarray(cv2.addWeighted(found, 0.5, other, 0.5, 0), np.uint8)


def _draw(rng: Rng, number: int) -> Rgb:
    painters = [(painter, label) for label, several in PAINTERS.items() for painter in several]
    painter, label = painters[number % len(painters)]
    image = painter(rng, *pick_size(rng, SIDE))
    image = through_camera(rng, image) if label != "rich" and painter not in FLAT else image
    return np.asarray(image.convert("RGB"))


def _quarters(rgb: Rgb) -> list[Rgb]:
    height, width = (side // 2 for side in rgb.shape[:2])
    return [rgb[top : top + height, left : left + width] for top in (0, height) for left in (0, width)]


def _toned(rng: Rng, rgb: Rgb) -> Rgb:
    """Return a picture of other tones, perhaps mirrored."""
    rgb = rgb[:, ::-1] if rng.random() < 0.5 else rgb
    powers = np.exp(rng.normal(0, 0.3, 3))[:, None]
    tones: NDArray[np.uint8] = (255 * (np.arange(256)[None] / 255) ** powers).astype(np.uint8)
    return np.asarray(cv2.LUT(np.ascontiguousarray(rgb), np.ascontiguousarray(tones.T.reshape(1, 256, 3))), np.uint8)


def copied(rng: Rng, rgb: Rgb, manner: int) -> Rgb:
    """Return a copy at another resolution, by `manner` (0 to 3) also cropped, mirrored, written on, or no more."""
    height, width = rgb.shape[:2]
    if manner == 1:
        rgb = rgb[height // 12 : -height // 12, width // 12 : -width // 12]
    elif manner == 2:
        rgb = rgb[:, ::-1]
    elif manner == 3:
        at, scale = (width // 20, round(height * 0.9)), width / 400
        written = np.ascontiguousarray(rgb)
        rgb = np.asarray(cv2.putText(written, "example.com", at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 3))
    scale = float(rng.uniform(0.6, 1.3))
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(rgb: Rgb, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return out.getvalue()
