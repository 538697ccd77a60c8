"""Near pairs on real Spark: one answer whatever the partitions, the order and the cells' tasks."""

import numpy as np
import pyarrow as pa
import pytest

from curation.config import DedupeConfig
from jobs.near import near_pairs
from tests.test_clusters import dense, flipped, listed, parts, random_prints, search


@pytest.fixture(scope="module")
def prints():
    """900 random fingerprints, 300 copies of some, and 400 of one dense family."""
    rng = np.random.default_rng(20)
    base = random_prints(rng, 900)
    copies = flipped(rng, base[:300], rng.integers(1, 32, 300))
    return np.concatenate([base, copies, dense(rng, 400)])


def frame(spark, fingerprints, partitions):
    table = pa.table(
        {
            "node": pa.array([bytes(row) for row in fingerprints], pa.binary()),
            "is_text": pa.array([row[0] < 20 for row in fingerprints], pa.bool_()),
        }
    )
    return spark.createDataFrame(table).repartition(partitions)


def pairs_of(spark, fingerprints, config, partitions=3):
    return sorted(listed(near_pairs(frame(spark, fingerprints, partitions), config).toArrow()))


@pytest.mark.parametrize("per_cell", [10_000, 250])
def test_pairs_do_not_depend_on_partitions_or_order(spark, prints, per_cell) -> None:
    config = DedupeConfig(fingerprints_per_cell=per_cell)
    found = pairs_of(spark, prints, config, 1)
    assert found == sorted(set(found))
    shuffled = prints[np.random.default_rng(21).permutation(len(prints))]
    assert pairs_of(spark, shuffled, config, 3) == pairs_of(spark, prints[::-1], config, 7) == found


def test_one_cell_is_what_the_pure_search_finds(spark, prints) -> None:
    is_text = prints[:, 0] < 20
    assert pairs_of(spark, prints, DedupeConfig()) == listed(search(prints, is_text=is_text))


def test_cells_find_nearly_all_and_nothing_else(spark, prints) -> None:
    """Pairs found in cells hang together in one cell too, and few parts of one cell fall apart."""
    whole = parts(pairs_of(spark, prints, DedupeConfig()))
    in_cells = parts(pairs_of(spark, prints, DedupeConfig(fingerprints_per_cell=400)))
    assert all(any(part <= one for one in whole) for part in in_cells)
    assert len(in_cells & whole) >= 0.95 * len(whole)


def test_as_many_probes_as_cells_find_all(spark, prints) -> None:
    """And a dense family that fills its cell is split without harm."""
    config = DedupeConfig(fingerprints_per_cell=600, probes=64)
    assert parts(pairs_of(spark, prints, config)) == parts(pairs_of(spark, prints, DedupeConfig()))


def test_nothing_and_one(spark, prints) -> None:
    for count in (0, 1):
        assert pairs_of(spark, prints[:count], DedupeConfig(fingerprints_per_cell=1)) == []
