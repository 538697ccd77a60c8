"""Clusters are stars: chains are split, and each member matches its representative, whatever the order of rows.

Few pairs are judged, and the answer is that of judging all.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F  # noqa: N812 - the name the field uses

from curation.copies.stars import MAX_ROUNDS
from jobs.dedupe.candidates import NODE_PAIRS
from jobs.dedupe.judging import Judge
from jobs.dedupe.matching import PICTURE_COLUMNS, Compare, Found, Pair
from jobs.dedupe.pictures import PICTURES, ranked
from jobs.dedupe.star_clusters import star_clusters
from jobs.spark.steps import Steps, Table, temporary_steps
from manifests.format.schema import Stage, schema

Pairs = Iterable[tuple[int, int]]


def node(number: int) -> bytes:
    return number.to_bytes(2, "big")


@dataclass(frozen=True, kw_only=True)
class KnownCopies:
    """A matcher that looks up which pairs are copies."""

    copies: Collection[frozenset[bytes]]
    measured: Sequence[str] = ()

    def comparing(self, *, is_retry: bool) -> Compare:
        return lambda pairs: [Found(evidence=f'{{"pair": "{self._name(pair)}"}}') for pair in pairs]

    def decide(self, found: Found, pair: Pair) -> tuple[str, str] | None:
        is_copy = frozenset((pair["member"], pair["representative"])) in self.copies
        return ("mild", found.evidence or "") if is_copy else None

    def _name(self, pair: Pair) -> str:
        return f"{int.from_bytes(pair['b']['node'], 'big')}-{int.from_bytes(pair['a']['node'], 'big')}"


def table(steps: Steps, name: str, columns: pa.Schema, rows: list[dict], partitions: int) -> Table:
    frame = steps.spark.createDataFrame(pa.Table.from_pylist(rows, columns)).repartition(partitions)
    return steps.keep(name, frame, columns, columns.names[:1], units=partitions)


def judge_of(steps: Steps, nodes: Collection[int], copies: Pairs, partitions: int) -> Judge:
    """Return a judge of pictures, of which the one with the smaller number is better."""
    about = {"is_text": False, "origin": 2, "damage": 0, "negative_size_bytes": 0, "set": "", "at_part": "p"}
    rows = [
        {**about, "node": node(n), "negative_area_pixels": n, "key": str(n), "sha256": f"{n:064x}"} for n in nodes
    ]
    fields = [schema(Stage.SCAN).field(name).with_nullable(True) for name in PICTURE_COLUMNS[1:]]
    places = pa.schema([("node", pa.binary()), *fields])
    return Judge(
        pictures=table(steps, "pictures", PICTURES, rows, partitions),
        places=table(steps, "places", places, rows, partitions),
        matcher=KnownCopies(copies=frozenset(frozenset(map(node, pair)) for pair in copies)),
        steps=steps,
    )


def found_stars(
    spark, copies: Pairs, true: Pairs, *, others: Pairs = (), partitions: int = 2, backwards: bool = False
):
    """Return member → (representative, evidence), and how many pairs were judged.

    Candidates are `copies`, which are all copies, and `others`; `true` are further copies.
    """
    candidates = sorted({tuple(sorted(pair)) for pair in [*copies, *others] if pair[0] != pair[1]})
    nodes = sorted({n for pair in [*candidates, *true] for n in pair} | {0})
    with temporary_steps(spark) as steps:
        judge = judge_of(steps, nodes[::-1] if backwards else nodes, [*copies, *true], partitions)
        rows = [{"a": node(a), "b": node(b)} for a, b in (candidates[::-1] if backwards else candidates)]
        pairs = table(steps, "candidates", NODE_PAIRS, rows, partitions)
        ranks = ranked(judge.pictures.frame()).select("node", "rank")
        settled = star_clusters(pairs, ranks, judge, steps)
        found = [row for each in settled for row in each.join(judge.evidence(), each.columns).collect()]
        judged = judge.verdicts().select(F.struct("a", "b")).collect() if judge.judged else []
    assert len(set(judged)) == len(judged), "no pair is judged twice"
    by_member = {bytes(r["member"]): (bytes(r["representative"]), r["evidence"]) for r in found}
    assert len(by_member) == len(found), "a picture is a member of one cluster"
    return by_member, len(judged)


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
    found, _ = found_stars(spark, chain, chain)
    assert {m: r for m, (r, _) in found.items()} == {node(1): node(0), node(3): node(2)}


def test_a_chain_whose_ends_are_copies_becomes_one_cluster(spark) -> None:
    chain = [(n, n + 1) for n in range(4)]
    found, _ = found_stars(spark, chain, [(0, n) for n in range(1, 5)])
    assert {r for r, _ in found.values()} == {node(0)}
    assert found[node(3)][1] == '{"pair": "0-3"}', "the evidence is that of the pair with the representative"


def test_nothing_in_nothing_out(spark) -> None:
    assert found_stars(spark, [], []) == ({}, 0)


def test_siblings_are_judged_with_the_best_of_them_alone(spark) -> None:
    """Of the 28 candidate pairs among a picture and its seven copies, seven prove all."""
    everyone = [(a, b) for b in range(8) for a in range(b)]
    found, judged = found_stars(spark, everyone, [])
    assert {r for r, _ in found.values()} == {node(0)}
    assert (len(found), judged) == (7, 7)


def test_who_fails_with_the_best_is_judged_with_the_others(spark) -> None:
    """4 is a copy of 2, but of nothing else; 2 is a copy of 0 and 1."""
    candidates = [(a, b) for b in range(5) for a in range(b)]
    copies = [(0, 1), (0, 2), (1, 2), (0, 3), (2, 4)]
    others = [pair for pair in candidates if pair not in copies]
    found, judged = found_stars(spark, copies, [], others=others)
    assert {m: r for m, (r, _) in found.items()} == {node(n): node(0) for n in (1, 2, 3)}
    assert judged < len(candidates)


GRAPH = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=16)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(copies=GRAPH, others=GRAPH, more=GRAPH, partitions=st.integers(1, 3), backwards=st.booleans())
def test_stars_agree_with_the_oracle(spark, copies, others, more, partitions, backwards) -> None:
    """The answer is that of judging every candidate pair, and nothing is merged without proof."""
    real = {frozenset(pair) for pair in [*copies, *more]}
    others = [pair for pair in others if frozenset(pair) not in real]
    found, _ = found_stars(spark, copies, more, others=others, partitions=partitions, backwards=backwards)
    assert {m: r for m, (r, _) in found.items()} == oracle(copies, [*copies, *more])
    assert all(frozenset(int.from_bytes(n, "big") for n in (m, r)) in real for m, (r, _) in found.items())


def test_partitions_and_order_of_rows_change_nothing(spark) -> None:
    copies = [(0, 3), (3, 5), (5, 7), (1, 2), (2, 4), (4, 1), (6, 8)]
    again = found_stars(spark, copies, [(0, 5)], partitions=3, backwards=True)
    assert again == found_stars(spark, copies, [(0, 5)], partitions=1)
    assert set(again[0]) == {node(n) for n in (2, 3, 4, 5, 8)}
