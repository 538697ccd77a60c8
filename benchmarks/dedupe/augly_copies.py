"""Harder copies: photographs after each image transform of AugLy, and after several of them.

    python -m benchmarks.dedupe.augly_copies [--photographs FOLDER] [--copies 200] [--imagededup-python PYTHON]
                                             [--fastdup-python PYTHON] [--sheet FILE] [--json]

AugLy (Papakipos and Bitton, 2022, arXiv:2201.06494) comes with the extra `peers`. `--photographs` is a folder of tars
of photographs; where it has a truth.csv, the originals labelled `none` are used. Without it, photographs are drawn.

Of `--copies` photographs, a copy is made by each transform at AugLy's default strength; a transform whose default
changes nothing is named with its strength. The composed ones apply two or three transforms of those that leave the
picture the same, chosen by the number of the photograph. Copies are stored as JPEG of quality 90. The copies of one
transform are searched among all photographs, which are therefore distractors, too. What is laid over or under
photograph n is photograph n + 1; that pair is left out.

curate    PDQ and local features find candidates and pixels decide, as in dedupe with one cell, without Spark. Its
          operating point is its verdict; for micro-AP, proven pairs are ranked by the share of patches that agree.
PDQ       All pairs, ranked by distance, at the largest distance whose precision over all transforms is 0.999, which
          is the larger the fewer photographs there are.
PHash     The same with the 64 bits of imagededup, computed by `--imagededup-python`; left out without it.
fastdup   The same with the cosine of its vectors, computed by `--fastdup-python`; the operating point is 10,000 times
          the difference from 1.

Micro-AP is the average precision of all pairs of copy and photograph in one ranking (as DISC2021 has it), with all
copies counted, and once without those that a person would not call the same picture (NOT_THE_SAME).
"""

import importlib.util
import io
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.dedupe.corpus import Row, one_thread_pool
from benchmarks.dedupe.cost import candidate_pairs
from benchmarks.dedupe.peers import Picture, peer_distances
from benchmarks.dedupe.photographs import photographs_from
from benchmarks.dedupe.sheets import draw_pairs
from curation.config import DedupeConfig
from curation.copies.compare_pixels import compare
from curation.copies.kinds import Strictness, kind_of
from curation.copies.rendering import renderings
from curation.pictures import local_features as local
from curation.pictures.decode import DEFAULT_LIMITS, decode
from curation.pictures.pdq import pdq

COPIES, DISTRACTORS = 200, 1_000
JPEG_QUALITY = 90
PRECISION = 0.999
GLYPHS, TEXT_LENGTH = range(1, 1000), 5  # of the text that is laid over, as AugLy has it
SSCD_PUBLISHED = "SSCD (ResNet-50), published: micro-AP 0.725 on DISC2021, score-normalised (Pizzi et al., CVPR 2022)"

Transform = Callable[[Image.Image, Image.Image], Image.Image]
"""Makes a copy of the first photograph; some lay the second one over or under it."""


def has_augly() -> bool:
    """Return whether AugLy is installed."""
    return importlib.util.find_spec("augly") is not None


def transforms() -> dict[str, Transform]:
    """Return AugLy's transforms by name. Raises ClickException without AugLy."""
    try:
        import augly.image as augly  # noqa: PLC0415 - of the extra peers
    except ImportError as e:
        raise click.ClickException("AugLy is missing: pip install 'curate-images[peers]'") from e
    # AugLy 1.0 uses what Pillow 10 and NumPy 1.24 removed.
    ImageFont.FreeTypeFont.getsize_multiline = _size_of_lines  # type: ignore[attr-defined]
    np.float = float  # type: ignore[attr-defined]

    def plain(name: str, **options: Any) -> Transform:
        return lambda image, _: getattr(augly, name)(image, **options)

    found = {name: plain(name) for name in _BY_DEFAULT}
    for name, options in _WITH_STRENGTH.items():
        shown = ", ".join(str(value) for value in options.values())
        found[f"{name} {shown}"] = plain(name, **options)
    # By default, AugLy draws one text when it is imported, another one in each process.
    found["overlay_text"] = lambda image, _: augly.overlay_text(image, text=_text())
    found["overlay_image"] = augly.overlay_image
    found["overlay_onto_background_image"] = augly.overlay_onto_background_image
    single = [each for name, each in found.items() if name not in {"shuffle_pixels 0.1", *NOT_THE_SAME}]
    for count in (2, 3):
        found[f"composed of {count}"] = _composed(single, count)
    return found


