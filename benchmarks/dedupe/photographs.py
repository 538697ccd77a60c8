"""Photographs for benchmarks: from a folder of tars, or drawn."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.dedupe.corpus import read_truth
from curation.sources.members import IMAGE_EXTENSIONS, split_member
from examples.corpus.photographs import (
    bokeh,
    bricks,
    city,
    fabric,
    fence,
    foliage,
    landscape,
    person,
    still_life,
    wood,
)
from examples.corpus.textures import through_camera

PAINTERS = (landscape, foliage, bricks, still_life, fence, fabric, city, bokeh, person, wood)
SHORTEST_PIXELS = 200


def photographs_from(folder: Path | None, count: int) -> list[bytes]:
    """Return at most `count` photographs: those in the tars of `folder`, or drawn ones without."""
    return stored_photographs(folder, count) if folder is not None else drawn_photographs(count)


def stored_photographs(folder: Path, count: int) -> list[bytes]:
    """Return at most `count` pictures in the tars of `folder`, in the order of their hashes.

    Where the folder has a truth.csv, those labelled `none` (no text) that are no copies. Pictures below
    SHORTEST_PIXELS are left out.
    """
    wanted = None
    if (folder / "truth.csv").exists():
        rows = [row for row in read_truth(folder) if row["label"].startswith("no")]
        wanted = {(row["tar"], row["key"]) for row in rows if row.get("transform", "original") == "original"}
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                stem, extension = split_member(member.name)[:2]
                if extension not in IMAGE_EXTENSIONS or (wanted is not None and (path.name, stem) not in wanted):
                    continue
                file = tar.extractfile(member)
                data = file.read() if file else b""
                if _is_large(data):
                    found[hashlib.sha256(data).digest()] = data
    return [found[name] for name in sorted(found)[:count]]


def _is_large(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return min(image.size) >= SHORTEST_PIXELS
    except (OSError, ValueError, SyntaxError):
        return False


def drawn_photographs(count: int) -> list[bytes]:
    """Return `count` drawn photographs as JPEG."""
    found = []
    for number in range(count):
        rng = np.random.default_rng([number, 17])
        image = through_camera(rng, PAINTERS[number % len(PAINTERS)](rng, 640, 480))
        out = io.BytesIO()
        image.convert("RGB").save(out, "JPEG", quality=88)
        found.append(out.getvalue())
    return found
