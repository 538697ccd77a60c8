"""Find candidate pairs by keypoints with similar codes, without reading the images.

The codes of all pictures are sorted by some of their bits, for TABLES random choices of bits, and each is compared
with the next few in that order (Charikar, STOC 2002; Ravichandran, Pantel and Hovy, ACL 2005). The nearest of those
by all bits are matches: the first bits are a coarse visual word, and the others refine it. A match is a vote for a
pair of pictures, and a pair is found if several votes agree on one shift, rotation and scale (Hamming embedding and
weak geometric consistency: Jégou, Douze and Schmid, ECCV 2008).

The work grows in proportion to the pictures, and a code that many pictures have costs no more than another. Entries
and matches are read in batches, so that a worker keeps ROWS_AT_ONCE of them and a batch, however many there are.

1. `entries_of` makes entries of pictures, to be sorted by ENTRY_ORDER, with those of one word in one task.
2. `matches_in` finds matches in sorted entries, to be sorted by MATCH_ORDER, with those of a pair in one task.
3. `pairs_in` finds pairs in sorted matches.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.pictures.local_features import INVERTED, POINT, consistent_matches

VERSION = "1"  # to increase when other pairs are found
TABLES = 12
PLACE_BITS = 32  # by which codes are sorted
WORD_BITS = 8  # in which they must be equal to be compared: a task has whole words
WORD_SHIFT = PLACE_BITS - WORD_BITS
WINDOW = 16  # entries before and after each that it is compared with
NEAREST = 2  # of them are matches
MAX_DISTANCE = 10  # of the 64 bits of two codes
MIN_VOTES = 2
MAX_VOTES = 16  # of one pair that are compared with each other
ROWS_AT_ONCE = 1 << 17

ENTRIES = pa.schema([("place", pa.int64()), ("picture", pa.int64()), ("code", pa.int64()), ("geometry", pa.int32())])
ENTRY_ORDER = tuple(ENTRIES.names)
MATCHES = pa.schema(
    [("a", pa.int64()), ("b", pa.int64()), ("of_a", pa.int32()), ("of_b", pa.int32()), ("is_mirrored", pa.bool_())]
)
MATCH_ORDER = tuple(MATCHES.names)
PAIRS = pa.schema([("a", pa.int64()), ("b", pa.int64())])

_CODE_BITS = POINT["code"].itemsize * 8
_NEVER = 255  # a distance
_GEOMETRY = ["x", "y", "size", "angle"]

Codes = NDArray[np.uint64]
Rows = NDArray[np.void]

_ENTRY = np.dtype([("place", "<i8"), ("picture", "<i8"), ("code", "<u8"), ("geometry", "<i4")])
_MATCH = np.dtype([("a", "<i8"), ("b", "<i8"), ("of_a", "<i4"), ("of_b", "<i4"), ("is_mirrored", "?")])


def entries_of(
    pictures: NDArray[np.int64],
    points: NDArray[np.void],
    counts: NDArray[np.int64],
    tables: Sequence[int] = range(TABLES),
) -> pa.Table:
    """Return the entries of keypoints, one for each of them and each of `tables`, as ENTRIES.

    `points`, POINT of shape (N,), are those of the first of `pictures`, (M,), then of the second and so on, of each
    as many as `counts`, (M,), says.
    """
    codes = np.ascontiguousarray(points["code"])
    geometry = np.ascontiguousarray(points[_GEOMETRY].astype([(name, "u1") for name in _GEOMETRY])).view("<i4")
    columns = [
        places_of(codes, tables).ravel(),
        np.tile(np.repeat(pictures, counts), len(tables)),
        np.tile(codes.view(np.int64), len(tables)),
        np.tile(geometry, len(tables)),
    ]
    return pa.table([pa.array(column) for column in columns], ENTRIES)


def places_of(codes: Codes, tables: Sequence[int] = range(TABLES)) -> NDArray[np.int64]:
    """Return where codes (N,) are in the order of each of `tables`, one a row; mirrored ones are at the same."""
    places = np.empty((len(tables), len(codes)), np.int64)
    for row, number in enumerate(tables):
        pivot, parts = _tables()[number]
        upright = codes ^ (((codes >> pivot) & np.uint64(1)) * INVERTED)
        octets = upright.astype("<u8").view(np.uint8).reshape(-1, 8)
        place = parts[0][octets[:, 0]]
        for part, octet in zip(parts[1:], octets.T[1:], strict=True):
            place |= part[octet]
        places[row] = place | (number << PLACE_BITS)
    return places


@lru_cache(maxsize=1)
def _tables() -> list[tuple[np.uint64, NDArray[np.int64]]]:
    """Return of each table the bit that says whether a code is inverted, and what each octet adds to a place."""
    rng = np.random.default_rng(0)
    tables = []
    for _ in range(TABLES):
        pivot = int(rng.integers(_CODE_BITS // 2))
        chosen = rng.permutation(np.delete(np.arange(_CODE_BITS), pivot))[:PLACE_BITS]
        parts = np.zeros((_CODE_BITS // 8, 256), np.int64)
        for rank, bit in enumerate(chosen.tolist()):
            parts[bit // 8] |= (np.arange(256) >> (bit % 8) & 1) << (PLACE_BITS - 1 - rank)
        tables.append((np.uint64(pivot), parts))
    return tables


def matches_in(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the matches in sorted entries, as MATCHES; a < b.

    For each entry they are, of the WINDOW before and after it with its word and of other pictures, the NEAREST within
    MAX_DISTANCE. A picture that is there twice counts once.
    """
    kept, fresh = np.empty(0, _ENTRY), 0
    for rows in _chunks(batches, _ENTRY):
        joined = np.concatenate([kept, rows])
        first = np.concatenate([[True], joined[1:] != joined[:-1]])
        fresh -= int((~first[:fresh]).sum())
        joined = joined[first]
        last = len(joined) - WINDOW
        if last > fresh:
            yield _match(joined, fresh, last)
            start = max(0, last - WINDOW)
            joined, fresh = joined[start:], last - start
        kept = joined
    if len(kept) > fresh:
        yield _match(kept, fresh, len(kept))


