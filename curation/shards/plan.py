"""Which sample goes into which shard: a global shuffle, divided by count or by size."""

import itertools
from dataclasses import dataclass

from curation.sources.keys import keyed_hash64

HASH_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """How `samples` samples are divided into `shards` shards by their rank in the global shuffle, from 0."""

    samples: int
    shards: int
    samples_per_shard: int | None
    """None divides evenly: every shard has the same number of samples, or one more or less."""

    def sizes(self) -> list[int]:
        """Return how many samples each shard contains."""
        if self.samples_per_shard is not None:
            full = [self.samples_per_shard] * (self.samples // self.samples_per_shard)
            rest = self.samples % self.samples_per_shard
            return full + [rest] * (rest > 0)
        if not self.shards:
            return []
        starts = [-(-s * self.samples // self.shards) for s in range(self.shards + 1)]
        return [b - a for a, b in itertools.pairwise(starts)]

    def first_ranks(self) -> list[int]:
        """Return the rank of each shard's first sample."""
        return list(itertools.accumulate(self.sizes(), initial=0))[:-1]


def plan_shards(
    samples: int, image_bytes: int, *, samples_per_shard: int, target_shard_bytes: int | None
) -> ShardPlan:
    """Return how `samples` samples of `image_bytes` bytes in total are divided: by count, or evenly by bytes.

    With `target_shard_bytes`, shards have about that many bytes of images, and `samples_per_shard` has no effect.
    """
    if target_shard_bytes is None:
        shards = -(-samples // samples_per_shard)
        return ShardPlan(samples=samples, shards=shards, samples_per_shard=samples_per_shard)
    shards = min(samples, max(1, -(-image_bytes // target_shard_bytes))) if samples else 0
    return ShardPlan(samples=samples, shards=shards, samples_per_shard=None)


def shuffle_place(salt: str, key: str) -> bytes:
    """Return the sample's place in the global shuffle as 8 bytes that sort like the number."""
    return keyed_hash64(salt, key).to_bytes(HASH_BYTES, "big")
