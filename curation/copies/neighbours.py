"""Find near fingerprints inside one cell: a sparse set of pairs with the same connected components as all pairs.

A dense family of n fingerprints has n² pairs within the limit, and not all of them are needed. For every query the
NEAREST nearest neighbours are kept, and the smallest neighbour as bytes. Of the other pairs only bridges are kept,
without which a connected component would be split. So the connected components are those of all pairs found, with at
most NEAREST + 2 pairs for each fingerprint.

With up to EXHAUSTIVE fingerprints at home all comparisons are made (faiss). With more, the rows are sorted by some of
their bits, once for each of TABLES choices of bits, and compared with the next WINDOW rows in that order.
Fingerprints that differ in few bits are neighbours in at least one of the orders with high probability (Charikar,
"Similarity estimation techniques from rounding algorithms", STOC 2002; Ravichandran, Pantel, Hovy, "Randomized
algorithms and NLP", ACL 2005).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse
from scipy.sparse import csgraph

from curation.copies.cells import BITS, BYTES, Fingerprints

NEAREST = 16
EXHAUSTIVE = 50_000
MAX_QUERIES = 8  # times EXHAUSTIVE: a cell with more queries is sorted even if few are at home
QUERIES_AT_ONCE = 64  # times EXHAUSTIVE pairs are in memory when all are near each other
PAIRS = pa.schema([("a", pa.binary()), ("b", pa.binary()), ("distance", pa.int32())])
TABLES = 48
WINDOW = 8
ROWS_AT_ONCE = 1 << 16
PENDING = 2_000_000  # new pairs, after which the pairs are pruned
_ROW_BITS = 28
_KEY_BITS = 64 - _ROW_BITS
_ROW = np.uint64((1 << _ROW_BITS) - 1)
_QUERY_BITS = _ROW << np.uint64(64 - _ROW_BITS)
_UNKNOWN = 255  # a distance above all limits

Rows = npt.NDArray[np.int64]
Distances = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """In how many bits two fingerprints of copies may differ: fewer between two images full of text.

    Pages and charts share layouts, and differ in details that are too fine for PDQ.
    """

    max_distance: int
    max_text_distance: int

    @property
    def widest(self) -> int:
        """The larger of both limits."""
        return max(self.max_distance, self.max_text_distance)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The fingerprints of one cell, sorted by their bytes, so that results do not depend on the order of rows.

    `fingerprints`: (rows, 32). `is_home`, (rows,), marks those that are indexed here; all are queried. `is_text`,
    (rows,), marks images full of text.
    """

    fingerprints: Fingerprints
    is_home: npt.NDArray[np.bool_]
    is_text: npt.NDArray[np.bool_]
    nearness: Nearness

    def __len__(self) -> int:
        return len(self.fingerprints)

    def near(self, first: Rows, second: Rows, distance: Distances) -> npt.NDArray[np.bool_]:
        """Return which pairs of rows, `distance` bits apart, are near. Equal fingerprints are one node."""
        both_text = self.is_text[first] & self.is_text[second]
        limit = np.where(both_text, self.nearness.max_text_distance, self.nearness.max_distance)
        return (distance <= limit) & (distance > 0)


def make_cell(
    fingerprints: Fingerprints, is_home: npt.NDArray[np.bool_], is_text: npt.NDArray[np.bool_], nearness: Nearness
) -> Cell:
    """Return the cell of rows in any order. Raises ValueError for more rows than fit into a packed pair."""
    if len(fingerprints) > int(_ROW):
        raise ValueError(f"{len(fingerprints)} fingerprints in a cell; set dedupe.cell_bytes lower")
    words = fingerprints.view(">u8")
    order = np.lexsort([words[:, word].astype(np.uint64) for word in (3, 2, 1, 0)])
    return Cell(fingerprints=fingerprints[order], is_home=is_home[order], is_text=is_text[order], nearness=nearness)


def pairs_in_cell(cell: Cell, *, exhaustive: int = EXHAUSTIVE) -> Iterator[pa.RecordBatch]:
    """Yield the pairs (`a`, `b`, `distance`; a < b as bytes) kept of those found in a cell, each once.

    One of the two is at home here. With at most `exhaustive` fingerprints at home, no pair is missed.
    """
    kept = _KeptPairs(len(cell))
    home = int(np.count_nonzero(cell.is_home))
    if home and len(cell) > 1:
        if home <= exhaustive and len(cell) <= MAX_QUERIES * exhaustive:
            _search_all(cell, kept)
        else:
            _search_sorted(cell, kept)
    found = kept.pairs()
    for start in range(0, len(found), ROWS_AT_ONCE):
        query, neighbour, distance = _unpack(found[start : start + ROWS_AT_ONCE])
        found[start : start + ROWS_AT_ONCE] = _pack(
            np.minimum(query, neighbour), np.maximum(query, neighbour), distance
        )
    found = _distinct(found)
    for start in range(0, len(found), ROWS_AT_ONCE):
        first, second, distance = _unpack(found[start : start + ROWS_AT_ONCE])
        a, b = _binary(cell.fingerprints[first]), _binary(cell.fingerprints[second])
        yield pa.record_batch([a, b, pa.array(distance, pa.int32())], schema=PAIRS)


