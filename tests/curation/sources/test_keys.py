"""Keys are permanent, unique in their source, and free of dots."""

import re

from hypothesis import given
from hypothesis import strategies as st

from curation.sources.keys import SourceKeys, declared_key, keyed_hash64, sample_key

HEX = re.compile(r"[0-9a-f]{32}")
PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
uids = st.none() | st.text() | st.integers() | st.booleans() | st.floats() | st.lists(st.integers())
sidecars = st.none() | st.dictionaries(st.sampled_from(["uid", "uuid", "url"]), uids)


def key(json, member="a.jpg", occurrence=0, source="00000.tar", is_first=True):
    return sample_key(source, member, json, occurrence=occurrence, is_first=is_first)


def test_declared_keys_are_kept_as_they_are():
    assert key({"uid": "f2a1_0-Z"}) == "f2a1_0-Z"
    assert key({"uuid": "8f14e45f-ceea-467f-a8a4-31d3d0e2c1b7"}) == "8f14e45f-ceea-467f-a8a4-31d3d0e2c1b7"
    assert key({"uid": 12}) == "12"
    assert key({"uid": "a", "uuid": "b"}) == "a"
    assert key({"uid": None, "uuid": "b"}) == "b"
    assert key({"uid": "", "uuid": "b"}) == "b"


def test_text_that_is_not_a_plain_key_is_hashed_without_the_source():
    for odd in ("a.b", "a/b", "x" * 65, "é", "a b", "a\n"):
        assert HEX.fullmatch(key({"uid": odd}))
        assert key({"uid": odd}, source="1.tar") == key({"uid": odd}, source="2.tar")
    assert key({"uid": "a.b"}) != key({"uid": "a/b"})


def test_without_a_usable_uid_the_place_is_hashed():
    places = [
        key(json, member=member, occurrence=occurrence, source=source)
        for json in (None,)
        for member in ("a.jpg", "a.png", "b.jpg")
        for occurrence in (0, 1)
        for source in ("00000.tar", "00001.tar")
    ]
    assert len(set(places)) == len(places)
    assert all(HEX.fullmatch(k) for k in places)
    for useless in ({}, {"uid": True}, {"uid": 1.5}, {"uid": ["x"]}, {"uuid": None}):
        assert declared_key(useless) is None
        assert key(useless) == key(None)


def test_parts_of_a_hash_are_separated():
    assert key(None, source="ab", member="c") != key(None, source="a", member="bc")
    assert key({"uid": "a.b"}) != key(None, source="uid", member="a.b")


def test_later_samples_of_a_uid_get_keys_of_their_own():
    shared = {"uid": "U"}
    keys = SourceKeys("00000.tar")
    first = keys.key("a.jpg", shared, occurrence=0)
    second = keys.key("a.png", shared, occurrence=0)
    assert first == "U"
    assert second == key(None, member="a.png")
    assert keys.key("b.jpg", {"uid": 5}, occurrence=0) == "5"
    assert HEX.fullmatch(keys.key("c.jpg", {"uid": "5"}, occurrence=0))


def test_golden_keys_never_change():
    assert key(None) == "4af249807cef74ca314ef504b30f3370"
    assert key({"uid": "a.b"}) == "555598a984c14e222fc85dfd2b884224"
    assert keyed_hash64("subset", "f2a1") == 1_091_880_382_316_511_818


@given(st.text(), st.text(), sidecars, st.integers(0, 9), st.booleans())
def test_every_key_is_plain(source, member, json, occurrence, is_first):
    assert PLAIN.fullmatch(sample_key(source, member, json, occurrence=occurrence, is_first=is_first))


@given(st.lists(st.tuples(st.text(max_size=3), sidecars), unique_by=lambda row: row[0]))
def test_keys_of_a_source_are_unique(rows):
    keys = SourceKeys("s.tar")
    made = [keys.key(member, json, occurrence=0) for member, json in rows]
    assert len(set(made)) == len(made)


@given(st.text(), st.text())
def test_keyed_hash_is_a_function_of_salt_and_key(salt, text):
    value = keyed_hash64(salt, text)
    assert 0 <= value < 2**64
    assert value == keyed_hash64(salt, text)
    assert value != keyed_hash64(salt + "x", text)
    assert value != keyed_hash64(salt, text + "x")


def test_keyed_hash_is_uniform():
    share = sum(keyed_hash64("s", str(i)) < 2**62 for i in range(20_000)) / 20_000
    assert abs(share - 0.25) < 0.015
