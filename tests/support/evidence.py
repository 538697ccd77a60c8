"""The pairs of pictures that a dedupe has judged, from the evidence beside its manifest."""

from pathlib import Path

import pyarrow.dataset as ds


def compared_pairs(deduped: Path) -> set[frozenset[str]]:
    """Return the sha256 of both pictures of each pair."""
    table = ds.dataset(sorted(map(str, (deduped / "_evidence").glob("*.parquet")))).to_table()
    columns = (table.column(name).to_pylist() for name in ("first_sha256", "second_sha256"))
    return {frozenset((a.hex(), b.hex())) for a, b in zip(*columns, strict=True)}
