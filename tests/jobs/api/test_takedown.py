"""Takedowns and purges from Python: values instead of files, and errors that name arguments."""

import logging

import pytest

import curate
from tests.support.shard_manifests import chosen_rows, make_shards, make_source, without


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The rows of a chosen manifest."""
    return chosen_rows(make_source(tmp_path_factory.mktemp("source") / "0.tar", 9))


def test_values_go_and_stay_away(tmp_path, table, caplog):
    chosen = without(tmp_path / "chosen", table, set())
    shards = make_shards(f"file://{tmp_path}/shards", table, each=4)
    key, other = table.column("key").to_pylist()[:2]
    sha256 = table.column("sha256").to_pylist()[5]
    output, page = str(tmp_path / "fewer"), tmp_path / "look.html"
    with caplog.at_level(logging.WARNING):
        fewer = curate.takedown(
            chosen.uri, output, keys=[key, "nowhere"], sha256=[sha256], near_image=[], report=str(page)
        )
    assert len(fewer) == 7
    assert "1 of 2 entries match no row (nowhere)" in caplog.text
    assert page.stat().st_size > 0
    again = curate.takedown(fewer, str(tmp_path / "again"), hashes=[fewer.uri], keys=[other])
    assert len(again) == 6
    patch = tmp_path / "patch.json"
    purged = curate.purge(shards.uri, str(tmp_path / "purged"), against=again, patch=str(patch))
    assert len(purged) == 6
    applied = curate.purge(shards.uri, str(tmp_path / "applied"), apply=str(patch))
    assert applied.digest == purged.digest
    in_place = curate.purge(shards.uri, against=again, in_place=True)
    assert set(in_place.to_arrow(["key"])["key"].to_pylist()) == set(purged.to_arrow(["key"])["key"].to_pylist())
    assert curate.verify(in_place, "deep").is_valid


def test_arguments_that_do_not_fit_are_refused(tmp_path, table):
    chosen = without(tmp_path / "chosen", table, set())
    with pytest.raises(curate.InputError, match="name a list with keys, urls"):
        curate.takedown(chosen.uri, str(tmp_path / "out"))
    with pytest.raises(curate.InputError, match="max_distance: 40"):
        curate.takedown(chosen.uri, str(tmp_path / "out"), keys=["a"], max_distance=40)
    with pytest.raises(curate.InputError, match="output or in_place"):
        curate.purge(chosen.uri, against=chosen.uri)
