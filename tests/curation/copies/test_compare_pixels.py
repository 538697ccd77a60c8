"""Laws of the comparison: its order does not matter, and a cheaper proof says what a dearer one says."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from curation.copies.alignment import Alignment
from curation.copies.compare_pixels import compare
from curation.copies.kinds import Strictness, kind_of
from curation.copies.patches import lay_fine, looks_equal
from curation.copies.rendering import Rendering
from curation.pictures.local_features import local_features
from examples.corpus.charts import bar_chart
from examples.corpus.documents import letter, receipt, table
from examples.corpus.photographs import city, still_life
from examples.corpus.textures import through_camera
from tests.support.copying import COPIES, paint
from tests.support.pictures import as_jpeg

pytestmark = pytest.mark.slow

EVERY = ("exact", "mild", "recolour", "overlay", "crop", "mirror", "turn")
PICTURES = {
    "city": paint(lambda rng, w, h: through_camera(rng, city(rng, w, h))),
    "still life": paint(lambda rng, w, h: through_camera(rng, still_life(rng, w, h))),
    **{each.__name__: paint(each, width=700, height=560) for each in (bar_chart, letter, table, receipt)},
}


def rendering(rgb, *, with_points=False):
    found = local_features(rgb) if with_points else None
    return [Rendering(rgb, points=found.points if found else b"")]


def kind(evidence, copies=EVERY):
    found = kind_of(evidence, Strictness(), copies) if evidence else None
    return None if found is None else str(found)


@pytest.mark.parametrize("done", ["jpeg", "half", "text", "crop 75", "mirror", "turn 90"])
def test_the_order_of_the_pictures_only_inverts_the_map(done):
    for name, original in PICTURES.items():
        copy = COPIES[done][1](original)
        there, back = compare(rendering(copy), rendering(original)), compare(rendering(original), rendering(copy))
        assert (there is None) == (back is None), name
        if there is None:
            continue
        assert (there.share_first, there.share_second) == (back.share_second, back.share_first)
        assert (there.differing, there.changed, there.recoloured) == (back.differing, back.changed, back.recoloured)
        corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1]], float)
        here = corners.copy()
        for each in (there, back):
            if each.is_mirrored:
                here[:, 0] = 1 - here[:, 0]
            here[:, :2] = here @ np.reshape(each.matrix, (2, 3)).T
        assert np.abs(here - corners).max() < 0.01


@pytest.mark.parametrize("done", list(COPIES))
def test_stored_keypoints_contradict_no_fresh_ones(done):
    for name, original in PICTURES.items():
        copy = COPIES[done][1](original)
        stored = compare(rendering(copy, with_points=True), rendering(original, with_points=True))
        fresh = compare(rendering(copy), rendering(original))
        assert {kind(stored), kind(fresh)} <= {COPIES[done][0], None}, name


@pytest.mark.parametrize("name", list(PICTURES))
def test_a_picture_is_a_copy_of_itself(name):
    evidence = compare(rendering(PICTURES[name]), rendering(PICTURES[name].copy()))
    assert kind(evidence) == "mild"
    assert evidence.differing == 0
    assert not evidence.changed
    assert evidence.recoloured == 0


def page(amount="418.70", colour=(60, 110, 180), size=1.0):
    """Return a bill with a coloured bar and a sum."""
    image = Image.new("RGB", (900, 640), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    pen.rectangle((60, 40, 840, 100), fill=colour)
    for row in range(14):
        pen.text(
            (70, 130 + row * 34), f"Position {row + 1} of the bill, {row * 37 + 12} pieces", font=font, fill="black"
        )
        pen.text((720, 130 + row * 34), amount if row == 9 else f"{row * 91 + 140}.50", font=font, fill="black")
    return np.asarray(image.resize((round(900 * size), round(640 * size)), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("quality", [60, 90])
@pytest.mark.parametrize("amount", ["418.71", "413.70", "918.70"])
def test_a_page_with_one_other_digit_is_another_page(amount, quality):
    assert kind(compare(rendering(as_jpeg(page(amount), quality)), rendering(page()))) is None


@pytest.mark.parametrize("quality", [50, 90])
@pytest.mark.parametrize("size", [0.7, 1.0])
def test_the_same_page_stays_a_copy(quality, size):
    assert kind(compare(rendering(as_jpeg(page(size=size), quality)), rendering(page()))) == "mild"


def test_a_stamp_is_an_overlay():
    image = Image.fromarray(page())
    pen = ImageDraw.Draw(image)
    pen.ellipse((380, 400, 620, 520), outline=(180, 20, 30), width=6)
    pen.text((440, 440), "PAID", font=ImageFont.load_default(44), fill=(180, 20, 30))
    assert kind(compare(rendering(np.asarray(image)), rendering(page()))) == "overlay"


def test_a_part_in_another_colour_is_a_kind_of_its_own():
    other = compare(rendering(page(colour=(180, 60, 60))), rendering(page()))
    assert kind(other) == "recolour"
    assert kind(other, ("exact", "mild", "overlay", "crop", "mirror", "turn")) is None


@pytest.mark.parametrize("name", ["city", "table"])
def test_another_tone_of_the_whole_picture_is_mild(name):
    rgb = PICTURES[name].astype(np.float32)
    grey = rgb.mean(axis=2, keepdims=True)
    for toned in (rgb * 0.8 + 20, rgb * [1, 0.93, 0.82], grey + 0.6 * (rgb - grey)):
        copy = np.clip(toned, 0, 255).astype(np.uint8)
        assert kind(compare(rendering(copy), rendering(PICTURES[name]))) == "mild"


def test_pictures_look_equal_after_encoding_and_other_tones_and_not_with_one_small_thing():
    """Only what looks equal is not compared letter by letter."""
    original = np.asarray(paint(city, width=800, height=600))
    toned = np.clip(original * 0.8 + 20, 0, 255).astype(np.uint8)
    marked = original.copy()
    marked[300:306, 400:404] = 255 - marked[300:306, 400:404].mean(axis=(0, 1)).astype(np.uint8)
    whole = Alignment(is_mirrored=False, matrix=np.eye(3)[:2], inliers=None)
    faint = (original * 0.1 + 100).astype(np.uint8)
    equal, other = (as_jpeg(original, 95), toned), (marked, 255 - original, faint, np.full_like(original, 120))
    for picture, wanted in [*((each, True) for each in equal), *((each, False) for each in other)]:
        laid = lay_fine(Rendering(original), Rendering(picture), whole)
        assert laid is not None
        assert looks_equal(laid) == wanted


def mist(words="", *, trees=((150, 40), (480, 60), (760, 50))):
    """Return a picture of which hardly anything has texture: a grey slope, trees, and words in larger letters."""
    slope = np.linspace(215, 150, 640)[:, None, None] + np.linspace(-10, 10, 900)[None, :, None]
    image = Image.fromarray(np.broadcast_to(slope, (640, 900, 3)).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for x, height in trees:
        pen.polygon([(x - height / 3, 420), (x, 420 - height), (x + height / 3, 420)], fill=(60, 64, 66))
    pen.text((60, 560), words, font=ImageFont.load_default(54), fill=(30, 30, 34))
    return np.asarray(image)


@pytest.mark.parametrize("words", ["Good morning", "Good morning to all of you"])
def test_words_on_a_plain_picture_are_an_overlay_and_other_words_another_picture(words):
    """The words have most of the patches with texture, and all else is the same."""
    written = rendering(as_jpeg(mist(words), 80))
    assert kind(compare(written, rendering(mist()))) == "overlay"
    assert kind(compare(written, rendering(mist(words.replace("morning", "evening"))))) is None
    assert kind(compare(written, rendering(mist(trees=((260, 50), (600, 44), (690, 62)))))) is None


@pytest.mark.parametrize("size", [(12, 400), (400, 12), (9, 9), (17, 1000)])
def test_strips_and_stamps_are_compared_with_anything(size):
    """Turned, too, where not even one patch is left of them."""
    strip = np.asarray(paint(city, width=400, height=300))[: size[1], : size[0]]
    strip = np.resize(strip, (size[1], size[0], 3))
    for other in (PICTURES["city"], strip, np.asarray(Image.fromarray(strip).rotate(10, expand=True))):
        for found in (compare(rendering(strip), rendering(other)), compare(rendering(other), rendering(strip))):
            assert found is None or found.patches > 0
