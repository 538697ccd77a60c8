"""An HTML page with small pictures of what a takedown removes: one file that works offline.

Pictures are decoded and encoded again, texts are escaped, and the policy of the page allows no script and no request.
"""

import base64
import html
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from curation.pictures.bounded import DecoderFailed, decode_bounded, within_limits
from curation.pictures.decode import DEFAULT_LIMITS

MAX_SIDE_PIXELS = 240
ENOUGH_PIXELS = MAX_SIDE_PIXELS * MAX_SIDE_PIXELS
JPEG_QUALITY = 80
MAX_TEXT = 200
_STYLE = (
    "body{margin:1rem;font:14px/1.4 system-ui,sans-serif}main{display:grid;gap:12px;"
    "grid-template-columns:repeat(auto-fill,minmax(240px,1fr))}figure{margin:0;overflow-wrap:anywhere}"
    "img{max-width:100%}figcaption b{text-transform:uppercase;font-size:11px}"
)
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, kw_only=True)
class Removed:
    """One row that goes: what its row says, why it goes, and its stored bytes, or the reason why there are none."""

    row: Mapping[str, Any]
    why: str
    data: bytes | None
    problem: str = ""


def contact_sheet(title: str, removed: Iterable[Removed], *, shown: int, count: int) -> Iterator[str]:
    """Yield the page of `removed`, which are `shown` of `count` rows, piece by piece."""
    more = f"; the first {shown:,} are shown" if shown < count else ""
    yield (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1><p>{count:,} rows{more}.</p><main>\n"
    )
    for each in removed:
        yield _figure(each)
    yield "</main></body></html>\n"


def _figure(each: Removed) -> str:
    jpeg, problem = (None, each.problem) if each.data is None else _thumbnail(each.data)
    if jpeg is None:
        shown = f"<p>{_text(f'This picture cannot be shown: {problem}')}</p>"
    else:
        shown = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
    lines = "".join(f"<br>{_text(str(each.row[name]))}" for name in ("url", "caption") if each.row.get(name))
    return (
        f"<figure>{shown}<figcaption><b>{_text(each.why)}</b> {_text(each.row['key'])}{lines}</figcaption></figure>\n"
    )


def _thumbnail(data: bytes) -> tuple[bytes | None, str]:
    """Return a small JPEG of a picture, decoded within limits and first in a child process; or None and why not."""
    try:
        decoded = within_limits(_decode, data, is_retry=True)
    except DecoderFailed as e:
        return None, str(e)
    if decoded.rgb is None:
        return None, f"{decoded.status}: {decoded.error}"
    small = Image.fromarray(decoded.rgb)
    small.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue(), ""


def _decode(data: bytes) -> Any:
    return decode_bounded(data, DEFAULT_LIMITS, enough_pixels=ENOUGH_PIXELS)


def _text(text: str) -> str:
    """Return `text`, shortened, as HTML that shows it."""
    return html.escape(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")
