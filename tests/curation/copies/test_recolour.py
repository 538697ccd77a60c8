"""Another colour of a part of a picture, told from a change of tone of all of it."""

import numpy as np
import pytest

from curation.copies.kinds import MIN_RECOLOURED
from curation.copies.recolour import recoloured_share

WHITE, GREY, BLUE, RED = (255, 255, 255), (90, 92, 95), (40, 90, 200), (190, 40, 40)


def means(*parts):
    """Return the mean colours of patches, given as (colour, how many)."""
    return np.concatenate([np.tile(np.array(colour, float), (count, 1)) for colour, count in parts])


@pytest.mark.parametrize("ground", [0, 300, 3_000, 30_000])
def test_a_thing_in_another_colour_is_found_on_any_amount_of_ground(ground):
    """What shows nothing, such as white paper, says nothing about how much has another colour."""
    blue = means((WHITE, ground), (GREY, 150), (BLUE, 30))
    red = means((WHITE, ground), (GREY, 150), (RED, 30))
    textured = np.arange(len(blue)) >= ground
    assert recoloured_share(blue, red, textured) == pytest.approx(30 / 180)
    assert recoloured_share(red, blue, textured) > MIN_RECOLOURED
    assert recoloured_share(blue, blue, textured) == 0


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.3])
def test_more_or_less_saturation_of_all_is_no_other_colour(gain):
    rng = np.random.default_rng(0)
    picture = rng.uniform(60, 190, (400, 3))
    luma = (picture @ [0.299, 0.587, 0.114])[:, None]
    assert recoloured_share(picture, luma + gain * (picture - luma), np.ones(400, bool)) == 0
