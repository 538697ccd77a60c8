"""The vectors of stored images: read by byte range, decoded within limits, embedded in batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.pictures.bounded import DecoderFailed
from curation.pictures.decode import Decoded
from curation.sources import originals
from filters.embedding import Embedder, Vector

NO_VECTOR = "the model's output for it is zero or not finite"


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """The vector of one row's image, or the reason why there is none."""

    key: str
    vector: Vector | None = None
    problem: str = ""


def extract(
    rows: Sequence[Mapping[str, Any]],
    embedder: Embedder,
    decode: Callable[[bytes], Decoded],
    *,
    shards_uri: str | None,
    batch_images: int,
) -> Iterator[Extracted]:
    """Yield the vector of each row's image, in order.

    Args:
        rows: with the columns `originals.needed_columns`.
        embedder: the network.
        decode: decodes one image within limits; may raise DecoderFailed.
        shards_uri: read from the tars there, instead of from the sources.
        batch_images: how many go through the network together.

    Memory: 32 MiB of stored images, one decoded image, and one batch as the network takes it. Raises FilterFailed
    when the network fails, and OSError when the storage does.
    """
    batch: list[tuple[str, Any]] = []  # key, and the network's input or why there is none
    for row, (data, problem) in zip(rows, originals.fetch(rows, shards_uri=shards_uri), strict=True):
        prepared: Any = problem if data is None else _prepared(data, embedder, decode)
        batch.append((row["key"], prepared))
        if len(batch) == batch_images:
            yield from _embedded(batch, embedder)
            batch = []
    yield from _embedded(batch, embedder)


def _prepared(data: bytes, embedder: Embedder, decode: Callable[[bytes], Decoded]) -> Any:
    try:
        decoded = decode(data)
    except DecoderFailed as e:
        return f"it {e}"
    if decoded.rgb is None:
        return f"{decoded.status}: {decoded.error}"
    return embedder.prepare(decoded.rgb)


def _embedded(batch: Sequence[tuple[str, Any]], embedder: Embedder) -> Iterator[Extracted]:
    vectors = iter(embedder.embed_prepared([each for _, each in batch if not isinstance(each, str)]))
    for key, each in batch:
        if isinstance(each, str):
            yield Extracted(key=key, problem=each)
        else:
            vector = next(vectors)
            yield Extracted(key=key, vector=vector, problem="" if vector is not None else NO_VECTOR)
