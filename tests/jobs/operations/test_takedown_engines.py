"""Takedowns and purges are the same on DuckDB and on Spark, and what runs in workers goes there by pickle."""

import pytest

from curation.takedown.requested import Lists
from jobs.operations.purge import Purge, apply_patch, find_gone, make_patch
from jobs.operations.rewrite import rewrite
from jobs.operations.takedown import find, request_of
from jobs.units.progress import Reporter
from manifests.exchange.key_lists import keys_of
from manifests.format.schema import Stage
from tests.jobs.operations.test_operations_agree import engines, in_parts
from tests.support.making import commit_rows
from tests.support.shard_manifests import chosen_rows, make_shards, make_source

__all__ = ["engines"]
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The rows of a chosen manifest: eleven pictures, the first of which is a copy of the second."""
    table = chosen_rows(make_source(tmp_path_factory.mktemp("source") / "0.tar", 11))
    first, second, *others = table.to_pylist()
    first |= {"cluster_id": second["key"], "duplicate_of": second["key"], "duplicate_kind": "mild"}
    return [first, second, *others]


def test_both_engines_take_down_and_purge_the_same(engines, table, tmp_path):
    chosen = commit_rows(tmp_path / "chosen", in_parts(table, 4, 4, 8), Stage.CHOOSE)
    shards = make_shards(f"file://{tmp_path}/shards", chosen_rows(table[0]["source"]), each=4)
    asked = Lists(keys=[keys_of([table[0]["key"]])], sha256=[keys_of([table[9]["sha256"]])]).read()
    found, manifests, purged = [], [], []
    for engine in engines:
        here = find(engine, chosen, asked, 31)
        request = request_of(chosen, here, 31, f"file://{tmp_path}/{engine.name}", {})
        fewer = rewrite(request, lambda engine=engine: engine, QUIET)
        patch = make_patch(engine, shards, find_gone(engine, shards, fewer), fewer.taken_down, renaming=False)
        output = f"file://{tmp_path}/{engine.name}-shards"
        work = Purge(shards=shards, patch=patch, output=output, options={}, against=fewer)
        purged.append(apply_patch(work, lambda engine=engine: engine, QUIET))
        found.append(here)
        manifests.append(fewer)
    assert found[0] == found[1]
    assert found[0].counts == {"requested": 2, "cluster": 1, "fingerprint": 0}
    for first, second in (manifests, purged):
        assert first.digest == second.digest
        assert [(p.name, p.sha256, p.files) for p in first.parts] == [
            (p.name, p.sha256, p.files) for p in second.parts
        ]
        assert first.taken_down == second.taken_down
        assert first.counts == second.counts
    assert purged[0].rows == 8
