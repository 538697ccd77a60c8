"""What benchmarks.text_rich draws to tell kinds apart, and its table."""

import pytest

from benchmarks.text.golden import DRAWN, golden_markdown, golden_pictures, painters_of


@pytest.mark.parametrize("drawn", DRAWN)
def test_everything_that_is_named_can_be_drawn(drawn):
    assert painters_of(drawn)


def test_painters_take_turns_and_draw_the_same_again():
    first, second = (list(golden_pictures("meme", 3)) for _ in range(2))
    assert [a.shape for a in first] == [b.shape for b in second]
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert len({painter.__name__ for painter in painters_of("meme")}) == 2


def test_the_table_has_a_column_for_each_kind():
    row = {"drawn": "form", "kind": "document", "pictures": 4, "found": {"document": 3, "none": 1}}
    head, _, line = golden_markdown([{**row, "heavy_share": 0.75, "any_text_share": 1.0}]).splitlines()
    assert head.startswith("| drawn | of kind | document | table | chart |")
    assert line == "| form | document | 3 |  |  |  |  |  |  |  |  |  | 1 | 75 % | 100 % |"
    assert head.count("|") == line.count("|")
