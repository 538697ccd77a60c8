"""The columns of a manifest, declared once. A stage adds columns and never renames one."""

from enum import StrEnum

import pyarrow as pa

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)  # version 1 has the parts and the sources in `_manifest.json` itself


class Status(StrEnum):
    """The result of reading and decoding a sample."""

    OK = "ok"
    """The whole image was decoded."""
    TRUNCATED = "truncated"
    """Damaged or incomplete; what could be decoded was measured."""
    UNDECODABLE = "undecodable"
    """Not an image, or a corrupt one."""
    UNSUPPORTED = "unsupported"
    """An image in a form that is not read: its format, a link, a sparse tar member."""
    TOO_LARGE = "too_large"
    """More bytes or declared pixels than the limits allow; not decoded."""
    EMPTY = "empty"
    """No bytes, or a sample without an image."""
    TAKEN_DOWN = "taken_down"
    """A picture of a list of what was taken down: the row says where it is stored, and nothing of what it shows."""


STATUSES_WITH_PIXELS = (str(Status.OK), str(Status.TRUNCATED))
"""Those of samples with a picture to measure, compare and keep."""


class Stage(StrEnum):
    """The stages in order. Each reads the manifest of the stage before."""

    SCAN = "scan"
    DEDUPE = "dedupe"
    SCORE = "score"
    CHOOSE = "choose"
    SHARD = "shard"


class DuplicateKind(StrEnum):
    """How a record duplicates its cluster's representative: the last of these kinds that applies."""

    EXACT = "exact"
    """The same stored bytes; for a plain picture, the same pixels."""
    MILD = "mild"
    """The whole picture, resized, stretched, recompressed, blurred, or in other tones."""
    RECOLOUR = "recolour"
    """A part of it in another colour, the rest equal; not a copy by default."""
    OVERLAY = "overlay"
    """The whole picture with something over a part of it, or with a border around it."""
    CROP = "crop"
    """A part of the picture."""
    TURN = "turn"
    """Turned, by any angle."""
    MIRROR = "mirror"
    """Mirrored, and maybe turned."""
    SEMANTIC = "semantic"
    """Embeddings at least as alike as configured."""
    REFERENCE = "reference"
    """Any of these, of a picture of a reference set."""


def _field(name: str, kind: pa.DataType, meaning: str, *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required, metadata={"description": meaning})