def _text() -> list[int]:
    return random.choices(GLYPHS, k=TEXT_LENGTH)  # noqa: S311 - make_copy sets the seed


def _size_of_lines(font: ImageFont.FreeTypeFont, text: str) -> tuple[int, int]:
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    return round(right - left), round(bottom - top)


_BY_DEFAULT = (
    "blur", "crop", "encoding_quality", "grayscale", "hflip", "meme_format", "overlay_emoji",
    "overlay_onto_screenshot", "overlay_stripes", "overlay_text", "pad", "pad_square", "perspective_transform",
    "random_noise", "rotate", "scale", "shuffle_pixels", "skew", "vflip",
)  # fmt: skip
_WITH_STRENGTH: Mapping[str, Mapping[str, float]] = {
    "brightness": {"factor": 1.5},
    "change_aspect_ratio": {"ratio": 1.5},
    "color_jitter": {"brightness_factor": 1.3, "contrast_factor": 1.3, "saturation_factor": 1.5},
    "contrast": {"factor": 1.5},
    "opacity": {"level": 0.5},
    "pixelization": {"ratio": 0.2},
    "saturation": {"factor": 2.0},
    "sharpen": {"factor": 5.0},
    "shuffle_pixels": {"factor": 0.1},
}
NOT_THE_SAME = frozenset({"shuffle_pixels", "overlay_onto_screenshot", "overlay_onto_background_image"})
"""What a person would not call the same picture: noise, and others that show it at 12 to 36 % of their area."""


def _composed(single: Sequence[Transform], count: int) -> Transform:
    def apply(image: Image.Image, other: Image.Image) -> Image.Image:
        for each in random.sample(list(single), count):
            image = _on_white(each(image, other))
        return image

    return apply


def _on_white(image: Image.Image) -> Image.Image:
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def make_copy(transform: Transform, number: int, data: bytes, other: bytes) -> bytes:
    """Return the copy of photograph `number` as JPEG, on white where it is transparent."""
    random.seed(number)
    np.random.seed(number)  # AugLy draws from it
    image, second = (Image.open(io.BytesIO(each)).convert("RGB") for each in (data, other))
    out = io.BytesIO()
    _on_white(transform(image, second)).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the scan measures of pictures: rows with local features, and PDQ bits and quality."""

    rows: Sequence[Row]
    prints: Sequence[tuple[bytes, int]]


def measured(pictures: Sequence[bytes], name: str) -> Measured:
    """Return what the scan measures of encoded pictures, which are nodes named by `name` and their place."""
    cv2.setNumThreads(1)
    rows, prints = [], []
    for place, data in enumerate(pictures):
        rgb = decode(data).rgb
        assert rgb is not None, f"{name} {place}"
        made, features = pdq(rgb), local.local_features(rgb)
        points = features.points if features else None
        rows.append({"node": f"{name} {place:06d}".encode(), "local_points": points})
        prints.append((made.bits, made.quality))
    return Measured(rows=rows, prints=prints)


def search(
    name: str, photographs: Sequence[bytes], known: Measured, count: int
) -> tuple[str, list[tuple[int, int, float]], NDArray[np.uint16]]:
    """Return what is found of the copies of one transform.

    `known`: of all photographs, of which the first `count` are copied. The result has its name; copy, photograph and
    score of every pair that is proven; and the PDQ distances of copies (rows) and photographs.
    """
    transform = transforms()[name]
    copies = [
        make_copy(transform, place, photographs[place], photographs[(place + 1) % len(photographs)])
        for place in range(count)
    ]
    mine = measured(copies, "copy")
    config = DedupeConfig()
    pairs = candidate_pairs([*known.rows, *mine.rows], [*known.prints, *mine.prints], config)
    proven = []
    for a, b in sorted(pairs["PDQ"] | pairs["local features"]):
        if a.startswith(b"copy") == b.startswith(b"copy"):
            continue
        copy, photograph = int(a.split()[1]), int(b.split()[1])  # copy sorts before photograph
        if photograph == (copy + 1) % len(photographs):
            continue
        evidence = compare(*(renderings(data, DEFAULT_LIMITS) for data in (copies[copy], photographs[photograph])))
        if evidence is not None and kind_of(evidence, Strictness(), frozenset(config.copies)) is not None:
            proven.append((copy, photograph, 1 - evidence.differing))
    return name, proven, distances(mine.prints, known.prints)


def distances(first: Sequence[tuple[bytes, int]], second: Sequence[tuple[bytes, int]]) -> NDArray[np.uint16]:
    """Return the Hamming distance of each fingerprint of `first` to each of `second`; the largest for n and n + 1."""
    a, b = (np.unpackbits(np.array([list(bits) for bits, _ in some], np.uint8), axis=1) for some in (first, second))
    agree = a.astype(np.float32) @ b.T.astype(np.float32) + (1.0 - a) @ (1.0 - b).T
    found = np.asarray(a.shape[1] - agree.round(), np.uint16)
    found[np.arange(len(a)), (np.arange(len(a)) + 1) % len(b)] = a.shape[1]
    return found


# --- figures --------------------------------------------------------------------------------------------------


def micro_average_precision(scores: NDArray[Any], right: NDArray[np.bool_], positives: int) -> float:
    """Return the area below precision over recall of pairs in the order of `scores`; equal ones count together."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    hits, found = np.cumsum(right[order])[ends], ends + 1
    return float((np.diff(hits, prepend=0) * hits / found).sum() / positives) if positives else 0.0


