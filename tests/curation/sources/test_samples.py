"""Which members form one sample: stems, sidecars, and names with more than one dot."""

import io
from collections import Counter

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from curation.sources.members import SampleNames
from curation.sources.tars import read_tar
from tests.support.making import tar_bytes

JPEG = b"\xff\xd8\xff\xe0" + bytes(60)
AUTO, FIRST, LAST = SampleNames.AUTO, SampleNames.FIRST_DOT, SampleNames.LAST_DOT


def read(names, how=AUTO):
    members = [(name, JPEG if name.endswith(("jpg", "png")) else b'{"of": "%s"}' % name.encode()) for name in names]
    contents = read_tar(
        io.BytesIO(tar_bytes(members)), source="a.tar", max_image_bytes=1 << 20, on_image=len, names=how
    )
    return list(contents.samples()), contents.unused_sidecars


def joined(names, how=AUTO):
    """Return image → (its json, its txt), and the sidecars that are samples of their own."""
    samples, _ = read(names, how)
    images = {s.member: (s.json_member, s.caption_member) for s in samples if s.problem is None}
    return images, sorted(s.member for s in samples if s.problem is not None)


@pytest.mark.parametrize(
    ("names", "how", "images", "lonely"),
    [
        # samples of webdataset with compound extensions
        ("k.input.jpg k.outputs.txt k.meta.json", AUTO, {"k.input.jpg": ("k.meta.json", "k.outputs.txt")}, []),
        ("k.input.jpg k.outputs.txt k.meta.json", FIRST, {"k.input.jpg": ("k.meta.json", "k.outputs.txt")}, []),
        ("k.input.jpg k.outputs.txt", LAST, {"k.input.jpg": (None, None)}, ["k.outputs.txt"]),
        ("k.jpg k.meta.json", AUTO, {"k.jpg": ("k.meta.json", None)}, []),
        ("k.jpg k.meta.json", LAST, {"k.jpg": (None, None)}, ["k.meta.json"]),
        ("k.input.jpg k.json", AUTO, {"k.input.jpg": ("k.json", None)}, []),
        ("k.input.jpg k.json", LAST, {"k.input.jpg": (None, None)}, ["k.json"]),
        (
            "k.input.jpg k.target.jpg k.prompt.txt",
            AUTO,
            {"k.input.jpg": (None, "k.prompt.txt"), "k.target.jpg": (None, "k.prompt.txt")},
            [],
        ),
        ("d.e/k.input.jpg d.e/k.txt", AUTO, {"d.e/k.input.jpg": (None, "d.e/k.txt")}, []),
        ("d.e/k.input.jpg d.f/k.txt", FIRST, {"d.e/k.input.jpg": (None, None)}, ["d.f/k.txt"]),
        # keys with dots
        ("22.05.png 22.05.txt", AUTO, {"22.05.png": (None, "22.05.txt")}, []),
        ("22.05.png 22.06.txt", AUTO, {"22.05.png": (None, None)}, ["22.06.txt"]),
        ("22.05.png 22.06.txt", FIRST, {"22.05.png": (None, "22.06.txt")}, []),
        ("22.05.png 22.05.txt 22.06.png", AUTO, {"22.05.png": (None, "22.05.txt"), "22.06.png": (None, None)}, []),
        ("www.a.com.jpg www.b.com.json", AUTO, {"www.a.com.jpg": (None, None)}, ["www.b.com.json"]),
        (
            "p.a.jpg p.a.txt p.b.jpg p.c.txt",
            AUTO,
            {"p.a.jpg": (None, "p.a.txt"), "p.b.jpg": (None, None)},
            ["p.c.txt"],
        ),
        ("img.2x.jpg img.3x.txt", AUTO, {"img.2x.jpg": (None, None)}, ["img.3x.txt"]),
        # its own stem first, then the whole name, then the name up to the first dot
        ("a.b.jpg a.json a.b.json", AUTO, {"a.b.jpg": ("a.b.json", None)}, []),
        ("a.b.jpg a.json a.b.jpg.json", AUTO, {"a.b.jpg": ("a.b.jpg.json", None)}, []),
        ("a.b.jpg a.c.json a.json", AUTO, {"a.b.jpg": ("a.json", None)}, []),
        # of several, the likely one, else the first by name
        ("k.x.jpg k.alt.txt k.caption.txt", AUTO, {"k.x.jpg": (None, "k.caption.txt")}, []),
        ("k.x.jpg k.z.json k.y.json", AUTO, {"k.x.jpg": ("k.y.json", None)}, []),
        # without an image, one row
        ("k.meta.json k.outputs.txt", AUTO, {}, ["k.meta.json"]),
        ("k.outputs.txt k.meta.json", LAST, {}, ["k.meta.json", "k.outputs.txt"]),
        ("22.05.txt 22.06.json", AUTO, {}, ["22.05.txt", "22.06.json"]),
    ],
)
def test_names_with_several_dots(names, how, images, lonely):
    assert joined(names.split(), how) == (images, lonely)


parts = st.sampled_from(["a", "b", "input", "meta", "05", "2x", "c.d"])
member_names = st.builds(
    "{}{}.{}".format,
    st.sampled_from(["k", "l", "d/k"]),
    st.just("") | parts.map(lambda part: "." + part),
    st.sampled_from(["jpg", "png", "json", "txt"]),
)


@given(st.lists(member_names, unique=True, max_size=10), st.sampled_from(list(SampleNames)), st.randoms())
def test_every_member_is_in_a_sample_or_counted_and_order_does_not_matter(names, how, chance):
    samples, unused = read(names, how)
    images = [s.member for s in samples if s.problem is None]
    assert sorted(images) == sorted(n for n in names if n.endswith(("jpg", "png")))
    used = {m for s in samples for m in (s.json_member, s.caption_member) if m is not None}
    assert len(used) + unused == len(names) - len(images)
    shuffled = list(names)
    chance.shuffle(shuffled)
    assert joined(shuffled, how)[0] == joined(names, how)[0]


@given(st.lists(member_names, unique=True, min_size=1, max_size=10))
def test_first_dot_joins_what_webdataset_joins(tmp_path_factory, names):
    names = sorted(names)  # webdataset insists on neighbours
    path = tmp_path_factory.mktemp("wds") / "a.tar"
    path.write_bytes(tar_bytes([(name, b"x") for name in names]))
    theirs = [
        {f"{sample['__key__']}.{part}" for part in sample if not part.startswith("__")}
        for sample in webdataset.WebDataset(str(path), shardshuffle=False)
    ]
    samples, _ = read(names, FIRST)
    for sample in samples:
        mine = {m for m in (sample.member, sample.json_member, sample.caption_member) if m is not None}
        assert sum(mine <= sample_of_theirs for sample_of_theirs in theirs) == 1
    for members in theirs:
        kinds = Counter(name.rsplit(".", 1)[1] for name in members)
        mine = [s for s in samples if s.member in members]
        assert len(mine) == (kinds["jpg"] + kinds["png"] or max(kinds["json"], kinds["txt"]))
