"""What counts as other content: words, bars and boxes, but not edges, tones, strokes over a page, or softness."""

import dataclasses

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from curation.copies.compare_pixels import compare
from curation.copies.kinds import Evidence, Strictness, kind_of
from curation.copies.rendering import Rendering
from examples.corpus.photographs import city
from tests.support.copying import bordered, paint
from tests.support.pictures import as_jpeg

WORDS = ("report", "number", "market", "annual", "energy", "window", "garden", "office")


def kind(first, second):
    evidence = compare([Rendering(first)], [Rendering(second)])
    found = kind_of(evidence, Strictness(), ("exact", "mild", "overlay", "crop")) if evidence else None
    return None if found is None else str(found)


def textured_page(last="office", *, brightness=1.0):
    """Return lines of words on paper that is nowhere flat."""
    rng = np.random.default_rng(4)
    paper = cv2.GaussianBlur(rng.normal(0, 60, (600, 640)).astype(np.float32), (0, 0), 1.5)[..., None]
    page = Image.fromarray(np.clip(paper + np.array([205, 190, 170]), 0, 255).astype(np.uint8))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(24)
    for row in range(12):
        words = [WORDS[int(place)] for place in rng.integers(0, len(WORDS), 5)]
        pen.text((30, 30 + 44 * row), " ".join([*words, last if row == 6 else "end"]), font=font, fill=(20, 20, 30))
    return np.clip(np.asarray(page) * brightness, 0, 255).astype(np.uint8)


def bars(values=(40, 75, 55, 90, 30), *, tint=(246, 232, 226)):
    """Return a bar chart on a ground of one colour."""
    page = Image.new("RGB", (640, 480), tint)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(20)
    for place, value in enumerate(values):
        left = 80 + place * 105
        pen.rectangle((left, 420 - value * 3.8, left + 70, 420), fill=(60, 110, 180))
        pen.text((left, 430), f"No {place + 1}", font=font, fill="black")
    return np.asarray(page)


def scribbled(rgb):
    """Return `rgb` with strokes of a pen over it."""
    image = Image.fromarray(rgb)
    at = [(180 + 9 * step, 240 + round(50 * np.sin(1.7 * step))) for step in range(30)]
    ImageDraw.Draw(image).line(at, fill=(15, 10, 30), width=4)
    return np.asarray(image)


def test_another_word_on_paper_with_texture_is_another_page():
    assert kind(textured_page("garden"), textured_page()) is None
    assert kind(as_jpeg(textured_page("garden"), 85), textured_page()) is None


@pytest.mark.parametrize("quality", [90, 60])
def test_the_same_page_on_paper_with_texture_is_a_copy(quality):
    assert kind(as_jpeg(textured_page(), quality), textured_page()) == "mild"


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("change", [-14, 10])
def test_a_bar_of_another_height_makes_another_chart(place, change):
    values = [40, 75, 55, 90, 30]
    values[place] += change
    assert kind(bars(values), bars()) is None


def test_strokes_over_bars_are_an_overlay():
    assert kind(scribbled(bars()), bars()) == kind(bars(), scribbled(bars())) == "overlay"


def test_a_border_changes_no_content():
    assert kind(as_jpeg(bordered(bars()), 80), bars()) == "overlay"


def test_a_ground_that_became_white_is_a_change_of_tone():
    brighter = np.clip(bars().astype(np.float32) * 1.25, 0, 255).astype(np.uint8)
    assert kind(brighter, bars()) == kind(bars(), brighter) == "mild"


def test_an_erased_bar_is_not_a_change_of_tone():
    assert kind(bars((40, 75, 0, 90, 30)), bars()) is None


@pytest.mark.parametrize("pixels", [1.5, 3.0])
def test_a_soft_copy_of_fine_texture_is_mild(pixels):
    photograph = np.asarray(paint(city, width=640, height=600))
    rng = np.random.default_rng(1)
    grain = np.clip(photograph + rng.normal(0, 9, photograph.shape), 0, 255).astype(np.uint8)
    assert kind(cv2.GaussianBlur(grain, (0, 0), pixels), grain) == "mild"


def test_a_word_on_plain_ground_proves_nothing():
    sky = np.ascontiguousarray(np.broadcast_to(np.linspace(120, 220, 480)[:, None, None], (480, 640, 3)))
    sky = sky.astype(np.uint8)
    written = Image.fromarray(sky)
    ImageDraw.Draw(written).text((180, 200), "REPORT", font=ImageFont.load_default(60), fill="black")
    assert kind(np.asarray(written), sky) is kind(sky, np.asarray(written)) is None


