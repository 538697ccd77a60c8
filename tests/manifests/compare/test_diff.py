"""Differences between two manifests, and why: a diff is complete, and applied to one gives the other."""

import json
import math
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.cli.main import main
from manifests.compare import diff as diffs
from manifests.compare.changes import STILL_DROPPED
from manifests.compare.diff import shared_parts
from manifests.compare.diff_set import open_diff
from manifests.format.schema import Stage, schema
from manifests.format.store import Manifest, Parent, open_manifest
from tests.support.making import commit_rows

pytestmark = pytest.mark.slow  # hundreds of diffs

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def run(*args: object, code: int | None = 0):
    done = CliRunner().invoke(main, [str(a) for a in args])
    assert "Traceback" not in done.output
    if code is not None:
        assert done.exit_code == code, done.output
    return done


def diff_json(a: Manifest, b: Manifest, *options: object, code: int = 0) -> dict:
    """Return the output of `curate diff --json`."""
    return json.loads(run("diff", a.uri, b.uri, "--json", "--quiet", *options, code=code).stdout)


def reasons(found: dict) -> dict[tuple[str, str], int]:
    return {(r["change"], r["reason"]): r["rows"] for r in found["reasons"]}


# --- laws

FLOATS = st.sampled_from([None, 0.0, -0.0, 0.5, math.nan, math.inf, -1.5])
TEXTS = st.none() | st.text("aé'\"\\\0\n$", max_size=3)
ROW = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["{root}/a.tar", "{root}/b/c.tar", "elsewhere://x.tar"]),
        "member": st.sampled_from(["1.jpg", "2.jpg"]),
        "offset": st.none() | st.integers(-3, 3),
        "caption": TEXTS,
        "url": TEXTS,
        "sha256": st.sampled_from([None, "aa", "bb"]),
        "pdq": st.sampled_from([None, bytes(32), b"\1" * 32]),
        "local_points": st.none() | st.binary(max_size=3),
        "text_score": FLOATS,
        "keep": st.booleans(),
        "width": st.none() | st.integers(-1, 2),
    }
)
TABLE = st.dictionaries(st.sampled_from([f"k{n}" for n in range(8)]), ROW, max_size=8)
COUNTER = iter(range(10**9))


def committed(folder: Path, rows: dict[str, dict], root: str, cut: int, stage: Stage = Stage.CHOOSE) -> Manifest:
    """Commit rows in two parts, with sources below `root`."""
    whole = [{"key": k, **v, "source": v["source"].format(root=root)} for k, v in rows.items()]
    whole = [{n: v for n, v in row.items() if n in schema(stage).names} for row in whole]
    return commit_rows(folder / f"m{next(COUNTER)}", [whole[:cut], whole[cut:]], stage, roots=[root])


@pytest.mark.slow
@SETTINGS
@given(a=TABLE, b=TABLE, share=st.sampled_from([0, 1, 2]), cuts=st.tuples(st.integers(0, 8), st.integers(0, 8)))
def test_a_diff_applied_to_the_first_gives_the_second(tmp_path: Path, a, b, share, cuts) -> None:
    b = {**b, **dict(list(a.items())[: share * 3])}  # some rows are equal
    first = committed(tmp_path, a, "file:///one", cuts[0])
    second = committed(tmp_path, b, "s3://two", cuts[1])
    out, patched = tmp_path / f"d{next(COUNTER)}", tmp_path / f"p{next(COUNTER)}"
    found = diff_json(first, second, "--out", out)
    assert found["is_same"] == (first.digest == second.digest) == (not open_diff(str(out)).tally.rows)
    assert found["is_proven"]
    run("patch", first.uri, out, "-o", patched, "--quiet")
    assert open_manifest(str(patched)).digest == second.digest


