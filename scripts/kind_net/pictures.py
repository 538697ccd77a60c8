"""Makes the pool of training pictures: drawn ones of every kind and, where given, labelled ones of the web.

Each picture is changed several times, and each time what the frozen first blocks of the network make of it is
stored, so that training needs neither the pictures nor these blocks.

A folder of labelled pictures has tars, and kinds.csv with the columns tar, key, kind, source, is_sure (0 or 1). A
source (a site, or a group of copies) is always in one fold.
"""

import csv
import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from PIL import Image

from curation.pictures.decode import decode
from examples.corpus.kinds import draw_kind
from filters.protocol import Rgb
from filters.text_kind import TextKind
from scripts.kind_net.augment import augment
from scripts.kind_net.network import Stem
from scripts.text_net.pictures import draw_strip

DRAWN = {
    TextKind.DOCUMENT: 300, TextKind.TABLE: 220, TextKind.CHART: 320, TextKind.DIAGRAM: 280, TextKind.SCREENSHOT: 260,
    TextKind.SLIDE: 200, TextKind.HANDWRITING: 120, TextKind.MAP: 160, TextKind.DESIGNED: 520, TextKind.SCENE: 260,
    TextKind.NONE: 400,
}  # fmt: skip
DRAWN_SEED = 3
STRIPS = 1500
CHANGES, CHANGES_OF_DRAWN = 4, 3
LONGEST_PIXELS = (640, 900)  # all are stored the same way, so that size and format reveal nothing
WEBP_QUALITY = 85
FOLDS = 2


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One changed picture: what the frozen blocks make of it, (40, height / 8, width / 8) float16, and its label."""

    features: np.ndarray
    kind: TextKind
    source: str  # empty for drawn pictures
    is_sure: bool


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A picture as WebP, its kind and where it is from."""

    data: bytes
    kind: TextKind
    source: str
    is_sure: bool


def fold_of(source: str) -> int:
    """Return the fold of a source, 0 or 1."""
    return hashlib.sha256(source.encode()).digest()[0] % FOLDS


def as_stored(rgb: Rgb, number: int) -> bytes:
    """Return `rgb` as WebP, its longer side at most one of LONGEST_PIXELS."""
    image = Image.fromarray(rgb)
    longest = LONGEST_PIXELS[number % len(LONGEST_PIXELS)]
    image.thumbnail((longest, longest))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=WEBP_QUALITY)
    return out.getvalue()


def labelled_originals(folder: Path) -> Iterator[tuple[Rgb, dict[str, str]]]:
    """Yield each picture that kinds.csv labels and that can be decoded, and its row."""
    with (folder / "kinds.csv").open(newline="") as f:
        rows = {(row["tar"], row["key"]): row for row in csv.DictReader(f)}
    for name in sorted({tar for tar, _ in rows}):
        with tarfile.open(folder / name) as tar:
            for member in tar:
                key, _, extension = member.name.rpartition("/")[2].partition(".")
                row = rows.get((name, key))
                file = tar.extractfile(member)
                if row is None or file is None or extension in ("txt", "json"):
                    continue
                rgb = decode(file.read()).rgb
                if rgb is not None:
                    yield rgb, row


def labelled_pictures(folder: Path) -> Iterator[Labelled]:
    """Yield the labelled pictures of a folder, stored as all are."""
    for number, (rgb, row) in enumerate(labelled_originals(folder)):
        yield Labelled(
            data=as_stored(rgb, number), kind=TextKind(row["kind"]), source=row["source"],
            is_sure=row["is_sure"] == "1",
        )  # fmt: skip


def drawn_pictures() -> Iterator[Labelled]:
    """Yield the drawn pictures of every kind."""
    for kind, count in DRAWN.items():
        for index in range(count):
            rgb = np.asarray(draw_kind(kind, DRAWN_SEED, index))
            yield Labelled(data=as_stored(rgb, index), kind=kind, source="", is_sure=True)


def _make_share(task: tuple[int, int, tuple[str, ...]]) -> list[Stored]:
    worker, workers, folders = task
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    stem = Stem().eval()
    strips = [np.asarray(draw_strip(np.random.default_rng([5, 99, index]))) for index in range(STRIPS)]
    made: list[Stored] = []
    sources = [drawn_pictures(), *(labelled_pictures(Path(folder)) for folder in folders)]
    for place, picture in enumerate(each for source in sources for each in source):
        if place % workers != worker:
            continue
        rgb = np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB"))
        for change in range(CHANGES if picture.source else CHANGES_OF_DRAWN):
            changed, kind = augment(np.random.default_rng([place, change, 7]), rgb, picture.kind, strips)
            with torch.inference_mode():
                features = stem(torch.from_numpy(changed)[None])[0].numpy().astype(np.float16)
            made.append(Stored(features=features, kind=kind, source=picture.source, is_sure=picture.is_sure))
    return made


@click.command()
@click.argument("pool", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--labelled", type=click.Path(exists=True), multiple=True, help="Folder of labelled tars, kinds.csv.")
@click.option("--workers", default=2, show_default=True)
def main(pool: Path, labelled: tuple[str, ...], workers: int) -> None:
    """Make the training pictures and store them in the file POOL, which `train` alone should read (a pickle)."""
    with ProcessPoolExecutor(workers) as executor:
        shares = list(executor.map(_make_share, [(worker, workers, labelled) for worker in range(workers)]))
    made = [each for share in shares for each in share]
    pool.write_bytes(pickle.dumps(made, protocol=4))
    click.echo(f"{len(made)} changed pictures in {pool}")


if __name__ == "__main__":
    main()
