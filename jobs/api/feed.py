"""Feeds a trainer from manifests, in Python."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curation.feed.feed import Feed
from curation.feed.opening import DEFAULT_AHEAD_BYTES, DEFAULT_MAX_BAD, FeedOptions, open_feed
from curation.feed.samples import Transform
from jobs.api.errors import translated
from jobs.api.manifest import Manifest, committed_of, configure

Source = str | Manifest


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
    max_bad: int = DEFAULT_MAX_BAD,
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
    options = FeedOptions(
        batch_size=batch_size,
        members=members,
        columns=columns,
        size=size,
        fit=fit,
        decode=decode,
        transform=transform,
        where=where,
        weight=weight,
        shares=shares,
        deny=deny,
        order=order,
        seed=seed,
        remainder=remainder,
        rank=rank,
        world=world,
        from_sources=from_sources,
        threads=threads,
        ahead_bytes=ahead_bytes,
        verify=verify,
        max_bad=max_bad,
        cache=cache,
        cache_bytes=cache_bytes,
        storage=storage or {},
    )
    several = [manifest] if isinstance(manifest, str | Manifest) else manifest
    with translated():
        return open_feed([committed_of(each) for each in several], options)
