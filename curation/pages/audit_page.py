"""The HTML page on which a person labels the images of an audit: one file that works offline.

It contains no untrusted content: images are decoded and encoded again, and keys are escaped. Its policy allows no
request, and only its own script and style. It does not show what the run decided, so that labels are not biased.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.pages.rendering import environment, framed
from curation.pictures.thumbnails import thumbnail
from curation.sources.byte_ranges import image_range, read_ranges, require_unchanged
from curation.trust.audit_labels import UNSURE

COLUMNS = ("key", "source", "member", "offset", "size", "sha256")
MAX_SIDE_PIXELS = 720
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
            small = thumbnail(data, MAX_SIDE_PIXELS)  # the scan may have had larger limits
            yield Picture(key=row["key"], jpeg=small.jpeg, problem=small.problem or None)


def page(found: Iterable[Picture], *, count: int, name: str) -> Iterator[str]:
    """Yield the page of `count` images, piece by piece. The browser stores labels under `name`."""
    whole = framed("audit.html", "audit", pictures="data:", count=count, name=name)
    before, after = whole.split(_HERE)
    yield before
    article = environment().get_template("audit_article.html")
    for place, each in enumerate(found):
        jpeg = None if each.jpeg is None else base64.b64encode(each.jpeg).decode()
        yield article.render(key=each.key, jpeg=jpeg, problem=each.problem or "", place=place, choices=_CHOICES)
    yield after
