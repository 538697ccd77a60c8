"""Derived manifests have parts of a good size: not too many rows, and enough parts for the cores of a later stage."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.operations.derive import ENOUGH_PARTS, LEAST_ROWS, ROWS_PER_PART, plan_pieces
from manifests.format.store import Manifest, open_manifest
from tests.conftest import curate
from tests.support.making import commit_rows


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    return commit_rows(tmp_path_factory.mktemp("m") / "m", [[{"key": "k"}]])


def with_parts(manifest: Manifest, parts: int) -> Manifest:
    return replace(manifest, parts=[manifest.parts[0]] * parts)


@given(st.lists(st.integers(0, 2 * ROWS_PER_PART), min_size=1, max_size=40))
def test_each_part_is_in_one_piece_in_order_and_pieces_are_bounded(manifest, rows):
    source = with_parts(manifest, len(rows))
    by_part = {place: float(count) for place, count in enumerate(rows) if count}
    pieces = plan_pieces([source], [by_part])
    assert list(itertools.chain.from_iterable(piece.places for piece in pieces)) == sorted(by_part)
    for piece in pieces:
        assert len(piece.places) == 1 or sum(by_part[place] for place in piece.places) <= ROWS_PER_PART


@given(st.integers(1, 600), st.integers(1, 2000))
def test_of_equal_parts_there_remain_enough(manifest, parts, rows_each):
    source = with_parts(manifest, parts)
    pieces = plan_pieces([source], [dict.fromkeys(range(parts), float(rows_each))])
    total = parts * rows_each
    assert min(parts, ENOUGH_PARTS, math.ceil(total / LEAST_ROWS)) <= len(pieces)
    assert len(pieces) <= 2 * max(ENOUGH_PARTS, total / ROWS_PER_PART)


def test_a_small_sample_is_work_for_several_cores(tmp_path: Path):
    commit_rows(tmp_path / "m", [[{"key": f"k{part}-{n}"} for n in range(50)] for part in range(8)])
    curate("sample", tmp_path / "m", "-o", tmp_path / "s", "--count", 200, "--quiet")
    made = open_manifest(str(tmp_path / "s"))
    assert made.rows == 200
    assert len(made.parts) >= 4
    curate("sample", tmp_path / "m", "-o", tmp_path / "few", "--count", 20, "--quiet")
    assert len(open_manifest(str(tmp_path / "few")).parts) == 1
