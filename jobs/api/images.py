"""Stored images of manifest rows: bytes, PIL images, and a grid in a notebook."""

import base64
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from PIL import Image as Pil

from curation.pictures.decode import DEFAULT_LIMITS, DecodeLimits, decode
from manifests.errors import BrokenSource

THUMBNAIL_PIXELS = 200
JPEG_QUALITY = 80
MAX_CAPTION = 60
_GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:8px;max-width:1200px"
_FIGURE = "margin:0;font:12px/1.3 system-ui,sans-serif;overflow-wrap:anywhere"


@dataclass(frozen=True, kw_only=True)
class Image:
    """The stored image of one row: its bytes, whose sha256 is the row's, or the reason why there are none.

    `row` has the columns that were read, `key` among them.
    """

    row: Mapping[str, Any]
    data: bytes | None
    problem: str = ""

    @property
    def key(self) -> str:
        """The key of the row."""
        return str(self.row["key"])

    def pil(self, limits: DecodeLimits = DEFAULT_LIMITS) -> Pil.Image:
        """Return the image as the pipeline sees it: its first frame, upright, in RGB, on white where transparent.

        Raises BrokenSource when there are no bytes, or when they do not decode within `limits`.
        """
        if self.data is None:
            raise BrokenSource(f"{self.key}: {self.problem}")
        decoded = decode(self.data, limits)
        if decoded.rgb is None:
            raise BrokenSource(f"{self.key}: {decoded.status}: {decoded.error}")
        return Pil.fromarray(decoded.rgb)

    def _repr_html_(self) -> str:
        return f'<figure style="{_FIGURE}">{self._thumbnail()}<figcaption>{_shown(self.key)}</figcaption></figure>'

    def _thumbnail(self) -> str:
        try:
            small = self.pil()
        except BrokenSource as e:
            return f"<em>{_shown(str(e).removeprefix(self.key).lstrip(': '))}</em>"
        small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=JPEG_QUALITY)
        data = base64.b64encode(out.getvalue()).decode()
        return f'<img style="max-width:100%" alt="" src="data:image/jpeg;base64,{data}">'


class Images(Sequence[Image]):
    """Images in the order of the manifest; a notebook shows them as a grid."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = tuple(images)

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> "Images": ...
    def __getitem__(self, place: int | slice) -> "Image | Images":
        if isinstance(place, slice):
            return Images(self._images[place])
        return self._images[place]

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Image]:
        return iter(self._images)

    def __repr__(self) -> str:
        missing = sum(each.data is None for each in self)
        return f"<{len(self)} images{f', {missing} of them not readable' if missing else ''}>"

    def _repr_html_(self) -> str:
        figures = "".join(each._repr_html_() for each in self)
        return f'<div style="{_GRID}">{figures}</div>'


def _shown(text: str) -> str:
    """Return `text` as HTML that shows it, shortened."""
    return html.escape(text if len(text) <= MAX_CAPTION else text[: MAX_CAPTION - 1] + "…")
