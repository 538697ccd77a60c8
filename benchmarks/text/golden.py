"""Drawn pictures of the kinds that are easily mistaken for each other: which kind is found, how many are heavy.

They are drawn by examples/corpus/kinds.py with a seed that no training uses, so what they are is certain; how the
web's pictures look, they do not say.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.text.looking import measure_alone
from curation.choosing.rules import text_classes
from curation.text.bounds import CascadeSettings, TextRules
from curation.text.cascade import Cascade, TextMeasures
from examples.corpus.kinds import PAINTERS_BY_KIND, draw_by
from examples.corpus.samples import Painter
from filters.protocol import Rgb, load_engine
from filters.text_kind import TextKind

SEED = 1000  # training draws with others
EACH = 40
ALL: tuple[str, ...] = ()
DRAWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "film poster": ("designed", ("film_poster",)),
    "meme": ("designed", ("meme", "meme_card")),
    "book cover": ("designed", ("book_cover",)),
    "game cover": ("designed", ("game_cover",)),
    "shop banner": ("designed", ("shop_banner",)),
    "video thumbnail": ("designed", ("video_thumbnail",)),
    "title card": ("designed", ("title_card",)),
    "game screen": (
        "designed", ("title_screen", "menu_screen", "score_screen", "dialogue_screen", "arcade_screen")
    ),
    "storefront": ("scene", ("storefront",)),
    "jersey": ("scene", ("jersey",)),
    "table": ("table", ALL),
    "form": ("document", ("form", "form_with_boxes")),
    "slide": ("slide", ALL),
    "chart with few labels": ("chart", ("sparse_line", "scatter", "function_plot")),
    "code": ("screenshot", ("code", "code_editor")),
    "map": ("map", ALL),
    "diagram": ("diagram", ALL),
    "handwriting": ("handwriting", ALL),
    "icon sheet": ("none", ("icon_sheet",)),
    "cells": ("none", ("cells",)),
    "particles": ("none", ("particles",)),
    "plain surface": ("none", ("plain_surface",)),
}  # fmt: skip
"""What is drawn: by name its kind in PAINTERS_BY_KIND, and the names of its painters there, ALL for each of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GoldenRow:
    """What was found on the pictures of one name in DRAWN. `found`: how many are of each kind."""

    drawn: str
    kind: str
    pictures: int
    found: Mapping[str, int]
    heavy_share: float
    any_text_share: float


def painters_of(drawn: str) -> list[Painter]:
    """Return the painters of a name in DRAWN, in the order of PAINTERS_BY_KIND. Raises KeyError without one."""
    kind, names = DRAWN[drawn]
    by_name = {painter.__name__: painter for painter in PAINTERS_BY_KIND[kind]}
    return [by_name[name] for name in names or by_name]


def golden_pictures(drawn: str, each: int) -> Iterator[Rgb]:
    """Yield `each` pictures of a name in DRAWN; its painters take turns."""
    painters = painters_of(drawn)
    for index in range(each):
        picture = draw_by(painters[index % len(painters)], SEED, index // len(painters))
        yield np.asarray(picture, np.uint8)


def classes_of(measures: Sequence[TextMeasures]) -> list[str]:
    """Return the `text_class` of pictures with these measures, at the shipped thresholds."""
    scores = pa.array([m.text_score for m in measures], pa.float64())
    lines = pa.array([m.text_lines for m in measures], pa.int32())
    return [str(found) for found in text_classes(scores, TextRules(), lines).to_pylist()]


def measure_golden(each: int = EACH, names: Sequence[str] = tuple(DRAWN)) -> list[GoldenRow]:
    """Return what the cascade finds, with default settings, on `each` drawn pictures of every one of `names`."""
    cascade = Cascade(load_engine("rapidocr"), CascadeSettings())
    found = []
    for drawn in names:
        measures = [measure_alone(cascade, rgb) for rgb in golden_pictures(drawn, each)]
        classes = classes_of(measures)
        found.append(
            GoldenRow(
                drawn=drawn,
                kind=DRAWN[drawn][0],
                pictures=len(measures),
                found=dict(Counter(m.text_kind for m in measures)),
                heavy_share=classes.count("heavy") / max(1, len(classes)),
                any_text_share=1 - classes.count("none") / max(1, len(classes)),
            )
        )
    return found


def golden_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the matrix as a Markdown table: a row for what is drawn, a column for each kind found."""
    lines = [
        f"| drawn | of kind | {' | '.join(TextKind)} | heavy | any text |",
        "| --- | --- |" + " ---: |" * (len(TextKind) + 2),
    ]
    for row in rows:
        counts = " | ".join(str(row["found"].get(kind, "")) for kind in TextKind)
        shares = f"{row['heavy_share']:.0%} | {row['any_text_share']:.0%}".replace("%", " %")
        lines.append(f"| {row['drawn']} | {row['kind']} | {counts} | {shares} |")
    return "\n".join(lines)