def _search_all(cell: Cell, kept: "_KeptPairs") -> None:
    """Compare every fingerprint with every one at home."""
    faiss.omp_set_num_threads(1)
    home = np.flatnonzero(cell.is_home)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(np.ascontiguousarray(cell.fingerprints[home]))
    for start in range(0, len(cell), QUERIES_AT_ONCE):
        queried = np.ascontiguousarray(cell.fingerprints[start : start + QUERIES_AT_ONCE])
        # faiss returns distances below the radius
        limits, distances, labels = index.range_search(queried, cell.nearness.widest + 1)
        query = start + np.repeat(np.arange(len(queried)), np.diff(limits.astype(np.int64)))
        neighbour, distance = home[labels], distances.astype(np.int64)
        near = cell.near(query, neighbour, distance)
        if near.any():
            kept.expect(query[near], neighbour[near], distance[near])
            kept.add(query[near], neighbour[near], distance[near])


def _search_sorted(cell: Cell, kept: "_KeptPairs") -> None:
    """Compare every fingerprint with the next in each of TABLES orders."""
    for table in range(TABLES):
        order = _sorted_by(cell.fingerprints, _chosen_bits(table))
        for first, second, distance in _neighbours(cell.fingerprints, order, cell.nearness.widest):
            near = cell.near(first, second, distance)
            for query, neighbour in ((first, second), (second, first)):
                indexed = near & cell.is_home[neighbour]
                kept.add(query[indexed], neighbour[indexed], distance[indexed])


def _chosen_bits(table: int) -> Sequence[int]:
    """Return the bits that `table` sorts by, the most significant first."""
    return sorted(range(BITS), key=lambda bit: hashlib.sha256(f"{table}:{bit}".encode()).digest())[:_KEY_BITS]


