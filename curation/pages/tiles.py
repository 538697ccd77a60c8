"""What a page says below a picture: the facts of its row, shortened."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.copies.describe import describe_evidence
from curation.pages.pictures import Small

Row = Mapping[str, Any]
MAX_SOURCE_CHARS = 60


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


def tile(row: Row, smalls: Mapping[str, Small]) -> Tile:
    """Return the tile of a row; `smalls` are key → small picture."""
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
        source=row["source"],
        score=row.get("text_score"),
    )


def tiles(rows: Iterable[Row], smalls: Mapping[str, Small]) -> list[Tile]:
    """Return the tiles of `rows`."""
    return [tile(row, smalls) for row in rows]


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
        "source": row["source"],
        "caption": row.get("caption"),
        "url": row.get("url"),
        "reason": row.get("drop_reason"),
        "copy of": row.get("duplicate_of"),
    }
    return {name: value for name, value in named.items() if value}