COLUMNS: dict[Stage, list[pa.Field]] = {
    Stage.SCAN: [
        _field("key", pa.string(), "permanent, unique, dot-free name of the sample", required=True),
        _field("source", pa.string(), "URI of the tar, or of the folder (ends with /)", required=True),
        _field("member", pa.string(), "name of the image inside its source", required=True),
        _field("offset", pa.int64(), "first byte of the image in the source; 0 for a loose file"),
        _field("size", pa.int64(), "bytes of the image as stored"),
        _field("caption_member", pa.string(), "name of the caption sidecar inside the source"),
        _field("caption_offset", pa.int64(), "first byte of the caption sidecar"),
        _field("caption_size", pa.int64(), "bytes of the caption sidecar"),
        _field("caption_sha256", pa.string(), "sha256 of the caption sidecar, hex, where it is not UTF-8"),
        _field("json_member", pa.string(), "name of the json sidecar inside the source"),
        _field("json_offset", pa.int64(), "first byte of the json sidecar"),
        _field("json_size", pa.int64(), "bytes of the json sidecar"),
        _field("sha256", pa.string(), "sha256 of the stored bytes, hex"),
        _field("status", pa.string(), "what became of the sample; see Status", required=True),
        _field("error", pa.string(), "why the status is not ok"),
        _field("warnings", pa.string(), "facts worth knowing about a sample that was read"),
        _field("format", pa.string(), "image format as found in the bytes, not the name"),
        _field("mode", pa.string(), "pixel layout as stored (Pillow's names)"),
        _field("width", pa.int32(), "pixels, after EXIF orientation"),
        _field("height", pa.int32(), "pixels, after EXIF orientation"),
        _field("frames", pa.int32(), "frames of an animation or pages; the first is measured"),
        _field("orientation", pa.int8(), "EXIF orientation as stored, 1 to 8"),
        _field("url", pa.string(), "where the image came from, from its sidecar"),
        _field("caption", pa.string(), "caption, from its sidecar"),
        _field("pdq", pa.binary(32), "PDQ fingerprint, 256 bits"),
        _field("pdq_quality", pa.int32(), "PDQ quality, 0 to 100; below 50 is not to be trusted"),
        _field("pixels", pa.binary(32), "sha256 of the decoded pixels, where PDQ is not to be trusted"),
        _field("local_points", pa.binary(), "its strongest keypoints, 12 bytes each; null when not asked for"),
        _field(
            "embedding",
            pa.binary(),
            "what scan.embedding's model sees: a vector of length 1, float16 little-endian; null without one",
        ),
        _field("text_presence", pa.float64(), "how likely any text to read, by a first look, 0 to 1"),
        _field("text_density", pa.float64(), "how likely rich in text, by a first look, 0 to 1"),
        _field("text_kinds", pa.string(), "how likely each kind of picture is, by a first look, as JSON"),
        _field("measures", pa.string(), "what own filters measured, as JSON; null without own filters"),
    ],
    Stage.DEDUPE: [
        _field("cluster_id", pa.string(), "smallest key of the cluster", required=True),
        _field("duplicate_of", pa.string(), "key of the representative; null for representatives"),
        _field("duplicate_kind", pa.string(), "how it duplicates it; see DuplicateKind"),
        _field("duplicate_evidence", pa.string(), "what was found when both were compared, as JSON"),
        _field("reference", pa.string(), "the reference set that the representative belongs to"),
    ],
    Stage.SCORE: [
        _field(
            "text_kind",
            pa.string(),
            "what the picture is: document, table, chart, diagram, screenshot, slide, handwriting, map, designed (a "
            "designed picture with words), scene (words in a photograph) or none; null when not scored",
        ),
        _field("text_boxes", pa.int32(), "text boxes detected"),
        _field("text_area_fraction", pa.float64(), "share of the picture that text boxes cover"),
        _field("text_lines", pa.int32(), "lines read with confidence"),
        _field("text_chars", pa.int32(), "characters read with confidence"),
        _field("text_confidence", pa.float64(), "mean confidence of the lines read"),
        _field("text_score", pa.float64(), "how text-rich, 0 to 1; null when not scored"),
        _field(
            "text_step",
            pa.string(),
            "cascade step that decided: density, kind, density_large, detect_small, detect_large, read",
        ),
        _field("text_trail", pa.string(), "chances of any text and of much that each step left, as JSON"),
        _field("text_engine", pa.string(), "engine, versions and models; scores compare where these are equal"),
    ],
    Stage.CHOOSE: [
        _field("text_class", pa.string(), "none, light or heavy; null when not scored"),
        _field("keep", pa.bool_(), "whether the sample goes on", required=True),
        _field("drop_reason", pa.string(), "why not; null when kept"),
    ],
    Stage.SHARD: [
        _field("shard", pa.string(), "tar the sample was written to, beside this part", required=True),
        _field("shard_offset", pa.int64(), "first byte of the image in the shard", required=True),
        _field("shard_size", pa.int64(), "bytes of the image in the shard", required=True),
        _field("shard_index", pa.int32(), "position of the sample in the shard, from 0", required=True),
        _field("shard_json_offset", pa.int64(), "first byte of its json member in the shard; null without one"),
        _field("shard_json_size", pa.int64(), "bytes of its json member in the shard"),
        _field("shard_caption_offset", pa.int64(), "first byte of its txt member in the shard; null without one"),
        _field("shard_caption_size", pa.int64(), "bytes of its txt member in the shard"),
        _field("shard_sha256", pa.string(), "sha256 of the image in the shard, hex, if it was resized; else null"),
        _field("shard_width", pa.int32(), "pixels of the image in the shard, if it was resized; else null"),
        _field("shard_height", pa.int32(), "pixels of the image in the shard, if it was resized; else null"),
    ],
}


def is_binary(kind: pa.DataType) -> bool:
    """Return whether values of this type are bytes, of any length and encoding."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


RETIRED = {"local": _field("local", pa.binary(32), "local features of the whole picture, which are no longer made")}
"""Columns that manifests of earlier versions have, by name; they are read, and no stage makes or needs them."""


def schema(stage: Stage) -> pa.Schema:
    """Return the schema of the manifest that `stage` commits: its columns and those of the stages before."""
    fields: list[pa.Field] = []
    for each in Stage:
        fields += COLUMNS[each]
        if each is stage:
            break
    return pa.schema(fields)
