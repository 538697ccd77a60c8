"""A feed: the samples of manifests in batches for this rank, with a state that any number of ranks can go on from."""

import dataclasses
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from curation.feed.batches import Batch, Recipe, Steps
from curation.feed.state import State
from manifests.errors import InputError

if TYPE_CHECKING:  # PyTorch is optional
    from curation.feed.torch_loaders import BatchDataset, FeedDataset, Loader, StepSampler

NAMED_PROBLEMS = 100


class Feed:
    """Batches of samples for this rank; each iteration is an epoch. `curate.feed` makes one.

    A batch is a mapping: what samples contain, by name; for each sample `position`, its position in the epoch, and
    `mask`, whether it counts: False for one that only stands in for a sample that cannot be read, or that fills the
    last step; `problems`, what could not be read; and `epoch`.

    If an iteration is left before its end, the next one goes on there.
    """

    def __init__(self, recipe: Recipe, state: State) -> None:
        self.recipe = recipe
        self._state = state
        self.problem_count = 0
        """Samples that could not be read until now, on this rank."""
        self.problems: list[str] = []
        """The first 100 of them, with reasons."""

    @property
    def epoch(self) -> int:
        """The epoch that is fed now or next, from 0."""
        return self._state.epoch

    @property
    def position(self) -> int:
        """How many samples of the epoch were fed, on all ranks together."""
        return self._state.position

    @property
    def samples(self) -> int:
        """How many samples an epoch has, on all ranks together."""
        return self.recipe.order.size

    def __len__(self) -> int:
        """How many batches a complete epoch has: as many for every rank."""
        return self.recipe.ranks.steps(self.samples)

    def __repr__(self) -> str:
        ranks = self.recipe.ranks
        return (
            f"<curate.Feed of {self.samples:,} samples, {self.recipe.order.name}; rank {ranks.rank} of "
            f"{ranks.world}; epoch {self.epoch}, position {self.position:,}>"
        )

    def __iter__(self) -> Iterator[Batch]:
        steps = self.steps()
        for batch in self.recipe.batches(steps):
            self.count(batch)
            yield batch
        self.set_epoch(steps.epoch + 1)

    def steps(self) -> Steps:
        """Return the steps that are left of the epoch; of the next one if this one is complete."""
        left = self.recipe.steps(self.epoch, self.position)
        if not left and self.position:  # a loop that counts batches never asked for the end
            self.set_epoch(self.epoch + 1)
            left = self.recipe.steps(self.epoch)
        return left

    def count(self, batch: Batch) -> None:
        """Move the state on to after `batch`, and count its problems."""
        self._state = self._after(batch)
        self.problem_count += len(batch["problems"])
        self.problems += batch["problems"][: NAMED_PROBLEMS - len(self.problems)]

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, counted from 0."""
        if epoch < 0:
            raise InputError(f"epoch: {epoch}; choose 0 or more")
        self._state = dataclasses.replace(self._state, epoch=epoch, position=0)

    def state_dict(self) -> dict[str, Any]:
        """Return where the feed stands, after the last batch that it gave: less than 1 KB as JSON.

        It is the same on all ranks, and holds for any number of ranks, workers and samples in a batch.
        """
        return self._state.as_json()

    def state_after(self, batch: Batch) -> dict[str, Any]:
        """Return the state after `batch`, whichever loader it came through."""
        return self._after(batch).as_json()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state` was returned. Costs the same wherever that is.

        Raises InputError when it belongs to other samples, or to another order of them.
        """
        self._state = self._state.moved_to(state)
        self.steps()

    def _after(self, batch: Batch) -> State:
        ranks = self.recipe.ranks
        start = int(batch["position"][0]) - ranks.rank * ranks.batch_size
        position = min(start + ranks.stride, self.samples)
        return dataclasses.replace(self._state, epoch=int(batch["epoch"]), position=position)

    def fetch(self) -> None:
        """Fetch the files of the feed into its cache, with large requests, as before a training.

        Ranks of a machine share the work if all of them do so. What the cache has is not fetched again. Raises
        InputError if there is no cache, or one that is too small for all files.
        """
        cache, ranks = self.recipe.contents.cache, self.recipe.ranks
        if cache is None:
            raise InputError("there is no cache to fetch files into; make the feed with cache_bytes")
        uris = self.recipe.index.uris()
        first = len(uris) * ranks.rank // ranks.world  # ranks begin at different files
        cache.fetch_whole(uris[first:] + uris[:first])

    def loader(
        self, *, workers: int = 0, context: str | None = None, prefetch: int = 2, pin_memory: bool = False
    ) -> "Loader":
        """Return a loader of PyTorch tensors, with the epochs and the state of this feed.

        Args:
            workers: processes that read and decode; 0 uses threads of this one.
            context: how they start: fork, spawn or forkserver; None as Python does by default.
            prefetch: batches that each worker has ready.
            pin_memory: put tensors in page-locked memory, for faster copies to a GPU.

        Its images have the shape (batch, 3, height, width), in channels-last memory. Raises InputError when PyTorch
        is not installed.
        """
        how = {"workers": workers, "context": context, "prefetch": prefetch, "pin_memory": pin_memory}
        return cast("Loader", _torch_loaders().Loader(self, **how))

    def dataset(self) -> "FeedDataset":
        """Return an iterable PyTorch dataset, to be loaded by `StatefulDataLoader` with `batch_size=None`."""
        return cast("FeedDataset", _torch_loaders().FeedDataset(self))

    def batch_dataset(self) -> "BatchDataset":
        """Return a map-style PyTorch dataset of batches, to be used with `sampler` and `batch_size=None`.

        `dataset[n]` is also sample number n, counted in the order of the manifest.
        """
        return cast("BatchDataset", _torch_loaders().BatchDataset(self.recipe))

    def sampler(self) -> "StepSampler":
        """Return the sampler for `batch_dataset`, which has the epochs and the state of this feed."""
        return cast("StepSampler", _torch_loaders().StepSampler(self))


def _torch_loaders() -> ModuleType:
    try:
        from curation.feed import torch_loaders  # noqa: PLC0415 - PyTorch is optional
    except ImportError as e:
        raise InputError("this needs PyTorch: pip install 'curate-images[train]'") from e
    return torch_loaders
