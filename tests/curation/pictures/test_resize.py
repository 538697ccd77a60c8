"""Resized pictures: the shorter side has the wanted length, nothing is enlarged, the bytes are always the same."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.pictures.decode import DEFAULT_LIMITS, decode
from curation.pictures.resize import MAX_SIDE, MIN_SIDE, Resize, resize, resized_format

sides = st.integers(1, 3000)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    """Return a smooth picture, whose pixels any good filter keeps nearly."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


@given(sides, sides, st.integers(MIN_SIDE, MAX_SIDE))
def test_the_shorter_side_gets_the_length_and_the_ratio_stays(width, height, side):
    size = Resize(side=side).size(width, height)
    if min(width, height) <= side:
        assert size is None
        return
    assert size is not None
    assert min(size) == side
    assert abs(size[0] * height - size[1] * width) <= max(width, height)
    assert Resize(side=side).size(*size) is None


@pytest.mark.parametrize("text", ["512", "512:crop", "0:keep-ratio", "15:keep-ratio", "99999:keep-ratio", "x"])
def test_what_is_not_a_side_is_refused(text):
    with pytest.raises(ValueError, match=r"as in 512:keep-ratio"):
        Resize.parse(text)


def test_a_side_is_read():
    assert Resize.parse("512:keep-ratio") == Resize(side=512)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "GIF", "TIFF", "BMP"])
def test_pixels_stay_what_they_were_and_bytes_are_reproducible(kind):
    data = encoded(gradient(640, 320), kind)
    found = resize(data, (128, 64), DEFAULT_LIMITS)
    assert found is not None
    assert resize(data, (128, 64), DEFAULT_LIMITS) == found
    with Image.open(io.BytesIO(found.data)) as picture:
        assert (picture.format, picture.mode, picture.size) == (resized_format(kind), "RGB", (128, 64))
        difference = np.asarray(picture, np.float64) - np.asarray(gradient(128, 64), np.float64)
    assert abs(difference).mean() < (12 if kind == "GIF" else 3)
    assert found.extension == {"JPEG": "jpg", "PNG": "png"}[resized_format(kind)]
    assert (found.width, found.height) == (128, 64)


def test_pictures_are_upright_and_on_white():
    turned = gradient(640, 320)
    exif = turned.getexif()
    exif[274] = 6
    data = encoded(turned, "JPEG", exif=exif)
    upright = decode(data)
    assert (upright.width, upright.height) == (320, 640)
    found = resize(data, (64, 128), DEFAULT_LIMITS)
    assert found is not None
    with Image.open(io.BytesIO(found.data)) as picture:
        assert (picture.size, dict(picture.getexif())) == ((64, 128), {})
        assert upright.rgb is not None
        small = np.asarray(Image.fromarray(upright.rgb).resize((64, 128)), np.float64)
        assert abs(np.asarray(picture, np.float64) - small).mean() < 3
    clear = resize(encoded(Image.new("RGBA", (80, 80), (9, 9, 9, 0)), "PNG"), (32, 32), DEFAULT_LIMITS)
    assert clear is not None
    with Image.open(io.BytesIO(clear.data)) as picture:
        assert picture.getextrema() == ((255, 255),) * 3


def test_what_cannot_be_decoded_is_not_resized():
    assert resize(b"no picture", (32, 32), DEFAULT_LIMITS) is None