def _sorted_by(fingerprints: Fingerprints, bits: Sequence[int]) -> Rows:
    """Return the rows in the order of `bits`; rows with equal bits stay in order."""
    keys = np.empty((len(fingerprints), 8), np.uint8)
    for start in range(0, len(fingerprints), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        chunk = np.ascontiguousarray(fingerprints[rows].T)
        for byte in range(8):
            gathered = np.zeros(chunk.shape[1], np.uint8)
            for place, bit in enumerate(bits[8 * byte : 8 * byte + 8]):
                gathered |= ((chunk[bit >> 3] >> np.uint8(7 - (bit & 7))) & 1) << np.uint8(7 - place)
            keys[rows, byte] = gathered
    # The row number in the lowest bits makes all keys differ, so that the fastest sort is also stable.
    packed = keys.view(">u8")[:, 0].astype(np.uint64)
    packed |= np.arange(len(packed), dtype=np.uint64)
    packed.sort()
    packed &= _ROW
    return packed.view(np.int64)


def _neighbours(fingerprints: Fingerprints, order: Rows, widest: int) -> Iterator[tuple[Rows, Rows, Distances]]:
    """Yield (row, row, distance) of rows within WINDOW places in `order` and `widest` bits, in chunks."""
    words = fingerprints.view(np.uint64)
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = order[start : start + ROWS_AT_ONCE + WINDOW]
        columns = np.ascontiguousarray(words[rows].T)
        first, second = [], []
        for shift in range(1, min(WINDOW, len(rows) - 1) + 1):
            end = min(ROWS_AT_ONCE, len(rows) - shift)
            half = np.bitwise_count(columns[0, :end] ^ columns[0, shift : shift + end])
            half += np.bitwise_count(columns[1, :end] ^ columns[1, shift : shift + end])
            maybe = np.flatnonzero(half <= widest)
            first.append(maybe)
            second.append(maybe + shift)
        if not first:
            continue
        a, b = np.concatenate(first), np.concatenate(second)
        distance = np.bitwise_count(columns[:, a] ^ columns[:, b]).sum(axis=0, dtype=np.int64)
        near = distance <= widest
        yield rows[a[near]], rows[b[near]], distance[near]


class _KeptPairs:
    """The pairs (query, neighbour, distance) that are kept of all added ones. They are pruned from time to time.

    After each pruning, three arrays with an entry for each row let most later pairs be dropped at once: `_farthest`,
    the distance of the last of its NEAREST neighbours; `_smallest`, its smallest neighbour; `_component`, its
    connected component.
    """

    def __init__(self, rows: int) -> None:
        self._farthest = np.full(rows, _UNKNOWN, np.uint8)
        self._smallest = np.full(rows, rows, np.int32)
        self._component = np.arange(rows, dtype=np.int32)
        self._kept = np.zeros(0, np.uint64)
        self._added: list[Packed] = []
        self._pending = 0

    def expect(self, query: Rows, neighbour: Rows, distance: Distances) -> None:
        """Record that these pairs, ordered by query, are all pairs that these queries will ever have."""
        starts = _starts(query)
        sizes = np.diff(np.append(starts, len(query)))
        group = np.repeat(np.arange(len(starts)), sizes)
        counts = np.bincount(group * BITS + distance, minlength=len(starts) * BITS).reshape(-1, BITS)
        self._farthest[query[starts]] = np.minimum((counts.cumsum(axis=1) < NEAREST).sum(axis=1), _UNKNOWN)
        self._smallest[query[starts]] = np.minimum.reduceat(neighbour, starts) + 1

    def add(self, query: Rows, neighbour: Rows, distance: Distances) -> None:
        """Add pairs, in any order; a pair may come several times."""
        counts = (distance <= self._farthest[query]) | (neighbour < self._smallest[query])
        counts |= self._component[query] != self._component[neighbour]
        self._added.append(_pack(query[counts], neighbour[counts], distance[counts]))
        self._pending += len(self._added[-1])
        if self._pending > PENDING + len(self._kept):
            self._prune()

    def pairs(self) -> Packed:
        """Return the kept pairs, packed."""
        self._prune()
        return self._kept

    def _prune(self) -> None:
        found = _distinct(np.concatenate([self._kept, *self._added]))
        self._added, self._pending = [], 0
        keep = np.zeros(len(found), np.bool_)
        start = 0
        while start < len(found):
            last = found[min(start + PENDING, len(found)) - 1] | ~_QUERY_BITS  # all pairs of a query go together
            end = int(np.searchsorted(found, last, side="right"))
            keep[start:end] = self._nearest_and_smallest(found[start:end])
            start = end
        if not keep.all():
            self._keep_bridges(found, keep)
        self._kept = found[keep]

    def _nearest_and_smallest(self, found: Packed) -> npt.NDArray[np.bool_]:
        query, neighbour, distance = _unpack(found)
        starts = _starts(query)
        sizes = np.diff(np.append(starts, len(found)))
        rank = np.arange(len(found)) - np.repeat(starts, sizes)
        smallest = np.minimum.reduceat(neighbour, starts)
        self._smallest[query[starts]] = smallest
        last = rank == NEAREST - 1
        self._farthest[query[last]] = distance[last]
        return np.asarray((rank < NEAREST) | (neighbour == np.repeat(smallest, sizes)), np.bool_)

    def _keep_bridges(self, found: Packed, keep: npt.NDArray[np.bool_]) -> None:
        """Also mark the bridges in `keep`, so that `found` and what is kept have the same connected components."""
        query, neighbour, _ = _unpack(found[keep])
        component = _components(query, neighbour, len(self._component))
        dropped = np.flatnonzero(~keep)
        query, neighbour, distance = _unpack(found[dropped])
        first, second = component[query].astype(np.int64), component[neighbour].astype(np.int64)
        torn = np.flatnonzero(first != second)
        if len(torn):
            bridges = torn[_bridges(first[torn], second[torn], distance[torn])]
            keep[dropped[bridges]] = True
            component = _components(first[bridges], second[bridges], len(component))[component]
        self._component = component


def _bridges(first: Rows, second: Rows, distance: Distances) -> Rows:
    """Return the positions of a minimum spanning forest of the pairs of components, the nearest pairs first."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    components = int(high.max()) + 1
    order = np.lexsort([distance, high, low])
    _, once = np.unique(low[order] * components + high[order], return_index=True)
    places = order[once]
    weights = sparse.csr_array((distance[places], (low[places], high[places])), shape=(components, components))
    tree = csgraph.minimum_spanning_tree(weights).tocoo()
    joined = np.searchsorted(
        low[places] * components + high[places], tree.row.astype(np.int64) * components + tree.col
    )
    return np.asarray(places[joined], np.int64)


def _components(first: Rows, second: Rows, rows: int) -> npt.NDArray[np.int32]:
    """Return the number of the connected component of each of `rows` rows."""
    edges = sparse.coo_array((np.ones(len(first), np.int8), (first, second)), shape=(rows, rows))
    _, components = csgraph.connected_components(edges, directed=False)
    return np.asarray(components, np.int32)


def _starts(ordered: Rows) -> Rows:
    """Return where each run of equal values begins."""
    return np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))


def _distinct(found: Packed) -> Packed:
    """Return each value once, in order. Sorts `found` in place."""
    found.sort()
    return found[np.append(True, found[1:] != found[:-1])] if len(found) else found


def _pack(query: Rows, neighbour: Rows, distance: Distances) -> Packed:
    """Return each pair as one number, so that numbers sort by query, then distance, then neighbour."""
    packed = query.astype(np.uint64) << np.uint64(64 - _ROW_BITS)
    packed |= distance.astype(np.uint64) << np.uint64(_ROW_BITS)
    packed |= neighbour.astype(np.uint64)
    return packed


def _unpack(packed: Packed) -> tuple[Rows, Rows, Distances]:
    query = (packed >> np.uint64(64 - _ROW_BITS)).view(np.int64)
    distance = (packed >> np.uint64(_ROW_BITS)).view(np.int64) & 255
    return query, (packed & _ROW).view(np.int64), distance


def _binary(fingerprints: Fingerprints) -> pa.Array:
    """Return rows as binary, since Spark has no fixed-size binary."""
    data = pa.py_buffer(np.ascontiguousarray(fingerprints))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(BYTES), len(fingerprints), [None, data]).cast(pa.binary())
