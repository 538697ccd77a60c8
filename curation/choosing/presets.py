"""Presets: what users often want to keep, each a set of defaults for a few settings of `choose`.

A preset decides nothing by itself: a setting that the user gives wins, and the columns that a preset reads are the
same for all. So choosing again with another preset runs no text engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from filters.text_kind import TextKind

PresetName = Literal["websl-heavy", "websl-light", "documents", "no-text"]
DEFAULT_PRESET: PresetName = "websl-heavy"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The defaults of the settings with the same names, and one sentence for users."""

    description: str
    keep: Literal["heavy", "light", "all"]
    kinds: tuple[TextKind, ...] | None = None
    max_text_score: float | None = None


PRESETS: Mapping[PresetName, Preset] = {
    "websl-heavy": Preset(
        description="Charts, tables, documents and screenshots with readable text, as Web-SSL's heavy filter keeps.",
        keep="heavy",
    ),
    "websl-light": Preset(
        description="Pictures with any readable text, as Web-SSL's light filter keeps.",
        keep="light",
    ),
    "documents": Preset(
        description="Pages, tables and handwriting with readable text.",
        keep="heavy",
        kinds=(TextKind.DOCUMENT, TextKind.TABLE, TextKind.HANDWRITING),
    ),
    "no-text": Preset(
        description="Pictures without anything to read, for example to compare a training with one on text.",
        keep="all",
        kinds=(TextKind.NONE,),
        max_text_score=0.05,
    ),
}


def default_of(name: str, settings: Mapping[str, Any]) -> Any:
    """Return the value of setting `name` in the preset that `settings` name.

    `settings` without a preset, as when the name of one was refused, have DEFAULT_PRESET.
    """
    return getattr(PRESETS[settings.get("preset", DEFAULT_PRESET)], name)