def test_strokes_count_only_if_the_rest_agrees():
    """As in two bottles with other labels and in other colours, of which the first has a close shape."""
    close = Evidence(
        is_mirrored=False,
        matrix=(1, 0, 0, 0, 1, 0),
        turn_degrees=0.0,
        share_first=1.0,
        share_second=1.0,
        inliers=30,
        patches=61,
        texture=0.3,
        differing=0.39,
        region_share=1.0,
        region_area=0.2,
        sameness=0.99,
        colour=2.0,
        changed=0.5,
        changed_together=1.0,
        changed_area=0.2,
        changed_density=0.6,
        kept=0.73,
        added=0.21,
        lettered=0.29,
        filled=0.1,
    )
    assert kind_of(close, Strictness(), ("mild", "overlay")) == "overlay"
    assert kind_of(dataclasses.replace(close, sameness=0.907), Strictness(), ("mild", "overlay")) is None


def written_page(last="office", row_of_last=5):
    """Return lines of words on white paper, one of which ends with `last`."""
    rng = np.random.default_rng(7)
    page = Image.new("RGB", (700, 640), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(24)
    for row in range(11):
        words = [WORDS[int(place)] for place in rng.integers(0, len(WORDS), 5)]
        pen.text(
            (40, 40 + 52 * row), " ".join([*words, last if row == row_of_last else "end"]), font=font, fill="black"
        )
    return page


def with_mark(mark, x, y):
    """Return a page with a mark beside or between its lines."""
    page = written_page()
    pen = ImageDraw.Draw(page)
    if mark == "dot":
        pen.ellipse((x, y, x + 14, y + 14), fill=(20, 30, 120))
    elif mark == "box":
        pen.rectangle((x, y, x + 60, y + 50), fill=(250, 200, 90))
    elif mark == "ring":
        pen.ellipse((x, y, x + 90, y + 60), outline=(180, 20, 30), width=4)
    elif mark == "name":
        pen.text((x, y), "Smith", font=ImageFont.load_default(34), fill=(20, 30, 120))
    return np.asarray(page)


def stamped(image, *, colour=(170, 25, 35)):
    """Return an image with a slanted stamp in its middle, through which it shows."""
    layer = Image.new("L", image.size, 0)
    pen, (x, y) = ImageDraw.Draw(layer), (image.width // 2, image.height // 2)
    pen.ellipse((x - 110, y - 70, x + 110, y + 70), outline=210, width=6)
    pen.text((x, y), "RECEIVED", font=ImageFont.load_default(30), fill=220, anchor="mm")
    out = image.copy()
    out.paste(colour, (0, 0), layer.rotate(20, Image.Resampling.BICUBIC))
    return np.asarray(out)


@pytest.mark.parametrize("mark", ["dot", "box", "ring", "name"])
@pytest.mark.parametrize("place", [(560, 520), (560, 120), (420, 330)])
def test_a_mark_in_another_place_makes_another_page(mark, place):
    """What is only in one picture here and only in the other there was exchanged, near or far."""
    first, second = with_mark(mark, 560, 300), with_mark(mark, *place)
    assert kind(first, second) is kind(second, first) is None
    assert kind(as_jpeg(first, 80), second) is None


@pytest.mark.parametrize("mark", ["ring", "name"])
def test_a_mark_that_only_one_page_has_is_laid_over(mark):
    page = np.asarray(written_page())
    for x, y in ((560, 300), (420, 330), (120, 150)):
        marked = with_mark(mark, x, y)
        assert kind(marked, page) == kind(page, marked) == "overlay", (x, y)


@pytest.mark.parametrize("under", [written_page, lambda: Image.fromarray(bars())], ids=["words", "bars"])
def test_a_stamp_is_laid_over(under):
    plain, marked = np.asarray(under()), stamped(under())
    assert kind(marked, plain) == kind(plain, marked) == "overlay"
    assert kind(as_jpeg(marked, 70), plain) == "overlay"


@pytest.mark.parametrize("row", [0, 3, 5, 10])
def test_another_word_beside_a_stamp_makes_another_page(row):
    """Near it or far from it."""
    first, second = stamped(written_page("garden", row)), np.asarray(written_page("office", row))
    assert kind(first, second) is kind(second, first) is None
    assert kind(stamped(written_page("office", row)), second) == "overlay"


def numbered(number, *, size_px=11, grey=0):
    """Return a page with a small number below its lines."""
    page = written_page()
    ImageDraw.Draw(page).text((600, 612), number, font=ImageFont.load_default(size_px), fill=(grey,) * 3)
    return page


@pytest.mark.parametrize("numbers", [("351678", "351628"), ("303.88", "803.88"), ("568.70", "568.20")])
def test_another_small_digit_far_from_a_stamp_makes_another_page(numbers):
    """It has hardly more strokes than the other one, as if something small was only added there."""
    first, second = stamped(numbered(numbers[0])), np.asarray(numbered(numbers[1]))
    assert kind(first, second) is kind(second, first) is None
    assert kind(stamped(numbered(numbers[1])), second) == "overlay"


@pytest.mark.parametrize("numbers", [("14", "74"), ("2020", "2820")])
@pytest.mark.parametrize("grey", [215, 226])
def test_a_faint_digit_counts(numbers, grey):
    first, second = (np.asarray(numbered(each, size_px=14, grey=grey)) for each in numbers)
    assert kind(first, second) is kind(second, first) is None
    assert kind(as_jpeg(first, 90), first) == kind(first, as_jpeg(first, 90)) == "mild"


@pytest.mark.parametrize("size", [40, 90])
@pytest.mark.parametrize("words", [("I", "WONDERFUL DAY"), ("7", "Absolutely"), ("Sold", "0"), ("No", "Yes")])
def test_a_long_word_instead_of_a_short_one_is_not_laid_over(words, size):
    pages = []
    for word in words:
        page = written_page()
        pen = ImageDraw.Draw(page)
        pen.rectangle((0, 180, 700, 400), fill="white")
        pen.text((350, 290), word, font=ImageFont.load_default(size), fill=(20, 20, 60), anchor="mm")
        pages.append(np.asarray(page))
    assert kind(*pages) is kind(*pages[::-1]) is None


def test_another_caption_makes_another_picture_and_a_first_one_is_laid_over():
    photograph = np.asarray(paint(city, width=640, height=600))

    def captioned(words):
        image = Image.fromarray(photograph)
        font = ImageFont.load_default(52)
        ImageDraw.Draw(image).text(
            (320, 540), words, font=font, fill="white", anchor="mm", stroke_width=4, stroke_fill="black"
        )
        return np.asarray(image)

    assert kind(captioned("window garden"), photograph) == "overlay"
    assert kind(captioned("window garden"), captioned("energy market")) is None
    assert kind(captioned("window garden"), captioned("window market")) is None


def test_a_room_marked_instead_of_another_is_another_plan():
    def plan(marked):
        page = Image.new("RGB", (640, 480), "white")
        pen = ImageDraw.Draw(page)
        for room in range(6):
            x, y = 40 + 190 * (room % 3), 40 + 200 * (room // 3)
            fill = (150, 190, 230) if room == marked else None
            pen.rectangle((x, y, x + 190, y + 200), fill=fill, outline="black", width=5)
            pen.text((x + 95, y + 100), str(101 + room), font=ImageFont.load_default(28), fill="black", anchor="mm")
        return np.asarray(page)

    for room in range(1, 6):
        assert kind(plan(0), plan(room)) is kind(plan(room), plan(0)) is None, room
    assert kind(as_jpeg(plan(0), 75), plan(0)) == "mild"


def test_what_uncovers_something_was_not_laid_over():
    laid = Evidence(
        is_mirrored=False,
        matrix=(1, 0, 0, 0, 1, 0),
        turn_degrees=0.0,
        share_first=1.0,
        share_second=1.0,
        inliers=None,
        patches=400,
        texture=0.4,
        differing=0.05,
        region_share=1.0,
        region_area=0.05,
        sameness=0.99,
        colour=2.0,
        changed=0.1,
        changed_together=1.0,
        changed_area=0.05,
        changed_density=0.5,
        kept=1.0,
        added=0.9,
        clear=0.3,
        on_ground=0.9,
    )
    copies = ("mild", "overlay")
    assert kind_of(laid, Strictness(), copies) == "overlay"
    assert kind_of(dataclasses.replace(laid, uncovered=0.3), Strictness(), copies) is None
    assert kind_of(dataclasses.replace(laid, moved=0.4), Strictness(), copies) is None
    scattered = dataclasses.replace(laid, changed_together=0.3, region_share=0.2)
    assert kind_of(scattered, Strictness(mild=0.9), copies) == "mild"
    assert kind_of(dataclasses.replace(scattered, moved=0.4), Strictness(mild=0.9), copies) is None
    assert kind_of(dataclasses.replace(scattered, uncovered=0.9), Strictness(mild=0.9), copies) == "mild"
    other = dataclasses.replace(scattered, clear=0.5, uncovered=0.9)
    assert kind_of(other, Strictness(mild=0.9), copies) is None
    band = dataclasses.replace(
        laid, changed_area=0.2, changed_density=0.6, kept=0.3, added=0.6, on_ground=0.1, lettered=0.45
    )
    assert kind_of(band, Strictness(), copies) == "overlay"
    assert kind_of(dataclasses.replace(band, uncovered=0.05), Strictness(), copies) is None
    strewn = dataclasses.replace(laid, differing=0.29, region_share=0.71, sameness=0.97)
    assert kind_of(strewn, Strictness(), copies) is None, "what differs elsewhere was not laid over"
