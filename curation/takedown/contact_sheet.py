"""An HTML page with small pictures of what a takedown removes: one file that works offline.

Pictures are decoded and encoded again, texts are escaped, and the policy of the page allows no script and no request.
"""

import base64
import html
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curation.pictures.thumbnails import Thumbnail, thumbnail

MAX_SIDE_PIXELS = 240
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
    small = (
        Thumbnail(problem=each.problem) if each.data is None else thumbnail(each.data, MAX_SIDE_PIXELS, is_retry=True)
    )
    if small.jpeg is None:
        shown = f"<p>{_text(f'This picture cannot be shown: {small.problem}')}</p>"
    else:
        shown = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(small.jpeg).decode()}">'
    lines = "".join(f"<br>{_text(str(each.row[name]))}" for name in ("url", "caption") if each.row.get(name))
    return (
        f"<figure>{shown}<figcaption><b>{_text(each.why)}</b> {_text(each.row['key'])}{lines}</figcaption></figure>\n"
    )


def _text(text: str) -> str:
    """Return `text`, shortened, as HTML that shows it."""
    return html.escape(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")
