"""Compare the pictures of candidate pairs, and decide which are copies, and of which kind.

What a comparison finds depends on the two pictures and on software only. A matcher then decides of which kind of
copies it is, by the settings. A pair is a mapping with `a` and `b`, mappings of PICTURE_COLUMNS, `distance`, that of
their fingerprints or None, and `is_text`, whether both are full of text; `b` is the better picture.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from curation.copies.compare_pixels import inverted
from curation.copies.cosine_search import rounded
from curation.copies.judge import PixelJudge
from curation.copies.kinds import Evidence, Strictness, kind_of
from curation.pictures.decode import DecodeLimits
from curation.pictures.vectors import unpack
from manifests.format.schema import DuplicateKind

PICTURE_COLUMNS = ("node", "key", "sha256", "source", "member", "offset", "size")
"""What each matcher gets of a picture, besides the columns of the scan that it names in `measured`."""

Pair = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a comparison has found: evidence as JSON, or None where the pictures have nothing in common.

    `is_exchanged`: it is the evidence of `b` in `a`, not that of `a` in `b`. Which of both it is does not depend on
    which picture is better, so that it holds when that changes.
    """

    evidence: str | None
    is_exchanged: bool = False


Compare = Callable[[Sequence[Pair]], Sequence[Found]]


class Matcher(Protocol):
    """Compares pairs of pictures."""

    @property
    def measured(self) -> Sequence[str]:
        """The columns of the scan that it needs."""
        ...

    def comparing(self, *, is_retry: bool) -> Compare:
        """Return, in a worker, the function that compares pairs, and returns what it finds in their order."""
        ...

    def decide(self, found: Found, pair: Pair) -> tuple[str, str] | None:
        """Return of which kind of copies a pair is, and what is recorded of it, as JSON; None if it is no copy."""
        ...


@dataclass(frozen=True, kw_only=True)
class FingerprintMatcher:
    """Accepts a pair as mild copies when their PDQ fingerprints are near enough; reads no image."""

    max_distance: int
    max_text_distance: int
    measured: Sequence[str] = ()

    def comparing(self, *, is_retry: bool) -> Compare:
        """See Matcher."""
        return lambda pairs: [Found(evidence=None if pair["distance"] is None else "{}") for pair in pairs]

    def decide(self, found: Found, pair: Pair) -> tuple[str, str] | None:
        """See Matcher."""
        limit = self.max_text_distance if pair["is_text"] else self.max_distance
        if found.evidence is None or pair["distance"] > limit:
            return None
        return str(DuplicateKind.MILD), json.dumps({"distance": pair["distance"], "verified": False})


@dataclass(frozen=True, kw_only=True)
class PixelMatcher:
    """Reads both images of a pair by byte range and compares their pixels; `copies` are the kinds that count.

    `measured` is `local_points` where scans have local features, which save a search for keypoints.
    """

    copies: frozenset[str]
    strictness: Strictness
    limits: DecodeLimits
    measured: Sequence[str] = ()

    def comparing(self, *, is_retry: bool) -> Compare:
        """See Matcher. The function raises BrokenSource when an image has changed since the scan."""
        judge = PixelJudge(self.limits, is_retry=is_retry)

        def compare(pairs: Sequence[Pair]) -> list[Found]:
            found = judge.compared([(pair["a"], pair["b"]) for pair in pairs])
            return [Found(evidence=_as_json(evidence), is_exchanged=turned) for evidence, turned in found]

        return compare

    def decide(self, found: Found, pair: Pair) -> tuple[str, str] | None:
        """See Matcher."""
        if found.evidence is None:
            return None
        recorded = json.loads(found.evidence)
        evidence = Evidence(**{**recorded, "matrix": tuple(recorded["matrix"])})
        if found.is_exchanged:
            evidence = inverted(evidence)
        kind = kind_of(evidence, self.strictness, self.copies)
        if kind is None:
            return None
        described = {"distance": pair["distance"], "verified": True, **dataclasses.asdict(evidence)}
        return str(kind), json.dumps(described)


def _as_json(evidence: Evidence | None) -> str | None:
    return None if evidence is None else json.dumps(dataclasses.asdict(evidence))


@dataclass(frozen=True, kw_only=True)
class CosineMatcher:
    """Accepts a pair as semantic copies when the cosine of their embeddings is at least `min_cosine`."""

    min_cosine: float
    measured: Sequence[str] = ("embedding",)

    def comparing(self, *, is_retry: bool) -> Compare:
        """See Matcher."""
        return _cosines

    def decide(self, found: Found, pair: Pair) -> tuple[str, str] | None:
        """See Matcher."""
        cosine = float(found.evidence or "nan")
        if not cosine >= self.min_cosine:
            return None
        return str(DuplicateKind.SEMANTIC), json.dumps({"cosine": round(cosine, 4)})


def _cosines(pairs: Sequence[Pair]) -> list[Found]:
    vectors = (pa.array([pair[side]["embedding"] for pair in pairs], pa.binary()) for side in ("a", "b"))
    first, second = (rounded(unpack(column)) for column in vectors)
    return [Found(evidence=repr(float(cosine))) for cosine in np.einsum("ij,ij->i", first, second)]
