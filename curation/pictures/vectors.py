"""Vectors of pictures as the column `embedding` stores them: float16, little-endian."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filters.embedding import Vector

STORED = np.dtype("<f2")

Stored = NDArray[np.float16]
"""(rows, dimensions), as stored."""


def pack(vector: Vector) -> bytes:
    """Return a vector as the column `embedding` stores it: float16, little-endian."""
    return vector.astype(STORED).tobytes()


def unpack(column: pa.Array | pa.ChunkedArray) -> Stored:
    """Return the vectors of a binary column without nulls, (rows, dimensions).

    Raises ValueError when they are not all of one length.
    """
    lengths = pc.unique(pc.binary_length(column)).to_pylist()
    if len(lengths) > 1:
        raise ValueError("vectors of several lengths in one column; they are of several models")
    return byte_rows(column, *lengths).view(STORED) if lengths else np.zeros((0, 0), STORED)


def byte_rows(column: pa.Array | pa.ChunkedArray, row_bytes: int) -> NDArray[np.uint8]:
    """Return a binary column without nulls as uint8, shape (rows, row_bytes).

    Raises pyarrow.ArrowInvalid for values of another length.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    found = [np.zeros((0, row_bytes), np.uint8)]
    for chunk in chunks:
        fixed = chunk.cast(pa.binary(row_bytes))
        data = np.frombuffer(fixed.buffers()[1] or b"", np.uint8)
        found.append(data[fixed.offset * row_bytes : (fixed.offset + len(fixed)) * row_bytes].reshape(-1, row_bytes))
    return np.concatenate(found)
