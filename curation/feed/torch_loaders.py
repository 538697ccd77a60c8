"""The feed for PyTorch: a loader with worker processes, datasets for other loaders, and a sampler."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from curation.feed.batches import Batch, Recipe, Step
from curation.feed.feed import Feed
from curation.feed.samples import Sample

STACKED_IMAGES = 4  # dimensions


def as_tensors(batch: Batch) -> Batch:
    """Return `batch` with arrays of numbers as tensors; images get the shape (batch, 3, height, width)."""
    tensors = {name: _tensor(value) for name, value in batch.items()}
    image = tensors.get("image")
    if isinstance(image, torch.Tensor) and image.ndim == STACKED_IMAGES and image.shape[3] == 3:
        tensors["image"] = image.permute(0, 3, 1, 2)
    return tensors


def _tensor(value: Any) -> Any:
    is_number = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    return torch.from_numpy(np.ascontiguousarray(value)) if is_number else value


class Loader:
    """Batches of tensors, read and decoded by worker processes; each iteration is an epoch of its feed.

    Workers live from the first batch until `close`: they read on into the next epoch while the last batches of one
    are trained on. The loader has the state of the feed, however far the workers are.
    """

    def __init__(self, feed: Feed, *, workers: int, context: str | None, prefetch: int, pin_memory: bool) -> None:
        self.feed = feed
        self._options: dict[str, Any] = {"num_workers": workers, "pin_memory": pin_memory}
        if workers:
            self._options |= {"multiprocessing_context": context, "prefetch_factor": prefetch}
        self._stream: Iterator[Batch] | None = None
        self._coming: Iterator[Step] = iter(())

    def __len__(self) -> int:
        return len(self.feed)

    def __iter__(self) -> Iterator[Batch]:
        steps = self.feed.steps()
        for step in steps:
            batch = self._batch(step)
            self.feed.count(batch)
            yield batch
        self.feed.set_epoch(steps.epoch + 1)

    def _batch(self, step: Step) -> Batch:
        """Return the batch of `step`; workers start anew if another one is their next."""
        if self._stream is None or next(self._coming) != step:
            self.close()
            endless = _EndlessBatches(self.feed.recipe, step)
            self._coming = itertools.islice(endless.steps(), 1, None)
            self._stream = iter(DataLoader(endless, batch_size=None, collate_fn=_unchanged, **self._options))
        return next(self._stream)

    def close(self) -> None:
        """End the workers."""
        self._stream = None  # PyTorch ends them when their iterator goes

    def state_dict(self) -> dict[str, Any]:
        """Return where the feed stands, see Feed.state_dict."""
        return self.feed.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state` was returned, see Feed.load_state_dict."""
        self.feed.load_state_dict(state)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, unless the feed is within it."""
        if epoch != self.feed.epoch:
            self.feed.set_epoch(epoch)


def _unchanged(batch: Batch) -> Batch:
    return batch


class _EndlessBatches(IterableDataset[Batch]):
    """The batches from a step on, through all epochs; each worker gives its share of them."""

    def __init__(self, recipe: Recipe, first: Step) -> None:
        self._recipe, self._first = recipe, first

    def steps(self) -> Iterator[Step]:
        """Yield the steps, without an end."""
        yield from self._recipe.steps(self._first.epoch, self._first.start)
        for epoch in itertools.count(self._first.epoch + 1):
            yield from self._recipe.steps(epoch)

    def __iter__(self) -> Iterator[Batch]:
        worker, workers = _worker()
        return map(as_tensors, self._recipe.batches(itertools.islice(self.steps(), worker, None, workers)))


def _worker() -> tuple[int, int]:
    """Return the number of this worker, from 0, and how many there are."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


class FeedDataset(IterableDataset[Batch]):
    """The batches that are left of the epoch of a feed, for loaders of others, with `batch_size=None`.

    An iterator has the state of one worker, which `StatefulDataLoader` keeps for each. Go to an epoch with
    `set_epoch` of the feed; a loader must start its workers anew for each (`persistent_workers=False`).
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __iter__(self) -> "_WorkerBatches":
        return _WorkerBatches(self._feed.recipe, self._feed.state_dict())


class _WorkerBatches(Iterator[Batch]):
    """The batches of one worker: its share of the steps that are left after `start`, a state of the feed."""

    def __init__(self, recipe: Recipe, start: Mapping[str, Any]) -> None:
        self._recipe, self._start, self._given = recipe, dict(start), 0
        self._batches: Iterator[Batch] | None = None

    def __next__(self) -> Batch:
        if self._batches is None:
            worker, workers = _worker()
            steps = self._recipe.steps(self._start["epoch"], self._start["position"])
            self._batches = self._recipe.batches(steps[worker + self._given * workers :: workers])
        batch = as_tensors(next(self._batches))
        self._given += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"start": self._start, "given": self._given}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._start, self._given, self._batches = dict(state["start"]), int(state["given"]), None


class BatchDataset(Dataset[Batch]):
    """Batches by step, as `StepSampler` names them, and samples by their number, in the order of the manifest."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(self._recipe.index)

    def __getitem__(self, at: Step | int) -> Batch | Sample:
        if isinstance(at, Step):
            return as_tensors(self._recipe.batch(at))
        if not -len(self) <= at < len(self):
            raise IndexError(f"sample {at} of {len(self)}")
        return self._recipe.sample(at % len(self))


class StepSampler(Sampler[Step]):
    """The steps that are left of the epoch of a feed; see `Feed.batch_dataset`. Its iterator has a state."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __len__(self) -> int:
        return len(self._feed.steps())

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self._feed.set_epoch(epoch)

    def __iter__(self) -> "_Steps":
        self._feed.steps()  # goes to the next epoch if this one is complete
        return _Steps(self._feed.recipe, self._feed.epoch, self._feed.position)


class _Steps(Iterator[Step]):
    def __init__(self, recipe: Recipe, epoch: int, position: int) -> None:
        self._recipe, self._epoch, self._position = recipe, epoch, position

    def __next__(self) -> Step:
        steps = self._recipe.steps(self._epoch, self._position)
        if not steps:
            raise StopIteration
        self._position += self._recipe.ranks.stride
        return steps[0]

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self._epoch, self._position = state["epoch"], state["position"]
