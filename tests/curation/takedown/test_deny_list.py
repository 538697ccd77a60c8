"""Lists of hashes that must not return: what they match, and what they are read from."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.copies.cells import as_matrix
from curation.pictures.pdq import hamming
from curation.takedown import deny_list
from curation.takedown.deny_list import DenyList
from manifests.errors import InputError
from tests.support.making import commit_rows

SHA, OTHER = "ab" * 32, "cd" * 32
PDQ = bytes(range(32))
HASHES = st.binary(min_size=32, max_size=32)


def flipped(fingerprint: bytes, bits: int) -> bytes:
    """Return a fingerprint that differs in exactly `bits` bits, spread over all of it."""
    changed = bytearray(fingerprint)
    for n in range(bits):
        place = n * 8 + n // 32
        changed[place % 256 // 8] ^= 1 << place % 8
    assert hamming(fingerprint, bytes(changed)) == bits
    return bytes(changed)


def rows(**columns) -> pa.Table:
    kinds = {"sha256": pa.string(), "pdq": pa.binary(32), "pdq_quality": pa.int32(), "pixels": pa.binary(32)}
    return pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})


def test_equal_bytes_equal_pixels_and_near_pictures_match():
    denied = DenyList.of([f"sha256 {SHA}", f"pdq {PDQ.hex()}", f"pixels {PDQ.hex()}"])
    table = rows(
        sha256=[SHA, OTHER, None, OTHER, OTHER, OTHER, None],
        pdq=[None, flipped(PDQ, 31), flipped(PDQ, 32), PDQ, PDQ, None, None],
        pdq_quality=[None, 50, 100, 49, None, 0, None],
        pixels=[None, None, None, None, None, PDQ, None],
    )
    assert denied.matches(table).to_pylist() == [True, True, False, False, False, True, False]
    assert denied.matches(table.to_batches()[0]) == denied.matches(table)


def test_columns_that_are_not_there_do_not_count():
    denied = DenyList.of([f"sha256 {SHA}", f"pdq {PDQ.hex()}"])
    assert denied.matches(rows(sha256=[SHA, OTHER])).to_pylist() == [True, False]
    assert denied.matches(rows(pdq=[flipped(PDQ, 3), None])).to_pylist() == [True, False]
    assert DenyList().matches(rows(sha256=[SHA])).to_pylist() == [False]
    assert denied.found_in(rows(sha256=[OTHER, SHA])) == {f"sha256 {SHA}"}
    assert denied.found_in(rows(pdq=[flipped(PDQ, 3)])) == {f"pdq {PDQ.hex()}"}
    assert denied.matches(rows(sha256=[])).to_pylist() == []


@given(listed=st.lists(HASHES, min_size=1, max_size=20), asked=st.lists(HASHES, max_size=20), data=st.data())
def test_large_lists_find_what_small_ones_find(listed, asked, data):
    near = [flipped(data.draw(st.sampled_from(listed)), data.draw(st.integers(0, 40))) for _ in range(10)]
    table = rows(pdq=[*asked, *near])
    bits = data.draw(st.lists(st.integers(0, 31), min_size=len(listed), max_size=len(listed)))
    allowed = dict(zip([each.hex() for each in listed], bits, strict=True))
    expected = [
        any(hamming(bytes.fromhex(digits), value) <= bits for digits, bits in allowed.items())
        for value in table.column("pdq").to_pylist()
    ]
    with pytest.MonkeyPatch.context() as patch:
        for most in (deny_list.FLAT_SEARCH, 0):
            patch.setattr(deny_list, "FLAT_SEARCH", most)
            assert DenyList(pdq=allowed).matches(table).to_pylist() == expected


def test_a_list_goes_to_another_process_and_stays_equal():
    denied = DenyList.of([f"sha256 {SHA}", f"pdq {PDQ.hex()} 7"])
    table = rows(sha256=[SHA], pdq=[PDQ])
    denied.matches(table)
    again = pickle.loads(pickle.dumps(denied))  # noqa: S301 - our own
    assert again == denied
    assert again.matches(table) == denied.matches(table)


def test_the_lines_of_a_list_are_a_list(tmp_path):
    denied = DenyList.of([f"pdq {PDQ.hex()} 7", f"sha256 {SHA}", f"pixels {OTHER}", f"sha256 {SHA}"])
    (tmp_path / "list.txt").write_text("\n".join(denied.lines))
    again = DenyList.read([str(tmp_path / "list.txt")])
    assert again == denied
    assert again.digest == denied.digest
    assert len(again) == 3
    assert again | DenyList.of([f"pdq {PDQ.hex()}"]) == DenyList.of([*denied.lines, f"pdq {PDQ.hex()} 31"])


def test_files_of_threatexchange_are_read(tmp_path):
    hexes = [flipped(PDQ, n).hex() for n in range(4)]
    (tmp_path / "pdq.txt").write_text(f"{hexes[0]}\n\n# ours\n{hexes[1].upper()}\n")
    (tmp_path / "pdq-hashes.csv").write_text(f"hash,quality,file\n{hexes[2]},100,a picture.jpg\n")
    (tmp_path / "all.txt").write_text(f"pdq {hexes[3]}\nsha256 {SHA}\n")
    (tmp_path / "sha256.txt").write_text(f"{OTHER}\n")
    folder = DenyList.read([str(tmp_path)])
    assert (folder.pdq, folder.sha256) == (dict.fromkeys(hexes[:2], 31), {OTHER})
    more = DenyList.read([str(tmp_path), str(tmp_path / "pdq-hashes.csv"), str(tmp_path / "all.txt")])
    assert (set(more.pdq), more.sha256) == (set(hexes), {SHA, OTHER})


def test_a_manifest_is_a_list(tmp_path):
    lines = [f"sha256 {SHA}"]
    commit_rows(tmp_path / "m", [[{"key": "a"}]], taken_down=lines)
    assert DenyList.read([str(tmp_path / "m")]).lines == lines
    many = sorted(f"sha256 {n:064x}" for n in range(1000))
    commit_rows(tmp_path / "long", [[{"key": "a"}]], taken_down=many)
    assert DenyList.read([str(tmp_path / "long")]).lines == many


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("list.txt", SHA, "does not say what its hash is of"),
        ("pdq.txt", "x\nabc", "is no hash of a list"),
        ("list.txt", f"pdq {SHA} 99", "0 to 31"),
        ("list.txt", f"sha256 {SHA} 3", "0 to 31"),
        ("none.txt", None, "no such list"),
        ("binary.txt", b"\xff\xfe\x00", "not a text"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, name, text, problem):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=problem):
        DenyList.read([str(tmp_path / name)])


def test_a_folder_without_lists_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a folder without pdq\.txt"):
        DenyList.read([str(tmp_path)])


def test_matrices_of_nothing_are_searched():
    assert as_matrix(pa.array([], pa.binary(32))).shape == (0, 32)
    assert DenyList.of([f"pdq {PDQ.hex()}"]).matches(rows(pdq=[None])).to_pylist() == [False]
    assert np.asarray(DenyList.of([f"pdq {PDQ.hex()}"]).matches(rows(pdq=[]))).size == 0
