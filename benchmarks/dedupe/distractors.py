"""Parts of drawn pictures, measured as the scan does, that labelled copies are searched among."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.dedupe.corpus import Grey, one_thread_pool
from curation.pictures import local_features as local
from examples.corpus.samples import FLAT, PAINTERS, pick_size
from examples.corpus.textures import Rng, through_camera
from filters.geometry import shrink_to_area

DRAWN, DRAWN_SIDE = 4000, 760
LEAST_PART, LARGEST_PART = 0.4, 0.7
DRAWN_AREA_PIXELS = round(local.AREA_PIXELS / LEAST_PART)  # so that a part is as large as what is measured
DISTRACTORS_A_FILE, DRAWN_A_FILE = 2000, 250
RECIPE = "1"  # raise it when other distractors are made


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """Local features of N pictures: `bits` (N, 32) uint8, and the `points` of each."""

    bits: NDArray[np.uint8]
    points: Sequence[bytes]

    def __add__(self, other: "Features") -> "Features":
        return Features(bits=np.concatenate([self.bits, other.bits]), points=[*self.points, *other.points])

    def __len__(self) -> int:
        return len(self.points)


def draw_pictures(path: Path, first: int) -> Path:
    """Draw the pictures numbered from `first` into `path`, in grey, unless it exists; return it."""
    if path.exists():
        return path
    cv2.setNumThreads(1)
    painters = [(painter, label) for label, several in PAINTERS.items() for painter in several]
    drawn = []
    for number in range(first, first + DRAWN_A_FILE):
        rng = np.random.default_rng([2026, number])
        painter, label = painters[number % len(painters)]
        image = painter(rng, *pick_size(rng, DRAWN_SIDE))
        if label != "rich" and painter not in FLAT:
            image = through_camera(rng, image)
        small = shrink_to_area(np.asarray(image.convert("RGB")), DRAWN_AREA_PIXELS)
        drawn.append(cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))[1])
    return _save(path, {str(number): each for number, each in enumerate(drawn)})


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    aside = path.with_suffix(".part.npz")
    np.savez(aside, **arrays)  # type: ignore[arg-type]
    return aside.rename(path)


_album: list[Grey] = []


def _open_album(paths: Sequence[Path]) -> None:
    cv2.setNumThreads(1)
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            _album.extend(np.asarray(cv2.imdecode(stored[n], cv2.IMREAD_GRAYSCALE), np.uint8) for n in stored.files)


def pick_part(rng: Rng, grey: Grey) -> Grey:
    """Return a part of a picture, perhaps mirrored, of other tone."""
    share = rng.uniform(LEAST_PART, LARGEST_PART)
    across = float(np.clip(share**0.5 * np.exp(rng.normal(0, 0.12)), share, 1))
    height, width = (round(side * part) for side, part in zip(grey.shape, (share / across, across), strict=True))
    top, left = rng.integers(grey.shape[0] - height + 1), rng.integers(grey.shape[1] - width + 1)
    part = grey[top : top + height, left : left + width]
    tones = 255 * (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.35))
    tones = 255 - tones if rng.random() < 0.15 else tones
    return np.asarray(cv2.LUT(part[:, ::-1] if rng.random() < 0.5 else part, tones.astype(np.uint8)))


def make_distractors(path: Path, chunk: int) -> Path:
    """Measure the distractors of one file into `path`, unless it exists; return it."""
    if path.exists():
        return path
    rng = np.random.default_rng([2027, chunk])
    found: list[local.LocalFeatures] = []
    number = chunk * DISTRACTORS_A_FILE
    while len(found) < DISTRACTORS_A_FILE:
        grey = pick_part(rng, _album[number % len(_album)])
        number += 1
        if rng.random() < 0.5:
            other = pick_part(rng, _album[rng.integers(len(_album))])
            other = np.asarray(cv2.resize(other, (grey.shape[1], grey.shape[0])), np.uint8)
            grey = np.asarray(cv2.addWeighted(grey, 0.5, other, 0.5, 0), np.uint8)
        measured = local.local_features(np.repeat(grey[:, :, None], 3, axis=2))
        if measured is not None:
            found.append(measured)
    bits = np.frombuffer(b"".join(each.bits for each in found), np.uint8).reshape(-1, local.BYTES)
    points = np.frombuffer(b"".join(each.points for each in found), np.uint8)
    return _save(path, {"bits": bits, "points": points, "sizes": np.array([len(each.points) for each in found])})


def read_distractors(paths: Sequence[Path], count: int) -> Features:
    """Return the first `count` distractors in the files at `paths`."""
    bits, points = [np.zeros((0, local.BYTES), np.uint8)], []
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            bits.append(stored["bits"])
            ends, joined = np.cumsum(stored["sizes"]), stored["points"].tobytes()
        points += [joined[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    return Features(bits=np.concatenate(bits)[:count], points=points[:count])


def distractors(count: int, cache: Path, workers: int) -> Features:
    """Return `count` distractors, from `cache` where they are stored; fewer are the first of more."""
    cache.mkdir(parents=True, exist_ok=True)
    book = resources.files("curation.pictures").joinpath(local.CODEBOOK).read_bytes()
    what = f"{RECIPE} {local.version()} {DRAWN} {cv2.__version__}".encode() + book
    name = hashlib.sha256(what).hexdigest()[:12]
    drawn = [
        (cache / f"drawn-{RECIPE}-{DRAWN_AREA_PIXELS}-{first:05d}.npz", first)
        for first in range(0, DRAWN, DRAWN_A_FILE)
    ]
    files = range(-(-count // DISTRACTORS_A_FILE))
    measured = [(cache / f"features-{name}-{chunk:05d}.npz", chunk) for chunk in files]
    if not all(path.exists() for path, _ in measured):
        with one_thread_pool(workers) as pool:
            paths = list(pool.map(draw_pictures, *zip(*drawn, strict=True)))
        with one_thread_pool(workers, initializer=_open_album, initargs=(paths,)) as pool:
            list(pool.map(make_distractors, *zip(*measured, strict=True)))
    return read_distractors([path for path, _ in measured], count)
