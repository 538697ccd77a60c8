"""The evidence that is drawn for a pair is where the pictures differ, however one of them was turned or cut."""

import dataclasses

import cv2
import numpy as np
import pytest

from curation.copies.compare_pixels import compare
from curation.copies.draw import DIFFERING_COLOUR, FRAME_COLOUR, closest_pair, draw_pair, pair_marks
from curation.copies.rendering import Rendering
from examples.corpus.photographs import city
from examples.corpus.textures import through_camera
from tests.support.copying import paint
from tests.support.pictures import as_jpeg

ORIGINAL = paint(lambda rng, w, h: through_camera(rng, city(rng, w, h)), width=640, height=480)
LEFT, TOP, RIGHT, BOTTOM = 0.5, 0.25, 0.8, 0.5  # where the stamp is, in parts of the sides


def stamped():
    copy = ORIGINAL.copy()
    height, width = copy.shape[:2]
    box = copy[round(TOP * height) : round(BOTTOM * height), round(LEFT * width) : round(RIGHT * width)]
    box[:] = np.random.default_rng(1).integers(0, 256, box.shape, dtype=np.uint8)
    return copy


def marks_of(copy, original):
    found = compare([Rendering(copy)], [Rendering(original)])
    assert found is not None
    return pair_marks(copy, original, dataclasses.asdict(found)), found


def contains(quads, left, top, right, bottom, *, slack=0.05):
    low, high = quads.min(axis=(0, 1)), quads.max(axis=(0, 1))
    assert np.abs(low - [left, top]).max() < slack
    assert np.abs(high - [right, bottom]).max() < slack


def test_patches_that_differ_are_where_something_was_put():
    marks, found = marks_of(as_jpeg(stamped(), 90), ORIGINAL)
    assert found.differing > 0
    for quads in (marks.first_patches, marks.second_patches):
        contains(quads, LEFT, TOP, RIGHT, BOTTOM)


def test_a_mirrored_copy_is_marked_where_it_differs():
    marks, found = marks_of(np.ascontiguousarray(stamped()[:, ::-1]), ORIGINAL)
    assert found.is_mirrored
    contains(marks.first_patches, 1 - RIGHT, TOP, 1 - LEFT, BOTTOM)
    contains(marks.second_patches, LEFT, TOP, RIGHT, BOTTOM)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_a_part_lies_in_the_frame_from_which_it_was_cut(scale):
    height, width = ORIGINAL.shape[:2]
    left, top, right, bottom = 0.1, 0.2, 0.9, 0.95
    part = ORIGINAL[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    marks, _ = marks_of(part, ORIGINAL)
    contains(marks.second_frame, left, top, right, bottom, slack=0.01)
    marks, _ = marks_of(ORIGINAL, part)
    contains(marks.first_frame, left, top, right, bottom, slack=0.01)


def test_a_pair_is_drawn_side_by_side_and_red_where_it_differs():
    evidence = dataclasses.asdict(marks_of(stamped(), ORIGINAL)[1])
    sheet = draw_pair(stamped(), ORIGINAL, evidence, side_pixels=320)
    assert sheet.dtype == np.uint8
    assert sheet.shape[:2] == (240, 320 + 16 + 320)
    rows, columns = np.nonzero((sheet == DIFFERING_COLOUR).all(axis=2))
    in_second = columns[columns >= 336] - 336
    assert len(rows)
    assert abs(in_second.min() / 320 - LEFT) < 0.06
    assert abs(in_second.max() / 320 - RIGHT) < 0.06
    assert np.array_equal(sheet, draw_pair(stamped(), ORIGINAL, evidence, side_pixels=320))
    assert not (sheet == FRAME_COLOUR).all(axis=2).any(), "both show the whole picture"


def test_of_a_transparent_picture_what_was_compared_is_drawn():
    on_white = ORIGINAL.copy()
    on_white[:300] = 255
    evidence = dataclasses.asdict(marks_of(as_jpeg(ORIGINAL), ORIGINAL)[1])
    first, second = closest_pair([as_jpeg(ORIGINAL)], [on_white, ORIGINAL], evidence)
    assert np.array_equal(second, ORIGINAL)
    assert first.shape == ORIGINAL.shape
