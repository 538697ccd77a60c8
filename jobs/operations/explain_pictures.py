"""Write what explains a row as pictures: its boxes of text, and its pair with the patches that differ."""

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from PIL import Image

from curation.copies.draw import closest_pair, draw_pair, side_by_side
from curation.copies.rendering import FINE_AREA_PIXELS
from curation.explaining.cluster import Member
from curation.explaining.explanation import Explanation
from curation.pictures.bounded import DecoderFailed, decode_bounded, within_limits
from curation.pictures.decode import DEFAULT_LIMITS, DecodeLimits
from curation.pictures.marks import fit_within
from curation.sources.originals import fetch
from curation.text.bounds import CascadeSettings, TextStep
from curation.text.cascade import Cascade
from curation.text.draw import draw_boxes
from curation.text.scoring import ENOUGH_PIXELS, enough_of
from filters.protocol import Boxes, FilterError, Rgb, load_engine
from jobs.operations.explain import config_of
from manifests import storage
from manifests.errors import BrokenSource
from manifests.format.lineage import Step, lineage
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest

DEFAULT_ENGINE = "rapidocr"
PLAIN_SIDE_PIXELS = 640
_LARGE_STEPS = (TextStep.DETECT_LARGE, TextStep.READ)


def write_pictures(found: Sequence[Explanation], manifest: Manifest, folder: str) -> list[str]:
    """Write KEY.text.png, and of each copy KEY.pair.png, to `folder`; return a sentence for each problem.

    Boxes are found again, with the engine and the sizes that the score stage in the lineage of `manifest` had, else
    with the defaults. Pairs whose pixels dedupe did not compare have no marks. Files with other content are not
    overwritten.
    """
    writer = _Writer(manifest, folder)
    return [problem for each in found if each.has_pixels for problem in writer.write(each)]


class _Writer:
    def __init__(self, manifest: Manifest, folder: str) -> None:
        self.folder = folder
        self.steps = lineage(manifest)
        scan = config_of(self.steps, Stage.SCAN) or {}
        limits = {name: scan.get(f"max_image_{name.removeprefix('max_')}") for name in ("max_pixels", "max_bytes")}
        known = {name: value for name, value in limits.items() if isinstance(value, int)}
        self.limits = DecodeLimits(**known) if known else DEFAULT_LIMITS

    @functools.cached_property
    def finder(self) -> "BoxFinder":
        """What finds boxes as the score stage did."""
        return BoxFinder(self.steps, self.limits)

    def write(self, found: Explanation) -> Iterator[str]:
        """Write the pictures of one row, and yield what went wrong."""
        try:
            data = self._stored(found)
            self._put(found.key, "text", self._with_boxes(found, data))
            if (copy := found.copy) is not None:
                other = self._bytes(_place(copy.representative), None)
                self._put(found.key, "pair", self._pair(data, other, copy.own.evidence))
        except (BrokenSource, FilterError, DecoderFailed) as e:
            yield f"{found.key}: {e}"

    def _stored(self, found: Explanation) -> bytes:
        row = {"key": found.key, **found.origin, **found.picture}
        if found.stage != Stage.SHARD:
            return self._bytes(row, None)
        return self._bytes({**row, **(found.shard or {})}, open_manifest(found.manifest).shards_uri)

    def _bytes(self, row: Mapping[str, Any], shards_uri: str | None) -> bytes:
        if row.get("source") is None:
            raise BrokenSource("the row of its representative is not here any more, so the pair is not drawn")
        ((data, problem),) = fetch([row], shards_uri=shards_uri)
        if data is None:
            raise BrokenSource(problem)
        return data

    def _with_boxes(self, found: Explanation, data: bytes) -> Rgb:
        return draw_boxes(*self.finder.find(data, None if found.text is None else found.text.step))

    def _pair(self, data: bytes, other: bytes, evidence: Mapping[str, Any] | None) -> Rgb:
        """Return the pair side by side: with its marks, if its pixels were compared."""
        sides = [
            [
                _decode(each, self.limits, enough_pixels=FINE_AREA_PIXELS, is_opaque=is_opaque)
                for is_opaque in (False, True)
            ]
            for each in (data, other)
        ]
        if not (evidence or {}).get("verified"):
            return side_by_side([fit_within(side[0], PLAIN_SIDE_PIXELS) for side in sides])
        first, second = closest_pair(_different(sides[0]), _different(sides[1]), evidence or {})
        return draw_pair(first, second, evidence or {})

    def _put(self, key: str, what: str, rgb: Rgb) -> None:
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, "PNG")
        uri = storage.join(self.folder, f"{quote(key, safe='')}.{what}.png")
        if not storage.exists(uri):
            storage.write_bytes(uri, out.getvalue())
        elif storage.read_bytes(uri) != out.getvalue():
            raise BrokenSource(f"{uri}: exists already, with other content; remove it")


class BoxFinder:
    """Finds boxes of text again, with the engine and the sizes that the score stage had, else with the defaults."""

    def __init__(self, steps: Sequence[Step], limits: DecodeLimits) -> None:
        config = config_of(steps, Stage.SCORE) or {}
        options = (config.get("engine_options") or {}).get("options", {})
        sizes = {name: config[name] for name in ("small_area_pixels", "large_area_pixels") if name in config}
        self.limits = limits
        self.cascade = Cascade(load_engine(config.get("engine", DEFAULT_ENGINE), **options), CascadeSettings(**sizes))

    def find(self, data: bytes, step: str | None) -> tuple[Rgb, Boxes]:
        """Return the stored picture `data` and the boxes in it, at the size of the cascade's `step`.

        Raises BrokenSource when it is not decoded, DecoderFailed when it crashes its decoder.
        """
        rgb = enough_of(_decode(data, self.limits, enough_pixels=ENOUGH_PIXELS))
        settings = self.cascade.settings
        area = settings.large_area_pixels if step in _LARGE_STEPS else settings.small_area_pixels
        return rgb, self.cascade.boxes(rgb, area_pixels=area)


def _decode(data: bytes, limits: DecodeLimits, **how: Any) -> Rgb:
    decoded = within_limits(functools.partial(decode_bounded, limits=limits, **how), data, is_retry=True)
    if decoded.rgb is None:
        raise BrokenSource(f"is now {decoded.status} ({decoded.error})")
    return decoded.rgb


def _different(renderings: Sequence[Rgb]) -> list[Rgb]:
    """Return a picture on white and opaque, or once if it is not transparent."""
    plain, opaque = renderings
    return [plain] if plain.shape == opaque.shape and (plain == opaque).all() else [plain, opaque]


def _place(member: Member) -> dict[str, Any]:
    names = ("key", "source", "member", "offset", "size", "sha256", "status", "format")
    return {name: getattr(member, name) for name in names}
