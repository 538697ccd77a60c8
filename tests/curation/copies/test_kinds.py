"""Kinds of copies on images of the corpus: every kind is recognised, and unrelated images are no copies."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from curation.copies.compare_pixels import compare
from curation.copies.kinds import Evidence, Strictness, kind_of
from curation.copies.rendering import Rendering, renderings
from curation.pictures.decode import DEFAULT_LIMITS
from examples.corpus.charts import bar_chart, line_chart
from examples.corpus.documents import code, letter, news_page
from examples.corpus.photographs import city, landscape, person, still_life
from examples.corpus.samples import picture
from examples.corpus.textures import through_camera
from tests.support.copying import COPIES, cropped, mirrored, paint, written_on
from tests.support.pictures import as_jpeg

pytestmark = pytest.mark.slow

PAINTERS = (landscape, city, person, still_life, bar_chart, line_chart, code, letter)
EVERY = ("exact", "mild", "overlay", "crop", "mirror", "turn")


def seen_by_camera(painter):
    return lambda rng, w, h: through_camera(rng, painter(rng, w, h))


PICTURES = {
    painter.__name__: paint(seen_by_camera(painter) if painter in PAINTERS[:4] else painter) for painter in PAINTERS
}


def evidence_of(first, second):
    return compare([Rendering(first)], [Rendering(second)])


def kind(first, second, copies=EVERY, strictness=None):
    evidence = evidence_of(first, second)
    found = kind_of(evidence, strictness or Strictness(), copies) if evidence else None
    return None if found is None else str(found)


@pytest.mark.parametrize("done", COPIES)
def test_each_kind_is_recognised(done):
    """For a few images too little is left to prove it, but none gets a wrong kind."""
    wanted, change = COPIES[done]
    found = [kind(change(original), original) for original in PICTURES.values()]
    assert set(found) <= {wanted, None}
    assert found.count(wanted) >= len(PICTURES) - 2


@pytest.mark.parametrize("done", ["half", "aspect", "blur"])
def test_a_mild_copy_is_one_both_ways(done):
    for name, original in list(PICTURES.items())[::2]:
        copy = COPIES[done][1](original)
        assert kind(copy, original) == kind(original, copy) == "mild", name


def test_unrelated_images_are_no_copies():
    names = list(PICTURES)
    for place, name in enumerate(names):
        for other in names[:place]:
            assert kind(PICTURES[name], PICTURES[other]) is None, (name, other)


@pytest.mark.parametrize("painter", [bar_chart, line_chart, letter, news_page, code])
def test_two_pages_of_one_template_are_no_copies(painter):
    pages = [paint(painter, seed) for seed in (11, 12, 13)]
    assert [kind(pages[a], pages[b]) for a, b in ((0, 1), (0, 2), (1, 2))] == [None] * 3


def chart(values=(40, 75, 55, 90, 30), labels=("North", "South", "East", "West", "Centre"), title="Sales by region"):
    """Return a bar chart of one template."""
    page = Image.new("RGB", (640, 480), "white")
    pen, font, small = ImageDraw.Draw(page), ImageFont.load_default(28), ImageFont.load_default(20)
    pen.text((200, 20), title, font=font, fill="black")
    for tick in range(5):
        pen.line((80, 420 - tick * 80, 620, 420 - tick * 80), fill=(200, 200, 200))
        pen.text((30, 408 - tick * 80), str(tick * 25), font=small, fill="black")
    for place, (value, label) in enumerate(zip(values, labels, strict=True)):
        left = 100 + place * 105
        pen.rectangle((left, 420 - value * 3.2, left + 70, 420), fill=(60, 110, 180))
        pen.text((left, 430), label, font=small, fill="black")
    return np.asarray(page)


@pytest.mark.parametrize(
    "other",
    [
        {"values": (80, 35, 60, 45, 95)},
        {"labels": ("2019", "2020", "2021", "2022", "2023"), "title": "Rainfall by year"},
    ],
    ids=["data", "labels"],
)
def test_charts_of_one_template_are_no_copies(other):
    assert kind(chart(), chart()) == "mild"
    assert kind(as_jpeg(chart(), 50), chart()) == "mild"
    assert kind(chart(**other), chart()) is None


def test_a_chart_with_one_label_changed_is_another_chart():
    assert kind(chart(labels=("North", "South", "East", "Wales", "Centre")), chart()) is None


def test_one_changed_label_is_seen_and_refused_by_more_strictness():
    evidence = evidence_of(chart(labels=("North", "South", "East", "Wales", "Centre")), chart())
    assert evidence.differing > 0
    assert kind_of(evidence, Strictness(mild=1.0), ("exact", "mild")) is None


@pytest.mark.parametrize("value", [0, 90, 255])
def test_plain_images_prove_nothing(value):
    plain = np.full((300, 400, 3), value, np.uint8)
    ramp = np.ascontiguousarray(
        np.broadcast_to(np.linspace(0, 60, 400).astype(np.uint8)[None, :, None], (300, 400, 3))
    )
    for first, second in ((plain, plain), (plain, ramp), (plain, PICTURES["city"]), (PICTURES["letter"], plain)):
        assert kind(first, second) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 4)])
def test_any_shape_is_compared(shape):
    tiny = np.zeros((*shape, 3), np.uint8)
    for other in (tiny, PICTURES["city"]):
        assert kind(tiny, other) is kind(other, tiny) is None


def test_a_copy_that_ignores_transparency_is_recognised():
    page = Image.fromarray(PICTURES["code"]).convert("L")
    ink = Image.new("RGBA", page.size, (0, 0, 0, 0))
    ink.putalpha(page.point(lambda value: 255 - value))
    clear, black = io.BytesIO(), io.BytesIO()
    drawn = Image.fromarray(PICTURES["city"]).resize(page.size).convert("RGBA")
    drawn.putalpha(ink.getchannel("A"))
    drawn.save(clear, "PNG")
    drawn.convert("RGB").save(black, "PNG")  # drops the alpha, as many programs do
    seen = renderings(clear.getvalue(), DEFAULT_LIMITS)
    assert len(seen) == 2
    found = compare(seen, renderings(black.getvalue(), DEFAULT_LIMITS))
    assert kind_of(found, Strictness(), EVERY) == "mild"
    assert renderings(b"no picture", DEFAULT_LIMITS) == []
    assert compare([], seen) is compare(seen, []) is None


@pytest.mark.parametrize(("done", "wanted"), [(done, wanted) for done, (wanted, _) in COPIES.items()])
def test_a_kind_counts_only_when_it_is_configured(done, wanted):
    original = PICTURES["city"]
    copy = COPIES[done][1](original)
    corners = ("overlay",) if done == "turn 5" else ()  # paper beside a turned image
    assert kind(copy, original, ("exact", wanted, *corners)) == wanted
    assert kind(copy, original, set(EVERY) - {wanted}) is None
    assert kind(copy, original, ("exact",)) is None


def test_a_mirrored_crop_needs_both():
    original = PICTURES["city"]
    copy = mirrored(cropped(original, 0.6))
    assert kind(copy, original) == "mirror"
    assert kind(copy, original, ("exact", "mirror", "crop")) == "mirror"
    assert (
        kind(copy, original, ("exact", "mild", "mirror")) is kind(copy, original, ("exact", "mild", "crop")) is None
    )


def test_full_strictness_accepts_no_difference():
    full = Strictness(**dict.fromkeys(("mild", "overlay", "crop", "mirror", "turn"), 1.0))
    for name in ("city", "letter"):
        original = PICTURES[name]
        assert kind(as_jpeg(written_on(original), 70), original, strictness=full) is None
        assert kind(original, original, strictness=full) == "mild"


def test_more_strictness_finds_no_more_copies():
    """Where it still finds a copy, the kind is the same."""
    for done, change in ((done, change) for done, (_, change) in COPIES.items()):
        evidence = evidence_of(change(PICTURES["city"]), PICTURES["city"])
        found = [
            kind_of(evidence, Strictness(**dict.fromkeys(("mild", "overlay", "crop", "mirror", "turn"), s)), EVERY)
            for s in (0.5, 0.8, 0.95, 1.0)
        ]
        kinds = [each for each in found if each is not None]
        assert found == kinds + [None] * (len(found) - len(kinds)), done
        assert len(set(kinds)) == 1, done


def test_equal_images_give_equal_evidence():
    first, second = COPIES["turn 5"][1](PICTURES["city"]), PICTURES["city"]
    once, again = (evidence_of(first.copy(), second.copy()) for _ in range(2))
    assert dataclasses.asdict(once) == dataclasses.asdict(again)


@pytest.mark.parametrize("degrees", [-35, 10, 17])
def test_a_long_picture_whose_turn_cuts_its_corners_is_turned(degrees):
    """Each of both lacks up to a half of the other; what a turn can leave is there."""
    original = paint(seen_by_camera(city), width=1200, height=400)
    turned = np.asarray(Image.fromarray(original).rotate(degrees, Image.Resampling.BICUBIC))
    shown = evidence_of(turned, original)
    assert max(shown.share_first, shown.share_second) < 0.9
    assert kind(turned, original) == kind(original, turned) == "turn"


def test_parts_of_a_picture_that_are_shifted_are_no_copies():
    """Neither contains the other, and without a turn nothing had to be cut."""
    original = paint(seen_by_camera(city), width=1200, height=400)
    assert kind(original[:, :850], original[:, 350:]) is None


def test_a_product_in_another_colour_and_with_another_label_is_another_product():
    """Its label covers all that is below, as a band that is laid over a picture does."""
    first, second = (np.asarray(Image.open(io.BytesIO(picture(7, index).content))) for index in (738, 1279))
    assert evidence_of(first, second).changed_together > 0.9
    assert kind(first, second) is None


def test_a_few_stripes_that_agree_are_no_shared_part():
    """Bars of two charts agree, and both charts go on where the other one ends."""
    evidence = Evidence(
        is_mirrored=False, matrix=(0.797, 0, -0.105, 0, 0.870, 0.210), turn_degrees=0.0, share_first=0.803,
        share_second=0.557, inliers=4, patches=28, texture=1.0, differing=0.0, region_share=0.0, region_area=0.0,
        sameness=0.948, colour=47.2, changed=0.0,
    )  # fmt: skip
    assert kind_of(evidence, Strictness(), EVERY) is None
    assert kind_of(dataclasses.replace(evidence, share_first=1.0), Strictness(), EVERY) is not None
    assert kind_of(dataclasses.replace(evidence, patches=60), Strictness(), EVERY) is not None


EXCHANGED = {
    "hand of a clock": {
        "changed": 0.1463, "changed_area": 0.0689, "changed_density": 0.363, "kept": 0.628, "added": 0.178,
        "lettered": 0.034, "filled": 0.027, "clear": 0.405, "on_ground": 0.102, "uncovered": 0.088, "replaced": 0.253,
    },
    "taller bar": {
        "changed": 0.1786, "changed_area": 0.109, "changed_density": 0.358, "kept": 0.273, "added": 0.735,
        "lettered": 0.004, "filled": 0.33, "clear": 0.49, "on_ground": 0.015,
    },
}  # fmt: skip
LAID_OVER = {"hand of a clock": {"uncovered": 0.0, "replaced": 0.0}, "taller bar": {"filled": 0.2}}


@pytest.mark.parametrize("name", EXCHANGED)
def test_a_thing_in_another_place_or_of_another_size_is_not_laid_over(name):
    """The evidence is that of drawn pages; with what tells them from an overlay left out, it is one."""
    evidence = Evidence(
        is_mirrored=False, matrix=(1, 0, 0, 0, 1, 0), turn_degrees=0.0, share_first=1.0, share_second=1.0,
        inliers=None, patches=300, texture=0.235, differing=0.13, region_share=1.0, region_area=0.1, sameness=1.0,
        colour=2.0, changed_together=1.0, **EXCHANGED[name],
    )  # fmt: skip
    assert kind_of(evidence, Strictness(), EVERY) is None
    assert kind_of(dataclasses.replace(evidence, **LAID_OVER[name]), Strictness(), EVERY) == "overlay"
