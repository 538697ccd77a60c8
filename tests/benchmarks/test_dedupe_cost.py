"""The figures of benchmarks.dedupe_cost, on a few pictures."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.dedupe_cost import main

pytestmark = pytest.mark.slow


def test_every_figure_is_measured(tmp_path):
    done = CliRunner().invoke(main, ["--pictures", "40", "--cache", str(tmp_path), "--cores", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)["corpora"]["variants"]
    assert (found["images"], found["pictures"], found["clusters_of_others"]) == (40, 40, 0)
    assert found["recall"] >= 0.5
    for name in ("scan_milliseconds_an_image", "dedupe_in_all_milliseconds_an_image", "peak_memory_megabytes"):
        assert found[name] > 0
    assert len(list(tmp_path.rglob("*.tar"))) == 1
