"""Names of units: their order as texts is their order as numbers."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.units.plan import numbered


@given(st.integers(1, 2_000_000), st.data())
def test_names_sort_as_numbers_do(count: int, data: st.DataObject) -> None:
    a, b = (data.draw(st.integers(0, count - 1)) for _ in range(2))
    assert (numbered(a, count) < numbered(b, count)) == (a < b)
    assert len(numbered(a, count)) == max(5, len(str(count - 1)))


def test_few_units_have_five_digits() -> None:
    assert [numbered(3, count) for count in (4, 100_000, 100_001)] == ["00003", "00003", "000003"]