@pytest.mark.slow
@settings(SETTINGS, max_examples=15)
@given(a=TABLE, b=TABLE, by=st.sampled_from(["sha256", "url"]))
def test_a_diff_by_another_column_is_complete(tmp_path: Path, a, b, by) -> None:
    first, second = committed(tmp_path, a, "file:///one", 3), committed(tmp_path, b, "file:///one", 5)
    out, patched = tmp_path / f"d{next(COUNTER)}", tmp_path / f"p{next(COUNTER)}"
    found = diff_json(first, second, "--by", by, "--out", out)
    assert found["is_proven"]
    assert found["is_same"] == (first.digest == second.digest)
    run("patch", first.uri, out, "-o", patched, "--quiet")
    assert open_manifest(str(patched)).digest == second.digest


@pytest.mark.slow
@settings(SETTINGS, max_examples=15)
@given(a=TABLE, b=TABLE)
def test_a_diff_across_stages_is_complete(tmp_path: Path, a, b) -> None:
    first = committed(tmp_path, a, "file:///one", 3, Stage.SCAN)
    second = committed(tmp_path, b, "file:///one", 3, Stage.CHOOSE)
    for one, other in ((first, second), (second, first)):
        out, patched = tmp_path / f"d{next(COUNTER)}", tmp_path / f"p{next(COUNTER)}"
        found = diff_json(one, other, "--out", out)
        assert not found["is_same"]
        assert "keep" in found["columns_added"] + found["columns_removed"]
        run("patch", one.uri, out, "-o", patched, "--quiet")
        assert open_manifest(str(patched)).digest == other.digest


@pytest.mark.slow
@settings(SETTINGS, max_examples=15)
@given(a=TABLE, b=TABLE)
def test_there_and_back_count_the_same(tmp_path: Path, a, b) -> None:
    first, second = committed(tmp_path, a, "file:///one", 3), committed(tmp_path, b, "file:///one", 5)
    there, back = diff_json(first, second), diff_json(second, first)
    assert (there["added"], there["removed"]) == (back["removed"], back["added"])
    assert (there["changed"], there["moved"], there["columns"]) == (back["changed"], back["moved"], back["columns"])
    assert there["added"] == len(set(b) - set(a))


