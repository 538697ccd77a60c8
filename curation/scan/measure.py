"""Measures one image from its bytes, and makes rows of the scan's manifest from samples."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import pyarrow as pa

from curation.pictures import local_features
from curation.pictures.bounded import decode_bounded
from curation.pictures.decode import DECODER_VERSION, DecodeLimits
from curation.pictures.pdq import PDQ_MIN_QUALITY, PDQ_VERSION, pdq
from curation.pictures.pixel_hash import pixel_hash
from curation.pictures.vectors import pack
from curation.scan.user_filters import UserFilters, measure_user_filters
from curation.sources.keys import SourceKeys
from curation.sources.members import Problem
from curation.sources.samples import Sample
from curation.sources.sibling_tables import ENCODING, NO_TABLE, SiblingTable
from curation.sources.text_encoding import DETECTOR_VERSION
from curation.text import first_look as text_look
from curation.text.first_look import first_look, kinds_text
from filters.embedding import Embedder
from manifests.format.schema import Stage, Status, schema

SCAN_SCHEMA = schema(Stage.SCAN)
ROWS_AT_ONCE = 2048

_STATUS_OF = {
    Problem.SPARSE: Status.UNSUPPORTED,
    Problem.SYMBOLIC_LINK: Status.UNSUPPORTED,
    Problem.HARD_LINK: Status.UNSUPPORTED,
    Problem.DANGLING_LINK: Status.UNSUPPORTED,
    Problem.NO_FILE: Status.UNSUPPORTED,
    Problem.NO_IMAGE: Status.EMPTY,
    Problem.TOO_LARGE: Status.TOO_LARGE,
}
_ERROR_OF = {
    Problem.SPARSE: "stored as a sparse tar member, whose byte range is not the image",
    Problem.SYMBOLIC_LINK: "a symbolic link, not followed",
    Problem.HARD_LINK: "a hard link, not followed",
    Problem.DANGLING_LINK: "a link whose target is not there; fetch it (git annex get, dvc pull) and scan again",
    Problem.NO_FILE: "no regular file, not read",
    Problem.NO_IMAGE: "sidecars without an image",
    Problem.TOO_LARGE: "more bytes than max_image_bytes",
}


def software() -> dict[str, str]:
    """Return the versions of all software that the scan's measurements depend on."""
    return {
        "decoder": DECODER_VERSION,
        "pdq": PDQ_VERSION,
        "local_features": local_features.version(),
        "text_density": text_look.version(),
        "opencv": cv2.__version__,
        "text_encoding": DETECTOR_VERSION,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """All that the scan measures on one image; the names are those of the manifest's columns."""

    sha256: str
    status: str
    error: str | None
    warnings: str | None
    format: str | None
    mode: str | None
    width: int | None
    height: int | None
    frames: int | None
    orientation: int | None
    pdq: bytes | None
    pdq_quality: int | None
    pixels: bytes | None
    local_points: bytes | None
    embedding: bytes | None
    text_presence: float | None
    text_density: float | None
    text_kinds: str | None
    measures: str | None


@dataclass(frozen=True, kw_only=True)
class Requested:
    """What to measure besides the PDQ fingerprint: text density, local features, user filters, an embedding."""

    density: bool = True
    local_features: bool = True
    filters: UserFilters = ()
    embedder: Embedder | None = None


EVERYTHING = Requested()


def measure(data: bytes, limits: DecodeLimits, requested: Requested = EVERYTHING) -> Measures:
    """Return the measurements of one image from its stored bytes, which are decoded once.

    A damaged image has a status and an error. Raises FilterFailed as `measure_user_filters` and `Embedder.embed` do.
    """
    decoded = decode_bounded(data, limits)
    fingerprint = pdq(decoded.rgb) if decoded.rgb is not None else None
    is_plain = fingerprint is not None and fingerprint.quality < PDQ_MIN_QUALITY
    local = (
        local_features.local_features(decoded.rgb) if decoded.rgb is not None and requested.local_features else None
    )
    look = first_look(decoded.rgb) if decoded.rgb is not None and requested.density else None
    vector = (
        requested.embedder.embed(decoded.rgb) if requested.embedder is not None and decoded.rgb is not None else None
    )
    return Measures(
        sha256=hashlib.sha256(data).hexdigest(),
        status=str(decoded.status),
        error=decoded.error,
        warnings=decoded.warnings,
        format=decoded.format,
        mode=decoded.mode,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        orientation=decoded.orientation,
        pdq=fingerprint.bits if fingerprint else None,
        pdq_quality=fingerprint.quality if fingerprint else None,
        pixels=pixel_hash(decoded) if is_plain else None,
        local_points=local.points if local else None,
        embedding=pack(vector) if vector is not None else None,
        text_presence=look.probabilities.light if look else None,
        text_density=look.probabilities.heavy if look else None,
        text_kinds=kinds_text(look.kinds) if look else None,
        measures=measure_user_filters(decoded.rgb, requested.filters) if decoded.rgb is not None else None,
    )


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where samples come from: the source's URI, its name below its root, and the table next to it."""

    uri: str
    name: str
    table: SiblingTable = NO_TABLE


def rows(samples: Iterable[Sample[Measures]], origin: Origin) -> Iterator[pa.RecordBatch]:
    """Yield one manifest row for each sample, in batches of SCAN_SCHEMA."""
    keys = SourceKeys(origin.name)
    pending: list[dict[str, Any]] = []
    for sample in samples:
        pending.append(_row(sample, origin, keys))
        if len(pending) == ROWS_AT_ONCE:
            yield _batch(pending)
            pending = []
    if pending:
        yield _batch(pending)


def _batch(pending: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(pending), SCAN_SCHEMA)


def _row(sample: Sample[Measures], origin: Origin, keys: SourceKeys) -> dict[str, Any]:
    metadata = sample.json if sample.json is not None else _from_table(sample, origin.table)
    facts = list(sample.facts)
    if sample.json is None and metadata is not None and metadata.get(ENCODING):
        facts.append(f"text in the table is {metadata[ENCODING]}, not UTF-8")
    row: dict[str, Any] = {
        "key": keys.key(sample.member, metadata, occurrence=sample.occurrence),
        "source": origin.uri,
        "member": sample.member,
        "offset": sample.offset,
        "size": sample.size,
        "caption_member": sample.caption_member,
        "caption_offset": sample.caption_offset,
        "caption_size": sample.caption_size,
        "caption_sha256": None if sample.caption_bytes is None else hashlib.sha256(sample.caption_bytes).hexdigest(),
        "json_member": sample.json_member,
        "json_offset": sample.json_offset,
        "json_size": sample.json_size,
        "url": _text((metadata or {}).get("url")),
        "caption": sample.caption if sample.caption is not None else _caption(metadata),
    }
    if sample.result is not None:
        measures = {name: getattr(sample.result, name) for name in Measures.__slots__}
        facts += [measures["warnings"]] if measures["warnings"] else []
        row |= measures
    elif sample.problem is not None:
        row |= {"status": str(_STATUS_OF[sample.problem]), "error": _ERROR_OF[sample.problem]}
    row["warnings"] = "; ".join(facts) or None
    return row


def _from_table(sample: Sample[Measures], table: SiblingTable) -> Mapping[str, Any] | None:
    """Return the sample's row of the table next to its tar, by its stem or by its name up to the first dot."""
    row = table.find(sample.stem)
    return row if row is not None or sample.group == sample.stem else table.find(sample.group)


def clean_text(text: str) -> str:
    """Return `text` as valid Unicode: unpaired surrogates are replaced by their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _text(value: Any) -> str | None:
    return clean_text(value) if isinstance(value, str) and value else None


def _caption(metadata: Mapping[str, Any] | None) -> str | None:
    """Return the caption in a json sidecar: the first of MetaCLIP's `texts`, else `caption`, `text` or `TEXT`."""
    if metadata is None:
        return None
    texts = metadata.get("texts")
    for each in texts if isinstance(texts, list) else []:
        found = _text(each[-1] if isinstance(each, list) and each else each)  # MetaCLIP: [where from, text]
        if found:
            return found
    return next((found for name in ("caption", "text", "TEXT") if (found := _text(metadata.get(name)))), None)
