"""Makes curation/pictures/local_codebook.npz: what local features are coded with.

    python -m scripts.text_net.pictures POOL [--web labelled/]
    python -m scripts.local_features POOL

The pictures are those the text network learned from (docs/concepts/text-network.md); of those, the 859 real ones
alone made the codebook that ships: with drawn ones, the codes of real pictures spread less. From their RootSIFT
descriptors come the axes of a keypoint's code (PCA of the sum and of the difference of descriptors and their mirror
images, then a random rotation).
"""

from collections.abc import Iterator
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from curation.pictures.local_features import AREA_PIXELS, CODEBOOK, MIRRORED, root_sift
from filters.geometry import shrink_to_area

MAX_KEYPOINTS = 160
TRAINING_DESCRIPTORS = 200_000
CODE_BITS = 32  # of each half of a keypoint's code
LEAST_KEYPOINTS = 20

Floats = NDArray[np.float32]


def descriptors_of(pool: Path, kinds: tuple[str, ...]) -> Iterator[Floats]:
    """Yield the RootSIFT descriptors of each picture of the pool, in the order of their names."""
    for path in sorted(path for kind in kinds for path in pool.glob(f"{kind}-*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            bgr = cv2.imdecode(stored["jpeg"], cv2.IMREAD_COLOR)
        grey = shrink_to_area(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), AREA_PIXELS)
        _, found = cv2.SIFT.create(MAX_KEYPOINTS).detectAndCompute(grey, None)
        if found is not None and len(found) >= LEAST_KEYPOINTS:
            yield root_sift(found)


def rotation(rng: np.random.Generator, size: int) -> Floats:
    """Return a random rotation, (size, size)."""
    return np.linalg.qr(rng.normal(size=(size, size)))[0].astype(np.float32)


def axes_of(differences: Floats, rng: np.random.Generator) -> Floats:
    """Return the main axes of `differences` (N, 128), rotated: (128, CODE_BITS)."""
    _, _, axes = np.linalg.svd(differences, full_matrices=False)
    return axes[:CODE_BITS].T @ rotation(rng, CODE_BITS)


@click.command()
@click.argument("pool", type=click.Path(exists=True, path_type=Path, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("curation") / CODEBOOK)
@click.option("--kinds", default="web", show_default=True, help="Beginnings of the pictures' names.")
def main(pool: Path, output: Path, kinds: str) -> None:
    """Make the codebook from the pictures in the folder POOL."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    pictures = list(descriptors_of(pool, tuple(kinds.split(","))))
    every = np.concatenate(pictures)
    some = every[rng.permutation(len(every))[:TRAINING_DESCRIPTORS]]
    even = some + some[:, MIRRORED]
    np.savez_compressed(
        output,
        even_mean=even.mean(axis=0).astype(np.float16),
        even=axes_of(even - even.mean(axis=0), rng).astype(np.float16),
        odd=axes_of(some - some[:, MIRRORED], rng).astype(np.float16),
    )
    click.echo(f"{output}: from {len(pictures)} pictures, {len(every)} descriptors, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
