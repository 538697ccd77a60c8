"""What is found when two pictures are compared holds for either of them as the better one."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curation.copies.kinds import Strictness
from curation.pictures.decode import DEFAULT_LIMITS
from examples.corpus.documents import letter
from examples.corpus.photographs import city
from examples.corpus.textures import through_camera
from jobs.dedupe.matching import Found, PixelMatcher
from tests.support.copying import COPIES, paint

PAINTERS = {"city": lambda rng, w, h: through_camera(rng, city(rng, w, h)), "letter": letter}
MATCHER = PixelMatcher(
    copies=frozenset({"exact", "mild", "overlay", "crop", "mirror", "turn"}),
    strictness=Strictness(),
    limits=DEFAULT_LIMITS,
)


def picture(path: Path, rgb: Any) -> dict[str, Any]:
    Image.fromarray(rgb).save(path)
    data = path.read_bytes()
    place = {"source": f"file://{path.parent}/", "member": path.name, "offset": 0, "size": len(data)}
    return {**place, "sha256": hashlib.sha256(data).hexdigest(), "node": path.name.encode(), "key": path.stem}


def pair(member: dict[str, Any], representative: dict[str, Any]) -> dict[str, Any]:
    return {"a": member, "b": representative, "distance": 0, "is_text": False}


@pytest.mark.parametrize("name", list(PAINTERS))
@pytest.mark.parametrize("done", ["jpeg", "crop 75", "mirror", "turn 90"])
def test_evidence_holds_in_both_orders(tmp_path: Path, name: str, done: str) -> None:
    """Evidence that is taken, of the other order, decides and describes as a comparison does."""
    original = paint(PAINTERS[name])
    rows = picture(tmp_path / "a.png", original), picture(tmp_path / "b.png", COPIES[done][1](original))
    compare = MATCHER.comparing(is_retry=False)
    there, back = pair(*rows), pair(*rows[::-1])
    found, turned = compare([there, back])
    assert found.evidence == turned.evidence
    assert found.is_exchanged != turned.is_exchanged
    taken = Found(evidence=found.evidence, is_exchanged=not found.is_exchanged)
    assert MATCHER.decide(taken, back) == MATCHER.decide(turned, back)
    decided, other = MATCHER.decide(found, there), MATCHER.decide(turned, back)
    if decided is not None and other is not None:
        here, again = (json.loads(described) for _, described in (decided, other))
        assert (here["share_first"], here["share_second"]) == (again["share_second"], again["share_first"])


def test_pictures_with_nothing_in_common_have_no_evidence(tmp_path: Path) -> None:
    rows = [picture(tmp_path / f"{name}.png", paint(painter)) for name, painter in PAINTERS.items()]
    (found,) = MATCHER.comparing(is_retry=False)([pair(*rows)])
    assert found.evidence is None
    assert MATCHER.decide(found, pair(*rows)) is None
