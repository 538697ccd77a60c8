"""Clusters are stars: chains are split, and each member matches its representative, whatever the order of rows."""

from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from jobs.dedupe.star_clusters import MAX_ROUNDS, star_clusters

Pairs = Iterable[tuple[int, int]]
COPY_COLUMNS = "member binary, representative binary, kind string, evidence string"


def node(number: int) -> bytes:
    return number.to_bytes(2, "big")


def matched(pairs: Pairs) -> list[tuple[bytes, bytes, str, str]]:
    """Return pairs as copies: of two nodes, the one with the smaller number is better."""
    ordered = {(max(a, b), min(a, b)) for a, b in pairs if a != b}
    return [(node(a), node(b), "mild", f'{{"pair": "{b}-{a}"}}') for a, b in sorted(ordered)]


def found_stars(spark, copies: Pairs, true: Pairs, *, partitions: int = 2, backwards: bool = False):
    """Return member → (representative, evidence), where `match` looks up in a table which pairs are copies."""
    rows, nodes = matched(copies), sorted({n for pair in [*copies, *true] for n in pair})
    pictures = spark.createDataFrame(
        [(node(n), (n,)) for n in nodes] or [(node(0), (0,))], "node binary, rank struct<n int>"
    )
    truth = spark.createDataFrame(matched(true), COPY_COLUMNS)

    def match(pairs):
        either = pairs.select(F.greatest("a", "b").alias("member"), F.least("a", "b").alias("representative"))
        return either.join(truth, ["member", "representative"]).select(*truth.columns).localCheckpoint()

    frame = spark.createDataFrame(rows[::-1] if backwards else rows, COPY_COLUMNS).repartition(partitions)
    found = star_clusters(frame, pictures.repartition(partitions), match).collect()
    by_member = {bytes(r["member"]): (bytes(r["representative"]), r["evidence"]) for r in found}
    assert len(by_member) == len(found), "a picture is a member of one cluster"
    return by_member


def oracle(copies: Pairs, true: Pairs) -> dict[bytes, bytes]:
    """Return member → representative: the best of each component gets all its copies, the rest starts again."""
    real = {frozenset(pair) for pair in [*copies, *true]}
    left = {frozenset(pair) for pair in copies if pair[0] != pair[1]}
    settled: dict[bytes, bytes] = {}
    for _ in range(MAX_ROUNDS):
        gone: set[int] = set()
        for component in components(left):
            best = min(component)
            members = {n for n in component if frozenset((n, best)) in real and n != best}
            settled |= {node(n): node(best) for n in members}
            gone |= members | {best}
        left = {pair for pair in left if not pair & gone}
    return settled


def components(pairs: Iterable[frozenset[int]]) -> list[set[int]]:
    parts: list[set[int]] = []
    for pair in pairs:
        touched = [part for part in parts if part & pair]
        parts = [part for part in parts if not part & pair] + [set(pair).union(*touched)]
    return parts


def test_a_chain_is_split_where_nothing_is_proven(spark) -> None:
    chain = [(n, n + 1) for n in range(4)]
    found = found_stars(spark, chain, chain)
    assert {m: r for m, (r, _) in found.items()} == {node(1): node(0), node(3): node(2)}


def test_a_chain_whose_ends_are_copies_becomes_one_cluster(spark) -> None:
    chain = [(n, n + 1) for n in range(4)]
    found = found_stars(spark, chain, [(0, n) for n in range(1, 5)])
    assert {r for r, _ in found.values()} == {node(0)}
    assert found[node(3)][1] == '{"pair": "0-3"}', "the evidence is that of the pair with the representative"


def test_nothing_in_nothing_out(spark) -> None:
    assert found_stars(spark, [], []) == {}


GRAPH = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=16)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(copies=GRAPH, more=GRAPH, partitions=st.integers(1, 4), backwards=st.booleans())
def test_stars_agree_with_the_oracle(spark, copies, more, partitions, backwards) -> None:
    """Every pair of a member and its representative matches, so that nothing is merged without proof."""
    found = found_stars(spark, copies, [*copies, *more], partitions=partitions, backwards=backwards)
    assert {m: r for m, (r, _) in found.items()} == oracle(copies, more)
    real = {pair[:2] for pair in matched([*copies, *more])}
    assert all((m, r) in real for m, (r, _) in found.items())


def test_partitions_and_order_of_rows_change_nothing(spark) -> None:
    copies = [(0, 3), (3, 5), (5, 7), (1, 2), (2, 4), (4, 1), (6, 8)]
    true = [*copies, (0, 5)]
    again = found_stars(spark, copies, true, partitions=5, backwards=True)
    assert again == found_stars(spark, copies, true, partitions=1)
    assert set(again) == {node(n) for n in (2, 3, 4, 5, 8)}
