"""What was found is told in words; a key leads to its cluster, whichever stage's manifest is asked."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import ImageOps

from curation.copies.explain import in_words, why_it_represents
from examples.corpus.photographs import city, still_life
from jobs.cli.main import main
from tests.jobs.dedupe.test_references import Runner, by_member, crop_of, painted, write_tar

FOUND = {
    "kind": "mild",
    "distance": 12,
    "verified": True,
    "is_mirrored": False,
    "matrix": [1, 0, 0, 0, 1, 0],
    "turn_degrees": 0.0,
    "share_first": 1.0,
    "share_second": 1.0,
    "inliers": None,
    "patches": 500,
    "texture": 0.9,
    "differing": 0.03,
    "region_share": 0.2,
    "region_area": 0.5,
    "sameness": 0.97,
    "colour": 3.0,
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "the whole picture, 3 % of the patches differ, PDQ 12 bits apart"),
        ({"differing": 0.004, "distance": None}, "the whole picture, less than 1 % of the patches differ"),
        (
            {"is_mirrored": True, "share_second": 0.9 - 0.001, "distance": 112},
            "mirrored, 90 % of it, 3 % of the patches differ, PDQ 112 bits apart",
        ),
        ({"is_mirrored": True, "turn_degrees": 179.0, "distance": None, "differing": 0.0},
         "mirrored top to bottom, 0 % of the patches differ"),
        ({"turn_degrees": -90.0}, "turned by 90°, 3 % of the patches differ, PDQ 12 bits apart"),
        ({"kind": "overlay", "region_area": 0.15}, "the whole picture, something over 15 % of it, PDQ 12 bits apart"),
    ],
)  # fmt: skip
def test_evidence_in_words(change, words):
    assert in_words(json.dumps({**FOUND, **change})) == words


def test_other_evidence_in_words():
    assert in_words(None) == ""
    assert in_words('{"kind": "exact", "same": "bytes"}') == "the same bytes"
    assert in_words('{"kind": "semantic", "cosine": 0.8312}') == "embeddings alike, cosine 0.8312"
    assert in_words('{"kind": "mild", "distance": 7, "verified": false}') == "PDQ 7 bits apart, pixels not compared"


def test_why_one_represents():
    best = {"key": "b", "status": "ok", "width": 20, "height": 10, "size": 90}
    assert why_it_represents(best, []) == "it is alone"
    assert "whole" in why_it_represents(best, [{**best, "status": "truncated", "width": 400}])
    assert "pixels" in why_it_represents(best, [{**best, "width": 10}, {**best, "status": "truncated"}])
    assert "bytes" in why_it_represents(best, [{**best, "size": 80, "key": "a"}])
    assert "key" in why_it_represents(best, [{**best, "key": "c"}])


def explained(*arguments) -> dict:
    done = CliRunner().invoke(main, ["explain", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def place(spark, tmp_path_factory) -> Path:
    """A deduplicated crawl, checked against an evaluation set; `scan` and `deduped` below it."""
    run, folder = Runner(spark), tmp_path_factory.mktemp("explained")
    own, evaluated = painted(city, 1), painted(still_life, 2)
    write_tar(folder / "e.tar", {"still.png": evaluated})
    planted = {"city.png": own, "city.jpg": own, "mirror.jpg": ImageOps.mirror(own), "crop.jpg": crop_of(evaluated)}
    write_tar(folder / "0.tar", planted)
    run.scan(folder / "evaluation" / "scan", folder / "e.tar")
    run.scan(folder / "scan", folder / "0.tar")
    run.dedupe(folder / "scan", folder / "deduped", references={"evaluation": str(folder / "evaluation" / "scan")})
    return folder


def test_a_key_leads_to_its_cluster(place: Path):
    rows = by_member(place / "deduped")
    found = explained(place / "deduped", rows["mirror.jpg"]["key"])
    assert found["row"]["member"] == "mirror.jpg"
    assert found["representative"]["member"] == "city.png"
    assert "bytes" in found["why"]
    assert found["count"] == 3
    assert found["members"][0]["member"] == "city.png"
    assert {m["member"]: m["found"].split(",")[0] for m in found["members"]} == {
        "city.png": "",
        "city.jpg": "the whole picture",
        "mirror.jpg": "mirrored",
    }
    few = explained(place / "deduped", rows["city.png"]["key"], "--limit", "1")
    assert (few["count"], len(few["members"])) == (3, 1)


def test_a_copy_of_an_evaluation_picture_leads_there(place: Path):
    found = explained(place / "deduped", by_member(place / "deduped")["crop.jpg"]["key"])
    assert found["representative"]["member"] == "still.png"
    assert found["representative"]["manifest"].endswith("evaluation/scan")
    assert "reference set evaluation" in found["why"]
    text = CliRunner().invoke(main, ["explain", str(place / "deduped"), found["row"]["key"]]).stdout
    assert "still.png" in text
    assert "(reference): " in text


def test_advice(place: Path):
    def refused(*arguments) -> str:
        done = CliRunner().invoke(main, ["explain", *map(str, arguments)])
        assert done.exit_code == 2
        return done.stderr

    keys = [row["key"] for row in by_member(place / "deduped").values()]
    assert "no key is or starts with 'nothing'" in refused(place / "deduped", "nothing")
    assert "KEY is empty" in refused(place / "deduped", "")
    assert "curate dedupe" in refused(place / "scan", keys[0])
    shared = next((n for n in range(len(keys[0]), 0, -1) if sum(k.startswith(keys[0][:n]) for k in keys) > 1), 0)
    if shared:
        assert "is the start of several keys" in refused(place / "deduped", keys[0][:shared])
    assert explained(place / "deduped", keys[0][: max(shared + 1, 1)])["row"]["key"] == keys[0]
