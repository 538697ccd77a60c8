"""Clusters of copies among candidate pairs that are in memory; `jobs.dedupe.star_clusters` has them in tables.

Every member of a cluster is a copy of its representative, the best of them: clusters are stars. The answer is that of
judging every candidate pair, but few are judged. A pair whose pictures are connected by copies already can change no
component. So pictures are judged with the best of their candidates first, which proves most; then one pair is judged
between any two components that have one; then all pairs that are left between components.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

MAX_ROUNDS = 12
"""Each round settles the best picture of each component, and all its copies. What is left then is not merged."""

Pair = tuple[int, int]
"""Two pictures by their numbers, the better, which is the smaller, first."""
Judge = Callable[[Sequence[Pair]], Sequence[bool]]
Stars = dict[int, int]
"""Member → representative."""


def find_stars(candidates: Collection[Pair], judge: Judge, *, fixed: Collection[int] = ()) -> Stars:
    """Return the representative of each picture that is a copy of one.

    Args:
        candidates: the pairs that may be copies. Pictures are numbered from the best.
        judge: returns which of some pairs are copies. It is asked about each pair once at most, also about pairs that
            are no candidates: those of a member and its representative.
        fixed: pictures that always represent. They are better than those with which they are paired.
    """
    judged = _Judged(judge)
    settled = _copies_of_fixed(candidates, judged, fixed)
    left = [pair for pair in candidates if pair[0] not in fixed and not settled.keys() & pair]
    for _ in range(MAX_ROUNDS):
        stars = [(best, number) for number, best in _components(left, judged).items() if best != number]
        if not stars:
            break
        found = _by_member(judged.copies(stars))
        settled |= found
        gone = {best for best, _ in stars} | found.keys()
        left = [pair for pair in left if not gone.intersection(pair)]
    return settled


class _Judged:
    """Remembers which pairs are copies, and judges each once."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._known: dict[Pair, bool] = {}

    def copies(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return those of `pairs` that are copies, in order; judges those that are not judged yet."""
        ordered = sorted(set(pairs))
        new = [pair for pair in ordered if pair not in self._known]
        self._known.update(zip(new, self._judge(new) if new else (), strict=True))
        return [pair for pair in ordered if self._known[pair]]

    def split(self, pairs: Iterable[Pair]) -> tuple[list[Pair], list[Pair]]:
        """Return those of `pairs` that are known to be copies, and those that are not judged."""
        found = [(pair, self._known.get(pair)) for pair in pairs]
        return [pair for pair, is_copy in found if is_copy], [pair for pair, is_copy in found if is_copy is None]


def _copies_of_fixed(candidates: Iterable[Pair], judged: _Judged, fixed: Collection[int]) -> Stars:
    """Return the copies of fixed pictures, each with the best of those; a copy of a copy is judged with it, too."""
    newest = _by_member(judged.copies(pair for pair in candidates if pair[0] in fixed))
    settled = dict(newest)
    both_ways = [way for pair in candidates if pair[0] not in fixed for way in (pair, pair[::-1])]
    for _ in range(MAX_ROUNDS):
        near = [(number, other) for number, other in both_ways if other in newest and number not in settled]
        proven = set(judged.copies(ordered(*pair) for pair in near))
        chosen = _by_member((newest[other], number) for number, other in near if ordered(number, other) in proven)
        newest = _by_member(judged.copies((best, number) for number, best in chosen.items()))
        if not newest:
            break
        settled |= newest
    return settled


def _components(left: Sequence[Pair], judged: _Judged) -> Stars:
    """Return the best picture of the component of each picture that has a copy among the pairs that are `left`.

    Judges pairs until each that is not judged is inside a component.
    """
    for choose in (_with_the_best, _between_components, _all_of_them):
        copies, unknown = judged.split(left)
        best = _best_connected(copies)
        chosen = choose([pair for pair in unknown if len({best.get(number, number) for number in pair}) > 1], best)
        if not chosen:
            return best
        judged.copies(chosen)
    return _best_connected(judged.split(left)[0])


def _with_the_best(pairs: Sequence[Pair], best: Stars) -> Collection[Pair]:
    """Return the pair of each picture with the best of those with which it is paired, if that is better than it."""
    return [(better, number) for number, better in _by_member(pairs).items()]


def _between_components(pairs: Sequence[Pair], best: Stars) -> Collection[Pair]:
    """Return, of the pairs between any two components, that of the best pictures."""
    found: dict[Pair, Pair] = {}
    for pair in pairs:
        components = ordered(*(best.get(number, number) for number in pair))
        found[components] = min(pair, found.get(components, pair))
    return found.values()


def _all_of_them(pairs: Sequence[Pair], best: Stars) -> Collection[Pair]:
    return pairs


def _best_connected(pairs: Iterable[Pair]) -> Stars:
    """Return the best picture that each picture in `pairs` is connected to, by union-find."""
    parent: Stars = {}

    def find(number: int) -> int:
        while (above := parent.setdefault(number, number)) != number:
            parent[number] = parent[above]
            number = above
        return number

    for pair in pairs:
        best, other = sorted(map(find, pair))
        parent[other] = best
    return {number: find(number) for number in parent}


def _by_member(pairs: Iterable[Pair]) -> Stars:
    """Return the best picture with which each is paired, of those that are better than it."""
    found: Stars = {}
    for best, member in pairs:
        found[member] = min(best, found.get(member, best))
    return found


def ordered(first: int, second: int) -> Pair:
    """Return two pictures as a pair."""
    return (first, second) if first < second else (second, first)
