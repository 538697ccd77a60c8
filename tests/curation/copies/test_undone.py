"""What noise, a change of tone or an oblique view hides is found again, and no other picture becomes a copy by it."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from curation.copies.compare_pixels import compare
from curation.copies.kinds import Strictness, kind_of
from curation.copies.noise import noise_level
from curation.copies.recolour import LUMA
from curation.copies.rendering import Rendering
from curation.copies.tones import colour_map, keeps_hues, moved
from examples.corpus.photographs import city, landscape, person, still_life
from examples.corpus.textures import through_camera
from tests.support.copying import paint
from tests.support.pictures import as_jpeg

pytestmark = pytest.mark.slow

PHOTOGRAPHS = {
    each.__name__: paint(lambda rng, w, h, each=each: through_camera(rng, each(rng, w, h)))
    for each in (city, still_life, landscape)
}


def noisy(rgb, levels=25.5):
    noise = np.random.default_rng(7).normal(0, levels, rgb.shape)
    return as_jpeg(np.clip(rgb + noise, 0, 255).astype(np.uint8), 90)


def shuffled(rgb, part=0.1):
    """Return `rgb` with as large a part of its pixels in each other's places."""
    rng, out = np.random.default_rng(8), rgb.copy()
    chosen = rng.random(rgb.shape[:2]) < part
    out[chosen] = rng.permutation(out[chosen])
    return as_jpeg(out, 90)


def oblique(rgb, by=0.12):
    """Return `rgb` seen from one side: its right end is lower, and smaller than the left one."""
    height, width = rgb.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moves = np.array([[0.02, 0.03], [-0.06, by], [-0.02, -by], [0.03, -0.02]], np.float32) * [width, height]
    matrix = cv2.getPerspectiveTransform(corners, (corners + moves).astype(np.float32))
    return cv2.warpPerspective(rgb, matrix, (width, height))


def bright(rgb):
    return np.clip(rgb * 1.4, 0, 255).astype(np.uint8)


COUNTED = ("mild", "overlay", "crop", "turn")
UNDONE = {"noise": noisy, "shuffled pixels": shuffled, "brightness": bright, "perspective": oblique}


def kind(first, second):
    found, back = (compare([Rendering(a)], [Rendering(b)]) for a, b in ((first, second), (second, first)))
    kinds = [kind_of(each, Strictness(), COUNTED) if each else None for each in (found, back)]
    assert (kinds[0] is None) == (kinds[1] is None)
    return None if kinds[0] is None else str(kinds[0])


def page(amount):
    """Return a bill with a sum."""
    image = Image.new("RGB", (900, 640), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    for row in range(14):
        text = f"Position {row + 1} of the bill, {row * 37 + 12} pieces"
        pen.text((70, 130 + row * 34), text, font=font, fill="black")
        pen.text((720, 130 + row * 34), amount if row == 9 else f"{row * 91 + 140}.50", font=font, fill="black")
    return np.asarray(image)


@pytest.mark.parametrize("done", UNDONE)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_copy_stays_a_copy(done, name):
    assert kind(UNDONE[done](PHOTOGRAPHS[name]), PHOTOGRAPHS[name]) is not None


@pytest.mark.parametrize("done", UNDONE)
def test_another_photograph_does_not_become_a_copy(done):
    for painter in (city, still_life, landscape):
        one, other = (
            through_camera(np.random.default_rng(seed), painter(np.random.default_rng(seed), 640, 480))
            for seed in (1, 2)
        )
        assert kind(UNDONE[done](np.asarray(one.convert("RGB"))), np.asarray(other.convert("RGB"))) is None


@pytest.mark.parametrize("done", UNDONE)
@pytest.mark.parametrize("amount", ["418.71", "918.70"])
def test_a_page_with_another_digit_stays_another_page(done, amount):
    assert kind(UNDONE[done](page(amount)), page("418.70")) is None


def test_noise_is_measured_in_grey_levels_whatever_the_picture_shows():
    for rgb in PHOTOGRAPHS.values():
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        noise = np.random.default_rng(9).normal(0, 12, grey.shape)
        measured = noise_level(np.clip(cv2.GaussianBlur(grey, (0, 0), 2) + noise, 0, 255).astype(np.uint8))
        assert 10 < measured < 14


def test_the_map_of_colours_is_found_though_much_is_cut_off_or_covered():
    rng = np.random.default_rng(10)
    source = rng.uniform(0, 255, (2000, 3))
    matrix = np.array([[1.3, -0.2, 0.1, 20], [0.1, 1.1, 0, -10], [-0.1, 0.3, 1.2, 5]])
    target = moved(source, matrix)
    target[:200] = 255
    is_cut = (target <= 0) | (target >= 255)
    assert np.median(np.abs(moved(source, colour_map(source, target, is_cut)) - target)) < 1


def test_most_of_a_picture_may_be_cut_off():
    rng = np.random.default_rng(11)
    source = rng.uniform(0, 255, (2000, 3))
    source[:1800] = 255
    target = moved(source, 1.5 * np.eye(3, 4))
    assert np.abs(colour_map(source, target, target >= 255) - 1.5 * np.eye(3, 4)).max() < 0.1


def test_saturation_keeps_hues_and_an_exchange_of_colours_does_not():
    saturated = 1.5 * np.eye(3) - 0.5 * np.tile(LUMA, (3, 1))
    assert keeps_hues(np.column_stack([1.3 * saturated, np.full(3, -20)]))
    assert not keeps_hues(np.eye(3, 4)[[2, 1, 0]])
    assert not keeps_hues(np.column_stack([np.eye(3), [40, 0, -40]]))
    assert not keeps_hues(np.column_stack([np.tile(LUMA, (3, 1)), np.zeros(3)]))


def test_a_much_brighter_picture_is_a_copy_though_most_of_it_is_cut_off():
    rgb = paint(lambda rng, w, h: through_camera(rng, person(rng, w, h)))
    brighter = np.clip(rgb * 1.7, 0, 255).astype(np.uint8)
    assert (brighter == 255).any(axis=2).mean() > 0.3
    assert kind(brighter, rgb) == "mild"
