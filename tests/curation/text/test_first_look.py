"""The first look: which networks look at a picture, and what is stored of what they say."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation.text.bounds import TextStep, default_bounds
from curation.text.first_look import (
    first_look,
    kind_of,
    kinds_text,
    network_kinds,
    parse_kinds,
    rich_probability,
)
from filters.protocol import Rgb, TextProbabilities
from filters.text_kind import RICH_KINDS, TextKind
from tests.support.pictures import LINES, landscape, noise, on_landscape, render

PICTURES = [render(LINES), landscape(), noise(), on_landscape(render(["Open daily"], size_pixels=30))]
PROBABILITIES = st.floats(0, 1)


def test_the_network_of_kinds_looks_at_what_may_be_heavy_and_at_nothing_else():
    for rgb in PICTURES:
        found = first_look(rgb)
        may_be_heavy = found.probabilities.heavy >= default_bounds()[TextStep.DENSITY].drop_heavy
        assert found.has_rich_kinds == may_be_heavy
        if may_be_heavy:
            assert found.kinds == network_kinds(rgb)
        else:
            assert set(found.kinds) == {TextKind.DESIGNED, TextKind.SCENE, TextKind.NONE}
    assert first_look(PICTURES[0]).has_rich_kinds
    assert not first_look(np.full((300, 400, 3), 90, np.uint8)).has_rich_kinds


def test_the_kinds_are_probabilities_that_are_stored_without_loss():
    for rgb in PICTURES:
        kinds = first_look(rgb).kinds
        assert abs(sum(kinds.values()) - 1) < 1e-4
        assert parse_kinds(kinds_text(kinds)) == kinds


def test_the_likeliest_kind_is_stored_first():
    text = kinds_text({TextKind.NONE: 0.1, TextKind.CHART: 0.7, TextKind.MAP: 0.1, TextKind.SLIDE: 0.1})
    assert text == '{"chart":0.7,"map":0.1,"none":0.1,"slide":0.1}'


@given(st.lists(PROBABILITIES, min_size=len(TextKind), max_size=len(TextKind)), PROBABILITIES, PROBABILITIES)
def test_what_a_picture_is_agrees_with_its_probabilities(shares: list[float], light: float, heavy: float):
    kinds = dict(zip(TextKind, shares, strict=True))
    found = kind_of(kinds, TextProbabilities(light=light, heavy=heavy))
    if heavy >= 0.5 and rich_probability(kinds) > 0:
        assert found in RICH_KINDS
    elif max(light, heavy) < 0.5:
        assert found is TextKind.NONE
    else:
        assert found in (TextKind.DESIGNED, TextKind.SCENE)


def test_pixels_alone_count():
    rgb: Rgb = render(LINES)
    assert first_look(np.asfortranarray(rgb)) == first_look(rgb.copy())
