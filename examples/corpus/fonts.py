"""The typefaces that are installed, and text styles in them."""

import importlib
import importlib.util
import io
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from PIL import ImageFont

from examples.corpus.textures import Colour, Rng


@dataclass(frozen=True, kw_only=True)
class Family:
    """Where one typeface is: a file inside an installed package, or a `fontbuffer` inside a module of it."""

    name: str
    distribution: str
    regular: str
    bold: str
    scripts: tuple[str, ...]  # "latin", "greek", "cyrillic", "cjk"; "mono" and "hand" are manners of latin

    @property
    def is_installed(self) -> bool:
        """Whether the package is installed; it is not imported."""
        return importlib.util.find_spec(self.distribution.replace("-", "_")) is not None

    def read(self, *, bold: bool) -> bytes:
        """The font file's bytes."""
        package, name = self.distribution.replace("-", "_"), self.bold if bold else self.regular
        if "." not in name:
            return bytes(importlib.import_module(f"{package}.{name}").fontbuffer)
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(f"{self.name}: package {self.distribution} is missing; pip install it")
        return (Path(next(iter(spec.submodule_search_locations))) / name).read_bytes()


def _family(name: str, distribution: str, faces: str, scripts: str) -> Family:
    regular, _, bold = faces.partition(" ")
    scripts_had = tuple(scripts.split())
    return Family(name=name, distribution=distribution, regular=regular, bold=bold or regular, scripts=scripts_had)


SANS, SERIF, MUPDF, JP = "font-source-sans-pro", "font-source-serif-pro", "pymupdf-fonts", "pylopdf-fonts-jp"
FAMILIES = tuple(
    _family(*row)
    for row in (
        ("Source Sans Pro", SANS, "files/SourceSansPro-Regular.ttf files/SourceSansPro-Bold.ttf", "latin"),
        (
            "Source Serif Pro",
            SERIF,
            "files/SourceSerifPro-Regular.ttf files/SourceSerifPro-Bold.ttf",
            "latin",
        ),
        ("Caladea", "font-caladea", "files/Caladea-Regular.ttf files/Caladea-Bold.ttf", "latin"),
        ("Noto Sans", MUPDF, "NotoSans_Regular NotoSans_Bold", "latin greek cyrillic"),
        ("FiraGO", MUPDF, "FiraGO_Regular FiraGO_Bold", "latin greek cyrillic"),
        ("Ubuntu", MUPDF, "Ubuntu_Regular Ubuntu_Bold", "latin greek cyrillic"),
        ("Fira Mono", MUPDF, "FiraMono_Regular FiraMono_Bold", "mono"),
        ("Space Mono", MUPDF, "SpaceMono_Regular SpaceMono_Bold", "mono"),
        ("Amatic SC", "font-amatic-sc", "files/AmaticSC-Regular.ttf files/AmaticSC-Bold.ttf", "hand"),
        ("Noto Sans JP", JP, "NotoSansJP-Regular.otf", "cjk"),
        ("Noto Serif JP", JP, "NotoSerifJP-Regular.otf", "cjk"),
    )
)


@lru_cache(maxsize=1)
def _installed() -> tuple[Family, ...]:
    missing = sorted({f.distribution for f in FAMILIES if not f.is_installed})
    if missing:
        print(f"corpus: drawing without the fonts of {', '.join(missing)}; pip install them", file=sys.stderr)
    return tuple(f for f in FAMILIES if f.is_installed)


@lru_cache(maxsize=32)
def _font_bytes(name: str, bold: bool) -> bytes:
    return next(f for f in FAMILIES if f.name == name).read(bold=bold)


@lru_cache(maxsize=256)
def _font(name: str, size_px: int, bold: bool) -> ImageFont.FreeTypeFont:
    if not name:  # the font of Pillow, which always exists
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size_px))
    return ImageFont.truetype(io.BytesIO(_font_bytes(name, bold)), size_px, layout_engine=ImageFont.Layout.BASIC)


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a line of text looks, and in which script it is."""

    family: str
    script: str
    size_px: int
    colour: Colour = (20, 20, 22)
    is_bold: bool = False

    @property
    def font(self) -> ImageFont.FreeTypeFont:
        """The font at this size."""
        return _font(self.family, self.size_px, self.is_bold)

    @property
    def line_px(self) -> int:
        """From one baseline to the next."""
        return round(self.size_px * 1.35) + 1

    def width_px(self, text: str) -> float:
        """How wide `text` is on one line."""
        return self.font.getlength(text)


def pick_style(rng: Rng, size_px: float, colour: Colour, script: str = "") -> Style:
    """A style in one of the typefaces that have `script`, or in a script as the web has them."""
    script = script or str(rng.choice(["latin", "greek", "cyrillic", "cjk"], p=[0.7, 0.06, 0.09, 0.15]))
    names = [f.name for f in _installed() if script in f.scripts]
    if not names and script != "latin":
        return pick_style(rng, size_px, colour, "latin")
    name = str(rng.choice(names)) if names else ""
    return Style(family=name, script=script, size_px=max(9, round(size_px)), colour=colour)
