"""Find candidate pairs by local features, cell by cell, without reading the images.

First come the nearest images by the 256 bits of the whole image. Of these pairs only those remain where enough
keypoints agree on one geometric transformation: a few in a hundred, which are then compared by pixels.
"""

from dataclasses import dataclass

import faiss
import numpy as np
import pyarrow as pa

from curation.copies.cells import BITS, as_matrix
from curation.pictures.local_features import consistent_points

PAIRS_SCHEMA = pa.schema([("a", pa.binary()), ("b", pa.binary()), ("points", pa.int32())])
QUERIES_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class LocalSearch:
    """How many nearest images are candidates, and how many keypoints must agree."""

    neighbours: int
    min_points: int

    def pairs(self, pictures: pa.Table) -> pa.Table:
        """Return the candidate pairs (`a`, `b`, `points`; a < b as bytes) of one cell, each once.

        `pictures`: `node`, `local` (32 bytes), `local_points`, `is_home`. Those at home are indexed, all are queried.
        Rows with the same node are the same image and count once.
        """
        pictures = _distinct(pictures)
        nodes, points = pictures.column("node").to_pylist(), pictures.column("local_points").to_pylist()
        bits = as_matrix(pictures.column("local"))
        home = np.flatnonzero(pictures.column("is_home").to_numpy(zero_copy_only=False))
        if len(home) == 0:
            return PAIRS_SCHEMA.empty_table()
        faiss.omp_set_num_threads(1)
        index = faiss.IndexBinaryFlat(BITS)
        index.add(np.ascontiguousarray(bits[home]))
        found: dict[tuple[int, int], int] = {}
        for first in range(0, len(bits), QUERIES_AT_ONCE):
            chunk = bits[first : first + QUERIES_AT_ONCE]
            _, nearest = index.search(chunk, min(self.neighbours + 1, len(home)))  # each also finds itself
            for query, row in enumerate(nearest, start=first):
                for other in home[row[row >= 0]].tolist():
                    pair = (min(query, other), max(query, other))
                    if query != other and pair not in found:
                        found[pair] = consistent_points(points[pair[0]], points[pair[1]])
        kept = sorted((nodes[i], nodes[j], n) for (i, j), n in found.items() if n >= self.min_points)
        columns = list(zip(*kept, strict=True)) if kept else [(), (), ()]
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, PAIRS_SCHEMA, strict=True)], PAIRS_SCHEMA)


def _distinct(pictures: pa.Table) -> pa.Table:
    """Return one row for each node, in the order of nodes; at home if any of its rows is."""
    order = np.argsort(np.array(pictures.column("node").to_pylist(), object), kind="stable")
    ordered = pictures.take(pa.array(order))
    nodes = ordered.column("node").to_pylist()
    starts = [i for i, node in enumerate(nodes) if i == 0 or node != nodes[i - 1]]
    if not starts:
        return ordered
    is_home = np.maximum.reduceat(ordered.column("is_home").to_numpy(zero_copy_only=False).astype(np.uint8), starts)
    first = ordered.take(pa.array(starts, pa.int64()))
    place = first.schema.get_field_index("is_home")
    return first.set_column(place, "is_home", pa.array(is_home.astype(bool)))