def _match(entries: Rows, first: int, last: int) -> pa.RecordBatch:
    """Return the matches of `entries` from `first` to before `last`."""
    offsets = np.array([step for far in range(1, WINDOW + 1) for step in (far, -far)])
    rows = np.arange(first, last)
    place, picture, code = (np.ascontiguousarray(entries[name]) for name in ("place", "picture", "code"))
    word = place >> WORD_SHIFT
    distances = np.full((len(offsets), len(rows)), _NEVER, np.uint8)
    for found, step in zip(distances, offsets.tolist(), strict=True):
        low, high = max(first, -step), min(last, len(entries) - max(step, 0))
        mine, others = slice(low, high), slice(low + step, high + step)
        near = _distances(code[mine] ^ code[others])
        near[(word[mine] != word[others]) | (picture[mine] == picture[others])] = _NEVER
        found[low - first : high - first] = near
    matches = []
    for _ in range(NEAREST):
        nearest = distances.argmin(axis=0)
        taken = np.flatnonzero(distances[nearest, rows - first] <= MAX_DISTANCE)
        distances[nearest, rows - first] = _NEVER
        matches.append((rows[taken], rows[taken] + offsets[nearest[taken]]))
    one, other = (np.concatenate(each) for each in zip(*matches, strict=True))
    is_later = picture[one] > picture[other]
    a, b = np.where(is_later, other, one), np.where(is_later, one, other)
    geometry = entries["geometry"]
    columns = [picture[a], picture[b], geometry[a], geometry[b], _is_inverted(code[a] ^ code[b])]
    return pa.record_batch([pa.array(column) for column in columns], MATCHES)


def _is_inverted(differing: Codes) -> NDArray[np.bool_]:
    return np.asarray(np.bitwise_count(differing & INVERTED) > _CODE_BITS // 4)


def _distances(differing: Codes) -> NDArray[np.uint8]:
    """Return in how many bits codes differ, mirrored or not."""
    odd = np.bitwise_count(differing & INVERTED)
    return np.asarray(np.bitwise_count(differing & ~INVERTED) + np.minimum(odd, _CODE_BITS // 2 - odd), np.uint8)


def pairs_in(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the pairs of pictures, each once, of which at least MIN_VOTES in sorted matches agree, as PAIRS."""
    kept = np.empty(0, _MATCH)
    for rows in _chunks(batches, _MATCH):
        joined = np.concatenate([kept, rows])
        is_last = (joined["a"] == joined["a"][-1]) & (joined["b"] == joined["b"][-1])
        yield _vote(joined[~is_last])
        kept = joined[is_last]
    if len(kept):
        yield _vote(kept)


def _vote(matches: Rows) -> pa.RecordBatch:
    """Return the pairs among `matches` that enough of these agree on."""
    matches = matches[np.concatenate([[True], matches[1:] != matches[:-1]])[: len(matches)]]
    changes = (matches["a"][1:] != matches["a"][:-1]) | (matches["b"][1:] != matches["b"][:-1])
    starts = np.flatnonzero(np.concatenate([[True], changes])[: len(matches)])
    counts = np.minimum(np.diff(starts, append=len(matches)), MAX_VOTES)
    found = []
    for votes in range(MIN_VOTES, MAX_VOTES + 1):
        first = starts[counts == votes]
        group = matches[first[:, None] + np.arange(votes)]
        a, b = _points(group["of_a"]), _points(group["of_b"])
        mirrored = group["is_mirrored"]
        agree = consistent_matches(a, b, mirrored) & (mirrored[..., None] == mirrored[..., None, :])
        # Votes of one keypoint, which may have several directions, are one.
        agree &= (_is_elsewhere(a) & _is_elsewhere(b)) | np.eye(votes, dtype=bool)
        found.append(first[agree.sum(axis=-1).max(axis=-1) >= MIN_VOTES])
    chosen = matches[np.concatenate(found)]
    return pa.record_batch([pa.array(chosen[name]) for name in PAIRS.names], PAIRS)


def _points(geometry: NDArray[np.int32]) -> NDArray[np.void]:
    return np.ascontiguousarray(geometry).view([(name, "u1") for name in _GEOMETRY])


def _is_elsewhere(points: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which of points (..., N) are at other places, shape (..., N, N)."""
    x, y = points["x"], points["y"]
    return np.asarray((x[..., None] != x[..., None, :]) | (y[..., None] != y[..., None, :]))


def _chunks(batches: Iterable[pa.RecordBatch], kind: np.dtype[np.void]) -> Iterator[Rows]:
    """Yield the rows of small batches together, about ROWS_AT_ONCE at once, and of large ones in parts."""
    waiting: list[Rows] = []
    for batch in batches:
        for first in range(0, batch.num_rows, ROWS_AT_ONCE):
            part = batch.slice(first, ROWS_AT_ONCE)
            rows = np.empty(part.num_rows, kind)
            for name in kind.names or ():
                rows[name] = part.column(name).to_numpy(zero_copy_only=False).astype(kind[name], copy=False)
            waiting.append(rows)
            if sum(map(len, waiting)) >= ROWS_AT_ONCE:
                yield np.concatenate(waiting)
                waiting = []
    if waiting:
        yield np.concatenate(waiting)
