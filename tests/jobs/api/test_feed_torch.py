"""The feed in PyTorch: its own loader, torchdata's, Lightning's and accelerate's, on workers that fork or spawn."""

import itertools
import json
import subprocess
import sys

import pytest

import curate
from tests.support.feeding import key_of, make_shards

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

SAMPLES = 101
KEYS = {key_of(n) for n in range(SAMPLES)}


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    shards = make_shards(tmp_path_factory.mktemp("shards"), SAMPLES).uri
    cache = str(tmp_path_factory.mktemp("cache"))

    def make(**options):
        return curate.feed(shards, **{"cache": cache, "batch_size": 4, "threads": 1, "size": 16, **options})

    return make


def keys_of(batches):
    return [
        key for batch in batches for key, counts in zip(batch["key"], batch["mask"].tolist(), strict=True) if counts
    ]


def test_a_loader_gives_tensors_in_the_order_of_the_feed(feed):
    plain = list(feed(members=["image", "caption"]))
    for workers in (0, 2):
        loader = feed(members=["image", "caption"]).loader(workers=workers)
        batches = list(loader)
        loader.close()
        assert len(batches) == len(loader) == len(plain)
        for ours, theirs in zip(plain, batches, strict=True):
            assert theirs["key"] == ours["key"]
            assert theirs["caption"] == ours["caption"]
            assert theirs["image"].shape == (4, 3, 16, 16)
            assert theirs["image"].is_contiguous(memory_format=torch.channels_last)
            assert (theirs["image"].permute(0, 2, 3, 1).numpy() == ours["image"]).all()
            assert theirs["mask"].dtype == torch.bool


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_three_resumptions_on_changing_numbers_lose_and_repeat_nothing(feed, world, workers):
    """In the middle and at the end of an epoch, each time with other numbers of ranks and of workers."""
    keys: dict[int, list[str]] = {0: [], 1: []}
    state = None
    worlds = itertools.cycle([world, 2, 3, 1])
    for resumption, steps in enumerate([2, 3, None, 2, None]):
        ranks = next(worlds)
        states = []
        for rank in range(ranks):
            loader = feed(rank=rank, world=ranks).loader(workers=(workers + resumption) % 3 if rank == 0 else 0)
            if state:
                loader.load_state_dict(json.loads(state))
            epoch = loader.feed.epoch
            keys[epoch] += keys_of(itertools.islice(loader, steps))
            states.append(json.dumps(loader.state_dict()))
            loader.close()
        assert len(set(states)) == 1
        state = states[0]
    assert sorted(keys[0]) == sorted(keys[1]) == sorted(KEYS)


def test_workers_read_on_into_the_next_epoch(feed):
    plain = feed()
    loader = feed().loader(workers=2)
    for _ in range(3):
        assert keys_of(loader) == keys_of(plain)
    loader.close()


def test_a_loader_goes_where_its_feed_is_sent(feed):
    loader = feed().loader(workers=1)
    first = keys_of(itertools.islice(loader, 3))
    state = loader.state_dict()
    rest = keys_of(loader)
    loader.load_state_dict(state)
    assert keys_of(loader) == rest
    loader.feed.set_epoch(0)
    assert keys_of(loader) == first + rest
    loader.close()


def test_workers_may_spawn(feed):
    loader = feed().loader(workers=2, context="spawn")
    assert sorted(keys_of(loader)) == sorted(KEYS)
    loader.close()


