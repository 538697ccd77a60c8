"""What a page says below a picture: the facts of its row, shortened."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.copies.describe import describe_evidence
from curation.pages.pictures import Small

Row = Mapping[str, Any]
NO_BOXES: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A picture of a gallery. `facts` are shown in order; `details` when asked for; filters read the other fields."""

    key: str
    small: Small
    alt: str
    facts: Sequence[str]
    details: Mapping[str, str]
    format: str = ""
    side: int = 0
    source: str = ""
    score: float | None = None
    boxes: str = ""
    """An SVG path, in parts of the picture's sides, around the text that was found in it."""


def tile(row: Row, smalls: Mapping[str, Small], boxes: Mapping[str, str] = NO_BOXES) -> Tile:
    """Return the tile of a row; `smalls` are key → small picture, `boxes` key → SVG path."""
    key = row["key"]
    small = smalls.get(key, Small())
    return Tile(
        key=key,
        small=small,
        alt=row.get("caption") or f"picture {key}",
        facts=[text for make in _FACTS if (text := make(row))],
        details=_details(row),
        format=row.get("format") or "",
        side=min(row.get("width") or 0, row.get("height") or 0),
        source=row["source_name"],
        score=row.get("text_score"),
        boxes=boxes.get(key, ""),
    )


def tiles(rows: Iterable[Row], smalls: Mapping[str, Small], boxes: Mapping[str, str] = NO_BOXES) -> list[Tile]:
    """Return the tiles of `rows`."""
    return [tile(row, smalls, boxes) for row in rows]


def _size(row: Row) -> str:
    return f"{row['width']} × {row['height']} {row.get('format') or ''}".strip() if row.get("width") else ""


def _score(row: Row) -> str:
    return "" if row.get("text_score") is None else f"score {row['text_score']:.3f}, by {row.get('text_step')}"


def _kind(row: Row) -> str:
    return row.get("text_kind") or ""


def _copy(row: Row) -> str:
    if row.get("duplicate_of") is None:
        return ""
    return f"{row.get('duplicate_kind')}: {describe_evidence(row.get('duplicate_evidence'))}"


def _error(row: Row) -> str:
    return "" if row["status"] == "ok" else f"{row['status']}: {row.get('error') or ''}"


_FACTS: Sequence[Callable[[Row], str]] = (_size, _kind, _score, _copy, _error)


def _details(row: Row) -> dict[str, str]:
    named = {
        "member": row["member"],
        "source": row["source_name"],
        "caption": row.get("caption"),
        "url": row.get("url"),
        "reason": row.get("drop_reason"),
        "copy of": row.get("duplicate_of"),
    }
    return {name: value for name, value in named.items() if value}
