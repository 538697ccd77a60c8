"""Every row of every stage is explained: its origin, what was measured and decided, its cluster and its shard."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont, ImageOps

import curate
from curation.copies.draw import DIFFERING_COLOUR
from curation.text.draw import BOX_COLOUR
from examples.corpus.photographs import city, still_life
from jobs.cli.main import main
from tests.conftest import Reference, rows_of
from tests.jobs.dedupe.test_references import Runner, by_member, crop_of, painted, write_tar
from tests.support.pictures import LINES, render


def run(*arguments):
    return CliRunner().invoke(main, ["explain", *map(str, arguments)])


def explained(*arguments) -> dict[str, Any]:
    """Return the only row that is explained."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    return found


def curate_line(*arguments) -> None:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output


# --- clusters


def stamped(image: Image.Image) -> Image.Image:
    """Return a picture with words over a part of it, at its right edge."""
    written = image.copy()
    ImageDraw.Draw(written).text(
        (430, 130), "sample 26", "white", ImageFont.load_default(40), "rm", stroke_width=3, stroke_fill="black"
    )
    return written


def page(word: str) -> Image.Image:
    """Return a page that differs from another one in a word."""
    return Image.fromarray(render([*LINES[:9], f"In all {word} items were sold", *LINES[9:]], size_pixels=22))


@pytest.fixture(scope="module")
def place(spark, tmp_path_factory) -> Path:
    """A deduplicated crawl, checked against an evaluation set; `scan` and `deduped` below it."""
    run, folder = Runner(spark), tmp_path_factory.mktemp("explained")
    own, evaluated = painted(city, 1), painted(still_life, 2)
    write_tar(folder / "e.tar", {"still.png": evaluated})
    planted = {"city.png": own, "city.jpg": own, "mirror.jpg": ImageOps.mirror(own), "crop.jpg": crop_of(evaluated)}
    pages = {f"page {word}.png": page(word) for word in ("seven", "eight")}
    write_tar(folder / "0.tar", {**planted, **pages, "stamped.jpg": stamped(own), "broken.jpg": b"no picture"})
    run.scan(folder / "evaluation" / "scan", folder / "e.tar")
    run.scan(folder / "scan", folder / "0.tar")
    run.dedupe(folder / "scan", folder / "deduped", references={"evaluation": str(folder / "evaluation" / "scan")})
    return folder


def test_a_key_leads_to_its_cluster(place: Path):
    rows = by_member(place / "deduped")
    found = explained(place / "deduped", rows["mirror.jpg"]["key"])
    assert found["outcome"] == f"a copy (mirror) of {rows['city.png']['key']}"
    cluster = found["cluster"]
    assert cluster["own"]["member"] == "mirror.jpg"
    assert cluster["representative"]["member"] == "city.png"
    assert "bytes" in cluster["why"]
    assert cluster["count"] == 4
    assert cluster["members"][0]["member"] == "city.png"
    assert {m["member"]: m["found"].split(",")[0] for m in cluster["members"]} == {
        "city.png": "",
        "city.jpg": "the whole picture",
        "mirror.jpg": "mirrored",
        "stamped.jpg": "the whole picture",
    }
    assert explained(place / "deduped", "city.png")["outcome"].startswith("represents its cluster of 4: ")
    few = explained(place / "deduped", rows["mirror.jpg"]["key"], "--limit", "2")["cluster"]
    assert (few["count"], len(few["members"])) == (4, 2)
    assert few["own"]["member"] == "mirror.jpg"
    assert explained(place / "deduped", "mirror", "--limit", "1")["cluster"]["representative"]["member"] == "city.png"


def test_the_evidence_of_every_copy_meets_what_was_required(place: Path):
    done = run(place / "deduped", *by_member(place / "deduped"), "--json")
    members = [m for each in json.loads(done.stdout) if each["cluster"] for m in each["cluster"]["members"]]
    verified = [m for m in members if (m["evidence"] or {}).get("verified")]
    assert {m["kind"] for m in verified} >= {"mild", "mirror", "overlay"}
    for each in verified:
        (measure,) = each["measures"]
        assert measure["margin"] >= 0, each
        assert measure["setting"].startswith("dedupe.strictness.")


