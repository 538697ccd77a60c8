"""The score stage on a table of rows: which images run through the cascade, and the columns that are added."""

import dataclasses
import functools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from curation.pictures.bounded import DecoderFailed, decode_bounded, within_limits
from curation.pictures.decode import DecodeLimits
from curation.sources.byte_ranges import image_range, in_groups, read_ranges, require_unchanged
from curation.text.bounds import CascadeSettings, TextStep
from curation.text.cascade import Cascade, TextMeasures, settled_measures
from curation.text.first_look import FirstLook, first_look, parse_kinds
from filters.protocol import Rgb, TextEngine, TextProbabilities
from manifests.errors import BrokenSource
from manifests.format.schema import COLUMNS, STATUSES_WITH_PIXELS, Stage

_log = logging.getLogger(__name__)

FIELDS = COLUMNS[Stage.SCORE]
ENOUGH_PIXELS = 1_600_000  # per image: print that is illegible at this size is not read
LONG_ASPECT = 3  # images beyond it keep more pixels, so that their shorter side stays legible
ENOUGH_SHORT_SIDE_PIXELS, MOST_PIXELS = 800, 12_000_000
PIXELS_AT_ONCE = 16_000_000
FIRST_LOOK = "first look"  # in `text_engine`, where no engine was needed
NEEDED = (
    "source", "member", "offset", "size", "sha256", "status", "duplicate_of",
    "text_presence", "text_density", "text_kinds",
)  # fmt: skip


class Scorer:
    """Adds the text columns to a table of rows. Runs the cascade on the images that density did not settle."""

    VERSION = Cascade.VERSION

    def __init__(
        self, engine: TextEngine, settings: CascadeSettings, limits: DecodeLimits, *, batch_images: int
    ) -> None:
        self.limits = limits
        self.batch_images = batch_images
        self.cascade = Cascade(engine, settings)

    def __call__(self, table: pa.Table, *, is_retry: bool = False) -> pa.Table:
        """Return `table` with the columns of the score stage.

        Rows without pixels and duplicates are not scored: their columns are null. So are, if `is_retry`, those of
        images that crash or stall their decoder. Raises BrokenSource when an image has changed since the scan.
        """
        rows = table.select(NEEDED).to_pylist()
        found: list[Mapping[str, Any] | None] = [None] * len(rows)
        waiting: list[int] = []
        for place, row in enumerate(rows):
            if row["status"] not in STATUSES_WITH_PIXELS or row["duplicate_of"] is not None:
                continue
            look = _look(row)
            settled = None if look is None else settled_measures(look, self.cascade.settings)
            if settled is None:
                waiting.append(place)
            else:
                found[place] = self._columns(settled)
        for batch in self._batches(rows, waiting, is_retry=is_retry):
            measured = self.cascade.measure([rgb for _, rgb, _ in batch], [look for _, _, look in batch])
            for (place, _, _), measures in zip(batch, measured, strict=True):
                found[place] = self._columns(measures)
        for field in FIELDS:
            values = [None if f is None else f[field.name] for f in found]
            table = table.append_column(field, pa.array(values, field.type))
        return table

    def _columns(self, measures: TextMeasures) -> dict[str, Any]:
        """Return the columns of the score stage. `text_engine` names what the numbers depend on besides the scan."""
        is_first_look = measures.text_step in (TextStep.DENSITY, TextStep.KIND)
        engine = FIRST_LOOK if is_first_look else self.cascade.engine.version
        return {**dataclasses.asdict(measures), "text_engine": f"{engine}; cascade {Cascade.VERSION}"}

    def _batches(
        self, rows: Sequence[Mapping[str, Any]], waiting: Sequence[int], *, is_retry: bool
    ) -> Iterator[list[tuple[int, Rgb, FirstLook]]]:
        """Yield batches of (position, image, first look): `batch_images` each, or fewer with PIXELS_AT_ONCE."""
        batch: list[tuple[int, Rgb, FirstLook]] = []
        for group in in_groups(waiting, [rows[p]["size"] for p in waiting]):
            images = read_ranges([image_range(rows[p]) for p in group])
            for place, data in zip(group, images, strict=True):
                rgb = self._decode(rows[place], data, is_retry=is_retry)
                if rgb is None:
                    continue
                batch.append((place, rgb, _look(rows[place]) or first_look(rgb)))
                pixels = sum(image.size // 3 for _, image, _ in batch)
                if len(batch) == self.batch_images or pixels >= PIXELS_AT_ONCE:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _decode(self, row: Mapping[str, Any], data: bytes, *, is_retry: bool) -> Rgb | None:
        require_unchanged(row, data)
        decode_one = functools.partial(decode_bounded, limits=self.limits, enough_pixels=ENOUGH_PIXELS)
        try:
            decoded = within_limits(decode_one, data, is_retry=is_retry)
        except DecoderFailed as e:
            _log.warning("%s: %s: not scored: it %s", row["source"], row["member"], e)
            return None
        if decoded.rgb is None:
            raise BrokenSource(
                f"{row['source']}: {row['member']} was decoded by the scan and is now {decoded.status} "
                f"({decoded.error}); score with the limits and decoder of the scan, or scan again"
            )
        return enough_of(decoded.rgb)


def enough_of(rgb: Rgb) -> Rgb:
    """Return `rgb`, (height, width, 3), shrunk to ENOUGH_PIXELS, or to more if it is long and narrow."""
    height, width = rgb.shape[:2]
    short, long = sorted((height, width))
    scale = math.sqrt(ENOUGH_PIXELS / (height * width))
    if long > LONG_ASPECT * short:
        most = math.sqrt(MOST_PIXELS / (height * width))
        scale = max(scale, min(ENOUGH_SHORT_SIDE_PIXELS / short, most))
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _look(row: Mapping[str, Any]) -> FirstLook | None:
    """Return the first look of the scan, or None if the scan was made without it."""
    light, heavy, kinds = row["text_presence"], row["text_density"], row["text_kinds"]
    if light is None or heavy is None or kinds is None:
        return None
    return FirstLook(probabilities=TextProbabilities(light=light, heavy=heavy), kinds=parse_kinds(kinds))