def largest_distance(far: Mapping[str, NDArray[np.uint16]], precision: float = PRECISION) -> int:
    """Return the largest distance at which `precision` of all pairs within it are copies, -1 if there is none.

    `far`: by transform, the distances of copies and photographs; copy n is one of photograph n.
    """
    levels = 1 + max(int(each.max()) for each in far.values())
    right, every = np.zeros(levels, int), np.zeros(levels, int)
    for each in far.values():
        right += np.bincount(each.diagonal(), minlength=levels)
        every += np.bincount(each.ravel(), minlength=levels)
    reached = np.flatnonzero(np.cumsum(right) >= precision * np.maximum(1, np.cumsum(every)))
    reached = reached[np.cumsum(every)[reached] > 0]
    return int(reached.max()) if len(reached) else -1


def of_distances(far: Mapping[str, NDArray[np.uint16]]) -> dict[str, Any]:
    """Return recall by transform at the operating point of a fingerprint, and its micro-AP."""
    limit = largest_distance(far)
    return {
        "operating_point": limit,
        "recall": {name: round(float((each.diagonal() <= limit).mean()), 4) for name, each in far.items()},
        **_both_averages({name: _ranked(each) for name, each in far.items()}, {n: len(e) for n, e in far.items()}),
    }


def _ranked(far: NDArray[np.uint16]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    is_own = np.zeros(far.shape, bool)
    np.fill_diagonal(is_own, True)
    return -far.ravel().astype(np.float32), is_own.ravel()


def of_proven(proven: Mapping[str, Sequence[tuple[int, int, float]]], count: int) -> dict[str, Any]:
    """Return recall by transform and micro-AP of proven pairs, and their precision."""
    own = {name: {copy for copy, photograph, _ in some if copy == photograph} for name, some in proven.items()}
    every = sum(len(some) for some in proven.values())
    ranked = {
        name: (np.array([score for *_, score in some]), np.array([a == b for a, b, _ in some], bool))
        for name, some in proven.items()
    }
    return {
        "precision": round(sum(map(len, own.values())) / max(1, every), 5),
        "recall": {name: round(len(mine) / count, 4) for name, mine in own.items()},
        **_both_averages(ranked, dict.fromkeys(proven, count)),
    }


def _both_averages(
    ranked: Mapping[str, tuple[NDArray[Any], NDArray[np.bool_]]], copies: Mapping[str, int]
) -> dict[str, float]:
    found = {}
    for title, names in (("micro_ap", list(ranked)), ("micro_ap_same", [n for n in ranked if n not in NOT_THE_SAME])):
        scores, right = (np.concatenate([ranked[name][place] for name in names]) for place in (0, 1))
        average = micro_average_precision(scores, right, sum(copies[name] for name in names))
        found[title] = round(average, 4)
    return found


def _pictures(photographs: Sequence[bytes], names: Sequence[str], count: int) -> Iterator[Picture]:
    """Yield the photographs, and all copies of the first `count` of them."""
    yield from (("photograph", place, data) for place, data in enumerate(photographs))
    made = transforms()
    for name in names:
        for place in range(count):
            other = photographs[(place + 1) % len(photographs)]
            yield name, place, make_copy(made[name], place, photographs[place], other)


def measure_augly(
    photographs: Sequence[bytes], *, count: int = COPIES, peers: Mapping[str, Path | None], workers: int = 2
) -> dict[str, Any]:
    """Return what is found of the copies of the first `count` photographs, by method and transform.

    `peers`: the Python that has PHash or fastdup; None leaves it out.
    """
    names = list(transforms())
    count = min(count, len(photographs))
    with one_thread_pool(workers) as pool:
        known = pool.submit(measured, photographs, "photograph").result()
        jobs = [pool.submit(search, name, photographs, known, count) for name in names]
        done = [job.result() for job in jobs]
    methods = {
        "curate": of_proven({name: proven for name, proven, _ in done}, count),
        "PDQ": of_distances({name: far for name, _, far in done}),
    }
    for peer, python in peers.items():
        if python is not None:
            copies = _pictures(photographs, names, count)
            methods[peer] = of_distances(peer_distances(peer, python, copies, names))
    missed = {name: sorted(set(range(count)) - {a for a, b, _ in some if a == b}) for name, some, _ in done}
    wrong = {name: [(a, b) for a, b, _ in some if a != b] for name, some, _ in done}
    return {"photographs": len(photographs), "copies": count, "methods": methods, "missed": missed, "wrong": wrong}


def print_augly(found: Mapping[str, Any]) -> None:
    """Print recall by transform and method."""
    methods = found["methods"]
    click.echo(f"{found['copies']} copies by each transform among {found['photographs']:,} photographs\n")
    click.echo(f"{'recall':32}" + "".join(f"{name:>10}" for name in methods))
    for name in found["missed"]:
        note = "   not the same to a person" if name in NOT_THE_SAME else ""
        click.echo(f"{name:32}" + "".join(f"{each['recall'][name]:10.3f}" for each in methods.values()) + note)
    for title in ("micro_ap", "micro_ap_same"):
        click.echo(f"{title:32}" + "".join(f"{each[title]:10.3f}" for each in methods.values()))
    for name, each in methods.items():
        of = f"precision {each['precision']}" if "precision" in each else f"at distance {each['operating_point']}"
        click.echo(f"{name}: {of}")
    click.echo(SSCD_PUBLISHED)


@click.command()
@click.option("--photographs", type=click.Path(exists=True, path_type=Path), help="Folder of tars.")
@click.option("--copies", default=COPIES, show_default=True, help="Photographs that are copied.")
@click.option("--distractors", default=DISTRACTORS, show_default=True, help="Photographs besides, at most.")
@click.option("--imagededup-python", type=click.Path(exists=True, path_type=Path), help="Python with imagededup.")
@click.option("--fastdup-python", type=click.Path(exists=True, path_type=Path), help="Python with fastdup.")
@click.option(
    "--sheet", type=click.Path(path_type=Path), help="Image file that shows four missed copies a transform."
)
@click.option("--cores", default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, photographs: Path | None, sheet: Path | None, as_json: bool, **options: Any) -> None:
    """Measure which of AugLy's copies are found."""
    wanted = options["copies"] + options["distractors"]
    pictures = photographs_from(photographs, wanted)
    peers = {"PHash": options["imagededup_python"], "fastdup": options["fastdup_python"]}
    found = measure_augly(pictures, count=options["copies"], peers=peers, workers=options["cores"])
    if sheet is not None:
        made, many = transforms(), len(pictures)
        draw_pairs(
            (
                (f"{name} {n}", pictures[n], make_copy(made[name], n, pictures[n], pictures[(n + 1) % many]))
                for name, missed in found["missed"].items()
                for n in missed[:4]
            ),
            sheet,
        )
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_augly(found)


if __name__ == "__main__":
    main()
