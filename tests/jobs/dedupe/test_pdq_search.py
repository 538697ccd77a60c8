"""Near pairs on real Spark: the same for any partitions, order of rows and tasks of cells."""

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.dedupe_scale import Maker, measure
from curation.config import DedupeConfig
from curation.copies.cells import as_matrix
from jobs.dedupe.pdq_search import near_pairs
from tests.curation.copies.test_cells import components, dense, flipped, listed, random_fingerprints, search


@pytest.fixture(scope="module")
def fingerprints():
    """900 random fingerprints, 300 copies of some, and 400 of one dense family."""
    rng = np.random.default_rng(20)
    base = random_fingerprints(rng, 900)
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
def test_pairs_do_not_depend_on_partitions_or_order(spark, fingerprints, per_cell) -> None:
    config = DedupeConfig(cell_bytes=32 * per_cell)
    found = pairs_of(spark, fingerprints, config, 1)
    assert found == sorted(set(found))
    shuffled = fingerprints[np.random.default_rng(21).permutation(len(fingerprints))]
    assert pairs_of(spark, shuffled, config, 3) == pairs_of(spark, fingerprints[::-1], config, 7) == found


def test_one_cell_is_what_the_pure_search_finds(spark, fingerprints) -> None:
    is_text = fingerprints[:, 0] < 20
    assert pairs_of(spark, fingerprints, DedupeConfig()) == sorted(listed(search(fingerprints, is_text=is_text)))


def test_cells_find_nearly_all_and_nothing_else(spark, fingerprints) -> None:
    """Pairs found in several cells are connected in one cell, too, and few components of one cell are split."""
    in_one = components(pairs_of(spark, fingerprints, DedupeConfig()))
    in_cells = components(pairs_of(spark, fingerprints, DedupeConfig(cell_bytes=32 * 400)))
    assert all(any(component <= one for one in in_one) for component in in_cells)
    assert len(in_cells & in_one) >= 0.95 * len(in_one)


def test_as_many_probes_as_cells_find_all(spark, fingerprints) -> None:
    """Also where a dense family fills its cell and is split."""
    config = DedupeConfig(cell_bytes=32 * 600, probes=64)
    assert components(pairs_of(spark, fingerprints, config)) == components(
        pairs_of(spark, fingerprints, DedupeConfig())
    )


def test_nothing_and_one(spark, fingerprints) -> None:
    for count in (0, 1):
        assert pairs_of(spark, fingerprints[:count], DedupeConfig(cell_bytes=1)) == []


# --- the benchmark's records ---------------------------------------------------------------------


def test_records_depend_only_on_their_number() -> None:
    maker = Maker(equal=30, near=100)

    def make(*batches):
        found = maker(pa.RecordBatch.from_pydict({"id": pa.array(numbers, pa.int64())}) for numbers in batches)
        return pa.Table.from_batches(found)

    rows = make(range(2_000))
    assert rows.equals(make(range(700), range(700, 2_000)).combine_chunks())
    fingerprints = as_matrix(rows["node"])
    assert len(np.unique(fingerprints[:30], axis=0)) == 1
    centred = np.bitwise_count(fingerprints[30:130] ^ fingerprints[30]).sum(axis=1)
    assert 10 < centred.max() <= 20
    copies = rows.filter(rows["origin"].is_valid())
    assert len(copies) == 186
    origins = as_matrix(copies["origin"])
    distances = np.bitwise_count(as_matrix(copies["node"]) ^ origins).sum(axis=1)
    assert distances.tolist() == copies["distance"].to_pylist()
    assert {bytes(o) for o in origins} <= {bytes(p) for p in fingerprints[130:]}
    assert len({bytes(p) for p in fingerprints}) > 1_900


def test_the_benchmark_measures(spark, tmp_path) -> None:
    found = measure(spark, 5_000, str(tmp_path))
    assert found["recall"]["all"] == 1.0
    assert found["audit"]["fingerprints"] == 2_000
    assert found["audit"]["neighbours"] > 0
    assert found["audit"]["in_another_component"] == 0
    assert found["components"] < found["fingerprints"] < 5_000
    assert min(found["shuffled_bytes_per_record"], found["peak_heap_megabytes"]) > 0
