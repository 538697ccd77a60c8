"""The feed: each sample once an epoch, on any ranks, resumed anywhere; bad samples named; what is refused."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import curate
from curation.pictures.decode import decode
from manifests import storage
from manifests.format.schema import Stage
from tests.support.feeding import key_of, make_shards, members_of, picture
from tests.support.making import commit_rows, rows_of_tar, tar_bytes

SAMPLES = 101
KEYS = {key_of(n) for n in range(SAMPLES)}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_shards(tmp_path_factory.mktemp("shards"), SAMPLES).uri


@pytest.fixture(scope="module")
def feed(shards, tmp_path_factory):
    """Return `curate.feed` of the shards, or of others, with a cache folder of its own."""
    cache = str(tmp_path_factory.mktemp("cache"))

    def make(manifest=shards, **options):
        return curate.feed(manifest, **{"cache": cache, "batch_size": 8, "threads": 2, "decode": False, **options})

    return make


def counted(batch):
    """Return the keys of a batch that count."""
    return [key for key, counts in zip(batch["key"], batch["mask"], strict=True) if counts]


def keys_of(batches):
    return [key for batch in batches for key in counted(batch)]


# --- once an epoch


@pytest.mark.parametrize("order", ["shuffled", "windowed:5", "stored"])
def test_an_epoch_has_each_sample_once(feed, order):
    fed = feed(order=order)
    epochs = [keys_of(fed) for _ in range(3)]
    for keys in epochs:
        assert len(keys) == SAMPLES
        assert set(keys) == KEYS
    assert (epochs[0] == epochs[1]) == (order == "stored")
    assert fed.epoch == 3


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("remainder", ["mask", "pad", "drop"])
def test_all_ranks_get_as_many_batches_of_the_same_size(feed, world, remainder):
    ranks = [feed(rank=rank, world=world, remainder=remainder) for rank in range(world)]
    epochs = [list(fed) for fed in ranks]
    assert {len(epoch) for epoch in epochs} == {len(ranks[0])}
    assert all(len(batch["key"]) == len(batch["mask"]) == 8 for epoch in epochs for batch in epoch)
    keys = [key for epoch in epochs for key in keys_of(epoch)]
    if remainder == "mask":
        assert sorted(keys) == sorted(KEYS)
    elif remainder == "pad":
        assert set(keys) == KEYS and len(keys) == len(ranks[0]) * 8 * world
    else:
        assert len(set(keys)) == len(keys) == SAMPLES // (8 * world) * 8 * world


def test_the_last_step_is_filled_though_there_are_fewer_samples_than_a_step(feed):
    fed = [feed(rank=rank, world=3, batch_size=64) for rank in range(3)]
    batches = [next(iter(each)) for each in fed]
    assert sorted(keys_of(batches)) == sorted(KEYS)
    assert all(len(batch["key"]) == 64 for batch in batches)


@pytest.mark.parametrize("stops", [(1, 2, 3), (0, 5, 1), (4, 4, 4)])
@pytest.mark.parametrize("worlds", [(1, 2, 3, 8), (8, 3, 2, 1), (3, 1, 8, 2)])
def test_a_state_goes_on_with_any_number_of_ranks(feed, worlds, stops):
    """Three stops in an epoch, each followed by another number of ranks: no sample is lost or repeated."""
    keys, state = [], None
    for world, steps in itertools.zip_longest(worlds, stops):
        states = []
        for rank in range(world):
            fed = feed(rank=rank, world=world, batch_size=3)
            if state:
                fed.load_state_dict(json.loads(state))
            epoch = fed.epoch
            keys += keys_of(itertools.islice(fed, steps) if epoch == 0 else [])
            states.append(json.dumps(fed.state_dict()))
        assert len(set(states)) == 1
        state = states[0]
    assert sorted(keys) == sorted(KEYS)


def test_a_state_at_the_end_of_an_epoch_begins_the_next(feed):
    fed = feed()
    for _ in fed:
        state = fed.state_dict()
    assert state["position"] == SAMPLES
    resumed = feed()
    resumed.load_state_dict(state)
    assert (resumed.epoch, resumed.position) == (1, 0)
    assert keys_of(resumed) == keys_of(fed)


def test_an_iteration_that_was_left_goes_on(feed):
    fed = feed()
    first = keys_of(itertools.islice(fed, 4))
    rest = keys_of(fed)
    assert len(first) == 32
    assert sorted(first + rest) == sorted(KEYS)


def test_the_order_does_not_depend_on_threads_or_memory(feed):
    one = keys_of(feed(threads=1, ahead_bytes=1))
    assert one == keys_of(feed(threads=4, ahead_bytes=1 << 30)) != keys_of(feed(seed=1))


def test_a_state_says_where_every_batch_ends(feed):
    fed = feed(rank=1, world=2)
    for batch in fed:
        assert fed.state_after(batch) == fed.state_dict()


# --- what a sample has


def test_samples_have_what_was_asked_for(feed):
    fed = feed(members=["image", "caption", "json"], columns=["shard_index", "format"], verify=1.0)
    found = {key: n for batch in fed for n, key in enumerate(batch["key"])}
    assert set(found) == KEYS
    numbers = {key_of(n): n for n in range(SAMPLES)}
    for batch in fed:
        for i, key in enumerate(batch["key"]):
            n = numbers[key]
            assert batch["image"][i] == members_of(n)[0][1]
            assert batch["caption"][i] == (f"caption {n}" if n % 2 else "")
            assert batch["json"][i] == ({"number": n} if n % 3 else None)
            assert batch["shard_index"][i] == n % 7
        assert batch["shard_index"].dtype == np.int64
        assert batch["format"] == [None] * 8
    assert not fed.problems


def test_images_become_squares(feed):
    for fit in ("crop", "pad", "stretch", "random_crop"):
        batch = next(iter(feed(decode=True, size=32, fit=fit)))
        assert batch["image"].shape == (8, 32, 32, 3)
        assert batch["image"].dtype == np.uint8


def test_images_of_their_own_size_are_a_list_of_the_pixels_that_the_scan_saw(feed):
    numbers = {key_of(n): n for n in range(SAMPLES)}
    for batch in itertools.islice(feed(decode=True), 5):
        for key, image in zip(batch["key"], batch["image"], strict=True):
            assert (image == decode(picture(numbers[key])).rgb).all()


def noisy(sample, random):
    return {"key": sample["key"], "noise": random.random(), "image": np.zeros(3)}


def test_random_numbers_depend_on_seed_epoch_and_position_alone(feed):
    noise = {}
    for world in (1, 3):
        for rank in range(world):
            for batch in feed(transform=noisy, rank=rank, world=world):
                for i, key in enumerate(batch["key"]):
                    if batch["mask"][i]:
                        noise.setdefault(key, []).append(batch["noise"][i])
    assert all(len(set(each)) == 1 and len(each) == 2 for each in noise.values())
    assert len({each[0] for each in noise.values()}) == SAMPLES
    other = [feed(transform=noisy, seed=1), feed(transform=noisy)]
    other[1].set_epoch(1)
    for fed in other:
        batch = next(iter(fed))
        assert not {n[0] for n in noise.values()} & set(batch["noise"].tolist())


def test_a_transform_must_return_the_same_names(feed):
    def uneven(sample, random):
        return sample if int(sample["key"], 16) % 2 else {"key": sample["key"]}

    with pytest.raises(curate.InputError, match="transform: some samples have"):
        list(feed(transform=uneven))


# --- which samples


def test_where_weights_and_shares_say_how_often_samples_come(tmp_path, feed):
    weight = [n % 4 for n in range(40)]
    first = make_shards(tmp_path / "a", 40, text_score=[float(w) for w in weight]).uri
    second = make_shards(tmp_path / "b", 20, first=40).uri
    numbers = {key_of(n): n for n in range(60)}
    assert {numbers[k] for k in keys_of(feed(first, where="text_score >= 2"))} == {n for n in range(40) if n % 4 >= 2}
    weighted = [numbers[key] for key in keys_of(feed(first, weight="text_score"))]
    assert np.bincount(weighted, minlength=40).tolist() == weight
    mixed = [numbers[key] for key in keys_of(feed([first, second], shares=[1, 3]))]
    assert len(mixed) == 60
    assert sum(n >= 40 for n in mixed) == 45
    assert sorted(numbers[key] for key in keys_of(feed([first, second]))) == list(range(60))


def test_denied_pictures_are_not_fed_and_may_be_denied_between_a_state_and_its_resumption(feed, shards, tmp_path):
    hashes = {row["key"]: row["sha256"] for row in curate.open(shards).to_arrow(["key", "sha256"]).to_pylist()}
    denied = sorted(KEYS)[::4]
    (tmp_path / "sha256.txt").write_text("\n".join(hashes[key] for key in denied))
    assert set(keys_of(feed(deny=[str(tmp_path)]))) == KEYS - set(denied)
    before = feed()
    keys = keys_of(itertools.islice(before, 5))
    after = feed(deny=[str(tmp_path)])
    after.load_state_dict(before.state_dict())
    rest = keys_of(after)
    assert set(rest) == KEYS - set(keys) - set(denied)
    assert len(rest) == len(set(rest))
    assert not after.problems


def test_only_kept_rows_with_a_picture_are_fed(tmp_path, feed):
    data = tar_bytes([(f"{n}.jpg", picture(n, "JPEG")) for n in range(6)])
    storage.write_bytes(f"file://{tmp_path}/0.tar", data)
    rows = [
        {**row, "status": "undecodable" if n == 0 else "truncated" if n == 1 else "ok", "keep": n % 2 == 1}
        for n, row in enumerate(rows_of_tar(f"file://{tmp_path}/0.tar", data))
    ]
    scanned = commit_rows(tmp_path / "scan", [rows], Stage.SCAN).uri
    chosen = commit_rows(tmp_path / "chosen", [rows], Stage.CHOOSE).uri
    assert sorted(keys_of(feed(scanned))) == [f"0/{n}.jpg" for n in range(1, 6)]
    assert sorted(keys_of(feed(chosen))) == [f"0/{n}.jpg" for n in (1, 3, 5)]


def test_sources_are_read_in_place(tmp_path, feed):
    """From tars and from folders, with captions of their own, though there are no shards."""
    folder = f"file://{tmp_path}/loose/"
    storage.make_folder(folder)
    storage.write_bytes(folder + "a b.png", picture(1, "PNG"))
    storage.write_bytes(folder + "a b.txt", "naïve".encode("latin-1"))
    storage.write_bytes(folder + "c.json", b"{not json")
    row = {"key": "one", "source": folder, "member": "a b.png", "offset": 0, "size": len(picture(1, "PNG"))}
    row |= {"caption_member": "a b.txt", "caption_offset": 0, "caption_size": 5, "sha256": "0" * 64}
    row |= {"json_member": "c.json", "json_offset": 0, "json_size": 9}
    other = {**row, "key": "two", "caption_offset": None, "caption_size": None, "caption": "from a table"}
    manifest = commit_rows(tmp_path / "scan", [[row, other]], Stage.SCAN).uri
    (batch,) = feed(manifest, members=["image", "caption", "json"], batch_size=2, order="stored")
    assert batch["caption"] == ["naïve", "from a table"]
    assert batch["json"] == [None, None]
    assert batch["image"] == [picture(1, "PNG")] * 2


# --- what goes wrong


def broken_copy(shards: str, folder: Path, change) -> str:
    """Return a copy of the shards in which `change` has changed the bytes of the second tar."""
    path = shutil.copytree(shards.removeprefix("file://"), folder)
    tar = path / "00001.tar"
    tar.write_bytes(change(tar.read_bytes()))
    return str(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:600], "ends before byte"),
        (lambda data: bytes(len(data)), "undecodable"),
    ],
)
def test_bad_samples_are_named_and_others_stand_in_for_them(shards, feed, tmp_path, change, message):
    bad = {key_of(n) for n in range(7, 14)}
    fed = feed(broken_copy(shards, tmp_path / "broken", change), decode=True, size=16)
    batches = list(fed)
    assert set(keys_of(batches)) == KEYS - bad
    assert all(len(batch["image"]) == 8 for batch in batches)
    assert {problem.split(":")[0] for problem in fed.problems} == bad
    assert fed.problem_count == 7
    assert any(message in problem for problem in fed.problems)


def test_a_missing_tar_is_named(shards, feed, tmp_path):
    path = broken_copy(shards, tmp_path / "missing", lambda data: data)
    Path(path, "00001.tar").unlink()
    fed = feed(path)
    assert len(keys_of(fed)) == SAMPLES - 7
    assert all("00001.tar" in problem for problem in fed.problems)


def test_other_bytes_than_the_manifest_records_are_found(shards, feed, tmp_path):
    path = broken_copy(shards, tmp_path / "changed", lambda data: data[:530] + b"!" + data[531:])
    fed = feed(path, verify=1.0)
    assert len(keys_of(fed)) == SAMPLES - 1
    assert "the sha256 of its image is not the manifest's" in fed.problems[0]


def test_many_bad_samples_in_a_row_end_the_feed(shards, feed, tmp_path):
    fed = feed(broken_copy(shards, tmp_path / "bad", lambda data: b""), order="stored", max_bad=7)
    with pytest.raises(curate.BrokenSource, match=r"7 samples in a row cannot be fed, the last: .*00001\.tar"):
        list(fed)


def test_a_feed_of_denied_pictures_alone_ends(feed, tmp_path):
    manifest = make_shards(tmp_path / "few", 3)
    rows = curate.open(manifest.uri).to_arrow(["sha256"]).to_pylist()
    (tmp_path / "sha256.txt").write_text("\n".join(row["sha256"] for row in rows))
    with pytest.raises(curate.BrokenSource, match="all are denied"):
        list(feed(manifest.uri, deny=[str(tmp_path)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": "nothing > 1"}, "where: .* is refused"),
        ({"where": "text_score > 2"}, "no row is selected"),
        ({"weight": "key"}, "weight: .* not a number"),
        ({"weight": "-1"}, "weight: -1"),
        ({"weight": "text_score"}, "weight: null"),
        ({"weight": "0"}, "choose 1 to"),
        ({"columns": ["txt_score"]}, "did you mean text_score"),
        ({"columns": "key"}, "columns: 'key' is a text"),
        ({"members": ["picture"]}, "members: 'picture' is none of image, json, caption"),
        ({"fit": "fill"}, "fit: 'fill' is none of"),
        ({"size": 0}, "size: 0"),
        ({"order": "sorted"}, "order: 'sorted'"),
        ({"shares": [1, 2]}, "shares: 2 for 1 manifests"),
        ({"shares": [0]}, "each must be above 0"),
        ({"rank": 1}, "rank and world: give both"),
        ({"rank": 1, "world": 1}, "rank: 1 of 1"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"remainder": "fill"}, "remainder: 'fill'"),
        ({"deny": ["/no/such/list"]}, "no such list"),
        ({"deny": "list"}, "deny: 'list' is a text"),
        ({"cache": "/dev/null/x"}, "cannot be written"),
        ({"verify": 2}, "verify: 2"),
        ({"max_bad": 0}, "max_bad: 0"),
        ({"threads": 0}, "threads: 0"),
        ({"ahead_bytes": -1}, "ahead_bytes: -1"),
        ({"seed": "x"}, "seed: 'x'"),
    ],
)
def test_wrong_arguments_are_refused(feed, options, message):
    with pytest.raises(curate.InputError, match=message):
        feed(**options)


def test_no_manifest_is_refused(feed):
    with pytest.raises(curate.InputError, match="name one at least"):
        feed([])


def test_the_state_of_another_feed_is_refused(feed):
    state = feed().state_dict()
    for options in ({"seed": 1}, {"order": "stored"}, {"where": "shard_index < 5"}, {"weight": "1"}):
        with pytest.raises(curate.InputError, match="of another feed"):
            feed(**options).load_state_dict(state)


# --- processes


def test_ranks_come_from_the_environment(feed, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "5")
    assert feed().recipe.ranks.rank == 2
    assert feed().recipe.ranks.world == 5
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(curate.InputError, match="RANK or WORLD_SIZE"):
        feed()


def test_processes_that_begin_together_make_one_index(shards, tmp_path):
    code = "import curate, sys; print(len(curate.feed(sys.argv[1], cache=sys.argv[2])))"
    line = [sys.executable, "-c", code, shards, str(tmp_path / "cache")]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, env=os.environ) for _ in range(4)]
    assert {process.communicate()[0] for process in running} == {b"2\n"}
    names = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len([name for name in names if name.startswith("index-") and not name.endswith(".lock")]) == 1
    assert not [name for name in names if name.endswith(".tmp")]


def test_a_loop_that_is_left_ends_its_threads(shards, tmp_path):
    code = (
        "import curate, sys\nfor batch in curate.feed(sys.argv[1], cache=sys.argv[2], batch_size=4):\n"
        "    raise SystemExit(7)"
    )
    assert subprocess.run([sys.executable, "-c", code, shards, str(tmp_path)], timeout=60).returncode == 7
