"""Stars in memory: the answer is that of judging every candidate pair, and few are judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from curation.copies.stars import MAX_ROUNDS, Pair, Stars, find_stars

GRAPH = st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=30)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A judge that looks up which pairs are copies, and notes what it was asked."""

    copies: frozenset[Pair]
    asked: list[Pair] = field(default_factory=list)

    def __call__(self, pairs: Sequence[Pair]) -> list[bool]:
        assert pairs, "nothing is not asked for"
        self.asked.extend(pairs)
        return [pair in self.copies for pair in pairs]


def ordered(pairs: Iterable[Pair]) -> frozenset[Pair]:
    return frozenset((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])


def found_stars(candidates: frozenset[Pair], copies: frozenset[Pair], *, fixed: int = 0) -> tuple[Stars, list[Pair]]:
    judge = Known(copies=copies)
    found = find_stars(sorted(candidates), judge, fixed=range(fixed))
    assert len(set(judge.asked)) == len(judge.asked), "no pair is judged twice"
    assert all((best, member) in copies for member, best in found.items()), "nothing is merged without proof"
    return found, judge.asked


def oracle(candidates: frozenset[Pair], copies: frozenset[Pair], *, fixed: int = 0) -> Stars:
    """Return the answer of judging every candidate pair, and whatever else is asked for."""
    settled = _copies_of_fixed(candidates & copies, copies, fixed)
    left = {pair for pair in candidates & copies if pair[0] >= fixed and not settled.keys() & set(pair)}
    for _ in range(MAX_ROUNDS):
        gone: set[int] = set()
        for component in connected(left):
            best = min(component)
            members = {n for n in component if (best, n) in copies}
            settled |= dict.fromkeys(members, best)
            gone |= members | {best}
        left = {pair for pair in left if not gone & set(pair)}
    return settled


def _copies_of_fixed(proven: frozenset[Pair], copies: frozenset[Pair], fixed: int) -> Stars:
    numbers = {n for pair in proven for n in pair if n >= fixed}
    newest = {n: min(a for a, b in proven if b == n) for n in numbers if any((f, n) in proven for f in range(fixed))}
    settled = dict(newest)
    for _ in range(MAX_ROUNDS):
        wanted = {
            n: [newest[m] for m in newest if (min(m, n), max(m, n)) in proven] for n in numbers - settled.keys()
        }
        newest = {n: min(of) for n, of in wanted.items() if of and (min(of), n) in copies}
        settled |= newest
    return settled


def connected(pairs: Iterable[Pair]) -> list[set[int]]:
    parts: list[set[int]] = []
    for pair in pairs:
        touched = [part for part in parts if part & set(pair)]
        parts = [part for part in parts if not part & set(pair)] + [set(pair).union(*touched)]
    return parts


@given(candidates=GRAPH, copies=GRAPH, both=GRAPH, fixed=st.integers(0, 4))
def test_stars_agree_with_judging_every_candidate(candidates, copies, both, fixed) -> None:
    possible = frozenset(pair for pair in ordered([*candidates, *both]) if pair[1] >= fixed)
    real = ordered([*copies, *both])
    found, _ = found_stars(possible, real, fixed=fixed)
    assert found == oracle(possible, real, fixed=fixed)


@given(graphs=st.lists(st.tuples(GRAPH, GRAPH), min_size=2, max_size=3), fixed=st.integers(0, 2))
def test_components_beside_each_other_change_nothing(graphs, fixed) -> None:
    """The same pairs are judged for each component, whatever else is in memory."""
    apart, together = [], []
    candidates, copies = set[Pair](), set[Pair]()
    count = len(graphs)
    for place, (others, real) in enumerate(graphs):
        possible = frozenset(pair for pair in ordered([*others, *real[::2]]) if pair[1] >= fixed)
        found, asked = found_stars(possible, ordered(real), fixed=fixed)
        apart += [(count * best + place, count * member + place) for member, best in found.items()]
        together += [(count * a + place, count * b + place) for a, b in asked]
        candidates |= {(count * a + place, count * b + place) for a, b in possible}
        copies |= {(count * a + place, count * b + place) for a, b in ordered(real)}
    found, asked = found_stars(frozenset(candidates), frozenset(copies), fixed=fixed * count)
    assert sorted(apart) == sorted((best, member) for member, best in found.items())
    assert sorted(together) == sorted(asked)


def test_siblings_are_judged_with_the_best_of_them_alone() -> None:
    """Of the 28 candidate pairs among a picture and its seven copies, seven prove all."""
    everyone = ordered((a, b) for b in range(8) for a in range(b))
    assert found_stars(everyone, everyone) == (dict.fromkeys(range(1, 8), 0), [(0, n) for n in range(1, 8)])


def test_pairs_inside_a_component_are_never_judged() -> None:
    """Not even if its pictures had to be judged with all that they may share with another component."""
    copies = ordered([(0, 4), (0, 5), (1, 6), (1, 7)])
    between, inside = ordered([(4, 6), (4, 7), (5, 6)]), ordered([(4, 5), (6, 7)])
    found, asked = found_stars(copies | between | inside, copies | inside)
    assert found == {4: 0, 5: 0, 6: 1, 7: 1}
    assert asked == [*sorted(copies), (4, 6), (4, 7), (5, 6)]


def test_a_chain_is_split_where_nothing_is_proven() -> None:
    chain = ordered((n, n + 1) for n in range(4))
    assert found_stars(chain, chain)[0] == {1: 0, 3: 2}


def test_a_long_chain_takes_no_recursion() -> None:
    chain = ordered((n, n + 1) for n in range(3_000))
    assert found_stars(chain, chain | ordered((0, n) for n in range(3_001)))[0] == dict.fromkeys(range(1, 3_001), 0)


def test_a_copy_of_a_copy_of_a_fixed_picture_is_judged_with_that() -> None:
    chain = ordered([(0, 1), (1, 2), (2, 3)])
    assert found_stars(chain, chain | {(0, 2)}, fixed=1)[0] == {1: 0, 2: 0}
    assert found_stars(chain, chain, fixed=1)[0] == {1: 0, 3: 2}