SCRIPT = """
import sys, curate
def main():
    loader = curate.feed(sys.argv[1], cache=sys.argv[2], batch_size=4, size=16).loader(workers=2, context=sys.argv[3])
    for batch in loader:
        if sys.argv[4] == "raise":
            raise SystemExit(7)
    sys.exit(7)
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.parametrize("end", ["raise", "finish"])
def test_a_program_ends_though_it_does_not_close_the_loader(tmp_path, context, end):
    (tmp_path / "script.py").write_text(SCRIPT)
    shards = make_shards(tmp_path / "shards", 30).uri
    line = [sys.executable, tmp_path / "script.py", shards, tmp_path / "cache", context, end]
    done = subprocess.run(line, timeout=120, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert not done.stderr


def test_samples_can_be_taken_by_number(feed):
    dataset = feed().batch_dataset()
    assert len(dataset) == SAMPLES
    assert [dataset[n]["key"] for n in (0, 5, -1)] == [key_of(n) for n in (0, 5, 100)]
    with pytest.raises(IndexError):
        dataset[SAMPLES]


# --- loaders of others


def stateful(fed, kind, workers):
    loaders = pytest.importorskip("torchdata.stateful_dataloader")
    if kind == "iterable":
        return loaders.StatefulDataLoader(fed.dataset(), batch_size=None, num_workers=workers)
    return loaders.StatefulDataLoader(
        fed.batch_dataset(), sampler=fed.sampler(), batch_size=None, num_workers=workers
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["iterable", "map"])
def test_torchdatas_loader_keeps_the_place(feed, kind, workers):
    plain = keys_of(feed())
    loader = stateful(feed(), kind, workers)
    keys = keys_of(itertools.islice(loader, 7))
    state = loader.state_dict()
    del loader
    resumed = stateful(feed(), kind, workers)
    resumed.load_state_dict(state)
    assert keys + keys_of(resumed) == plain


@pytest.mark.parametrize("kind", ["iterable", "map"])
def test_the_state_of_the_feed_comes_with_each_batch_of_another_loader(feed, kind):
    """So that it can go on with another number of ranks and workers, which torchdata's own state cannot."""
    fed = feed()
    keys = []
    for batch in itertools.islice(stateful(fed, kind, 2), 7):
        keys += keys_of([batch])
        state = fed.state_after(batch)
    for rank in range(3):
        other = feed(rank=rank, world=3, batch_size=5)
        other.load_state_dict(state)
        keys += keys_of(other)
    assert sorted(keys) == sorted(KEYS)


@pytest.mark.parametrize("kind", ["iterable", "map"])
def test_another_loader_goes_to_the_epoch_of_the_feed(feed, kind):
    fed, plain = feed(), feed()
    loader = stateful(fed, kind, 2)
    for epoch in range(2):
        fed.set_epoch(epoch)
        assert keys_of(loader) == keys_of(plain)


def test_lightning_saves_and_restores_the_state(feed, tmp_path):
    lightning = pytest.importorskip("pytorch_lightning")

    class Seen(lightning.LightningModule):
        def __init__(self, until):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.keys, self.until = [], until

        def training_step(self, batch, place):
            if place == self.until:
                raise RuntimeError("the machine is gone")
            self.keys += keys_of([batch])
            return self.layer(batch["image"].float().mean().reshape(1)).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0)

    saving = lightning.callbacks.ModelCheckpoint(tmp_path, "last", every_n_train_steps=9, save_top_k=1)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "max_epochs": 2}
    first, second = Seen(until=12), Seen(until=None)
    with pytest.raises(RuntimeError, match="the machine is gone"):
        lightning.Trainer(accelerator="cpu", callbacks=[saving], **quiet).fit(first, feed().loader(workers=1))
    again = lightning.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)
    again.fit(second, feed().loader(workers=2), ckpt_path=tmp_path / "last.ckpt")
    plain = feed()
    assert first.keys[: 9 * 4] + second.keys == keys_of(plain) + keys_of(plain)


def test_accelerate_saves_and_restores_the_state(feed, tmp_path):
    accelerate = pytest.importorskip("accelerate")

    def prepared():
        accelerator = accelerate.Accelerator(cpu=True)
        loader = accelerator.prepare(feed().loader(workers=1))
        accelerator.register_for_checkpointing(loader)
        return accelerator, loader

    accelerator, loader = prepared()
    keys = keys_of(itertools.islice(loader, 9))
    accelerator.save_state(tmp_path / "state")
    loader.close()
    accelerator, loader = prepared()
    accelerator.load_state(tmp_path / "state")
    assert keys + keys_of(loader) == keys_of(feed())
    loader.close()
