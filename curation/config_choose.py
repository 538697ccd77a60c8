"""The section `choose` of a pipeline file."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field

from curation.choosing.conditions import Rules
from curation.choosing.presets import DEFAULT_PRESET, PresetName, default_of
from curation.config_types import Fraction, Salt, Section
from curation.text.bounds import TextRules
from filters.text_kind import TextKind
from manifests.format.schema import STATUSES_WITH_PIXELS, Status

_RULES = TextRules()
_VARIANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class ChooseConfig(Section):
    """Which measured samples are kept. Settings below names of your own, as `heavy: {…}`, make several choices."""

    preset: PresetName = Field(DEFAULT_PRESET, description="what is wanted: defaults of keep, kinds, max_text_score")
    keep: Literal["heavy", "light", "all"] = Field(
        default_factory=lambda given: default_of("keep", given), description="the lowest text_class that is kept"
    )
    kinds: tuple[TextKind, ...] | None = Field(
        default_factory=lambda given: default_of("kinds", given),
        description="only pictures of these kinds, see text_kind, are kept; null for all kinds",
    )
    max_text_score: Fraction | None = Field(
        default_factory=lambda given: default_of("max_text_score", given),
        description="only pictures with at most this text_score are kept; null for all",
    )
    min_light_score: Fraction = Field(_RULES.min_light_score, description="a picture is light from this text_score")
    min_heavy_score: Fraction = Field(_RULES.min_heavy_score, description="a picture is heavy from this text_score")
    statuses: tuple[Status, ...] = Field((Status.OK,), description="statuses that may be kept: ok, truncated")
    min_side: int = Field(0, ge=0, description="length of the shorter side, in pixels, at least")
    max_aspect: float | None = Field(None, ge=1, description="longer side divided by the shorter, at most")
    where: dict[str, str] = Field(
        default_factory=dict, description="your rules, as name: SQL expression over the columns that must be true"
    )
    target_fraction: Fraction | None = Field(None, description="keep this share of all rows, best text_score first")
    target_count: int | None = Field(None, ge=0, description="keep this many rows, best text_score first")
    salt: Salt = Field("curate", description="hashed to order equal scores; another salt gives another order")

    @pydantic.model_validator(mode="after")
    def _one_target(self) -> "ChooseConfig":
        if self.target_fraction is not None and self.target_count is not None:
            raise ValueError("target_fraction and target_count exclude each other; set one")
        if not self.statuses or not set(self.statuses) <= set(STATUSES_WITH_PIXELS):
            raise ValueError("statuses: only ok and truncated samples have an image; name one or both")
        if self.kinds == ():
            raise ValueError("kinds: an empty list keeps nothing; name one or more, or null for all")
        if self.min_light_score > self.min_heavy_score:
            raise ValueError("min_light_score must not exceed min_heavy_score")
        return self

    @property
    def needs_light(self) -> str | None:
        """The setting, with its value, that only score.ask: light can answer; None without one."""
        name = "keep" if self.keep == "light" else "max_text_score" if self.max_text_score is not None else None
        if name is not None and name not in self.model_fields_set:
            name = "preset"
        return None if name is None else f"choose.{name}: {getattr(self, name)}"

    def rules(self) -> Rules:
        """Return the rules that these settings describe."""
        return Rules(
            least_class=self.keep,
            kinds=self.kinds,
            max_text_score=self.max_text_score,
            text=TextRules(min_light_score=self.min_light_score, min_heavy_score=self.min_heavy_score),
            statuses=self.statuses,
            min_side_pixels=self.min_side,
            max_aspect=self.max_aspect,
            where=tuple(self.where.items()),
        )

    def wanted_rows(self, rows: int) -> int | None:
        """Return how many of `rows` rows the target wants, rounded to the nearest; None without a target."""
        if self.target_fraction is not None:
            return round(self.target_fraction * rows)
        return self.target_count


def split_variants(section: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the section `choose`, unchecked, and its variants: name → settings.

    A mapping below a name that is not, and does not resemble, that of a setting is a variant. Settings beside it hold
    for it, too, unless it sets them itself. Raises ValueError for a name that cannot be that of a folder.
    """
    known = ChooseConfig.model_fields
    named = {
        name: settings
        for name, settings in section.items()
        if isinstance(settings, Mapping) and not difflib.get_close_matches(str(name), known, n=1, cutoff=0.75)
    }
    for name in named:
        if not _VARIANT_NAME.fullmatch(str(name)):
            raise ValueError(f"choose: {name!r} cannot name a variant; use letters, digits, _ and -")
    shared = {name: value for name, value in section.items() if name not in named}
    return shared, {str(name): {**shared, **settings} for name, settings in named.items()}
