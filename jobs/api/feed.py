"""Feeds a trainer from manifests, in Python."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
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
from jobs.api.errors import translated
from jobs.api.manifest import Manifest, committed_of, configure
from manifests.errors import InputError
from manifests.format.digest import settings_hash
from manifests.format.store import Manifest as Committed

Source = str | Manifest
DEFAULT_AHEAD_BYTES = 256 << 20
DEFAULT_CACHE_BYTES = 32 << 30


def feed(
    manifest: Source | Sequence[Source],
    *,
    batch_size: int = 64,
    members: Sequence[str] = ("image",),
    columns: Sequence[str] = (),
    size: int | None = None,
    fit: str = "crop",
    decode: bool = True,
    transform: Transform | None = None,
    where: str | None = None,
    weight: str | None = None,
    shares: Sequence[float] | None = None,
    deny: Iterable[str] = (),
    order: str = "shuffled",
    seed: int = 0,
    remainder: str = "mask",
    rank: int | None = None,
    world: int | None = None,
    from_sources: bool = False,
    threads: int | None = None,
    ahead_bytes: int = DEFAULT_AHEAD_BYTES,
    verify: float = 0.0,
    max_bad: int = 100,
    cache: str | None = None,
    cache_bytes: int = 0,
    storage: Mapping[str, Mapping[str, Any]] | None = None,
) -> Feed:
    """Return the samples of a manifest, or of several, in batches for a trainer: each once an epoch.

    The kept rows with a picture are fed; of a manifest of shards from its tars, of any other from the files that were
    scanned. The first call for a manifest makes an index in the cache folder, later ones open it.

    Args:
        manifest: a manifest or its folder, or several, whose samples are mixed.
        batch_size: samples in a batch of one rank.
        members: what to read of a sample, of image, json and caption.
        columns: columns of the manifest that a batch has, too.
        size: pixels of a side of the square images in a batch; None leaves their sizes, and they are a list.
        fit: how images become squares: crop, pad, stretch or random_crop, see `curation.feed.pixels.Fit`.
        decode: False leaves images as stored bytes.
        transform: called with a sample (a mapping) and a random generator that depends on seed, epoch and position
            alone; returns a sample. Runs in threads.
        where: which rows, a SQL expression over a row, such as "text_class = 'heavy'".
        weight: how often a row comes in an epoch, a SQL expression, such as "1 + 2 * text_score"; on average if it is
            no whole number, and 0 leaves a row out.
        shares: the share of each manifest in an epoch; by default each sample comes once.
        deny: lists of hashes of pictures that are not fed, see `curate takedown`. They may change between a state and
            going on from it.
        order: shuffled, a random permutation of all samples; windowed or windowed:SAMPLES, a random order of runs of
            consecutive samples, for slow storage; or stored.
        seed: of the order and of random numbers.
        remainder: what fills the last step of an epoch if too few samples are left: mask, samples from its beginning
            that are marked as not counting; pad, the same as counting; drop leaves the step out.
        rank, world: which of how many processes this is; by default as torch.distributed or the environment (RANK,
            WORLD_SIZE) say, else the only one.
        from_sources: read the files that were scanned, although there are shards.
        threads: that decode; by default one for each core.
        ahead_bytes: how much memory batches that are read ahead may take in a process, about.
        verify: the share of images whose sha256 is compared with the manifest's.
        max_bad: so many samples in a row that cannot be read end the feed.
        cache: folder for indexes and cached bytes; by default `curate` in the user's folder for caches.
        cache_bytes: how many bytes of remote files are kept there; 0 keeps none.
        storage: fsspec arguments by protocol.

    Raises InputError when an argument does not fit, ManifestError when a part is missing or damaged.
    """
    configure(storage)
    several = [manifest] if isinstance(manifest, str | Manifest) else list(manifest)
    if not several:
        raise InputError("manifest: none; name one at least")
    if shares is not None:
        check_shares(shares, len(several))
    _check(seed=(seed, 0), max_bad=(max_bad, 1), ahead_bytes=(ahead_bytes, 0), cache_bytes=(cache_bytes, 0))
    threads = len(os.sched_getaffinity(0)) if threads is None else threads
    _check(threads=(threads, 1))
    if not 0 <= verify <= 1:
        raise InputError(f"verify: {verify}; it is a share, 0 to 1")
    folder = Path(cache).expanduser().absolute() if cache else cache_folder()
    selection = Selection(
        members=_texts(members, "members"),
        columns=_texts(columns, "columns"),
        where=where,
        weight=weight,
        from_sources=from_sources,
    )
    ranks = _ranks(rank, world, batch_size, remainder)
    contents = Contents(
        members=selection.members,
        columns=selection.columns,
        is_decoded=decode,
        fit=Fit(size=size, how=fit),
        transform=transform,
        verify=verify,
        seed=seed,
        read=RangeCache(str(folder / "ranges"), cache_bytes).read if cache_bytes else try_ranges,
    )
    with translated():
        committed = [committed_of(each) for each in several]
        rows = settings_hash([identity(each, selection) for each in committed])
        index = Index(tuple(open_index(each, selection, folder) for each in committed))
        weights = weights_of(index, shares=shares, is_weighted=weight is not None, seed=seed, cache=folder, name=rows)
        ordered = order_of(order, len(index) if weights is None else weights.slots, seed)
        denied = denied_rows(committed, selection, _deny_list(deny, committed), folder, rows)
    recipe = Recipe(
        index=index,
        order=ordered,
        weights=weights,
        ranks=ranks,
        contents=contents,
        denied=denied,
        max_bad=max_bad,
        ahead_bytes=ahead_bytes,
        threads=threads,
        storage=storage or {},
    )
    state = State(
        epoch=0,
        position=0,
        seed=seed,
        order=ordered.name,
        manifest=committed[0].digest if len(committed) == 1 else settings_hash([m.digest for m in committed]),
        selection=settings_hash(rows, shares),
    )
    return Feed(recipe, state)


def cache_folder() -> Path:
    """Return the folder for what is kept between calls: `curate` in the user's folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "curate").absolute()


def _check(**given: tuple[Any, int]) -> None:
    """Raise InputError unless each value is a whole number, at least as large as the number beside it."""
    for name, (value, least) in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name}: {value!r}; give a whole number, at least {least}")


def _texts(names: Sequence[str], argument: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise InputError(f"{argument}: {names!r} is a text; give a list of names")
    return tuple(dict.fromkeys(names))


def _deny_list(paths: Iterable[str], manifests: Sequence[Committed]) -> DenyList:
    """Return the hashes of the lists at `paths`, and those that the manifests record."""
    if isinstance(paths, str):
        raise InputError(f"deny: {paths!r} is a text; give a list of paths")
    recorded = DenyList.of(line for each in manifests for line in each.taken_down)
    return DenyList.read(paths) | recorded


def _ranks(rank: int | None, world: int | None, batch_size: int, remainder: str) -> Ranks:
    if (rank is None) != (world is None):
        raise InputError("rank and world: give both, or none")
    if rank is None or world is None:
        rank, world = _found_ranks()
    return Ranks(rank=rank, world=world, batch_size=batch_size, remainder=remainder)


def _found_ranks() -> tuple[int, int]:
    """Return the rank of this process and how many there are."""
    torch = sys.modules.get("torch")  # who has a process group has imported it
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    try:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError as e:
        raise InputError(f"RANK or WORLD_SIZE in the environment: {e}; correct it, or give rank and world") from e
