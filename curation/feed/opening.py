"""Opens a feed: checks what was asked for, and finds or makes the files that it reads."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.feed.batches import Recipe
from curation.feed.cache import RangeCache
from curation.feed.denied import denied_rows
from curation.feed.feed import Feed
from curation.feed.index import Index
from curation.feed.index_making import Selection, identity, open_index
from curation.feed.mixture import check_shares, weights_of
from curation.feed.order import order_of
from curation.feed.pixels import Fit
from curation.feed.samples import Contents, Transform
from curation.feed.state import Ranks, State
from curation.sources.byte_ranges import try_ranges
from curation.takedown.deny_list import DenyList
from manifests.errors import InputError
from manifests.format.digest import settings_hash
from manifests.format.store import Manifest

DEFAULT_AHEAD_BYTES = 256 << 20
DEFAULT_MAX_BAD = 100


@dataclass(frozen=True, kw_only=True)
class FeedOptions:
    """What is fed, and how: the arguments of `curate.feed`, which describes them."""

    batch_size: int = 64
    members: Sequence[str] = ("image",)
    columns: Sequence[str] = ()
    size: int | None = None
    fit: str = "crop"
    decode: bool = True
    transform: Transform | None = None
    where: str | None = None
    weight: str | None = None
    shares: Sequence[float] | None = None
    deny: Iterable[str] = ()
    order: str = "shuffled"
    seed: int = 0
    remainder: str = "mask"
    rank: int | None = None
    world: int | None = None
    from_sources: bool = False
    threads: int | None = None
    ahead_bytes: int = DEFAULT_AHEAD_BYTES
    verify: float = 0.0
    max_bad: int = DEFAULT_MAX_BAD
    cache: str | None = None
    cache_bytes: int = 0
    storage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def check(self) -> None:
        """Raise InputError when a number is out of its range, or a text stands for a list."""
        least = {"seed": 0, "max_bad": 1, "ahead_bytes": 0, "cache_bytes": 0, "threads": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            is_number = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (is_number and value >= smallest):
                raise InputError(f"{name}: {value!r}; give a whole number, at least {smallest}")
        if not 0 <= self.verify <= 1:
            raise InputError(f"verify: {self.verify}; it is a share, 0 to 1")
        for name in ("members", "columns", "deny"):
            if isinstance(value := getattr(self, name), str):
                raise InputError(f"{name}: {value!r} is a text; give a list")

    @property
    def selection(self) -> Selection:
        """Which rows are read, and which of their members and columns."""
        return Selection(
            members=tuple(dict.fromkeys(self.members)),
            columns=tuple(dict.fromkeys(self.columns)),
            where=self.where,
            weight=self.weight,
            from_sources=self.from_sources,
        )

    @property
    def folder(self) -> Path:
        """Where indexes and cached bytes are kept."""
        if self.cache:
            return Path(self.cache).expanduser().absolute()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "curate").absolute()

    def contents(self) -> Contents:
        """Return what is read of a sample, and done to it. Raises InputError when the cache cannot be written."""
        is_cached = self.cache_bytes > 0
        return Contents(
            members=self.selection.members,
            columns=self.selection.columns,
            is_decoded=self.decode,
            fit=Fit(size=self.size, how=self.fit),
            transform=self.transform,
            verify=self.verify,
            seed=self.seed,
            read=RangeCache(str(self.folder / "ranges"), self.cache_bytes).read if is_cached else try_ranges,
        )

    def ranks(self) -> Ranks:
        """Return how positions are dealt out. Raises InputError when the rank is not one of them."""
        rank, world = self.rank, self.world
        if (rank is None) != (world is None):
            raise InputError("rank and world: give both, or none")
        if rank is None or world is None:
            rank, world = _found_ranks()
        return Ranks(rank=rank, world=world, batch_size=self.batch_size, remainder=self.remainder)


def open_feed(manifests: Sequence[Manifest], options: FeedOptions) -> Feed:
    """Return the feed of `manifests`. The index is found in the cache folder, or made.

    Raises InputError when an option does not fit, ManifestError when a part is missing or damaged.
    """
    options.check()
    if not manifests:
        raise InputError("manifest: none; name one at least")
    if options.shares is not None:
        check_shares(options.shares, len(manifests))
    ranks, contents, selection, folder = options.ranks(), options.contents(), options.selection, options.folder
    rows = settings_hash([identity(each, selection) for each in manifests])
    index = Index(tuple(open_index(each, selection, folder) for each in manifests))
    weights = weights_of(
        index,
        shares=options.shares,
        is_weighted=options.weight is not None,
        seed=options.seed,
        cache=folder,
        name=rows,
    )
    order = order_of(options.order, len(index) if weights is None else weights.slots, options.seed)
    recorded = DenyList.of(line for each in manifests for line in each.taken_down)
    denied = denied_rows(manifests, selection, DenyList.read(options.deny) | recorded, folder, rows)
    recipe = Recipe(
        index=index,
        order=order,
        weights=weights,
        ranks=ranks,
        contents=contents,
        denied=denied,
        max_bad=options.max_bad,
        ahead_bytes=options.ahead_bytes,
        threads=options.threads or len(os.sched_getaffinity(0)),
        storage=options.storage,
    )
    digests = [each.digest for each in manifests]
    state = State(
        epoch=0,
        position=0,
        seed=options.seed,
        order=order.name,
        manifest=digests[0] if len(digests) == 1 else settings_hash(digests),
        selection=settings_hash(rows, options.shares),
    )
    return Feed(recipe, state)


def _found_ranks() -> tuple[int, int]:
    """Return the rank of this process and how many there are."""
    torch = sys.modules.get("torch")  # who has a process group has imported it
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    try:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError as e:
        raise InputError(f"RANK or WORLD_SIZE in the environment: {e}; correct it, or give rank and world") from e
