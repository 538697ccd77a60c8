"""Tars and Parquet files as img2dataset writes them, and the truth about each sample."""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from examples.corpus.samples import Picture, key_of, picture
from examples.corpus.textures import Rng
from examples.corpus.words import pick_phrase

HOSTILE_CAPTIONS = (
    "<script>alert('pwned')</script><b>Buy</b> &amp; save",
    "she said \"no\", he said 'yes', and, then; a\\backslash\ttab",
    "first line\nsecond line\r\nthird line\n\n",
    "🎉🎉 party 👩‍👩‍👧‍👦 Ünïcödé \u202egnikcart\u202c \u200bzero width",
    '=HYPERLINK("https://images.example","click")',
    "very long " * 800,
    "'; DROP TABLE images; --",
    "",
)
TRUTH_COLUMNS = (
    "key", "tar", "uid", "label", "boundary", "group", "transform", "difficulty", "expected", "sha256"
)  # fmt: skip
SIDECAR_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("uid", "key", "url", "caption", "status")]
    + [("width", pa.int32()), ("height", pa.int32()), ("sha256", pa.string())]
)


def _caption(rng: Rng, about: str) -> str:
    if rng.random() < 0.07:
        return str(rng.choice(HOSTILE_CAPTIONS))
    script = str(rng.choice(["latin", "latin", "latin", "latin", "cyrillic", "cjk"]))
    return f"{about}: {pick_phrase(rng, script, int(rng.integers(2, 9)))}"


def _sidecar(seed: int, index: int, made: Picture) -> dict[str, object]:
    """What img2dataset notes of a sample it has downloaded."""
    rng = np.random.default_rng([seed, index, 2])
    uid = hashlib.sha256(f"{seed}/{index}".encode()).hexdigest()[:32]
    width, height = None, None
    if made.expected != "not":
        with Image.open(io.BytesIO(made.content)) as opened:
            width, height = opened.size
    return {
        "uid": uid,
        "key": key_of(index),
        "url": f"https://images.example/{rng.choice(['a', 'cdn', 'media'])}/{uid[:8]}.{made.extension}",
        "caption": _caption(rng, made.about),
        "status": "success",
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(made.content).hexdigest(),
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # mtime, uid and gid are 0
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _write_tar(path: Path, seed: int, indices: Sequence[int]) -> Iterator[dict[str, str]]:
    """The truth about the samples `indices`, each as soon as it is in the tar at `path`."""
    rows: list[dict[str, object]] = []
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for index in indices:
            made = picture(seed, index)
            row = _sidecar(seed, index, made)
            _add(tar, f"{key_of(index)}.{made.extension}", made.content)
            _add(tar, f"{key_of(index)}.txt", str(row["caption"]).encode())
            _add(tar, f"{key_of(index)}.json", json.dumps(row, indent=1).encode())
            rows.append(row)
            yield {
                "key": key_of(index),
                "tar": path.name,
                "uid": str(row["uid"]),
                "label": made.label,
                "boundary": "",
                "group": made.copy_of,
                "transform": made.transform,
                "difficulty": made.difficulty,
                "expected": made.expected,
                "sha256": str(row["sha256"]),
            }
    pq.write_table(pa.Table.from_pylist(rows, SIDECAR_SCHEMA), path.with_suffix(".parquet"))


def _write_truth(path: Path, rows: Iterable[dict[str, str]]) -> None:
    rows = list(rows)
    originals = {row["group"] for row in rows}
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, TRUTH_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"group": row["key"] if row["key"] in originals else row["group"]})


def make_corpus(out: Path, *, images: int = 400, tars: int = 8, seed: int = 0) -> Path:
    """`out`, with `images` samples in `tars` tars, the parquet next to each, and truth.csv.

    Raises ValueError if a tar would be empty, FileExistsError if `out` contains other tars.
    """
    if not 1 <= tars <= images:
        raise ValueError(f"{images} images in {tars} tars: a tar would be empty; use 1 to {images} tars")
    out.mkdir(parents=True, exist_ok=True)
    names = [f"{t:05d}.tar" for t in range(tars)]
    foreign = sorted(p.name for p in out.glob("*.tar") if p.name not in names)
    if foreign:
        raise FileExistsError(f"{out} contains {foreign[0]}, which is not of this corpus; choose an empty folder")
    truth: list[dict[str, str]] = []
    for t, name in enumerate(names):
        indices = range(t * images // tars, (t + 1) * images // tars)
        truth.extend(_write_tar(out / name, seed, indices))
    _write_truth(out / "truth.csv", truth)
    return out