def test_pictures_that_were_compared_and_are_no_copies(place: Path):
    rows = by_member(place / "deduped")
    assert rows["page seven.png"]["duplicate_of"] is rows["page eight.png"]["duplicate_of"] is None
    assert explained(place / "deduped", "page seven.png")["cluster"]["compared"] == []
    for one, other in (("seven", "eight"), ("eight", "seven")):
        found = explained(place / "deduped", f"page {one}.png", "--compared")
        (near,) = found["cluster"]["compared"]
        assert near["member"] == f"page {other}.png"
        assert "of what is legible differs" in near["found"]
        assert "no copies of it" in run(place / "deduped", f"page {one}.png", "--compared").stdout
    mirrored = explained(place / "deduped", "mirror.jpg", "--compared")["cluster"]
    keys = {each["key"] for each in mirrored["members"]}
    assert not keys & {each["key"] for each in mirrored["compared"]}


def test_a_copy_of_an_evaluation_picture_leads_there(place: Path):
    found = explained(place / "deduped", "crop.jpg")
    assert found["cluster"]["representative"]["member"] == "still.png"
    assert found["cluster"]["representative"]["manifest"].endswith("evaluation/scan")
    assert "reference set evaluation" in found["cluster"]["why"]
    text = run(place / "deduped", found["key"]).stdout
    assert "still.png" in text
    assert "(reference)" in text


@pytest.mark.parametrize("stage", ["scan", "deduped"])
def test_what_is_no_picture_says_why(place: Path, stage: str):
    found = explained(place / stage, "broken.jpg")
    assert found["outcome"].startswith("undecodable: ")
    assert "no picture to compare" in found["outcome"]
    assert found["picture"]["error"] in found["outcome"]
    assert found["cluster"] is None
    assert "alone" not in run(place / stage, "broken.jpg").stdout


def test_a_scan_is_explained_as_far_as_it_goes(place: Path):
    found = explained(place / "scan", "city.png")
    assert found["outcome"] == "read (ok); copies are searched by dedupe"
    assert (found["cluster"], found["text"], found["verdict"], found["shard"]) == (None,) * 4


def test_a_name_of_no_row_is_an_error_and_the_others_are_printed(place: Path):
    done = run(place / "deduped", "city.pmg", "mirror.jpg")
    assert done.exit_code == 1
    assert "the nearest is city.png" in done.stderr
    assert "mirror.jpg" in done.stdout
    done = run(place / "deduped", "nothing")
    assert (done.exit_code, done.stdout) == (1, "")
    done = run(place / "deduped", "city")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "names several rows" in done.stderr
    assert "KEY is empty" in run(place / "deduped", "").stderr
    assert run(place / "deduped").exit_code == 2
    assert json.loads(run(place / "deduped", "nothing", "--json").stdout) == []


def test_boxes_and_the_pair_are_drawn(place: Path, tmp_path: Path):
    done = run(place / "deduped", "stamped.jpg", "broken.jpg", "--images", tmp_path / "look")
    assert done.exit_code == 0, done.output
    key = by_member(place / "deduped")["stamped.jpg"]["key"]
    assert sorted(p.name for p in (tmp_path / "look").iterdir()) == [f"{key}.pair.png", f"{key}.text.png"]
    pair = np.asarray(Image.open(tmp_path / "look" / f"{key}.pair.png"))
    columns = np.nonzero((pair == DIFFERING_COLOUR).all(axis=2))[1]
    left = columns[columns < 480]
    assert abs(left.min() - 250) < 20
    assert abs(left.max() - 430) < 20
    assert run(place / "deduped", "stamped.jpg", "--images", tmp_path / "look").exit_code == 0, "the same again"
    (tmp_path / "look" / f"{key}.pair.png").write_bytes(b"mine")
    done = run(place / "deduped", "stamped.jpg", "--images", tmp_path / "look")
    assert done.exit_code == 1
    assert "exists already" in done.stderr
    assert (tmp_path / "look" / f"{key}.pair.png").read_bytes() == b"mine"


