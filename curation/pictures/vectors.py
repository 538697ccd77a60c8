"""Vectors of pictures as the column `embedding` stores them: float16, little-endian."""

import numpy as np
import pyarrow as pa
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
    packed = column.to_pylist()
    if len({len(each) for each in packed}) > 1:
        raise ValueError("vectors of several lengths in one column; they are of several models")
    return np.frombuffer(b"".join(packed), STORED).reshape(len(packed), -1 if packed else 0)
