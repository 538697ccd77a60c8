"""What a reader is: a library that reads the same samples in batches, with the same decoder as all others.

Where worker processes decode, they do so in the function that collates a batch, which costs least: nothing but the
loading differs between readers.
"""

import importlib
import importlib.util
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feeding.corpus import SIZE
from curation.feed.pixels import Fit, pixels
from curation.pictures.decode import DEFAULT_LIMITS

Batch = Mapping[str, Any]
State = Any

FIT = Fit(size=SIZE)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a reader is to do.

    `shards` has the tars, and `converted` the same samples in the form of this library, both a local path or on S3.
    `local` is the local folder of the shards, and `scratch` an empty folder. With `is_decoded` False, only keys are
    wanted. `rank` is this process of `world`.
    """

    shards: str
    converted: str
    local: str
    scratch: str
    endpoint: str | None
    batch_size: int
    workers: int
    rank: int = 0
    world: int = 1
    is_decoded: bool = True

    @property
    def tars(self) -> list[str]:
        """The tars, in order."""
        return [f"{self.shards}/{path.name}" for path in sorted(Path(self.local).glob("*.tar"))]

    @property
    def collate(self) -> "Collate":
        """What makes a batch of samples."""
        return Collate(is_decoded=self.is_decoded)


@dataclass(frozen=True)
class Collate:
    """Decodes samples and stacks them."""

    is_decoded: bool

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        """Return a batch of samples with `key` and `image`, stored bytes."""
        import torch  # noqa: PLC0415 - curate's own reader needs none

        keys = [each["key"] for each in samples]
        if not self.is_decoded:
            return {"key": keys}
        return {
            "key": keys,
            "image": torch.from_numpy(np.stack([decoded(_bytes(each["image"])) for each in samples])),
        }


def _bytes(image: Any) -> bytes:
    """Return the bytes of an image. Hugging Face has a mapping: `map` after `shuffle` would break its state."""
    return bytes(image["bytes"] if isinstance(image, dict) else image)


def decoded(data: bytes) -> Any:
    """Return the pixels of a stored image, as all readers decode it."""
    return pixels(data, FIT, DEFAULT_LIMITS, np.random.default_rng(0))


class Reader:
    """A library. `has_state` is whether it can go on within an epoch, `modules` what it imports."""

    name: str
    modules: Sequence[str] = ()
    has_state = True
    remote: str | None = None
    """Why it does not read from S3, None if it does."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @classmethod
    def missing(cls) -> list[str]:
        """Return the packages that are not installed."""
        names = [each.partition(".")[0] for each in cls.modules]
        return [name for name in names if importlib.util.find_spec(name) is None]

    @classmethod
    def load(cls, workers: int) -> None:
        """Import what the reader needs with so many workers, so that it is not timed."""
        for name in cls.modules:
            importlib.import_module(name)

    @classmethod
    def convert(cls, job: Job) -> None:
        """Write what this library needs into the folder `job.converted`, from `job.shards`."""

    @abstractmethod
    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """Yield the batches of this rank, of an epoch or of what is left of it after `state`."""

    def state(self) -> State:
        """Return the state after the last batch."""
        raise NotImplementedError


class Stateful(Reader):
    """A reader through torchdata's StatefulDataLoader."""

    def _loaded(self, dataset: Any, state: State | None, **options: Any) -> Iterator[Batch]:
        from torchdata.stateful_dataloader import StatefulDataLoader  # noqa: PLC0415

        job = self.job
        self._loader = StatefulDataLoader(
            dataset, batch_size=job.batch_size, num_workers=job.workers, collate_fn=job.collate, **options
        )
        if state is not None:
            self._loader.load_state_dict(state)
        yield from self._loader

    def state(self) -> State:
        """See Reader."""
        return self._loader.state_dict()


def storage_options(endpoint: str) -> dict[str, Any]:
    """Return what s3fs needs to reach the server at `endpoint`."""
    return {"endpoint_url": endpoint, "key": "x", "secret": "x"}
