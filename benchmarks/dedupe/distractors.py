"""Parts of drawn pictures and of photographs, measured as the scan does, that labelled copies are searched among."""

import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.dedupe.corpus import Grey, one_thread_pool
from benchmarks.dedupe.local_pairs import Features
from curation.pictures import local_features as local
from curation.pictures.decode import decode
from examples.corpus.samples import FLAT, PAINTERS, pick_size
from examples.corpus.textures import Rng, through_camera
from filters.geometry import shrink_to_area

DRAWN, DRAWN_SIDE = 2000, 760
LEAST_PART, LARGEST_PART = 0.4, 0.7
DRAWN_AREA_PIXELS = round(local.AREA_PIXELS / LEAST_PART)  # so that a part is as large as what is measured
DISTRACTORS_A_FILE, DRAWN_A_FILE = 500, 250
LEAST_SIDE = 100  # of a photograph
RECIPE = "2"  # raise it when other distractors are made


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


def keep_photographs(path: Path, tars: Sequence[Path]) -> Path:
    """Write the pictures in `tars` into `path`, in grey, as large as drawn ones, unless it exists; return it."""
    if path.exists():
        return path
    found: dict[str, NDArray[Any]] = {}
    for tar in tars:
        with tarfile.open(tar) as members:
            for member in members:
                data = members.extractfile(member) if member.isfile() else None
                rgb = decode(data.read()).rgb if data is not None else None
                if rgb is None or min(rgb.shape[:2]) < LEAST_SIDE:
                    continue
                grey = shrink_to_area(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)), DRAWN_AREA_PIXELS)
                found[str(len(found))] = cv2.imencode(".png", grey)[1]
    return _save(path, found)


_albums: list[list[Grey]] = []


def _open_albums(albums: Sequence[Sequence[Path]]) -> None:
    cv2.setNumThreads(1)
    for paths in albums:
        _albums.append([])
        for path in paths:
            with np.load(path, allow_pickle=False) as stored:
                greys = (cv2.imdecode(stored[n], cv2.IMREAD_GRAYSCALE) for n in stored.files)
                _albums[-1].extend(np.asarray(grey, np.uint8) for grey in greys)


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
    found: list[bytes] = []
    number = chunk * DISTRACTORS_A_FILE
    while len(found) < DISTRACTORS_A_FILE:
        album = _albums[-1 - number % len(_albums)]
        grey = pick_part(rng, album[number // len(_albums) % len(album)])
        number += 1
        if rng.random() < 0.5:
            album = _albums[int(rng.random() * len(_albums))]
            other = pick_part(rng, album[rng.integers(len(album))])
            other = np.asarray(cv2.resize(other, (grey.shape[1], grey.shape[0])), np.uint8)
            grey = np.asarray(cv2.addWeighted(grey, 0.5, other, 0.5, 0), np.uint8)
        measured = local.local_features(np.repeat(grey[:, :, None], 3, axis=2))
        if measured is not None:
            found.append(measured.points)
    made = Features.of(found)
    return _save(path, {"points": made.points.view(np.uint8), "counts": made.counts})


def distractors(count: int, photographs: Path | None, cache: Path, workers: int) -> Features:
    """Return `count` distractors, from `cache` where they are stored; fewer are the first of more.

    With `photographs`, a folder of tars, every other one is made of a picture in them. Each file of the cache is
    complete once it is there, so that a run that was interrupted goes on.
    """
    cache.mkdir(parents=True, exist_ok=True)
    tars = [] if photographs is None else sorted(photographs.glob("*.tar"))
    book = resources.files("curation.pictures").joinpath(local.CODEBOOK).read_bytes()
    of_tars = [f"{tar.name} {tar.stat().st_size}" for tar in tars]
    what = f"{RECIPE} {local.version()} {DRAWN} {of_tars} {cv2.__version__}".encode() + book
    name = hashlib.sha256(what).hexdigest()[:12]
    drawn = [
        (cache / f"drawn-{RECIPE}-{DRAWN_AREA_PIXELS}-{first:05d}.npz", first)
        for first in range(0, DRAWN, DRAWN_A_FILE)
    ]
    files = range(-(-count // DISTRACTORS_A_FILE))
    measured = [(cache / f"features-{name}-{chunk:05d}.npz", chunk) for chunk in files]
    if not all(path.exists() for path, _ in measured):
        with one_thread_pool(workers) as pool:
            albums = [list(pool.map(draw_pictures, *zip(*drawn, strict=True)))]
            if tars:
                albums.append([pool.submit(keep_photographs, cache / f"photographs-{name}.npz", tars).result()])
        with one_thread_pool(workers, initializer=_open_albums, initargs=(albums,)) as pool:
            list(pool.map(make_distractors, *zip(*measured, strict=True)))
    points, counts = [np.empty(0, local.POINT)], [np.empty(0, np.int64)]
    for path, _ in measured:
        with np.load(path, allow_pickle=False) as stored:
            points.append(stored["points"].view(local.POINT))
            counts.append(stored["counts"])
    return Features(points=np.concatenate(points), counts=np.concatenate(counts)).first(count)
