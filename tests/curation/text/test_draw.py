"""Boxes of text are drawn where they were found, at any size."""

import numpy as np

from curation.text.draw import BOX_COLOUR, draw_boxes, unit_boxes
from filters.protocol import Boxes


def boxes_at(*corners):
    quads = [[[x0, y0], [x1, y0], [x1, y1], [x0, y1]] for x0, y0, x1, y1 in corners]
    return Boxes(quads=np.array(quads, np.float32).reshape(-1, 4, 2), scores=np.ones(len(quads), np.float32))


def test_boxes_are_drawn_where_they_are_and_the_picture_is_not_changed():
    page = np.full((400, 800, 3), 255, np.uint8)
    for side_pixels in (400, 800, 2000):
        drawn = draw_boxes(page, boxes_at((200, 100, 600, 200)), side_pixels=side_pixels)
        assert max(drawn.shape[:2]) == min(side_pixels, 800)
        rows, columns = np.nonzero((drawn == BOX_COLOUR).all(axis=2))
        found = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) / drawn.shape[1]
        assert np.abs(found - [0.25, 0.125, 0.75, 0.25]).max() < 0.01
    assert (page == 255).all()


def test_nothing_is_drawn_without_boxes_and_what_lies_outside_is_harmless():
    page = np.full((50, 70, 3), 200, np.uint8)
    assert np.array_equal(draw_boxes(page, boxes_at()), page)
    far = boxes_at((-1e9, -1e9, 1e9, 1e9))
    assert draw_boxes(page, far).shape == page.shape
    assert unit_boxes(boxes_at((7, 5, 14, 10)), 50, 70).tolist() == [[[0.1, 0.1], [0.2, 0.1], [0.2, 0.2], [0.1, 0.2]]]
