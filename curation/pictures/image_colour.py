"""The colours of a decoded picture as it is displayed: 8-bit RGB, on white where it is transparent."""

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageCms


def to_rgb(picture: Image.Image, *, is_opaque: bool) -> Image.Image:
    """Return `picture` in mode RGB: transparency over white unless `is_opaque`, wide samples scaled to 8 bits."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return Image.fromarray(_samples_to_rgb(picture))
    if picture.has_transparency_data and not is_opaque:
        straight = picture.convert("LA") if picture.mode == "La" else picture
        coloured = straight.convert("RGBA")
        canvas = Image.new("RGB", picture.size, (255, 255, 255))
        canvas.paste(coloured, mask=coloured)
        return canvas
    if picture.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
        assert converted is not None  # noqa: S101 - None only for inPlace
        return converted
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def pixels_of(picture: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of a picture in mode RGB, uint8 (height, width, 3).

    Pillow stores four bytes a pixel. Where they are in one block, as those of all but large pictures are, they are
    read there, which takes a tenth of the time of Pillow's own copy.
    """
    try:
        stored = pa.array(picture)
    except (ValueError, TypeError):
        return np.array(picture, dtype=np.uint8)
    four = np.frombuffer(stored.flatten().buffers()[1], np.uint8).reshape(picture.height, picture.width, 4)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB), np.uint8)


def _samples_to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Return one-channel samples wider than 8 bits as grey, uint8 of shape (height, width, 3).

    The range from black to white is the declared depth of 16-bit samples (a TIFF may declare 12 bits), 0 to 65535 for
    32-bit integers if all fit, and 0 to 1 for floats if all fit. Otherwise it is the smallest to the largest finite
    value. Values that are not a number are black. Halves round to even.
    """
    samples = np.asarray(picture)
    low, high = 0.0, 1.0 if picture.mode == "F" else 65535.0
    if picture.mode.startswith("I;16"):
        bits = np.max(getattr(picture, "tag_v2", {}).get(258, 16))  # BitsPerSample of a TIFF
        high = float(2 ** min(16, int(bits)) - 1)
    else:
        numbers = np.isfinite(samples)
        smallest = float(np.min(samples, where=numbers, initial=high))
        largest = float(np.max(samples, where=numbers, initial=low))
        if smallest < low or largest > high:
            low, high = smallest, largest
    grey = np.empty(samples.shape, dtype=np.uint8)
    for row in range(len(samples)):  # one at a time: float64 copies of a large picture would not fit
        scaled = (samples[row].astype(np.float64) - low) * 255.0 / (high - low)
        grey[row] = np.rint(np.clip(np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0), 0, 255))
    return np.repeat(grey[:, :, None], 3, axis=2)
