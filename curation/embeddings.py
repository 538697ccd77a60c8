"""Vectors of pictures: the embedder that the configuration names, one a process, and how a column holds vectors."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.config import EmbeddingConfig
from filters.embedding import Embedder, Preprocessing, Vector, load_embedder
from filters.protocol import FilterError, FilterUnavailable

STORED = np.dtype("<f2")

Stored = NDArray[np.float16]
"""(rows, dimensions), as stored."""


def load(config: EmbeddingConfig) -> Embedder:
    """Return a new embedder, as configured. Raises FilterError, naming the setting, as `load_embedder` does."""
    preprocessing = Preprocessing(size=config.size, square=config.square, mean=config.mean, std=config.std)
    try:
        return load_embedder(config.model, preprocessing=preprocessing, download=config.download)
    except FilterError as e:
        raise type(e)(f"scan.embedding: {e}") from e


def embedder(config: EmbeddingConfig, version: str) -> Embedder:
    """Return this process's embedder, loaded once in its life; `version` is what the driver found it to be.

    Raises FilterUnavailable when it is another here, and as `load` does.
    """
    key = (config, version)
    if key not in _LOADED:
        _LOADED.clear()
        found = load(config)
        if found.version != version:
            raise FilterUnavailable(
                f"scan.embedding: the model here is {found.version}, on the driver {version}; put the same files and "
                "packages on every machine"
            )
        _LOADED[key] = found
    return _LOADED[key]


_LOADED: dict[tuple[EmbeddingConfig, str], Embedder] = {}


def settings_of(config: EmbeddingConfig | None) -> dict[str, Any]:
    """Return what a manifest says of the settings: nothing without an embedding, as before there was one."""
    return {"embedding": config.model_dump(mode="json", exclude={"download"})} if config else {}


def pack(vector: Vector) -> bytes:
    """Return a vector as the column `embedding` holds it: float16, little-endian."""
    return vector.astype(STORED).tobytes()


def unpack(column: pa.Array | pa.ChunkedArray) -> Stored:
    """Return a binary column of packed vectors, (rows, dimensions). No nulls allowed.

    Raises ValueError when they are not all of one length.
    """
    packed = column.to_pylist()
    if len({len(each) for each in packed}) > 1:
        raise ValueError("vectors of several lengths in one column; they are of several models")
    return np.frombuffer(b"".join(packed), STORED).reshape(len(packed), -1 if packed else 0)
