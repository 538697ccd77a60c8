"""What the cost model chooses: few samples of a tar by byte range, most of them by reading it through."""

import pytest

from curation.shards.read import InCopies, InShards, Stored, in_source
from curation.shards.reading_cost import LOCAL, OBJECT_STORE, Reading, ReadingPlan, costs_of, speed_of
from curation.sources.byte_ranges import ByteRange

IMAGE_BYTES, SAMPLES_PER_TAR = 50_000, 200


def tar(number: int, density: float, image_bytes: int = IMAGE_BYTES) -> list[Stored]:
    """Return where the kept samples of a tar are, evenly spread: an image, its json and its caption."""
    every = round(1 / density)
    kept = []
    for place in range(0, SAMPLES_PER_TAR, every):
        uri, at = f"s3://b/{number:05d}.tar", place * (image_bytes + 3_000) + 512
        kept.append(
            Stored(
                image=ByteRange(uri=uri, offset=at, size_bytes=image_bytes),
                json=ByteRange(uri=uri, offset=at + image_bytes + 1_000, size_bytes=300),
                caption=ByteRange(uri=uri, offset=at + image_bytes + 2_000, size_bytes=100),
            )
        )
    return kept


def plan(density: float, speed=OBJECT_STORE, **sizes: int) -> ReadingPlan:
    parts = [tar(number, density, **sizes) for number in range(10)]
    samples = 10 * sum(map(len, parts))
    return ReadingPlan(place=in_source, costs=costs_of(parts, samples, source=speed, output=speed))


@pytest.mark.parametrize(
    ("density", "speed", "image_bytes", "chosen"),
    [
        (0.01, OBJECT_STORE, 50_000, Reading.GATHER),
        (0.02, OBJECT_STORE, 50_000, Reading.GATHER),
        (0.5, OBJECT_STORE, 50_000, Reading.STREAM),
        (1, OBJECT_STORE, 50_000, Reading.STREAM),
        (0.01, LOCAL, 50_000, Reading.GATHER),
        (1, LOCAL, 500_000, Reading.GATHER),
        (1, LOCAL, 5_000, Reading.STREAM),
    ],
)
def test_the_cheaper_way_is_chosen(density, speed, image_bytes, chosen):
    assert plan(density, speed, image_bytes=image_bytes).chosen is chosen


def test_the_numbers_are_those_of_the_whole_manifest():
    few = plan(0.01).costs
    assert few[Reading.GATHER].requests == 200
    assert few[Reading.GATHER].read_bytes == pytest.approx(200 * (IMAGE_BYTES + 2_100), rel=0.01)
    assert few[Reading.GATHER].copied_bytes == 0
    most = plan(1).costs[Reading.STREAM]
    assert most.copied_bytes == 20_000 * (IMAGE_BYTES + 400)
    assert most.read_bytes == pytest.approx(most.copied_bytes + 20_000 * (IMAGE_BYTES + 3_000), rel=0.01)


@pytest.mark.parametrize("density", [0.01, 1])
def test_a_forced_way_is_taken_and_said(density):
    found = plan(density)
    for forced in Reading:
        taken = ReadingPlan(place=in_source, costs=found.costs, forced=forced)
        assert taken.chosen is forced
        assert taken.lines()[-1].startswith(f"samples are read by {forced}, as set: ")


def test_nothing_kept_costs_nothing():
    costs = costs_of([], 0, source=LOCAL, output=LOCAL)
    assert {each.requests + each.read_bytes for each in costs.values()} == {0}
    assert ReadingPlan(place=in_source, costs=costs).chosen is Reading.GATHER


def test_copies_come_before_shards_and_shards_before_sources():
    shards = InShards(uri="file:///shards")
    found = ReadingPlan(place=shards, costs={})
    assert found.places(None) == [shards]
    assert found.places("file:///copies") == [InCopies(uri="file:///copies", place=shards), shards]
    assert ReadingPlan(place=in_source, costs={}).places(None) == []


def test_storages_have_speeds():
    assert (speed_of("file:///a"), speed_of("s3://b/a")) == (LOCAL, OBJECT_STORE)
