"""Pixels for a trainer: those of the scan, upright and in RGB, in squares, the same from any thread."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from curation.feed.pixels import FITS, Fit, NotDecoded, pixels
from curation.pictures.decode import DEFAULT_LIMITS, DecodeLimits, decode, decode_beside
from manifests.errors import InputError

WHOLE = Fit()


def random(seed=0):
    return np.random.default_rng(seed)


def picture(width=120, height=80, mode="RGB"):
    values = random().integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def stored(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return stored(picture(), "JPEG", exif=exif)


STORED = {
    "jpeg": stored(picture(), "JPEG"),
    "grey jpeg": stored(picture(mode="L"), "JPEG"),
    "cmyk jpeg": stored(picture(mode="CMYK"), "JPEG"),
    "progressive jpeg": stored(picture(), "JPEG", progressive=True),
    **{f"jpeg turned {n}": turned(n) for n in range(1, 10)},
    "cut jpeg": stored(picture(600, 400), "JPEG")[:9000],
    "jpeg with a damaged header": stored(picture(), "JPEG").replace(b"JFIF", b"JFIX"),
    "png": stored(picture(), "PNG"),
    "png with transparency": stored(picture(mode="RGBA"), "PNG"),
    "png with 16 bits": stored(picture(mode="L").convert("I;16"), "PNG"),
    "cut png": stored(picture(600, 400), "PNG")[:-3000],
    "webp": stored(picture(), "WEBP"),
    "gif": stored(picture(), "GIF"),
    "tiff": stored(picture(), "TIFF"),
    "nothing": b"",
    "no picture": b"\xff\xd8\xff" + bytes(100),
}


@pytest.mark.parametrize("name", STORED)
def test_pixels_are_those_of_the_scan(name):
    expected = decode(STORED[name]).rgb
    if expected is None:
        with pytest.raises(NotDecoded):
            pixels(STORED[name], WHOLE, DEFAULT_LIMITS, random())
    else:
        assert (pixels(STORED[name], WHOLE, DEFAULT_LIMITS, random()) == expected).all()


def test_threads_get_what_one_gets():
    names = [name for name in STORED for _ in range(10)]
    alone = {name: decode_beside(STORED[name]).rgb for name in STORED}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: decode_beside(STORED[name]).rgb, names))
    for name, rgb in zip(names, found, strict=True):
        assert np.array_equal(rgb, alone[name]), name


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("sides", [(120, 80), (80, 120), (2000, 30), (1, 1), (64, 64), (3000, 2500)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_squares_have_their_size(how, sides, kind):
    found = pixels(stored(picture(*sides), kind), Fit(size=64, how=how), DEFAULT_LIMITS, random())
    assert found.shape == (64, 64, 3)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_a_jpeg_is_decoded_smaller_without_looking_different(how):
    large = picture(2400, 1600)
    fit = Fit(size=100, how=how)
    small = pixels(stored(large, "JPEG", quality=95), fit, DEFAULT_LIMITS, random())
    whole = pixels(stored(large, "PNG"), fit, DEFAULT_LIMITS, random())
    assert np.abs(small.astype(int) - whole).mean() < 2


def test_crop_takes_the_middle_and_pad_keeps_all():
    image = Image.new("RGB", (300, 100), "white")
    image.paste((255, 0, 0), (0, 0, 100, 100))
    image.paste((0, 255, 0), (100, 0, 200, 100))
    data = stored(image, "PNG")
    crop = pixels(data, Fit(size=50, how="crop"), DEFAULT_LIMITS, random())
    assert (crop == (0, 255, 0)).all()
    pad = pixels(data, Fit(size=90, how="pad"), DEFAULT_LIMITS, random())
    assert (pad[:30] == 255).all() and (pad[60:] == 255).all()
    assert (pad[45, 10] == (255, 0, 0)).all() and (pad[45, 45] == (0, 255, 0)).all()


def test_random_crops_are_of_the_random_numbers_alone():
    crops = [pixels(STORED["png"], Fit(size=32, how="random_crop"), DEFAULT_LIMITS, random(n)) for n in (0, 0, 1)]
    assert (crops[0] == crops[1]).all()
    assert (crops[0] != crops[2]).any()


def test_too_many_pixels_or_bytes_are_refused_before_decoding():
    for name in ("jpeg", "png"):
        for limits in (DecodeLimits(max_pixels=100), DecodeLimits(max_bytes=50)):
            with pytest.raises(NotDecoded, match="too_large"):
                pixels(STORED[name], Fit(size=8), limits, random())


@pytest.mark.parametrize(("given", "message"), [({"size": 5000}, "size: 5000"), ({"how": "cut"}, "fit: 'cut'")])
def test_other_fits_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        Fit(**given)