def test_a_picture_that_changed_is_not_drawn(place: Path, tmp_path: Path):
    moved = tmp_path / "out"
    tar = place / "0.tar"
    before = tar.read_bytes()
    tar.write_bytes(before.replace(b"JFIF", b"JFXX"))
    try:
        done = run(place / "deduped", "city.jpg", "--images", moved)
    finally:
        tar.write_bytes(before)
    assert done.exit_code == 1
    assert "sha256" in done.stderr
    assert not moved.exists() or not list(moved.iterdir())


# --- a whole run


@pytest.fixture(scope="module")
def every(reference: Reference) -> Mapping[str, dict[str, Any]]:
    """Key → explanation of all rows of the chosen manifest."""
    keys = "\n".join(rows_of(reference.output / "chosen").column("key").to_pylist())
    done = CliRunner().invoke(main, ["explain", str(reference.output / "chosen"), "@-", "--json"], input=keys)
    assert done.exit_code == 0, done.output
    return {each["key"]: each for each in json.loads(done.stdout)}


def test_every_row_of_a_run_has_an_explanation(reference: Reference, every):
    rows = rows_of(reference.output / "chosen").to_pylist()
    shards = {row["key"]: row for row in rows_of(reference.output / "shards").to_pylist()}
    assert [row["key"] for row in rows] == sorted(every)
    for row in rows:
        found = every[row["key"]]
        assert found["origin"]["member"] == row["member"]
        assert found["verdict"]["reason"] == row["drop_reason"]
        assert found["outcome"].startswith("kept" if row["keep"] else f"dropped ({row['drop_reason']})")
        assert (found["text"] is None) == (row["text_score"] is None)
        assert found["notes"] == []
        if row["keep"]:
            assert found["shard"]["shard"] == shards[row["key"]]["shard"]
            assert found["shard"]["shard_index"] == shards[row["key"]]["shard_index"]
        else:
            assert found["shard"] is None


def test_the_rule_that_dropped_a_row_is_missed_and_others_are_met(every):
    for found in every.values():
        margins = [each["margin"] for each in found["verdict"]["measures"]]
        if found["verdict"]["keep"]:
            assert margins, found["outcome"]
            assert min(margins) >= 0
        elif found["verdict"]["reason"] == "not_light":
            assert min(margins) < 0


def test_the_last_step_settles_what_it_could(every):
    stories = [found["text"] for found in every.values() if found["text"]]
    assert stories
    for story in stories:
        *before, last = story["steps"]
        assert last["step"] == story["step"]
        assert all(not {"heavy", "not heavy"} <= set(step["settled"]) for step in story["steps"])
        for step in before:  # it went on because a question was open
            assert len(step["settled"]) < 2
        if story["step"] not in ("read", "detect_large"):
            assert len(last["settled"]) == 2


@pytest.mark.parametrize("stage", ["scan", "deduped", "scored", "chosen", "shards", "."])
def test_a_row_of_any_stage_says_what_is_known_there(reference: Reference, every, stage: str):
    key = next(key for key, each in every.items() if each["verdict"]["keep"])
    found = explained(reference.output / stage, key)
    stages = ["scan", "deduped", "scored", "chosen", "shards"]
    place = 4 if stage == "." else stages.index(stage)
    known = [found[name] is not None for name in ("cluster", "text", "verdict", "shard")]
    assert known == [place >= 1, place >= 2, place >= 3, place >= 3]
    assert found["cluster"] is None or found["cluster"] == every[key]["cluster"]
    text = run(reference.output / stage, key).stdout
    assert key in text
    assert found["outcome"] in text


def test_what_shards_left_out_is_found_in_what_they_were_made_from(reference: Reference, every):
    key = next(key for key, each in every.items() if each["verdict"]["reason"] == "not_light")
    found = explained(reference.output / "shards", key)
    assert found["manifest"].endswith("/chosen")
    assert "it is not in" in found["notes"][0]
    assert found["verdict"] == every[key]["verdict"]
    done = run(reference.output / "shards", "nothing")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("no row is") == 1


