"""The demo corpus: the same call gives the same bytes, and its truth is true."""

import csv
import hashlib
import io
import json
import tarfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from click.testing import CliRunner
from PIL import Image

from examples.corpus import make_corpus, picture
from examples.corpus.__main__ import main
from examples.corpus.samples import BROKEN, ODD, broken_picture, odd_picture

pytestmark = pytest.mark.slow

IMAGES, TARS = 104, 3
MAX_SAFE_PIXELS = 50_000_000


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def truth_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def members_of(folder: Path) -> dict[tuple[str, str], dict[str, bytes]]:
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                found.setdefault((path.name, key), {})[extension] = tar.extractfile(member).read()
    return found


def image_of(sample: dict[str, bytes]) -> bytes:
    (extension,) = sample.keys() - {"txt", "json"}
    return sample[extension]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"), images=IMAGES, tars=TARS)


def test_same_call_same_bytes(tmp_path):
    once, again = (make_corpus(tmp_path / name, images=30, tars=2) for name in ("once", "again"))
    assert digests(once) == digests(again)
    assert len(digests(once)) == 5


def test_another_seed_other_pictures():
    assert picture(0, 3).content != picture(1, 3).content


def test_a_larger_corpus_starts_with_the_smaller(corpus, tmp_path):
    small = make_corpus(tmp_path, images=12, tars=1)
    large_by_key = {row["key"]: row for row in truth_of(corpus)}
    for row in truth_of(small):
        large = large_by_key[row["key"]]
        assert {**large, "tar": "", "group": ""} == {**row, "tar": "", "group": ""}


def test_tars_are_plain_ustar(corpus):
    for path in corpus.glob("*.tar"):
        assert path.read_bytes()[257:263] == b"ustar\0"
        with tarfile.open(path) as tar:
            assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}


def test_truth_agrees_with_tars_and_parquet(corpus):
    samples, truth = members_of(corpus), truth_of(corpus)
    assert [(row["tar"], row["key"]) for row in truth] == list(samples)
    sidecars = {r["key"]: r for p in corpus.glob("*.parquet") for r in pq.read_table(p).to_pylist()}
    for row in truth:
        sample = samples[row["tar"], row["key"]]
        noted = json.loads(sample["json"])
        assert hashlib.sha256(image_of(sample)).hexdigest() == row["sha256"] == noted["sha256"]
        assert noted["uid"] == row["uid"]
        assert noted["caption"] == sample["txt"].decode()
        assert noted == sidecars[row["key"]]
    assert len({row["uid"] for row in truth}) == len({r["url"] for r in sidecars.values()}) == IMAGES


def test_every_sample_is_as_expected(corpus):
    samples = members_of(corpus)
    for row in truth_of(corpus):
        content = image_of(samples[row["tar"], row["key"]])
        assert reading(content) == row["expected"], row


def reading(content: bytes) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
    except (OSError, Image.DecompressionBombError):
        return "not"
    if image.width * image.height > MAX_SAFE_PIXELS:
        return "not"
    try:
        image.load()
    except OSError:
        return "partial"
    return "decodable"


def test_faults_and_oddities_of_a_large_corpus_are_as_expected():
    rare = {f.about.partition("(")[2].strip(")") or f.about: f for f in map(_rare, range(16))}
    assert set(rare) == {*BROKEN, *ODD}
    for made in rare.values():
        assert reading(made.content) == made.expected


def _rare(rank: int):
    rng = np.random.default_rng(rank)
    return odd_picture(rng, rank) if rank < len(ODD) else broken_picture(rng, rank)


def test_copies_name_their_originals(corpus):
    truth = truth_of(corpus)
    by_key = {row["key"]: row for row in truth}
    copies = [row for row in truth if row["difficulty"]]
    assert copies
    for row in copies:
        original = by_key[row["group"]]
        assert original["transform"] == "original"
        assert original["group"] == original["key"] < row["key"]
        assert row["label"].rstrip("?") == original["label"]
        assert (row["sha256"] == original["sha256"]) == (row["difficulty"] == "exact")
    planted = {row["group"] for row in copies}
    assert {row["group"] for row in truth if row["group"]} == planted


def test_shares_are_those_promised(corpus):
    rows = truth_of(corpus)[:100]
    labels = Counter(row["label"] for row in rows if row["transform"] == "original")
    assert labels["rich"] + labels["none"] + labels["some"] == 80
    assert labels["some"] == 10
    assert Counter(r["difficulty"] for r in rows)["mild"] == 8
    assert Counter(r["transform"] for r in rows)["malformed_set"] == 4


def test_webdataset_reads_the_tars(corpus):
    urls = [str(p) for p in sorted(corpus.glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [s["__key__"].rsplit("/", 1)[-1] for s in samples] == [row["key"] for row in truth_of(corpus)]
    assert all({"txt", "json"} < s.keys() for s in samples)


def test_refuses_a_folder_with_other_tars_and_empty_tars(tmp_path):
    (tmp_path / "mine.tar").touch()
    with pytest.raises(FileExistsError, match=r"mine\.tar"):
        make_corpus(tmp_path, images=2, tars=1)
    answer = CliRunner().invoke(main, [str(tmp_path / "new"), "--images", "2", "--tars", "3"])
    assert answer.exit_code == 1
    assert "1 to 2 tars" in answer.output
