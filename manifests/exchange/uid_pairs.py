"""DataComp's files of uids: a uid of 32 hexadecimal digits is a pair of unsigned 64-bit numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

UID_PAIR = np.dtype("u8,u8")
"""DataComp's format of a uid of 128 bits: its first and its last 16 hexadecimal digits as two numbers."""
UID_DIGITS = 32


def is_uid_pair(dtype: np.dtype[Any]) -> bool:
    """Return whether arrays of this type contain uids as pairs, in any byte order."""
    return dtype.names is not None and [dtype[n].newbyteorder("=").str for n in dtype.names] == ["<u8"] * 2


def uids_of(pairs: npt.NDArray[Any]) -> pa.Array:
    """Return the uid (32 hexadecimal digits) of each pair of 64-bit numbers (see UID_PAIR), in any byte order."""
    first, second = pairs.dtype.names or ()
    halves = np.empty((len(pairs), 2), ">u8")
    halves[:, 0], halves[:, 1] = pairs[first], pairs[second]
    offsets = np.arange(len(pairs) + 1, dtype=np.int32) * UID_DIGITS
    digits = pa.py_buffer(halves.tobytes().hex().encode())
    return pa.StringArray.from_buffers(len(pairs), pa.py_buffer(offsets), digits)


def pairs_of(uids: pa.Array) -> npt.NDArray[Any]:
    """Return each uid (32 hexadecimal digits) as a UID_PAIR. This is the inverse of `uids_of`."""
    halves = np.frombuffer(bytes.fromhex("".join(uids.to_pylist())), ">u8").reshape(-1, 2)
    pairs = np.empty(len(halves), UID_PAIR)
    pairs["f0"], pairs["f1"] = halves[:, 0], halves[:, 1]
    return pairs
