"""Makes the pool of training pictures: drawn ones and, where given, labelled photographs, and where text is on each.

Text is found by the PP-OCRv6 detector on a large version of the picture and, where lines are few, proven by
reading it: a line that reads is text, one that does not is left out of the loss. Pictures drawn or labelled as
without text have none, whatever a detector says of them.

Every picture is stored the same way (JPEG of one quality, at most MAX_AREA_PIXELS), so that neither format nor
size nor compression tells what it is.
"""

import csv
import hashlib
import io
import math
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image, ImageDraw

from curation.pictures.decode import decode
from examples.corpus.fonts import pick_style
from examples.corpus.patterns import PATTERNS
from examples.corpus.samples import FLAT, PAINTERS, pick_size
from examples.corpus.textures import Rng, pick_colour, through_camera
from examples.corpus.words import pick_money, pick_phrase
from filters.protocol import Rgb, TextEngine, load_engine

MAX_AREA_PIXELS = 1_100_000
TEACHER_AREA_PIXELS = 768 * 768
LARGE_TEACHER_AREA_PIXELS = 1024 * 1024
MAX_ENLARGED = 1.6  # the teacher finds small print in small pictures better when they are enlarged
MAX_LINES_READ = 14
READS_CONFIDENCE = 0.55
JPEG_QUALITY = 95
SCRIPTS = ("latin", "latin", "latin", "cyrillic", "cjk", "cjk")
DRAWN = {"rich": 1600, "some": 500, "none": 900, "pattern": 900}
STRIPS = 5000
FOLDS = 2  # networks trained without a fold say honestly what they make of its photographs


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A picture, its label (rich, some, none, or empty) and its lines of text.

    `quads` is (N, 4, 2) float32 pixels of `rgb`; `sure` (N,) bool: whether a line counts, or is left out of the loss.
    """

    rgb: Rgb
    label: str
    quads: np.ndarray
    sure: np.ndarray


def label_picture(rgb: Rgb, label: str, engine: TextEngine) -> Labelled:
    """Return `rgb`, shrunk to what is stored, with the text the teacher finds on it."""
    height, width = rgb.shape[:2]
    scale = min(1.0, math.sqrt(MAX_AREA_PIXELS / (height * width)))
    if scale < 1:
        rgb = cv2.resize(rgb, (max(1, int(width * scale)), max(1, int(height * scale))), interpolation=cv2.INTER_AREA)
    if label in ("none", "pattern"):
        return Labelled(rgb=rgb, label=label, quads=np.zeros((0, 4, 2), np.float32), sure=np.zeros(0, bool))
    area = rgb.shape[0] * rgb.shape[1]
    aim = LARGE_TEACHER_AREA_PIXELS if area > TEACHER_AREA_PIXELS else TEACHER_AREA_PIXELS
    enlarge = min(MAX_ENLARGED, math.sqrt(aim / area))
    seen = rgb if enlarge <= 1 else cv2.resize(rgb, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_LINEAR)
    boxes = engine.detect(seen, max_area_pixels=aim)
    ratio = np.array([rgb.shape[1] / seen.shape[1], rgb.shape[0] / seen.shape[0]], np.float32)
    sure = np.ones(len(boxes), bool)
    if len(boxes) <= MAX_LINES_READ:
        lines = engine.read(seen, boxes)
        sure = np.array([r.confidence >= READS_CONFIDENCE and any(c.isalnum() for c in r.text) for r in lines], bool)
    return Labelled(rgb=rgb, label=label, quads=boxes.quads * ratio, sure=sure)


def draw(seed: int, label: str, index: int) -> Rgb:
    """Return the drawn picture `index` of its label."""
    rng = np.random.default_rng([seed, 77, index, len(label)])
    painters = PATTERNS if label == "pattern" else PAINTERS[label]
    painter = painters[index % len(painters)]
    image = painter(rng, *pick_size(rng, 1100))
    if (label == "pattern" and index // len(painters) % 3 == 0) or (
        label in ("some", "none") and painter not in FLAT
    ):
        image = through_camera(rng, image)
    return np.asarray(image.convert("RGB"))


def draw_strip(rng: Rng) -> Image.Image:
    """Return a line of text on nothing, RGBA, to be pasted on photographs; cut to its ink."""
    script = str(rng.choice(SCRIPTS))
    text = pick_money(rng) if rng.random() < 0.12 else pick_phrase(rng, script, int(rng.integers(1, 6)))
    text = text.upper() if rng.random() < 0.35 else text
    style = pick_style(
        rng, float(rng.uniform(28, 64)), pick_colour(rng, 0.4, float(rng.choice([0.05, 0.5, 0.97]))), script
    )
    width = max(8, int(style.width_px(text)) + 40)
    strip = Image.new("RGBA", (width, style.size_px * 2 + 20), (0, 0, 0, 0))
    pen = ImageDraw.Draw(strip)
    stroke = int(rng.integers(1, 4)) if rng.random() < 0.35 else 0
    outline = (0, 0, 0) if sum(style.colour) > 380 else (255, 255, 255)
    pen.text((20, 10), text, font=style.font, fill=style.colour, stroke_width=stroke, stroke_fill=outline)
    box = strip.getbbox() or (0, 0, width, strip.height)
    return strip.crop((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1))


def labelled_photographs(
    web: Path, tars: tuple[str, ...], *, with_debatable: bool = True
) -> Iterator[tuple[str, str, Rgb]]:
    """Yield (name, label, picture) of the decodable samples of `tars`; an overlay puts text on what had none.

    A name is `web-`, the fold, the tar and the key, then `|` and the group of copies the sample belongs to.
    """
    with (web / "truth.csv").open() as f:
        truth = {(row["tar"], row["key"]): row for row in csv.DictReader(f)}
    for name in tars:
        with tarfile.open(web / f"{name}.tar") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                row = truth.get((f"{name}.tar", key))
                if row is None or extension in ("txt", "json") or row["transform"] in ("malformed_set", "exact_copy"):
                    continue
                label = row["label"].rstrip("?")
                if not label or (not with_debatable and (row["boundary"] or label != row["label"])):
                    continue
                file = tar.extractfile(member)
                decoded = decode(file.read() if file else b"")
                if decoded.rgb is None:
                    continue
                if row["transform"] == "overlay_text" and label == "none":
                    label = "some"
                group = row["group"] or key + name
                yield f"web-{fold_of(group)}-{name}-{key}|{group}", label, decoded.rgb


def fold_of(group: str) -> int:
    """Return the fold, 0 or 1, of a group of copies: all its pictures lie in one."""
    return hashlib.sha256(group.encode()).digest()[0] % FOLDS


def _store(folder: Path, name: str, made: Labelled) -> None:
    encoded = cv2.imencode(".jpg", made.rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    out = io.BytesIO()
    np.savez(out, jpeg=np.frombuffer(encoded, np.uint8), label=made.label, quads=made.quads, sure=made.sure)
    (folder / f"{name}.npz").write_bytes(out.getvalue())


def _make_share(task: tuple[str, int, int, int, str | None, tuple[str, ...]]) -> int:
    pool, worker, workers, seed, web, tars = task
    cv2.setNumThreads(1)
    folder, engine, made = Path(pool), load_engine("rapidocr", min_box_score=0.5), 0
    for label, count in DRAWN.items():
        for index in range(worker, count, workers):
            name = f"drawn-{label}-{index:05d}"
            if not (folder / f"{name}.npz").exists():
                _store(folder, name, label_picture(draw(seed, label, index), label, engine))
            made += 1
    if web is not None:
        for place, (name, label, rgb) in enumerate(labelled_photographs(Path(web), tars)):
            if place % workers == worker:
                _store(folder, name.partition("|")[0], label_picture(rgb, label, engine))
                made += 1
    for index in range(worker, STRIPS, workers):
        strip = draw_strip(np.random.default_rng([seed, 99, index]))
        strip.save(folder / f"strip-{index:05d}.png")
    return made


@click.command()
@click.argument("pool", type=click.Path(path_type=Path, file_okay=False))
@click.option("--web", type=click.Path(exists=True, path_type=Path), help="Folder of labelled tars and truth.csv.")
@click.option("--tars", multiple=True, default=("00000", "00001", "00002", "00003"), show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(pool: Path, web: Path | None, tars: tuple[str, ...], workers: int, seed: int) -> None:
    """Make the training pictures in the folder POOL."""
    pool.mkdir(parents=True, exist_ok=True)
    tasks = [(str(pool), w, workers, seed, str(web) if web else None, tars) for w in range(workers)]
    with ProcessPoolExecutor(workers) as executor:
        click.echo(f"{sum(executor.map(_make_share, tasks))} pictures in {pool}")


if __name__ == "__main__":
    main()
