"""A takedown removes what is asked for and its copies, keeps their hashes, and nothing of them returns."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from curation.pictures.decode import decode
from curation.pictures.pdq import pdq
from curation.takedown.deny_list import DenyList
from manifests import storage
from manifests.exchange.uid_pairs import UID_PAIR
from manifests.format.schema import Stage
from manifests.format.store import open_manifest
from tests.conftest import curate, rows_of
from tests.support.making import commit_rows
from tests.support.object_store import bucket_of


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return a picture with enough detail for PDQ, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, kind: str = "PNG", **how: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


def print_of(picture: Image.Image) -> dict:
    found = pdq(decode(encoded(picture)).rgb)
    assert found.quality >= 50
    return {"pdq": found.bits, "pdq_quality": found.quality}


def row(key: str, **more) -> dict:
    number = int.from_bytes(key.encode(), "big")
    url = f"https://example.org/{key}.jpg"
    return {
        "key": key,
        "sha256": f"{number:064x}",
        "url": url,
        "caption": f"a text about {key}",
        "cluster_id": key,
        **more,
    }


def copy_of(key: str, other: str, kind: str, evidence: str | None = None) -> dict:
    return row(
        key,
        cluster_id=other,
        duplicate_of=other,
        duplicate_kind=kind,
        duplicate_evidence=json.dumps({"kind": evidence or kind}),
    )


@pytest.fixture
def chosen(tmp_path):
    """A manifest of three parts: clusters, a near picture, a plain one, and others."""
    near = {"pdq": print_of(photo(1))["pdq"], "pdq_quality": 100}
    changed = bytearray(near["pdq"])
    changed[3] ^= 0b11
    parts = [
        [row("a", **near), copy_of("a-crop", "a", "crop"), copy_of("a-like", "a", "semantic")],
        [row("b", pdq=bytes(changed), pdq_quality=90), row("c", pixels=bytes(32), pdq_quality=0), row("d")],
        [copy_of("e", "d", "reference", "mild"), row("f", sha256=None, status="undecodable"), row("g")],
    ]
    return commit_rows(tmp_path / "chosen", parts, Stage.CHOOSE)


def taken(manifest, tmp_path, *arguments, check=0):
    """Take down with --json, and return the answer and the keys that are left."""
    done = curate("takedown", manifest.uri, *arguments, "-o", tmp_path / "out", "--json", check=check)
    return json.loads(done.stdout), set(rows_of(tmp_path / "out").column("key").to_pylist())


def listed(tmp_path, text, name="list.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ALL = {"a", "a-crop", "a-like", "b", "c", "d", "e", "f", "g"}


def test_copies_go_by_cluster_and_by_fingerprint(chosen, tmp_path):
    answer, left = taken(chosen, tmp_path, "--keys", listed(tmp_path, "a-crop\n"))
    assert left == ALL - {"a", "a-crop", "b"}
    assert {each["key"]: each["why"] for each in answer["removed"]} == {
        "a-crop": "requested",
        "a": "cluster",
        "b": "fingerprint",
    }
    assert answer["counts"] == {"requested": 1, "cluster": 1, "fingerprint": 1}


def test_what_only_looks_alike_takes_nothing_along(chosen, tmp_path):
    _, left = taken(chosen, tmp_path, "--keys", listed(tmp_path, "a-like\n"))
    assert left == ALL - {"a-like"}


def test_a_copy_of_a_reference_is_a_copy(chosen, tmp_path):
    _, left = taken(chosen, tmp_path, "--keys", listed(tmp_path, "d\n"))
    assert left == ALL - {"d", "e"}


def test_no_row_that_stays_has_a_hash_that_is_kept(chosen, tmp_path):
    taken(chosen, tmp_path, "--keys", listed(tmp_path, "a\nc\n"))
    made = open_manifest(str(tmp_path / "out"))
    denied = DenyList.read([made.uri])
    assert denied.matches(rows_of(made)).true_count == 0
    before = rows_of(chosen)
    gone = before.filter(denied.matches(before)).column("key").to_pylist()
    assert gone == ["a", "a-crop", "b", "c"]
    assert curate("verify", made.uri).returncode == 0


def test_what_is_kept_is_hashes_alone(chosen, tmp_path):
    taken(chosen, tmp_path, "--keys", listed(tmp_path, "a\n"), "--list", tmp_path / "hashes")
    document = (tmp_path / "out/_manifest.json").read_text()
    for secret in ("example.org/a.jpg", "a text about a"):
        assert secret not in document
    sha256 = (tmp_path / "hashes/sha256.txt").read_text().split()
    assert sha256 == sorted(row(key)["sha256"] for key in ("a", "a-crop", "b"))
    assert DenyList.read([str(tmp_path / "hashes")]) == DenyList.read([str(tmp_path / "out")])


def test_parts_without_such_a_row_are_the_same_files(chosen, tmp_path):
    taken(chosen, tmp_path, "--keys", listed(tmp_path, "g\n"))
    made = open_manifest(str(tmp_path / "out"))
    assert [part.sha256 for part in made.parts[:2]] == [part.sha256 for part in chosen.parts[:2]]
    assert made.parts[2].rows == 2


@pytest.mark.parametrize(
    ("option", "name", "text", "gone"),
    [
        ("--urls", "list.csv", "url,why\nhttps://example.org/g.jpg,asked\n", {"g"}),
        ("--urls", "list.csv", "1,https://example.org/g.jpg\n2,https://example.org/f.jpg\n", {"f", "g"}),
        ("--urls", "list.txt", "https://example.org/d.jpg\n", {"d", "e"}),
        ("--keys", "list.csv", "g\nf\n", {"f", "g"}),
        ("--sha256", "list.txt", row("g")["sha256"], {"g"}),
        ("--sha256", "list.csv", f"sha256\n{row('g')['sha256']}\n", {"g"}),
        ("--hashes", "sha256.txt", row("g")["sha256"], {"g"}),
    ],
)
def test_lists_in_any_form(chosen, tmp_path, option, name, text, gone):
    _, left = taken(chosen, tmp_path, option, listed(tmp_path, text, name))
    assert left == ALL - gone


def test_datacomp_uids(tmp_path):
    uid = "00112233445566778899aabbccddeeff"
    manifest = commit_rows(tmp_path / "m", [[row(uid, sha256="ab" * 32), row("b")]], Stage.CHOOSE)
    np.save(tmp_path / "uids.npy", np.array([(0x0011223344556677, 0x8899AABBCCDDEEFF)], UID_PAIR))
    _, left = taken(manifest, tmp_path, "--keys", tmp_path / "uids.npy")
    assert left == {"b"}


@pytest.mark.parametrize("is_folder", [True, False])
def test_copies_of_a_picture(chosen, tmp_path, is_folder):
    (tmp_path / "reported").mkdir()
    smaller = photo(1).resize((200, 150))
    (tmp_path / "reported/copy.jpg").write_bytes(encoded(smaller, "JPEG", quality=70))
    place = tmp_path / "reported" if is_folder else tmp_path / "reported/copy.jpg"
    _, left = taken(chosen, tmp_path, "--near-image", place)
    assert left == ALL - {"a", "a-crop", "b"}


def test_a_distance_of_none_finds_the_same_picture_alone(chosen, tmp_path):
    digits = print_of(photo(1))["pdq"].hex()
    _, left = taken(chosen, tmp_path, "--pdq", listed(tmp_path, digits), "--max-distance", 0)
    assert left == ALL - {"a", "a-crop"}
    assert f"pdq {digits} 0" in open_manifest(str(tmp_path / "out")).taken_down


def test_entries_that_match_nothing_are_named(chosen, tmp_path):
    (tmp_path / "other.png").write_bytes(encoded(photo(9)))
    arguments = ("--keys", listed(tmp_path, "g\nnowhere\n"), "--near-image", tmp_path / "other.png")
    done = curate("takedown", chosen.uri, *arguments, "-o", tmp_path / "out", check=1)
    assert "--keys: 1 of 2 entries match no row (nowhere)" in done.stderr
    assert "--near-image: 1 of 1 entries match no row" in done.stderr
    assert "g" not in rows_of(tmp_path / "out").column("key").to_pylist()
    again = curate("takedown", chosen.uri, *arguments, "-o", tmp_path / "out", "--allow-unmatched")
    assert "nowhere" in again.stderr
    kept = DenyList.read([str(tmp_path / "out")])
    assert print_of(photo(9))["pdq"].hex() in kept.pdq, "what is asked for never comes, though nothing matched"


def test_other_rows_are_another_takedown_though_no_hash_tells(tmp_path):
    rows = [row(key, sha256=None, status="undecodable") for key in "xyz"]
    source = commit_rows(tmp_path / "m", [rows], Stage.CHOOSE)
    taken(source, tmp_path, "--keys", listed(tmp_path, "x\n"))
    done = curate("takedown", source.uri, "--keys", listed(tmp_path, "y\n"), "-o", tmp_path / "out", check=2)
    assert "another configuration or input" in done.stderr


def test_a_row_without_a_hash_is_counted(chosen, tmp_path):
    answer, _ = taken(chosen, tmp_path, "--keys", listed(tmp_path, "f\n"))
    assert answer["unhashed"] == 1


def test_pictures_that_cannot_be_compared_are_named(chosen, tmp_path):
    (tmp_path / "reported").mkdir()
    (tmp_path / "reported/plain.png").write_bytes(encoded(Image.new("RGB", (64, 64), "red")))
    (tmp_path / "reported/broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    done = curate(
        "takedown", chosen.uri, "--near-image", tmp_path / "reported", "-o", tmp_path / "out", "--allow-unmatched"
    )
    assert "plain.png: too plain for PDQ" in done.stderr
    assert "broken.jpg: undecodable" in done.stderr


def test_a_dry_run_lists_what_goes_and_writes_the_page_alone(chosen, tmp_path):
    page = tmp_path / "look.html"
    done = curate(
        "takedown",
        chosen.uri,
        "--keys",
        listed(tmp_path, "a\n"),
        "-o",
        tmp_path / "out",
        "--dry-run",
        "--report",
        page,
    )
    assert "would have 6 rows" in done.stdout
    assert "a-crop" in done.stdout
    assert not (tmp_path / "out").exists()
    assert page.read_text().count("<figure>") == 3


def test_the_page_shows_pictures_and_no_markup_of_others(tmp_path):
    source = tmp_path / "pictures"
    source.mkdir()
    data = encoded(photo(3))
    (source / "a.png").write_bytes(data)
    shown = row(
        "a", source=f"file://{source}/", member="a.png", offset=0, size=len(data), caption="<script>alert(1)</script>"
    )
    shown["sha256"] = hashlib.sha256(data).hexdigest()
    manifest = commit_rows(tmp_path / "m", [[shown]], Stage.CHOOSE)
    page = tmp_path / "look.html"
    curate("takedown", manifest.uri, "--keys", listed(tmp_path, "a"), "-o", tmp_path / "o", "--report", page)
    text = page.read_text()
    assert "data:image/jpeg;base64," in text
    assert "<script" not in text
    assert "default-src &#x27;none&#x27;" in text


def test_twice_is_once(chosen, tmp_path):
    keys = listed(tmp_path, "a\n")
    first, _ = taken(chosen, tmp_path, "--keys", keys)
    second, _ = taken(chosen, tmp_path, "--keys", keys)
    assert first["digest"] == second["digest"]
    done = curate("takedown", tmp_path / "out", "--hashes", tmp_path / "out", "-o", tmp_path / "b", "--json", check=1)
    assert json.loads(done.stdout)["digest"] == first["digest"]


def test_manifests_made_of_it_inherit_the_hashes(chosen, tmp_path):
    taken(chosen, tmp_path, "--keys", listed(tmp_path, "a\n"))
    curate("sample", tmp_path / "out", "-o", tmp_path / "half", "--fraction", "0.5")
    curate("select", tmp_path / "half", "--keys", listed(tmp_path, "g\n"), "-o", tmp_path / "picked")
    assert len(open_manifest(str(tmp_path / "picked")).taken_down) > 0
    assert DenyList.read([str(tmp_path / "picked")]) == DenyList.read([str(tmp_path / "out")])


def test_equal_rows_with_other_hashes_are_made_again(chosen, tmp_path):
    curate("sample", chosen.uri, "-o", tmp_path / "half", "--fraction", "0.5")
    taken(chosen, tmp_path, "--sha256", listed(tmp_path, "ab" * 32), "--allow-unmatched")
    made = open_manifest(str(tmp_path / "out"))
    assert made.digest == chosen.digest
    done = curate("sample", made.uri, "-o", tmp_path / "half", "--fraction", "0.5", check=2)
    assert "another configuration or input" in done.stderr


def test_a_merge_leaves_out_what_any_manifest_took_down(chosen, tmp_path):
    taken(chosen, tmp_path, "--keys", listed(tmp_path, "a\n"))
    new = [row("new", pdq=print_of(photo(1))["pdq"], pdq_quality=100), row("other")]
    june = commit_rows(tmp_path / "june", [new], Stage.CHOOSE)
    done = curate("merge", tmp_path / "out", june.uri, "-o", tmp_path / "both")
    assert "1 rows left out" in done.stderr
    assert set(rows_of(tmp_path / "both").column("key").to_pylist()) == ALL - {"a", "a-crop", "b"} | {"other"}
    assert DenyList.read([str(tmp_path / "both")]) == DenyList.read([str(tmp_path / "out")])


def test_a_patch_that_brings_it_back_is_refused(chosen, tmp_path):
    taken(chosen, tmp_path, "--keys", listed(tmp_path, "g\n"))
    curate("diff", tmp_path / "out", chosen.uri, "--out", tmp_path / "diff")
    done = curate("patch", tmp_path / "out", tmp_path / "diff", "-o", tmp_path / "back", check=2)
    assert "adds what was taken down" in done.stderr


def test_verify_finds_a_row_that_came_back(tmp_path):
    back = commit_rows(
        tmp_path / "m", [[row("a"), row("b")]], Stage.CHOOSE, taken_down=[f"sha256 {row('a')['sha256']}"]
    )
    done = curate("verify", back.uri, check=1)
    assert "1 rows show what was taken down ('a')" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "nothing to take down"),
        (("--urls", "nowhere.txt"), "no such file"),
        (("--near-image", "{folder}"), "no picture here"),
        (("--sha256", "{list}"), "is no hash of a list"),
        (("--hashes", "{folder}"), "a folder without pdq.txt"),
    ],
)
def test_what_cannot_be_read_is_refused(chosen, tmp_path, arguments, problem):
    (tmp_path / "empty").mkdir()
    given = {"folder": tmp_path / "empty", "list": listed(tmp_path, "not a hash")}
    done = curate(
        "takedown", chosen.uri, *(each.format(**given) for each in arguments), "-o", tmp_path / "out", check=2
    )
    assert problem in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_on_an_object_store(chosen, tmp_path):
    keys = listed(tmp_path, "a\nc\n")
    local, _ = taken(chosen, tmp_path, "--keys", keys)
    with bucket_of("takedowns"):
        for path in (tmp_path / "chosen").rglob("*"):
            if path.is_file():
                storage.write_bytes(f"s3://takedowns/m/{path.relative_to(tmp_path / 'chosen')}", path.read_bytes())
        there = ("--keys", keys, "-o", "s3://takedowns/out", "--report", "s3://takedowns/look.html", "--json")
        for _ in range(2):
            done = json.loads(
                curate("takedown", "s3://takedowns/m", *there, "--list", "s3://takedowns/hashes").stdout
            )
            assert done["digest"] == local["digest"]
        assert DenyList.read(["s3://takedowns/hashes"]) == DenyList.read([str(tmp_path / "out")])
        assert b"<figure>" in storage.read_bytes("s3://takedowns/look.html")
