"""How benchmarks.dedupe.documents draws and counts pairs: the same ones again, different only where it says so."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.dedupe import documents, rescans
from benchmarks.dedupe.content import Content, DrawnTexts, other_digit, other_word
from benchmarks.dedupe.marked import MARKED
from benchmarks.dedupe.templates import RECOLOURED, TEMPLATES, make_page

SIZE = (620, 640)


def values(content: Content) -> list:
    return [content.name(2), content.money(), content.date(), content.level(), content.pick(9), content.sentence(3)]


@pytest.mark.parametrize("script", documents.SCRIPTS)
def test_exactly_one_value_is_changed(script: str):
    plain = values(Content([3], script))
    assert values(Content([3], script)) == plain
    assert values(Content([4], script)) != plain
    for place in range(len(plain)):
        changed = values(Content([3], script, place))
        assert [n for n in range(len(plain)) if changed[n] != plain[n]] == [place]


def test_a_digit_or_a_word_becomes_another_one():
    rng = np.random.default_rng(0)
    for _ in range(50):
        changed = other_digit(rng, "No. 0417")
        assert sum(a != b for a, b in zip("No. 0417", changed, strict=True)) == 1
        assert other_word(rng, "Coffee", "latin").lower() != "coffee"
        assert documents.edited(rng, "Free coffee") != "Free coffee"
    assert documents.edited(rng, "§%") == "§%"


def test_drawn_texts_are_counted_and_one_is_replaced_only_meanwhile():
    before = ImageDraw.ImageDraw.text

    def draw() -> Image.Image:
        image = Image.new("RGB", (80, 40), "white")
        for place in range(2):
            ImageDraw.Draw(image).text((2, 20 * place), "abc", "black")
        return image

    with DrawnTexts() as texts:
        plain = draw()
    assert texts.texts == ["abc", "abc"]
    assert ImageDraw.ImageDraw.text is before
    with DrawnTexts(1, str.upper):
        changed = draw()
    rows = np.flatnonzero((np.asarray(plain) != np.asarray(changed)).any(axis=(1, 2)))
    assert rows.min() >= 20


@pytest.mark.parametrize("name", [*TEMPLATES, *RECOLOURED, *MARKED])
def test_a_template_looks_the_same_and_differs_with_its_content(name: str):
    template = (TEMPLATES | RECOLOURED | MARKED)[name]

    def draw(seed: int, changed: int | None = None) -> Image.Image:
        return template(make_page(np.random.default_rng(5), "latin", *SIZE), Content([seed], "latin", changed))

    assert draw(1).tobytes() == draw(1).tobytes()
    assert documents.differs(draw(1), draw(2))
    one = np.asarray(draw(1)) != np.asarray(draw(1, 0))
    assert 0 < one.any(axis=2).mean() < 0.6


@pytest.mark.parametrize(
    "kind",
    [
        "other: form, one",
        "signed: invoice",
        "other: table, one label",
        "same: turned",
        "plain: mist, a word written on",
    ],
)
def test_a_pair_depends_on_seed_kind_and_number_alone(kind: str):
    first, again = documents.draw_pair(0, kind, 1), documents.draw_pair(0, kind, 1)
    assert first == again
    assert documents.draw_pair(0, kind, 2).first != first.first
    sizes = [Image.open(io.BytesIO(data)).size for data in (first.first, first.second)]
    assert all(300 <= side <= rescans.LONGEST_PIXELS for size in sizes for side in size)


def test_the_plan_has_enough_pairs_of_every_kind():
    planned = documents.plan(documents.PAIRS)
    assert len(set(planned)) == len(planned) >= 2000
    assert {kind for kind, _ in planned} == set(documents.kinds())


def test_only_paper_is_scanned():
    assert rescans.is_light(Image.new("RGB", (80, 80), (250, 249, 245)))
    assert not rescans.is_light(Image.new("RGB", (80, 80), (24, 26, 30)))


def test_a_mistake_in_either_order_counts():
    other, same, either = ({"is_same": is_same, "verdicts": ("mild", None)} for is_same in (False, True, None))
    assert documents.is_mistake(other)
    assert documents.is_mistake(same)
    assert not documents.is_mistake(either)
    assert not documents.is_mistake({"is_same": False, "verdicts": (None, None)})


def test_equal_pages_are_proven_and_other_pages_are_not():
    page = documents.draw_pair(0, "same: png", 1)
    assert documents.judge(page.first, page.second) == documents.judge(page.second, page.first) == "mild"
    other = documents.draw_pair(0, "other: street_map, other", 0)
    assert documents.judge(other.first, other.second) is None
