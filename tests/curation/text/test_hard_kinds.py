"""Forty drawn pictures of each hard kind: posters, memes and covers are not heavy, tables, forms and code are.

docs/measured.md has the matrix of what is found. The least shares here are some pictures below what it shows.
"""

import pytest

from benchmarks.text.golden import DRAWN, measure_golden
from filters.text_kind import RICH_KINDS

pytestmark = [pytest.mark.model, pytest.mark.slow]

LEAST_HEAVY = {
    "table": 0.9,
    "form": 0.9,
    "code": 0.85,
    "chart with few labels": 0.7,
    "map": 0.65,
    "diagram": 0.6,
    "slide": 0.45,  # half of the painters draw slides with one to three words
    "handwriting": 0.0,  # mostly taken for a designed picture
}
MOST_HEAVY, MOST_TEXT = 0.05, 0.35


@pytest.mark.parametrize("drawn", DRAWN)
def test_hard_kinds_are_told_apart(drawn: str):
    (row,) = measure_golden(names=[drawn])
    assert row.pictures == 40
    if row.kind in RICH_KINDS:
        assert row.heavy_share >= LEAST_HEAVY[drawn]
    else:
        assert row.heavy_share <= MOST_HEAVY
    if row.kind == "none":
        assert row.any_text_share <= MOST_TEXT
    else:
        assert row.any_text_share >= 0.85
