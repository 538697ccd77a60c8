"""A key leads to its cluster and its evidence, in the manifest of any stage from dedupe on."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import ImageOps

from examples.corpus.photographs import city, still_life
from jobs.cli.main import main
from tests.jobs.dedupe.test_references import Runner, by_member, crop_of, painted, write_tar


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
