"""The readers: each library as its documentation says. Here are those of tars; see `formats` for the others."""

import importlib
import io
import itertools
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feeding.corpus import SIZE, Sample, stored_samples
from benchmarks.feeding.formats import Folder, LitData, Mosaic
from benchmarks.feeding.reader import Batch, Job, Reader, State, Stateful, decoded, storage_options
from manifests import storage

BUFFER = 256
"""Samples in a shuffle buffer: about a tenth of the corpus, as tens of thousands are of a larger one."""


class Sequential(Reader):
    """The ceiling: tars one after the other, each read as a whole, pictures cut out and decoded in one thread."""

    name = "sequential read"
    has_state = False

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        samples = self._samples()
        while some := list(itertools.islice(samples, self.job.batch_size)):
            image = np.stack([decoded(each.data) for each in some]) if self.job.is_decoded else None
            yield {"key": [each.key for each in some], "image": image}

    def _samples(self) -> Iterator[Sample]:
        for tar, stored in itertools.groupby(stored_samples(Path(self.job.local)), key=lambda each: each.tar):
            data = storage.read_bytes(f"{self.job.shards}/{tar}")
            for each in stored:
                yield Sample(key=each.key, data=data[each.offset : each.offset + each.size_bytes])


class Curate(Reader):
    """`curate.feed`, with an order."""

    order: str
    modules = ("torch",)

    @classmethod
    def load(cls, workers: int) -> None:
        """See Reader."""
        importlib.import_module("jobs.api.feed")
        if workers:
            importlib.import_module("curation.feed.torch_loaders")

    @classmethod
    def convert(cls, job: Job) -> None:
        """See Reader."""
        cls(job).made()

    def made(self) -> Any:
        """Return the feed."""
        import curate  # noqa: PLC0415

        job = self.job
        return curate.feed(
            job.shards,
            batch_size=job.batch_size,
            size=SIZE,
            decode=job.is_decoded,
            order=self.order,
            rank=job.rank,
            world=job.world,
            cache=job.converted,
        )

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        job = self.job
        self._feed = self.made()
        if state is not None:
            self._feed.load_state_dict(state)
        for batch in self._loaded() if job.workers else self._feed:
            keys = [key for key, counts in zip(batch["key"], batch["mask"], strict=True) if counts]
            yield {"key": keys, "image": batch["image"]}

    def _loaded(self) -> Iterator[Batch]:
        """Yield the batches of workers that end with the epoch: those of `loader` go on with the next one."""
        from torch.utils.data import DataLoader  # noqa: PLC0415

        for batch in DataLoader(self._feed.dataset(), batch_size=None, num_workers=self.job.workers):
            self._feed.count(batch)
            yield batch

    def state(self) -> State:
        """See Reader."""
        return self._feed.state_dict()


class Shuffled(Curate):
    """`curate.feed` in a random order."""

    name = "curate.feed shuffled"
    order = "shuffled"


class Windowed(Curate):
    """`curate.feed` in a random order of windows."""

    name = "curate.feed windowed"
    order = "windowed"


class WebDataset(Reader):
    """The webdataset library: tars dealt out to ranks and workers, and a shuffle buffer."""

    name = "webdataset"
    modules = ("torch", "webdataset")
    has_state = False

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        import webdataset as wds  # noqa: PLC0415
        from webdataset.gopen import gopen_schemes  # noqa: PLC0415 - wds.gopen is a function

        job = self.job
        if job.endpoint is not None:  # its own way starts `aws s3 cp` for each tar
            gopen_schemes["s3"] = _opened
        dataset = (
            wds.WebDataset(job.tars, shardshuffle=len(job.tars), nodesplitter=wds.split_by_node, seed=0)
            .shuffle(BUFFER, initial=BUFFER)
            .map(lambda sample: {"key": sample["__key__"], "image": sample["jpg"]})
            .batched(job.batch_size, collation_fn=job.collate)
        )
        yield from wds.WebLoader(dataset, batch_size=None, num_workers=job.workers)


def _opened(url: str, mode: str, _bufsize: int = 0, **_: Any) -> Any:
    import fsspec  # noqa: PLC0415

    return fsspec.open(url, mode).open()


class Wids(Reader):
    """wids: tars mapped into memory, read by an index, with its sampler."""

    name = "wids"
    modules = ("torch", "wids")
    has_state = False
    remote = "fetches tars with the programs of AWS, Google or curl, and reads copies"

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        import wids  # noqa: PLC0415
        from torch.utils.data import DataLoader  # noqa: PLC0415

        job = self.job
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one rank
            dataset = wids.ShardListDataset(
                f"{job.local}/wids-meta.json",
                cache_dir=f"{job.scratch}/wids",
                lru_size=64,
                keep=True,
                transformations=[_of_wids],
            )
            sampler = wids.DistributedChunkedSampler(
                dataset, num_replicas=job.world, rank=job.rank, shuffle=True, shufflefirst=True
            )
        yield from DataLoader(
            dataset, batch_size=job.batch_size, sampler=sampler, num_workers=job.workers, collate_fn=job.collate
        )


def _of_wids(sample: Mapping[str, Any]) -> Mapping[str, Any]:
    image = sample[".jpg"]
    return {"key": sample["__key__"], "image": image.read() if isinstance(image, io.IOBase) else bytes(image)}


class HuggingFace(Stateful):
    """Hugging Face datasets, streaming from tars, with a shuffle buffer and its state."""

    name = "HF datasets"
    modules = ("torch", "datasets", "torchdata.stateful_dataloader")

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        import datasets  # noqa: PLC0415
        from datasets.distributed import split_dataset_by_node  # noqa: PLC0415

        job = self.job
        datasets.disable_progress_bars()
        options = {} if job.endpoint is None else {"storage_options": storage_options(job.endpoint)}
        dataset = datasets.load_dataset(
            "webdataset",
            data_files={"train": job.tars},
            split="train",
            streaming=True,
            cache_dir=f"{job.scratch}/datasets",
            **options,
        )
        dataset = dataset.select_columns(["__key__", "jpg"]).rename_columns({"__key__": "key", "jpg": "image"})
        dataset = dataset.cast_column("image", datasets.Image(decode=False)).shuffle(seed=0, buffer_size=BUFFER)
        if job.world > 1:
            dataset = split_dataset_by_node(dataset, job.rank, job.world)
        yield from self._loaded(dataset, state)


READERS: Mapping[str, type[Reader]] = {
    each.name: each
    for each in (Sequential, Shuffled, Windowed, WebDataset, Wids, HuggingFace, LitData, Mosaic, Folder)
}
