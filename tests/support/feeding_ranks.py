"""An epoch of a feed on several processes, as on the machines of a training."""

import hashlib
import multiprocessing
from typing import Any

import curate


def samples_of_ranks(manifest: str, ranks: int, context: str, **options: Any) -> list[str]:
    """Return `key sha256` of each sample that processes, one a rank, got of its image as it is stored."""
    with multiprocessing.get_context(context).Pool(ranks) as pool:
        found = pool.starmap(_samples, [(manifest, {**options, "rank": n, "world": ranks}) for n in range(ranks)])
    return sorted(line for lines in found for line in lines)


def samples_of(manifest: str, **options: Any) -> list[str]:
    """Return `key sha256` of each sample of an epoch, in order of keys. Fails if one cannot be read."""
    return sorted(_samples(manifest, options))


def _samples(manifest: str, options: dict[str, Any]) -> list[str]:
    feed = curate.feed(manifest, decode=False, **options)
    lines = [
        f"{key} {hashlib.sha256(image).hexdigest()}"
        for batch in feed
        for key, image, counts in zip(batch["key"], batch["image"], batch["mask"], strict=True)
        if counts
    ]
    assert not feed.problems
    return lines
