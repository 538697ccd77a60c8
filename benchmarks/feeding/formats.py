"""Readers of formats of their own, into which the samples are converted first: files, litData's and Mosaic's."""

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.feeding.corpus import read_stored, stored_samples
from benchmarks.feeding.reader import Batch, Job, Reader, State, Stateful

CHUNK_BYTES = 16 << 20  # about as large as the shards


class Folder(Stateful):
    """StatefulDataLoader over a folder with a file for each picture."""

    name = "StatefulDataLoader, files"
    modules = ("torch", "torchdata.stateful_dataloader.sampler")
    remote = "files of a disk"

    @classmethod
    def convert(cls, job: Job) -> None:
        """See Reader."""
        for number, each in enumerate(read_stored(Path(job.local))):
            Path(job.converted, f"{number:08d}-{each.key}.jpg").write_bytes(each.data)

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        from torchdata.stateful_dataloader.sampler import StatefulDistributedSampler  # noqa: PLC0415

        job = self.job
        dataset = _Files(sorted(Path(job.converted).iterdir()))
        sampler = StatefulDistributedSampler(dataset, num_replicas=job.world, rank=job.rank, shuffle=True)
        yield from self._loaded(dataset, state, sampler=sampler)


class _Files:
    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [str(path) for path in paths]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> Mapping[str, Any]:
        path = Path(self._paths[at])
        return {"key": path.stem.split("-")[1], "image": path.read_bytes()}


class LitData(Reader):
    """litData: chunks of its own format, shuffled by its streaming dataset."""

    name = "litData"
    modules = ("torch", "litdata")

    @classmethod
    def convert(cls, job: Job) -> None:
        """See Reader."""
        import litdata  # noqa: PLC0415

        litdata.optimize(
            fn=_ReadTar(job.local),
            inputs=sorted(path.name for path in Path(job.local).glob("*.tar")),
            output_dir=job.converted,
            chunk_bytes=CHUNK_BYTES,
            num_workers=len(os.sched_getaffinity(0)),
            keep_data_ordered=True,
        )

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        import litdata  # noqa: PLC0415

        job = self.job
        options: dict[str, Any] = {}
        if job.endpoint is not None:
            given = {"endpoint_url": job.endpoint, "aws_access_key_id": "x", "aws_secret_access_key": "x"}
            options = {"storage_options": given, "cache_dir": f"{job.scratch}/litdata"}
            importlib.import_module("litdata.streaming.downloader")._OBSTORE_AVAILABLE = False  # it refuses http://
        dataset = litdata.StreamingDataset(job.converted, shuffle=True, drop_last=False, seed=0, **options)
        self._loader = litdata.StreamingDataLoader(
            dataset, batch_size=job.batch_size, num_workers=job.workers, collate_fn=job.collate
        )
        if state is not None:
            self._loader.load_state_dict(state)
        yield from self._loader

    def state(self) -> State:
        """See Reader."""
        return self._loader.state_dict()


@dataclass(frozen=True)
class _ReadTar:
    shards: str

    def __call__(self, tar: str) -> Iterator[Mapping[str, Any]]:
        data = Path(self.shards, tar).read_bytes()
        for each in stored_samples(Path(self.shards)):
            if each.tar == tar:
                yield {"key": each.key, "image": data[each.offset : each.offset + each.size_bytes]}


class Mosaic(Reader):
    """Mosaic's streaming: MDS shards, shuffled by its dataset."""

    name = "Mosaic streaming"
    modules = ("torch", "streaming")

    @classmethod
    def convert(cls, job: Job) -> None:
        """See Reader."""
        from streaming import MDSWriter  # noqa: PLC0415

        with MDSWriter(out=job.converted, columns={"key": "str", "image": "bytes"}, size_limit=CHUNK_BYTES) as writer:
            for each in read_stored(Path(job.local)):
                writer.write({"key": each.key, "image": each.data})

    def batches(self, state: State | None = None) -> Iterator[Batch]:
        """See Reader."""
        from streaming import StreamingDataLoader, StreamingDataset  # noqa: PLC0415
        from streaming.base.util import clean_stale_shared_memory  # noqa: PLC0415

        job = self.job
        if job.world == 1:
            clean_stale_shared_memory()  # names of it that an earlier dataset in this process used
        where = {"local": job.converted}
        if job.endpoint is not None:
            where = {"remote": job.converted, "local": f"{job.scratch}/mosaic"}
        self._dataset = StreamingDataset(shuffle=True, shuffle_seed=0, batch_size=job.batch_size, **where)
        self._loader = StreamingDataLoader(
            self._dataset, batch_size=job.batch_size, num_workers=job.workers, collate_fn=job.collate
        )
        if state is not None:
            self._loader.load_state_dict(state)
        yield from self._loader

    def state(self) -> State:
        """See Reader."""
        return self._loader.state_dict()
