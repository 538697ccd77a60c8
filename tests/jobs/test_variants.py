"""A pipeline with several choices shares all stages before, and gives what separate pipelines would."""

import json
import shutil
from pathlib import Path

import pytest

import curate as api
from jobs.commands.completing import settings
from manifests.errors import ManifestError
from manifests.format.families import manifests_in, shards_of, youngest_in
from manifests.format.store import is_committed, open_manifest
from tests.conftest import Reference, curate, tar_hashes, write_pipeline

CHOICES = {"any": {"keep": "light", "min_side": 64}, "rich": {"keep": "heavy"}}


@pytest.fixture(scope="module")
def scored(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output in which the stages before choose are done, and a pipeline file with two choices."""
    folder = tmp_path_factory.mktemp("variants")
    for stage in ("scan", "deduped", "scored"):
        shutil.copytree(reference.output / stage, folder / "out" / stage)
    write_pipeline(folder / "p.yaml", [reference.corpus / "*.tar"], folder / "out", choose=CHOICES)
    return folder


@pytest.fixture(scope="module")
def made(scored: Path) -> Path:
    """The same after the run."""
    ahead = json.loads(curate("run", scored / "p.yaml", "--dry-run", "--json").stdout)
    assert [(each["stage"], each["variant"], each["state"]) for each in ahead] == [
        ("scan", "", "up to date"),
        ("dedupe", "", "up to date"),
        ("score", "", "up to date"),
        ("choose", "any", "run"),
        ("shard", "any", "after choose"),
        ("choose", "rich", "run"),
        ("shard", "rich", "after choose"),
    ]
    done = curate("run", scored / "p.yaml")
    assert done.stderr.count("up to date") == 3
    assert not is_committed(str(scored / "out" / "chosen"))
    return scored


@pytest.mark.parametrize("name", CHOICES)
def test_a_variant_is_what_a_pipeline_of_its_own_makes(made: Path, corpus: Path, tmp_path: Path, name: str) -> None:
    alone = tmp_path / "out"
    for stage in ("scan", "deduped", "scored"):
        shutil.copytree(made / "out" / stage, alone / stage)
    curate("run", write_pipeline(tmp_path / "p.yaml", [corpus / "*.tar"], alone, choose=CHOICES[name]))
    for folder in ("chosen", "shards"):
        varied = open_manifest(str(made / "out" / f"{folder}-{name}"))
        assert varied.digest == open_manifest(str(alone / folder)).digest
        assert varied.config == open_manifest(str(alone / folder)).config
    assert tar_hashes(made / "out" / f"shards-{name}") == tar_hashes(alone / "shards")


def test_a_second_run_has_nothing_to_do(made: Path) -> None:
    ahead = json.loads(curate("run", made / "p.yaml", "--dry-run", "--json").stdout)
    assert {each["state"] for each in ahead} == {"up to date"}
    answer = json.loads(curate("run", made / "p.yaml", "--json").stdout)
    assert {name: each["uri"] for name, each in answer.items()} == {
        name: f"file://{made}/out/shards-{name}" for name in CHOICES
    }


def test_python_gets_the_shards_of_each(made: Path) -> None:
    found = api.run_variants(str(made / "p.yaml"))
    assert list(found) == list(CHOICES)
    with pytest.raises(api.InputError, match="has the variants any, rich; run_variants"):
        api.run(str(made / "p.yaml"))


def test_what_belongs_to_a_variant_is_found(made: Path) -> None:
    out = made / "out"
    with pytest.raises(ManifestError, match="several choices, shards-any, shards-rich"):
        youngest_in(str(out))
    for name in CHOICES:
        shards = shards_of(open_manifest(str(out / f"chosen-{name}")))
        assert shards is not None and shards.uri == f"file://{out}/shards-{name}"
    chosen = [name for name in manifests_in(f"file://{out}") if name.startswith("chosen")]
    assert chosen == ["chosen-any", "chosen-rich"]
    assert not [each for each in settings() if each.startswith("choose_variants")]


def test_another_choice_makes_only_what_follows_from_it(made: Path) -> None:
    line = ("run", made / "p.yaml", "--set", "choose.new.keep=all", "--dry-run", "--json")
    states = {(each["stage"], each["variant"]): each["state"] for each in json.loads(curate(*line).stdout)}
    assert states.pop(("choose", "new")) == "run"
    assert states.pop(("shard", "new")) == "after choose"
    assert set(states.values()) == {"up to date"}


def test_choose_takes_one_of_a_files_choices_by_name(made: Path, tmp_path: Path) -> None:
    line = ("choose", made / "out" / "scored", "-c", made / "p.yaml")
    curate(*line, "-o", tmp_path / "any", "--variant", "any")
    assert open_manifest(str(tmp_path / "any")).digest == open_manifest(str(made / "out" / "chosen-any")).digest
    curate(*line, "-o", tmp_path / "other", "--variant", "any", "--min-side", "99")
    assert open_manifest(str(tmp_path / "other")).config["min_side"] == 99
    assert "say which with --variant" in curate(*line, "-o", tmp_path / "x", check=2).stderr
    assert "no variant 'no'" in curate(*line, "-o", tmp_path / "x", "--variant", "no", check=2).stderr
    tried = json.loads(curate(*line, "--variant", "any", "--what-if", "min_side=64,99", "--json").stdout)
    kept = [open_manifest(uri).counts["keep"]["true"] for uri in (str(tmp_path / "any"), str(tmp_path / "other"))]
    assert [each["kept"] for each in tried] == kept