def test_a_large_diff_is_written_in_parts_of_sorted_rows(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(diffs, "ROWS_PER_PART", 10)
    a = commit_rows(tmp_path / "a", [[{"key": f"k{n}"} for n in range(100)]])
    b = commit_rows(tmp_path / "b", [[{"key": f"k{n}"} for n in range(50, 150)]])
    run("diff", a.uri, b.uri, "--out", tmp_path / "d", "--quiet")
    written = open_diff(str(tmp_path / "d"))
    assert len(written.parts) == 10
    assert sum(part.rows for part in written.parts) == 100
    for part in written.parts:
        keys = ds.dataset(str(tmp_path / "d" / part.name)).to_table(columns=["key"]).column("key").to_pylist()
        assert keys == sorted(keys)
    run("patch", a.uri, tmp_path / "d", "-o", tmp_path / "p")
    assert open_manifest(str(tmp_path / "p")).digest == b.digest


# --- reasons and output


def verdict(key: str, *, keep: bool = True, reason: str | None = None, **more: object) -> dict:
    return {"key": key, "keep": keep, "drop_reason": reason, **more}


def test_reasons_of_changed_rows(tmp_path: Path) -> None:
    a = commit_rows(
        tmp_path / "a",
        [[verdict("a"), verdict("b"), verdict("c"), verdict("d", keep=False, reason="not_heavy"), verdict("e")]],
        Stage.CHOOSE,
    )
    b = commit_rows(
        tmp_path / "b",
        [
            [
                verdict("a", keep=False, reason="not_heavy"),
                verdict("b", keep=False, reason="duplicate:mild", duplicate_of="new", duplicate_kind="mild"),
                verdict("c", keep=False, reason="duplicate:mild", duplicate_of="a", duplicate_kind="mild"),
                verdict("d"),
                verdict("e", text_score=0.5, width=3),
                verdict("new"),
            ]
        ],
        Stage.CHOOSE,
    )
    found = diff_json(a, b)
    assert reasons(found) == {
        ("added", "new"): 1,
        ("changed", "dropped: not_heavy"): 1,
        ("changed", "dropped: duplicate:mild of an added image"): 1,
        ("changed", "dropped: duplicate:mild"): 1,
        ("changed", "kept, was not_heavy"): 1,
        ("changed", "other width, text_score"): 1,
    }
    row = next(r for r in found["rows"] if r["key"] == "e")
    assert row["columns"] == {"width": [None, 3], "text_score": [None, 0.5]}
    assert found["columns"]["keep"] == 4


def test_a_change_of_words_is_no_change_of_membership(tmp_path: Path) -> None:
    """Rows dropped before and after are one line, whatever the reasons were; what says the same twice counts once."""
    before = [verdict(f"k{n}", keep=n > 5, reason=None if n > 5 else "not_heavy") for n in range(9)]
    after = [
        *(verdict(f"k{n}", keep=False, reason="not_light", text_class="none") for n in range(3)),
        verdict("k3", keep=False, reason="duplicate:mild", duplicate_of="k4", duplicate_kind="mild", cluster_id="k3"),
        *(verdict(f"k{n}") for n in range(4, 8)),
        verdict("k8", keep=False, reason="too_small"),
    ]
    a, b = (
        commit_rows(tmp_path / name, [[{"cluster_id": "c", **row} for row in rows]], Stage.CHOOSE)
        for name, rows in (("a", before), ("b", after))
    )
    found = diff_json(a, b)
    assert reasons(found) == {
        ("changed", STILL_DROPPED): 4,
        ("changed", "kept, was not_heavy"): 2,
        ("changed", "dropped: too_small"): 1,
    }
    assert (found["entered"], found["left"], found["kept"]) == (2, 1, [3, 4])
    assert found["columns"] == {"keep": 3, "drop_reason": 4, "text_class": 3, "duplicate_of": 1}
    text = run("diff", a.uri, b.uri, "--stat", "--quiet").stdout
    assert "kept: 3 in the first, 4 in the second; 2 entered, 1 left" in text
    lines = [line for line in text.splitlines() if line.startswith("│")]
    assert len(set(lines)) == len(lines)
    assert any("keep, text_class" in line for line in lines), "columns that differ equally often share a line"
    there, back = diff_json(a, b, "--columns", "caption"), diff_json(a, b, "--where", "keep")
    assert there["entered"] is back["entered"] is None, "unknown where not all verdicts are compared"


@pytest.mark.slow
@settings(SETTINGS, max_examples=15)
@given(a=TABLE, b=TABLE)
def test_what_entered_and_left_is_the_difference_of_what_is_kept(tmp_path: Path, a, b) -> None:
    first, second = committed(tmp_path, a, "file:///one", 3), committed(tmp_path, b, "file:///one", 5)
    found = diff_json(first, second)
    kept = [{key for key, row in rows.items() if row["keep"]} for rows in (a, b)]
    assert (found["entered"], found["left"]) == (len(kept[1] - kept[0]), len(kept[0] - kept[1]))
    by_image = diff_json(first, second, "--by-image")
    assert by_image["entered"] - by_image["left"] == len(kept[1]) - len(kept[0])
    assert by_image["added"] - by_image["removed"] == len(b) - len(a)


def crawl(folder: Path, rows: list[dict]) -> Manifest:
    """Commit the rows of a crawl, whose keys, places and captions are its own."""
    own = {"url": f"https://{folder.name}/", "caption": folder.name, "source": f"file:///{folder.name}.tar"}
    return commit_rows(folder, [[{**own, "status": "ok", "pdq_quality": 90, **row} for row in rows]], Stage.CHOOSE)


def test_pictures_of_other_crawls_are_matched_by_bytes_then_by_fingerprint(tmp_path: Path) -> None:
    pdq = [bytes([n]) * 32 for n in range(6)]
    may = crawl(
        tmp_path / "may",
        [
            verdict("a1", sha256="s0", pdq=pdq[0]),
            verdict("a2", sha256="s1", pdq=pdq[1]),
            verdict("a3", sha256="s2", pdq=pdq[2]),
            verdict("a4", sha256="s3", pdq=pdq[3], keep=False, reason="not_heavy"),
            verdict("a5", sha256="s4", pdq=pdq[4], pdq_quality=3, pixels=pdq[5]),
            verdict("a6", sha256="s5", pdq=pdq[4], pdq_quality=3, pixels=pdq[4]),
        ],
    )
    june = crawl(
        tmp_path / "june",
        [
            verdict("b0", sha256="s0", pdq=pdq[0], keep=False, reason="duplicate:exact", duplicate_of="b1"),
            verdict("b1", sha256="s0", pdq=pdq[0]),
            verdict("b2", sha256="x1", pdq=pdq[1], keep=False, reason="not_heavy"),
            verdict("b4", sha256="x3", pdq=pdq[3], keep=False, reason="not_light"),
            verdict("b5", sha256="x4", pdq=pdq[4], pdq_quality=4, pixels=pdq[5]),
            verdict("b6", sha256="x5", pdq=pdq[5]),
        ],
    )
    found = diff_json(may, june, "--by-image")
    assert reasons(found) == {
        ("added", "no row with its image"): 2,
        ("removed", "no row with its image"): 2,
        ("changed", "dropped: not_heavy"): 1,
        ("changed", STILL_DROPPED): 1,
    }
    assert {row["key"] for row in found["rows"]} == {"b0", "b2", "b4", "b6", "a3", "a6"}
    assert (found["entered"], found["left"]) == (1, 3)
    assert not found["is_proven"]
    assert diff_json(may, june, "--by", "image") == found
    assert diff_json(may, june, "--by-image", "--columns", "caption")["columns"] == {"caption": 4}


def lineage(tmp_path: Path, name: str, chosen: list[dict]) -> tuple[Manifest, Manifest]:
    """Commit a chosen manifest, and one of shards with its kept rows."""
    parent = commit_rows(tmp_path / name / "chosen", [chosen], Stage.CHOOSE)
    kept = [
        {**row, "shard": "00000.tar", "shard_offset": i, "shard_size": 1, "shard_index": i}
        for i, row in enumerate(r for r in chosen if r["keep"])
    ]
    child = commit_rows(
        tmp_path / name / "shards",
        [kept],
        Stage.SHARD,
        inputs={"parent": parent.digest},
        parents=[Parent(uri=parent.uri, stage=parent.stage, digest=parent.digest)],
    )
    return parent, child


def test_rows_that_left_shards_are_explained_by_the_manifest_before(tmp_path: Path) -> None:
    _, may = lineage(
        tmp_path, "may", [verdict("a"), verdict("b"), verdict("c"), verdict("d", keep=False, reason="x")]
    )
    june = [
        verdict("a"),
        verdict("b", keep=False, reason="duplicate:crop", duplicate_of="new", duplicate_kind="crop"),
        verdict("d"),
        verdict("new"),
    ]
    _, shards = lineage(tmp_path, "june", june)
    found = diff_json(may, shards, "--ignore", "shard_offset,shard_index")
    assert reasons(found) == {
        ("removed", "duplicate:crop of an added image"): 1,
        ("removed", "not in its input"): 1,
        ("added", "was x"): 1,
        ("added", "new"): 1,
    }
    text = run("diff", may.uri, shards.uri, "--stat", "--ignore", "shard_offset,shard_index", "--quiet").stdout
    assert text.splitlines()[0] == "2 added, 2 removed, 0 changed, 0 moved, 1 the same"


def test_missing_ancestors_are_reported(tmp_path: Path) -> None:
    parent, may = lineage(tmp_path, "may", [verdict("a")])
    _, june = lineage(tmp_path, "june", [verdict("a"), verdict("b")])
    (tmp_path / "may/chosen/_manifest.json").unlink()
    found = diff_json(may, june)
    assert found["notes"] == [f"{parent.uri}: not there any more; some reasons are unknown"]


def test_a_sample_in_another_place_has_moved(tmp_path: Path) -> None:
    row = {"key": "a", "sha256": "11", "width": 3}
    a = commit_rows(tmp_path / "a", [[{**row, "source": "file:///x/1.tar", "offset": 512}]])
    b = commit_rows(tmp_path / "b", [[{**row, "source": "file:///x/2.tar", "offset": 1024}]])
    c = commit_rows(tmp_path / "c", [[{**row, "key": "other", "source": "file:///x/2.tar", "offset": 1024}]])
    assert (diff_json(a, b)["moved"], diff_json(a, b)["changed"]) == (1, 0)
    assert (diff_json(a, c)["added"], diff_json(a, c)["removed"]) == (1, 1)
    assert diff_json(a, c, "--by", "sha256")["moved"] == 1


def test_a_copy_of_the_input_elsewhere_is_the_same(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a", "source": "file:///x/1.tar"}]], roots=["file:///x"])
    b = commit_rows(tmp_path / "b", [[{"key": "a", "source": "s3://y/z/1.tar"}]], roots=["s3://y/z/"])
    assert diff_json(a, b)["is_same"]


def test_columns_ignore_and_where_narrow_the_comparison(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a", "width": 1, "height": 1}, {"key": "b", "width": 1}]])
    b = commit_rows(tmp_path / "b", [[{"key": "a", "width": 2, "height": 1}, {"key": "b", "width": 1, "height": 9}]])
    assert diff_json(a, b)["changed"] == 2
    assert diff_json(a, b, "--columns", "width")["changed"] == 1
    assert diff_json(a, b, "--ignore", "height")["changed"] == 1
    assert diff_json(a, b, "--columns", "format")["is_same"]
    narrowed = diff_json(a, b, "--where", "height >= 1")
    assert (narrowed["added"], narrowed["changed"], narrowed["same"], narrowed["is_proven"]) == (1, 1, None, False)
    assert "no column" in run("diff", a.uri, b.uri, "--columns", "colour", code=2).output
    run("diff", a.uri, b.uri, "--columns", "width", "--out", tmp_path / "d")
    assert "of some columns or rows" in run("patch", a.uri, tmp_path / "d", "-o", tmp_path / "p", code=2).output


def test_exit_codes_are_those_of_diff(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a"}]])
    b = commit_rows(tmp_path / "b", [[{"key": "b"}]])
    run("diff", a.uri, a.uri, "--exit-code", code=0)
    run("diff", a.uri, b.uri, "--exit-code", code=1)
    run("diff", a.uri, b.uri, code=0)
    run("diff", a.uri, tmp_path / "nothing", "--exit-code", code=2)


def test_equal_manifests_are_not_read(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a"}]])
    b = commit_rows(tmp_path / "b", [[], [{"key": "a"}]])
    for folder in ("a", "b"):
        for part in (tmp_path / folder).glob("*.parquet"):
            part.unlink()
    assert run("diff", a.uri, b.uri).stdout.startswith("the same: 1 rows")


def test_parts_with_the_same_rows_are_not_read(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a"}], [{"key": "b"}], []])
    b = commit_rows(tmp_path / "b", [[{"key": "c"}], [], [{"key": "a"}]])
    assert shared_parts(a, b) == ({0, 2}, {2, 1})
    for shared in ("a/part-00000", "b/part-00002"):
        (tmp_path / f"{shared}.parquet").write_bytes(b"never looked at")
    assert (diff_json(a, b)["added"], diff_json(a, b)["removed"], diff_json(a, b)["is_proven"]) == (1, 1, True)


def test_repeated_keys_are_named(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a"}, {"key": "x"}]])
    for parts in ([[{"key": "a"}, {"key": "a"}]], [[{"key": "a"}, {"key": "a", "width": 1}, {"key": "x"}]]):
        b = commit_rows(tmp_path / f"b{next(COUNTER)}", parts)
        for pair in ((a, b), (b, a)):
            assert "keys are not unique (a …)" in run("diff", *(m.uri for m in pair), code=2).output


def test_altered_rows_are_found(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a", "width": 1}, {"key": "b"}]])
    b = commit_rows(tmp_path / "b", [[{"key": "a", "width": 2}, {"key": "b"}]])
    forged = commit_rows(tmp_path / "c", [[{"key": "a", "width": 7}, {"key": "b"}]])
    part = tmp_path / "b" / "part-00000.parquet"
    data = (tmp_path / "c" / "part-00000.parquet").read_bytes()
    if len(data) == part.stat().st_size:
        part.write_bytes(data)
        assert "do not have the committed digest" in run("diff", a.uri, b.uri, code=2).output
    assert diff_json(a, forged)["changed"] == 1


def test_markdown_is_escaped(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a", "caption": "plain"}]])
    b = commit_rows(tmp_path / "b", [[{"key": "a", "caption": "a|b <script>`x`\x1b[31m"}]])
    text = run("diff", a.uri, b.uri, "--md", "--quiet").stdout
    assert "| changed | a | other caption | caption: plain → a\\|b &lt;script>\\`x\\`·[31m |" in text


def test_a_diff_is_not_written_over_anything(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a"}]])
    b = commit_rows(tmp_path / "b", [[{"key": "b"}]])
    assert "not empty and no diff" in run("diff", a.uri, b.uri, "--out", tmp_path / "a", code=2).output
    run("diff", a.uri, b.uri, "--out", tmp_path / "d")
    assert "--force" in run("diff", a.uri, b.uri, "--out", tmp_path / "d", code=2).output
    run("diff", b.uri, a.uri, "--out", tmp_path / "d", "--force")
    assert open_diff(str(tmp_path / "d")).a_digest == b.digest


def test_foreign_parts_are_kept_and_ours_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a"}]])
    b = commit_rows(tmp_path / "b", [[{"key": "b"}]])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "part-00007.parquet").write_bytes(b"precious")
    assert "not empty and no diff" in run("diff", a.uri, b.uri, "--out", tmp_path / "d", "--force", code=2).output
    assert (tmp_path / "d" / "part-00007.parquet").read_bytes() == b"precious"
    (tmp_path / "d" / "_begun").touch()
    run("diff", a.uri, b.uri, "--out", tmp_path / "d")
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["_diff.json", "part-00000.parquet"]


def test_a_patch_of_another_manifest_is_refused(tmp_path: Path) -> None:
    a = commit_rows(tmp_path / "a", [[{"key": "a"}]])
    b = commit_rows(tmp_path / "b", [[{"key": "b"}]])
    run("diff", a.uri, b.uri, "--out", tmp_path / "d")
    assert "with digest" in run("patch", b.uri, tmp_path / "d", "-o", tmp_path / "p", code=2).output
    part = tmp_path / "d" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    assert "altered" in run("patch", a.uri, tmp_path / "d", "-o", tmp_path / "p", code=2).output
    assert not (tmp_path / "p" / "_manifest.json").exists()
    for text in ("[1", "[]", '{"format_version": 9}', '{"format_version": 1}'):
        (tmp_path / "d" / "_diff.json").write_text(text)
        assert "_diff.json" in run("patch", a.uri, tmp_path / "d", "-o", tmp_path / "p", code=2).output
