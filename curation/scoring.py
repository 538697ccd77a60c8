"""Scoring rows: which of them are looked at, and what is written beside them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curation.config import ScoreConfig
from curation.images import DecodeLimits, decode
from curation.records import density_of
from curation.stored import image_range, read_ranges, require_unchanged
from curation.text_rich import CascadeSettings, TextMeasures, measure_text
from filters.protocol import Rgb, TextEngine
from manifests.errors import BrokenSource
from manifests.schema import COLUMNS, Stage, Status

FIELDS = COLUMNS[Stage.SCORE]
BYTES_AT_ONCE = 32 << 20
_WITH_PIXELS = (str(Status.OK), str(Status.TRUNCATED))
_NO_PIXELS = np.zeros((1, 1, 3), np.uint8)  # what the density step, which looks at no pixel, is given
NEEDED = ("source", "member", "offset", "size", "sha256", "status", "duplicate_of", "text_density")


class Scorer:
    """Adds the text columns to a table of rows: the cascade on each surviving image that density lets through."""

    VERSION = "1"

    def __init__(self, engine: TextEngine, config: ScoreConfig, limits: DecodeLimits) -> None:
        self.engine = engine
        self.limits = limits
        self.settings = CascadeSettings(
            min_text_density=config.min_text_density,
            detect_area_pixels=config.detect_area_pixels,
            max_lines=config.max_lines,
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return `table` with the columns of the score stage.

        Rows without pixels and duplicates are not scored: their columns are null. Raises BrokenSource when an image
        is not what the scan saw.
        """
        rows = table.select(NEEDED).to_pylist()
        found: list[Mapping[str, Any] | None] = [None] * len(rows)
        waiting: list[int] = []
        for place, row in enumerate(rows):
            if row["status"] not in _WITH_PIXELS or row["duplicate_of"] is not None:
                continue
            density = row["text_density"]
            if density is not None and density < self.settings.min_text_density:
                found[place] = self._columns(self._measure(_NO_PIXELS, density), engine=None)
            else:
                waiting.append(place)
        for window in windows(waiting, [rows[p]["size"] for p in waiting]):
            images = read_ranges([image_range(rows[p]) for p in window])
            for place, data in zip(window, images, strict=True):
                found[place] = self._score(rows[place], data)
        for field in FIELDS:
            values = [None if f is None else f[field.name] for f in found]
            table = table.append_column(field, pa.array(values, field.type))
        return table

    def _score(self, row: Mapping[str, Any], data: bytes) -> Mapping[str, Any]:
        require_unchanged(row, data)
        decoded = decode(data, self.limits)
        if decoded.rgb is None:
            raise BrokenSource(
                f"{row['source']}: {row['member']} was decoded by the scan and is now {decoded.status} "
                f"({decoded.error}); score with the limits and decoder of the scan, or scan again"
            )
        density = row["text_density"]
        if density is None:  # the scan was told not to measure it
            density = density_of(decoded.rgb)
        return self._columns(self._measure(decoded.rgb, density), engine=self.engine.version)

    def _measure(self, rgb: Rgb, density: float) -> TextMeasures:
        return measure_text(rgb, density, self.engine, self.settings)

    @staticmethod
    def _columns(measures: TextMeasures, *, engine: str | None) -> dict[str, Any]:
        return {**dataclasses.asdict(measures), "text_engine": engine}


def windows(places: Sequence[int], sizes_bytes: Sequence[int]) -> list[list[int]]:
    """Return `places` in order, cut into windows of about BYTES_AT_ONCE, which bounds the memory of reading them."""
    cut: list[list[int]] = []
    held = 0
    for place, size in zip(places, sizes_bytes, strict=True):
        if not cut or held + size > BYTES_AT_ONCE:
            cut.append([])
            held = 0
        cut[-1].append(place)
        held += size
    return cut
