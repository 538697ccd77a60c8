"""The HTML page on which a person labels the images of an audit: one file that works offline.

It contains no untrusted content: images are decoded and encoded again, and keys are escaped. Its policy allows no
request, and only its own script and style. It does not show what the run decided, so that labels are not biased.
"""

import base64
import hashlib
import html
import io
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from curation.pictures.decode import decode
from curation.sources.byte_ranges import image_range, read_ranges, require_unchanged
from curation.trust.audit_labels import UNSURE

COLUMNS = ("key", "source", "member", "offset", "size", "sha256")
MAX_SIDE_PIXELS = 720
JPEG_QUALITY = 82
PICTURES_AT_ONCE = 8
_HERE = "<!-- pictures -->"

_CHOICES = (
    ("none", "0", "no readable text"),
    ("light", "1", "any readable text"),
    ("heavy", "2", "chart, table, document or screenshot with readable text"),
    (UNSURE, "u", "cannot say"),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image to label: a small JPEG made here, or the reason why there is none."""

    key: str
    jpeg: bytes | None
    problem: str | None = None


def picked(batch: pa.RecordBatch, keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return COLUMNS of the rows in `batch` with a key in `keys`."""
    wanted = pc.is_in(batch.column("key"), pa.array(list(keys), pa.string()))
    rows: list[dict[str, Any]] = batch.select(list(COLUMNS)).filter(wanted).to_pylist()
    return rows


def pictures(rows: Sequence[Mapping[str, Any]]) -> Iterator[Picture]:
    """Yield the image of each row, in order. Raises BrokenSource when one has changed since the scan."""
    for first in range(0, len(rows), PICTURES_AT_ONCE):
        some = rows[first : first + PICTURES_AT_ONCE]
        for row, data in zip(some, read_ranges([image_range(r) for r in some]), strict=True):
            require_unchanged(row, data)
            yield _shrunk(row["key"], data)


def _shrunk(key: str, data: bytes) -> Picture:
    decoded = decode(data)
    if decoded.rgb is None:  # the scan may have had larger limits
        return Picture(key=key, jpeg=None, problem=f"{decoded.status}: {decoded.error}")
    small = Image.fromarray(decoded.rgb)
    small.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=JPEG_QUALITY)
    return Picture(key=key, jpeg=out.getvalue())


def page(found: Iterable[Picture], *, count: int, name: str) -> Iterator[str]:
    """Yield the page of `count` images, piece by piece. The browser stores labels under `name`."""
    style, script = _resource("audit_page.css"), _resource("audit_page.js")
    template = string.Template(_resource("audit_page.html")).substitute(
        policy=html.escape(_policy(style, script)), style=style, script=script, count=count, name=html.escape(name)
    )
    before, after = template.split(_HERE)
    yield before
    for place, each in enumerate(found):
        yield _article(each, place)
    yield after


def _resource(name: str) -> str:
    return resources.files("curation.trust").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows only this script, this style and embedded images."""
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_source_hash(style)}'",
            f"script-src '{_source_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _article(each: Picture, place: int) -> str:
    key = html.escape(each.key)
    if each.jpeg is None:
        shown = f"<p class=problem>This picture cannot be shown ({html.escape(each.problem or '')}).</p>"
    else:
        shown = f'<img alt="picture {place + 1}" src="data:image/jpeg;base64,{base64.b64encode(each.jpeg).decode()}">'
    choices = "".join(_choice(place, *choice) for choice in _CHOICES)
    return (
        f'<article data-key="{key}">\n<figure>{shown}<figcaption>{key}</figcaption></figure>\n'
        f"<fieldset>{choices}</fieldset>\n</article>\n"
    )


def _choice(place: int, label: str, button: str, meaning: str) -> str:
    return (
        f'<label><input type=radio name="label-{place}" value={label}>'
        f"<kbd>{button}</kbd><b>{label}</b><small>{meaning}</small></label>"
    )
