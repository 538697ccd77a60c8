"""Texts of any encoding become Unicode, with the encoding named; UTF-8 is always recognised."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curation.shards.read import in_utf8
from curation.sources.sidecars import parse_json
from curation.sources.text_encoding import decode_text


@given(st.text())
def test_utf8_is_utf8(text):
    assert decode_text(text.encode("utf-8-sig")) == (text, None)
    if not text.startswith("\ufeff"):
        assert decode_text(text.encode()) == (text, None) or "\0" in text


@given(st.text(min_size=1), st.sampled_from(["utf-16", "utf-32"]))
def test_a_byte_order_mark_decides(text, encoding):
    assume(text[0] != "\0")  # the mark of UTF-16 and a NUL are that of UTF-32
    assert decode_text(text.encode(encoding)) == (text, encoding.upper())


@given(st.binary())
def test_any_bytes_become_a_valid_text(data):
    text, encoding = decode_text(data)
    text.encode()
    assert decode_text(data) == (text, encoding)
    in_utf8(data).decode()


@pytest.mark.parametrize(
    ("text", "stored_in", "named"),
    [
        ("café", "latin-1", "Windows-1252"),
        ("naïve", "latin-1", "Windows-1252"),
        ("déjà vu", "latin-1", "Windows-1252"),
        ("à la carte", "latin-1", "Windows-1252"),
        ("Noël à la neige", "latin-1", "Windows-1252"),
        ("¿Qué tal, señorita?", "latin-1", "Windows-1252"),
        ("Привет", "cp1251", "Windows-1251"),
        ("iPhone 12 Pro – чехол", "cp1251", "Windows-1251"),
        ("Größe für Mädchen", "latin-1", "Windows-1252"),
        ("“quoted” – it’s 10 €", "cp1252", "Windows-1252"),
        ("déjà vu", "utf-16", "UTF-16"),
        ("déjà vu", "utf-16-le", "utf-16-le"),
        ("hello world", "utf-16-be", "utf-16-be"),
        ("你好", "gbk", "GB18030"),
        ("一只猫坐在桌子上", "gb18030", "GB18030"),
        ("一隻貓坐在桌子上", "big5", "Big5"),
        ("テーブルの上の猫", "shift_jis", "CP932"),
        ("テーブルの上の猫", "euc_jp", "EUC-JP"),
        ("고양이가 탁자 위에", "euc_kr", "CP949"),
        ("Кошка сидит на столе", "cp1251", "Windows-1251"),
        ("Кошка сидит на столе", "koi8_r", "KOI8-R"),
        ("Γειά σου κόσμε", "iso8859_7", "Windows-1253"),
        ("שלום עולם", "cp1255", "Windows-1255"),
        ("مرحبا بالعالم", "cp1256", "Windows-1256"),
    ],
)
def test_encodings_of_the_web(text, stored_in, named):
    assert decode_text(text.encode(stored_in)) == (text, named)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("déjà vu, ça va".encode()[:-1] + b"\xc3", "déjà vu, ça v\ufffd"),
        ("你好, 世界".encode()[:-1], "你好, 世\ufffd"),
        (b"\xef\xbb\xbfa\xff", "a\ufffd"),
    ],
)
def test_damaged_utf8_stays_utf8(data, text):
    assert decode_text(data) == (text, "UTF-8 with damaged bytes")


def test_json_of_other_encodings():
    stored = json.dumps({"caption": "café"}, ensure_ascii=False)
    assert parse_json(stored.encode("latin-1")) == ({"caption": "café"}, "json sidecar is Windows-1252, not UTF-8")
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32-be"):
        assert parse_json(stored.encode(encoding)) == ({"caption": "café"}, None)
    assert parse_json(b'{"caption": "caf\xe9"') == (None, "json sidecar is not valid JSON")
