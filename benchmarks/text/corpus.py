"""The labelled corpus: its truth, the half that is reported on, its images, and a copy in one format and size."""

import csv
import dataclasses
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from curation.pictures.decode import decode
from curation.text.scoring import ENOUGH_PIXELS, enough_of
from filters.protocol import Rgb

WEB_MIX = {"none": 0.497, "some": 0.490, "rich": 0.013}  # Web-SSL's shares: light kept 50.3 %, heavy 1.3 %
ONE_SIZE_PIXELS = 512
PLANTED = "overlay_text"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """One image of the reported half: its bytes and its label (none, some or rich)."""

    tar: str
    key: str
    label: str
    data: bytes


def read_truth(web: Path) -> list[dict[str, str]]:
    """Return the rows of truth.csv."""
    with (web / "truth.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def reported(truth: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Return the rows of the second half of the tars without groups that are also in the first."""
    tars = sorted({row["tar"] for row in truth})
    first = set(tars[: len(tars) // 2])
    known = {row["group"] for row in truth if row["tar"] in first and row["group"]}
    return [row for row in truth if row["tar"] not in first and row["group"] not in known]


def without_planted(truth: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return `truth` with the label of photographs on which a text was planted marked as debatable."""
    return [
        {**row, "label": f"{row['label']}?"} if row["transform"] == PLANTED and row["label"] == "none" else dict(row)
        for row in truth
    ]


def write_truth(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write truth rows as CSV."""
    with path.open("w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def labelled_images(web: Path, truth: Sequence[Mapping[str, str]]) -> Iterator[Labelled]:
    """Yield the images with a sure label, original or copied, that decode."""
    labels = {
        (r["tar"], r["key"]): r["label"]
        for r in truth
        if r["label"] in WEB_MIX and not r.get("boundary") and r["expected"] == "decodable"
        and not (r["transform"] == PLANTED and r["label"] == "none")
    }  # fmt: skip
    for name in sorted({tar for tar, _ in labels}):
        with tarfile.open(web / name) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                file = tar.extractfile(member)
                if (name, key) in labels and extension not in ("txt", "json") and file is not None:
                    yield Labelled(tar=name, key=key, label=labels[name, key], data=file.read())


def as_jpeg_of_one_size(web: Path, out: Path) -> Path:
    """Return `out`, holding the tars of `web` with every decodable image as JPEG, its longer side 512 pixels."""
    out.mkdir()
    for path in sorted(web.glob("*.tar")):
        with tarfile.open(path) as old, tarfile.open(out / path.name, "w") as new:
            for member in old:
                file = old.extractfile(member)
                data = file.read() if file else b""
                name, decoded = member.name, None
                if not name.endswith((".txt", ".json")):
                    decoded = decode(data)
                if decoded is not None and decoded.rgb is not None:
                    picture = Image.fromarray(decoded.rgb)
                    scale = ONE_SIZE_PIXELS / max(picture.size)
                    size = [max(1, round(side * scale)) for side in picture.size]
                    encoded = io.BytesIO()
                    picture.resize((size[0], size[1]), Image.Resampling.LANCZOS).save(encoded, "JPEG", quality=90)
                    data, name = encoded.getvalue(), name.partition(".")[0] + ".jpg"
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                new.addfile(entry, io.BytesIO(data))
    return out


def whole_picture(data: bytes, *, enough_pixels: int | None = None) -> Rgb:
    """Return the decoded picture."""
    rgb = decode(data, enough_pixels=enough_pixels).rgb
    assert rgb is not None
    return rgb


def picture_to_score(data: bytes) -> Rgb:
    """Return the decoded picture in the size that the stage score looks at."""
    return enough_of(whole_picture(data, enough_pixels=ENOUGH_PIXELS))
