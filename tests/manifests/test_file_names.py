"""Numbers in names: their order as texts is their order as numbers, and braces expand to them."""

from braceexpand import braceexpand
from hypothesis import given
from hypothesis import strategies as st

from manifests.file_names import numbered


@given(st.integers(1, 2_000_000), st.data())
def test_names_sort_as_numbers_do(count: int, data: st.DataObject) -> None:
    a, b = (data.draw(st.integers(0, count - 1)) for _ in range(2))
    assert (numbered(a, count) < numbered(b, count)) == (a < b)
    assert len(numbered(a, count)) == max(5, len(str(count - 1)))


def test_few_units_have_five_digits() -> None:
    assert [numbered(3, count) for count in (4, 100_000, 100_001)] == ["00003", "00003", "000003"]


def test_braces_from_the_first_to_the_last_are_all_names() -> None:
    for count in (1, 124, 100_000, 100_001):
        names = [f"{numbered(i, count)}.tar" for i in range(count)]
        assert list(braceexpand(f"{{{numbered(0, count)}..{numbered(count - 1, count)}}}.tar")) == names
        assert sorted(names) == names