def test_a_merge_or_a_sample_is_explained_with_its_clusters(reference: Reference, every, tmp_path: Path):
    chosen = reference.output / "chosen"
    copy = next(each for each in every.values() if each["verdict"]["reason"].startswith("duplicate:"))
    keys = [each["key"] for each in copy["cluster"]["members"]]
    for name, kept in (("one", keys), ("rest", [key for key in every if key not in keys])):
        (tmp_path / f"{name}.txt").write_text("\n".join(kept))
        curate_line("select", chosen, "--keys", tmp_path / f"{name}.txt", "-o", tmp_path / name)
    curate_line("merge", tmp_path / "rest", tmp_path / "one", "-o", tmp_path / "merged")
    curate_line("select", tmp_path / "merged", "--key", copy["key"], "-o", tmp_path / "alone")
    for name in ("one", "merged", "alone"):
        found = explained(tmp_path / name, copy["key"])
        assert found["cluster"] == copy["cluster"]
        assert found["verdict"] == copy["verdict"]
        assert found["notes"] == []
    other = next(key for key in every if key not in keys)
    assert "it is not in" in explained(tmp_path / "alone", other)["notes"][0]


def test_boxes_of_a_page_are_drawn(reference: Reference, every, tmp_path: Path):
    rich = [key for key, each in every.items() if each["shard"] and (each["text"]["measured"]["text_boxes"] or 0) > 3]
    for manifest in ("chosen", "shards"):
        done = run(reference.output / manifest, rich[0], "--images", tmp_path / manifest)
        assert done.exit_code == 0, done.output
    drawn = [(tmp_path / name / f"{rich[0]}.text.png").read_bytes() for name in ("chosen", "shards")]
    assert drawn[0] == drawn[1]
    pixels = cv2.imdecode(np.frombuffer(drawn[0], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert (pixels == BOX_COLOUR).all(axis=2).any()


def test_python_returns_the_same(reference: Reference, every):
    key = next(iter(every))
    manifest = curate.open(str(reference.output / "chosen"))
    (found,) = manifest.explain(key)
    assert isinstance(found, curate.Explanation)
    assert json.loads(json.dumps(found.as_json())) == every[key]
    sha256 = every[key]["origin"]["sha256"]
    if sha256:
        assert key in {each.key for each in manifest.explain(sha256)}
    with pytest.raises(curate.InputError, match="no row is"):
        manifest.explain("nowhere")


def test_what_a_target_left_out_says_by_how_much(reference: Reference, tmp_path: Path):
    line = ["choose", str(reference.output / "scored"), "-o", str(tmp_path / "few"), "--set", "choose.keep=all"]
    assert CliRunner().invoke(main, [*line, "--set", "choose.target_count=5"]).exit_code == 0
    rows = rows_of(tmp_path / "few")
    cut = rows.filter(pc.equal(rows.column("drop_reason"), "below_target"))
    kept = rows.filter(rows.column("keep"))
    row = cut.slice(0, 1).to_pylist()[0]
    found = explained(tmp_path / "few", row["key"])
    (measure,) = found["verdict"]["measures"]
    assert measure["bound"] == pc.min(kept.column("text_score")).as_py()
    assert measure["margin"] == round(row["text_score"] - measure["bound"], 6) <= 0
    assert f"{len(cut):,} more met the rules" in found["outcome"]


def test_a_file_that_was_scanned_finds_its_row(reference: Reference, every, tmp_path: Path):
    key, found = next((key, each) for key, each in every.items() if each["origin"]["sha256"])
    with Path(found["origin"]["source"].removeprefix("file://")).open("rb") as tar:
        tar.seek(found["origin"]["offset"])
        data = tar.read(found["origin"]["size"])
    assert hashlib.sha256(data).hexdigest() == found["origin"]["sha256"]
    (tmp_path / "downloaded").write_bytes(data)
    done = run(reference.output / "chosen", tmp_path / "downloaded", "--json")
    assert key in {each["key"] for each in json.loads(done.stdout)}


def test_settings_that_are_gone_are_said_to_be(reference: Reference, every, tmp_path: Path):
    key = next(key for key, each in every.items() if each["verdict"]["keep"])
    shutil.copytree(reference.output / "shards", tmp_path / "alone" / "shards")
    document = tmp_path / "alone" / "shards" / "_manifest.json"
    document.write_text(document.read_text().replace("/out/chosen", "/nowhere/chosen"))
    found = explained(tmp_path / "alone" / "shards", key)
    assert found["verdict"]["keep"]
    assert any("are not recorded here any more" in note for note in found["notes"])
