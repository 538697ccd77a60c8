"""Compare the pictures of candidate pairs, and decide which are copies, and of which kind.

What a comparison finds is its evidence, as JSON, or None: it depends on the two pictures and on software only. A
matcher then says of which kind of copies it is, by the settings. A pair is a mapping with `a` and `b`, mappings of
PICTURE_COLUMNS, and `distance`, that of their fingerprints or None; `b` is the better picture.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from curation.copies.cosine_search import rounded
from curation.copies.judge import PixelJudge
from curation.copies.kinds import Evidence, Strictness, kind_of
from curation.pictures.decode import DecodeLimits
from curation.pictures.vectors import unpack
from manifests.format.schema import DuplicateKind

PICTURE_COLUMNS = ("node", "key", "sha256", "source", "member", "offset", "size")
"""What each matcher gets of a picture, besides the columns of the scan that it names in `measured`."""
PAIRS_AT_ONCE = 64

Pair = Mapping[str, Any]
Compare = Callable[[Sequence[Pair]], Sequence[str | None]]


class Matcher(Protocol):
    """Compares pairs of pictures."""

    @property
    def measured(self) -> Sequence[str]:
        """The columns of the scan that it needs."""
        ...

    def comparing(self, *, is_retry: bool) -> Compare:
        """Return, in a worker, the function that returns the evidence of pairs, in their order."""
        ...

    def kind(self, evidence: str, pair: Pair) -> str | None:
        """Return of which kind of copies a pair with this evidence is, or None if it is no copy."""
        ...

    def described(self, evidence: str, pair: Pair) -> str:
        """Return what is recorded of a pair of copies, as JSON."""
        ...


@dataclass(frozen=True, kw_only=True)
class FingerprintMatcher:
    """Accepts a pair as mild copies when their PDQ fingerprints are near enough; reads no image."""

    max_distance: int
    max_text_distance: int
    measured: Sequence[str] = ()

    def comparing(self, *, is_retry: bool) -> Compare:
        """See Matcher."""
        return lambda pairs: [None if p["distance"] is None else "{}" for p in pairs]

    def kind(self, evidence: str, pair: Pair) -> str | None:
        """See Matcher."""
        limit = self.max_text_distance if pair["is_text"] else self.max_distance
        return str(DuplicateKind.MILD) if pair["distance"] <= limit else None

    def described(self, evidence: str, pair: Pair) -> str:
        """See Matcher."""
        return json.dumps({"distance": pair["distance"], "verified": False})


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

        def evidence(pairs: Sequence[Pair]) -> list[str | None]:
            found = judge.evidence([(pair["a"], pair["b"]) for pair in pairs])
            return [None if each is None else json.dumps(dataclasses.asdict(each)) for each in found]

        return evidence

    def kind(self, evidence: str, pair: Pair) -> str | None:
        """See Matcher."""
        found = json.loads(evidence)
        kind = kind_of(Evidence(**{**found, "matrix": tuple(found["matrix"])}), self.strictness, self.copies)
        return None if kind is None else str(kind)

    def described(self, evidence: str, pair: Pair) -> str:
        """See Matcher."""
        return json.dumps({"distance": pair["distance"], "verified": True, **json.loads(evidence)})


@dataclass(frozen=True, kw_only=True)
class CosineMatcher:
    """Accepts a pair as semantic copies when the cosine of their embeddings is at least `min_cosine`."""

    min_cosine: float
    measured: Sequence[str] = ("embedding",)

    def comparing(self, *, is_retry: bool) -> Compare:
        """See Matcher."""
        return _cosines

    def kind(self, evidence: str, pair: Pair) -> str | None:
        """See Matcher."""
        return str(DuplicateKind.SEMANTIC) if float(evidence) >= self.min_cosine else None

    def described(self, evidence: str, pair: Pair) -> str:
        """See Matcher."""
        return json.dumps({"cosine": round(float(evidence), 4)})


def _cosines(pairs: Sequence[Pair]) -> list[str | None]:
    vectors = (pa.array([pair[side]["embedding"] for pair in pairs], pa.binary()) for side in ("a", "b"))
    first, second = (rounded(unpack(column)) for column in vectors)
    return [repr(float(cosine)) for cosine in np.einsum("ij,ij->i", first, second)]
