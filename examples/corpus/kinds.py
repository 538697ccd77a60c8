"""Drawn pictures of each kind that the text filter tells apart: to train it, and to test it on the hard ones."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from examples.corpus.charts import bar_chart, line_chart, pie_chart
from examples.corpus.designed import DESIGNED
from examples.corpus.diagrams import DIAGRAMS
from examples.corpus.documents import app, code, form, letter, news_page, paper_page, receipt, slide, table
from examples.corpus.empty import EMPTY
from examples.corpus.games import GAMES
from examples.corpus.handwriting import HANDWRITING
from examples.corpus.maps import MAPS
from examples.corpus.pages import PAGES
from examples.corpus.patterns import PATTERNS
from examples.corpus.photographs import meme, product, sign, watermark
from examples.corpus.plots import PLOTS
from examples.corpus.samples import FLAT, NONE, Painter, pick_size
from examples.corpus.scenes import SCENES
from examples.corpus.screens import SCREENS
from examples.corpus.slides import SLIDES
from examples.corpus.tables import TABLES
from examples.corpus.textures import through_camera

PAINTERS_BY_KIND: Mapping[str, tuple[Painter, ...]] = {
    "document": (letter, paper_page, receipt, news_page, form, *PAGES),
    "table": (table, *TABLES),
    "chart": (bar_chart, line_chart, pie_chart, *PLOTS),
    "diagram": DIAGRAMS,
    "screenshot": (code, app, *SCREENS),
    "slide": (slide, *SLIDES),
    "handwriting": HANDWRITING,
    "map": MAPS,
    "designed": (meme, *DESIGNED, *GAMES),
    "scene": (sign, watermark, product, *SCENES),
    "none": (*NONE, *PATTERNS, *EMPTY),
}
LONGEST_PIXELS = 1100


def draw_kind(kind: str, seed: int, index: int) -> Image.Image:
    """Return picture `index` of `kind`, RGB; it depends on these three alone. The painters of a kind take turns.

    Raises KeyError for a kind that PAINTERS_BY_KIND lacks.
    """
    painters = PAINTERS_BY_KIND[kind]
    return draw_by(painters[index % len(painters)], seed, index // len(painters))


def draw_by(painter: Painter, seed: int, index: int) -> Image.Image:
    """Return picture `index` that `painter` draws, RGB, in a size as on the web; photographs as cameras see them."""
    name = int.from_bytes(painter.__name__.encode()[:7], "big")
    rng = np.random.default_rng([seed, name, index])
    image = painter(rng, *pick_size(rng, LONGEST_PIXELS))
    if painter in NONE and painter not in FLAT:
        image = through_camera(rng, image)
    return image.convert("RGB")
