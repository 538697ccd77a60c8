"""The evidence of each kind of copy, in words."""

import json

import pytest

from curation.copies.describe import describe_evidence

FOUND = {
    "kind": "mild",
    "distance": 12,
    "verified": True,
    "is_mirrored": False,
    "matrix": [1, 0, 0, 0, 1, 0],
    "turn_degrees": 0.0,
    "share_first": 1.0,
    "share_second": 1.0,
    "inliers": None,
    "patches": 500,
    "texture": 0.9,
    "differing": 0.03,
    "region_share": 0.2,
    "region_area": 0.5,
    "sameness": 0.97,
    "colour": 3.0,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "the whole picture, 3 % of the patches differ, PDQ 12 bits apart"),
        ({"differing": 0.004, "distance": None}, "the whole picture, less than 1 % of the patches differ"),
        (
            {"is_mirrored": True, "share_second": 0.9 - 0.001, "distance": 112},
            "mirrored, 90 % of it, 3 % of the patches differ, PDQ 112 bits apart",
        ),
        ({"is_mirrored": True, "turn_degrees": 179.0, "distance": None, "differing": 0.0},
         "mirrored top to bottom, 0 % of the patches differ"),
        ({"turn_degrees": -90.0}, "turned by 90°, 3 % of the patches differ, PDQ 12 bits apart"),
        ({"kind": "overlay", "region_area": 0.15}, "the whole picture, something over 15 % of it, PDQ 12 bits apart"),
    ],
)  # fmt: skip
def test_evidence_in_words(change, words):
    assert describe_evidence(json.dumps({**FOUND, **change})) == words


def test_other_evidence_in_words():
    assert describe_evidence(None) == ""
    assert describe_evidence('{"kind": "exact", "same": "bytes"}') == "the same bytes"
    assert describe_evidence('{"kind": "semantic", "cosine": 0.8312}') == "similar embeddings, cosine 0.8312"
    assert (
        describe_evidence('{"kind": "mild", "distance": 7, "verified": false}')
        == "PDQ 7 bits apart, pixels not compared"
    )
