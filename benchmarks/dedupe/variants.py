"""Many pictures at little cost: variants of drawn ones, in tars, a tenth of them copies."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.dedupe.corpus import one_thread_pool
from benchmarks.dedupe.distractors import LARGEST_PART, LEAST_PART
from examples.corpus.samples import FLAT, PAINTERS, pick_size
from examples.corpus.textures import Rng, through_camera
from filters.protocol import Rgb

DRAWN, DRAWN_A_FILE, A_TAR = 2_000, 125, 1_000
DRAWN_SIDE = 900
COPY_EVERY = 10
DRAWN_QUALITY, QUALITIES = 92, (75, 95)
RECIPE = "1"  # raise it when other variants are made

_album: list[bytes] = []


def make_variants(cache: Path, count: int, workers: int) -> Path:
    """Return the folder below `cache` with tars of `count` variants, which are made unless they are there."""
    folder = cache / f"variants-{RECIPE}-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [(cache / f"drawn-rgb-{RECIPE}-{first:05d}.npz", first) for first in range(0, DRAWN, DRAWN_A_FILE)]
    tars = [
        (folder / f"{number:05d}.tar", number, min(A_TAR, count - number * A_TAR))
        for number in range(-(-count // A_TAR))
    ]
    missing = [each for each in tars if not each[0].exists()]
    if missing:
        with one_thread_pool(workers) as pool:
            paths = list(pool.map(_draw, *zip(*drawn, strict=True)))
        with one_thread_pool(workers, initializer=_open_album, initargs=(paths,)) as pool:
            list(pool.map(_write_tar, *zip(*missing, strict=True)))
    return folder


def _draw(path: Path, first: int) -> Path:
    """Draw the pictures numbered from `first` into `path` as JPEG, unless it exists; return it."""
    if path.exists():
        return path
    cv2.setNumThreads(1)
    painters = [(painter, label) for label, several in PAINTERS.items() for painter in several]
    drawn = {}
    for number in range(first, first + DRAWN_A_FILE):
        rng = np.random.default_rng([2028, number])
        painter, label = painters[number % len(painters)]
        image = painter(rng, *pick_size(rng, DRAWN_SIDE))
        image = through_camera(rng, image) if label != "rich" and painter not in FLAT else image
        drawn[str(number)] = np.frombuffer(_jpeg(np.asarray(image.convert("RGB")), DRAWN_QUALITY), np.uint8)
    aside = path.with_suffix(".part.npz")
    np.savez(aside, **drawn)  # type: ignore[arg-type]
    return aside.rename(path)


def _open_album(paths: Sequence[Path]) -> None:
    cv2.setNumThreads(1)
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            _album.extend(stored[name].tobytes() for name in stored.files)


def _write_tar(path: Path, number: int, count: int) -> None:
    aside = path.with_suffix(".part")
    rng, last = np.random.default_rng([2029, number]), np.zeros((1, 1, 3), np.uint8)
    with tarfile.open(aside, "w") as tar:
        for place in range(count):
            if place % COPY_EVERY == COPY_EVERY - 1:
                last = copied(rng, last, place // COPY_EVERY % 4)
            else:
                last = variant(rng, _album)
            data = _jpeg(last, int(rng.integers(*QUALITIES)))
            member = tarfile.TarInfo(f"{number * A_TAR + place:09d}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    aside.rename(path)


def variant(rng: Rng, album: Sequence[bytes]) -> Rgb:
    """Return a part of an encoded picture, perhaps mirrored, of other tones; half are blended with another part."""
    found = _part(rng, album[int(rng.integers(len(album)))])
    if rng.random() < 0.5:
        other = cv2.resize(_part(rng, album[int(rng.integers(len(album)))]), (found.shape[1], found.shape[0]))
        found = np.asarray(cv2.addWeighted(found, 0.5, other, 0.5, 0), np.uint8)
    return found


def _part(rng: Rng, data: bytes) -> Rgb:
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    share = float(rng.uniform(LEAST_PART, LARGEST_PART)) ** 0.5
    height, width = (round(side * share) for side in rgb.shape[:2])
    top, left = (int(rng.integers(full - part + 1)) for full, part in zip(rgb.shape, (height, width), strict=False))
    part = rgb[top : top + height, left : left + width]
    return _toned(rng, part[:, ::-1] if rng.random() < 0.5 else part)


def _toned(rng: Rng, rgb: Rgb) -> Rgb:
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
