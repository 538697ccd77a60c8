"""What a sample becomes in a tar: the names and contents of its members.

`uniform` is what the readers of tars have in common, see docs/adr/0031: webdataset, Hugging Face datasets, open_clip,
wids and Energon all read it, whatever the format of a picture.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from curation.pictures.decode import DEFAULT_LIMITS
from curation.pictures.resize import EXTENSIONS, Resize, Resized, resize, resized_format
from curation.shards.read import image_extension
from curation.sources.sidecars import MAX_SIDECAR_BYTES, parse_json
from manifests.format.store import Manifest

IMAGE = "jpg"
"""The extension of every image of the layout uniform: the one that all readers know as an image."""

OURS = "curate"
"""The name in key.json under which the columns are."""

DEFAULT_JSON_COLUMNS = ("text_score", "text_class", "width", "height", "sha256", "caption")


class Layout(StrEnum):
    """Which members a sample has."""

    UNIFORM = "uniform"
    """key.jpg, key.json and key.txt."""
    ORIGINAL = "original"
    """Those that it has in its source."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The members of a sample as (extension, bytes), the image first; `resized` if the image was encoded anew."""

    members: Sequence[tuple[str, bytes]]
    resized: Resized | None = None


@dataclass(frozen=True, kw_only=True)
class ShardForm:
    """What samples become in a tar; the settings of the stage shard."""

    layout: Layout = Layout.UNIFORM
    json_columns: Sequence[str] = DEFAULT_JSON_COLUMNS
    resize: Resize | None = None

    @property
    def needed(self) -> list[str]:
        """The columns that `sample` reads."""
        return list(dict.fromkeys(["json_size", "width", "height", *self.json_columns]))

    def sample(self, record: Mapping[str, Any], stored: Sequence[tuple[str, bytes]]) -> Sample:
        """Return the members of a sample.

        Args:
            record: the row of the sample, with the columns `needed`.
            stored: its files as (extension, bytes), the image first; texts are UTF-8.
        """
        (extension, image), *sidecars = stored
        resized = self._resized(record, image)
        if resized is not None:
            extension, image = resized.extension, resized.data
        if self.layout is Layout.ORIGINAL:
            return Sample(members=[(extension, image), *sidecars], resized=resized)
        found = dict(sidecars)
        columns = {name: _plain(record[name]) for name in self.json_columns}
        if resized is not None:
            facts = {"width": resized.width, "height": resized.height, "sha256": resized.sha256}
            columns |= {name: value for name, value in facts.items() if name in columns}
        texts = [("json", _json(record, found.get("json"), columns)), ("txt", found.get("txt", b""))]
        return Sample(members=[(IMAGE, image), *texts], resized=resized)

    def _resized(self, record: Mapping[str, Any], image: bytes) -> Resized | None:
        """Return the image as encoded anew, now or for the shards that it comes from; None if it never was."""
        before = _resized_before(record, image)
        if self.resize is None:
            return before
        size = self.resize.size(*((record["width"], record["height"]) if before is None else before.size))
        return before if size is None else resize(image, size, DEFAULT_LIMITS) or before


def _resized_before(record: Mapping[str, Any], image: bytes) -> Resized | None:
    if record.get("shard_sha256") is None:
        return None
    extension = EXTENSIONS[resized_format(record["format"])]
    return Resized(data=image, width=record["shard_width"], height=record["shard_height"], extension=extension)


UNIFORM = ShardForm()


def image_member(row: Mapping[str, Any], layout: Layout) -> str:
    """Return the name in the tar of the image of a row of shards."""
    if layout is Layout.UNIFORM:
        extension = IMAGE
    elif row.get("shard_sha256") is not None:
        extension = EXTENSIONS[resized_format(row["format"])]
    else:
        extension = image_extension(row)
    return f"{row['key']}.{extension}"


def layout_of(manifest: Manifest) -> Layout:
    """Return the layout of the tars of a manifest of shards; earlier versions knew only one, and recorded none."""
    return Layout(manifest.config.get("layout", Layout.ORIGINAL))


def _json(record: Mapping[str, Any], stored: bytes | None, columns: Mapping[str, Any]) -> bytes:
    """Return the object in the source's json with `columns` as its last value; alone if the source has no object.

    What the scan does not read is left out: what is not a JSON object, and more than MAX_SIDECAR_BYTES. The scan's
    `warnings` say so. NaN and infinite numbers, which JSON does not have, become null.
    """
    is_read = stored is not None and record["json_size"] <= MAX_SIDECAR_BYTES
    found = parse_json(stored)[0] if stored is not None and is_read else None
    try:
        return _dumped({**(found or {}), OURS: columns})
    except RecursionError:  # a depth that json reads but does not write
        return _dumped({OURS: columns})


def _dumped(value: Mapping[str, Any]) -> bytes:
    ordered = {**{name: each for name, each in value.items() if name != OURS}, OURS: value[OURS]}
    try:
        text = json.dumps(ordered, ensure_ascii=False, allow_nan=False)
    except ValueError:
        finite = json.loads(json.dumps(ordered), parse_constant=lambda _: None)
        text = json.dumps(finite, ensure_ascii=False)
    return text.encode()


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
