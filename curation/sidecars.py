"""What lies beside images outside their tar: a parquet beside a tar, and the sidecars of loose images."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation.members import split_member
from curation.sources import etag
from curation.tars import MAX_SIDECAR_BYTES, Problem, Sample, measured, parse_json
from manifests import storage
from manifests.errors import BrokenSource

T = TypeVar("T")

_KEY_COLUMN = "key"
_TOLD = ("uid", "uuid", "url", "caption", "text", "TEXT")


def sibling_uri(tar_uri: str) -> str:
    """Return where img2dataset puts the table of a tar: `00000.parquet` beside `00000.tar`."""
    return tar_uri.rsplit(".", 1)[0] + ".parquet"


def sibling_states(tar_uris: Sequence[str]) -> dict[str, str]:
    """Return tar URI → state of the table beside it, for the tars that have one. One listing a folder."""
    folders = {uri.rsplit("/", 1)[0] for uri in tar_uris if not uri.startswith(("http://", "https://"))}
    states: dict[str, str] = {}
    for folder in folders:
        fs, path = storage.filesystem(folder)
        fs.invalidate_cache(path)
        for entry in fs.ls(path, detail=True):
            if entry["name"].endswith(".parquet"):
                states[storage.join(folder, entry["name"].rsplit("/", 1)[-1])] = etag(entry)
    return {uri: states[s] for uri in tar_uris if (s := sibling_uri(uri)) in states}


def sibling_table(tar_uri: str) -> dict[str, dict[str, Any]]:
    """Return key → what the table beside a tar tells of that sample (url, caption, uid).

    Nothing when it has no column `key`: it is another table. Raises BrokenSource, naming the tar, when it is not
    readable.
    """
    uri = sibling_uri(tar_uri)
    try:
        with storage.open_input(uri) as f:
            reader = pq.ParquetFile(f)
            names = [n for n in (_KEY_COLUMN, *_TOLD) if n in reader.schema_arrow.names]
            rows = reader.read(columns=names).to_pylist() if _KEY_COLUMN in names else []
    except (pa.ArrowException, ValueError, OSError) as e:
        raise BrokenSource(
            f"{tar_uri}: the table beside it, {uri}, is not readable ({e}); repair it or take it away",
            source=tar_uri,
        ) from e
    return {str(row[_KEY_COLUMN]): row for row in rows}


def read_folder(
    uri: str, names: Sequence[str], max_image_bytes: int, on_image: Callable[[bytes], T]
) -> Iterator[Sample[T]]:
    """Yield a sample for each loose image `names` of folder `uri`, with the `.json` and `.txt` beside it.

    The offsets of image and sidecars are 0: each is a file of its own (see `read_stored`). A FilterFailed of
    `on_image` names the image.
    """
    for name in names:
        stem = split_member(name)[0]
        data = storage.read_bytes(uri + name)
        raw_json, raw_caption = _loose(uri + stem + ".json"), _loose(uri + stem + ".txt")
        told, fact = parse_json(raw_json) if raw_json is not None else (None, None)
        is_too_large = len(data) > max_image_bytes
        yield Sample(
            stem=stem,
            member=name,
            occurrence=0,
            offset=0,
            size=len(data),
            caption_offset=None if raw_caption is None else 0,
            caption_size=None if raw_caption is None else len(raw_caption),
            json_offset=None if raw_json is None else 0,
            json_size=None if raw_json is None else len(raw_json),
            caption=None if raw_caption is None else raw_caption.decode("utf-8-sig", "replace"),
            json=told,
            problem=Problem.TOO_LARGE if is_too_large else None,
            result=None if is_too_large else measured(on_image, data, source=uri, member=name),
            facts=(fact,) if fact else (),
        )


def _loose(uri: str) -> bytes | None:
    try:
        data = storage.read_bytes(uri)
    except (FileNotFoundError, IsADirectoryError):
        return None
    return data if len(data) <= MAX_SIDECAR_BYTES else None


def sidecar_member(member: str, extension: str) -> str:
    """Return the name of a loose image's sidecar."""
    return f"{split_member(member)[0]}.{extension}"
