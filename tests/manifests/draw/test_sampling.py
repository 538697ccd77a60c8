"""Samples: the same every time, the smaller in the larger, and exactly as many rows as requested."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.cli.main import main
from manifests.draw import sampling
from manifests.draw.apportion import equal, proportional
from manifests.draw.sampling import Draw, fraction_condition, local_condition, pick_sample
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest
from manifests.sql.engine import DuckEngine
from tests.conftest import rows_of
from tests.support.making import commit_rows

pytestmark = pytest.mark.slow  # hundreds of samples

SETTINGS = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STRATA = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(1, 60), min_size=1, max_size=8)


def some_rows(count: int, first: int = 0) -> list[dict]:
    """Return rows of a chosen manifest with values computed from their numbers."""
    return [
        {
            "key": f"k{n}",
            "source": f"file:///data/{n // 10}.tar",
            "member": f"{n}.jpg",
            "size": 1000 + n,
            "format": ("JPEG", "PNG", "WEBP")[n * n % 3],
            "width": 100 + n * 37 % 500,
            "cluster_id": f"k{n - n % 4}",
            "text_score": None if n % 11 == 0 else n * 7919 % 101 / 100,
            "text_class": ("none", "light", "heavy")[n % 3],
            "keep": n % 3 == 2,
        }
        for n in range(first, first + count)
    ]


def drawn(manifest: Manifest, draw: Draw) -> set[str]:
    """Return the keys that a draw takes."""
    draw.check(manifest)
    keys = [manifest.read_part(part, ["key"]).column("key").to_pylist() for part in manifest.parts]
    with DuckEngine(threads=2) as engine:
        if draw.is_local:
            engine.view("taken", manifest, {}, where=local_condition(draw))
            picked = engine.fetch("SELECT part, row FROM taken")
        else:
            pick_sample(engine, manifest, draw)
            picked = engine.fetch("SELECT part, row FROM picks")
    places = list(zip(picked.column("part").to_pylist(), picked.column("row").to_pylist(), strict=True))
    assert len(set(places)) == len(places), "no row twice"
    return {keys[part][row] for part, row in places}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    rows = some_rows(400)
    return commit_rows(tmp_path_factory.mktemp("m") / "m", [rows[:150], [], rows[150:]], Stage.CHOOSE)


DRAWS = {
    "fraction": lambda n: {"fraction": n / 400},
    "count": lambda n: {"count": n},
    "top": lambda n: {"top": n, "by": "text_score"},
    "weight": lambda n: {"count": n, "weight": "text_score"},
    "proportional": lambda n: {"count": n, "stratify_by": ("format", "text_class")},
    "equal": lambda n: {"count": n, "stratify_by": ("format",), "shares": "equal"},
    "per cluster": lambda n: {"count": n, "per_cluster": 2},
    "where": lambda n: {"fraction": n / 400, "where": "width > 200"},
    "all of it": lambda n: {
        "top": n,
        "by": "-size",
        "stratify_by": ("text_class",),
        "per_cluster": 3,
        "where": "keep",
    },
}
NAMES = sorted(DRAWS)
COUNTER = iter(range(10**9))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@SETTINGS
@given(sizes=st.tuples(st.integers(0, 400), st.integers(0, 400)), salt=st.text(max_size=8))
def test_a_smaller_sample_is_contained_in_a_larger_one(manifest: Manifest, name: str, sizes, salt: str) -> None:
    small, large = (drawn(manifest, Draw(**DRAWS[name](n), salt=salt)) for n in sorted(sizes))
    assert small <= large


@pytest.mark.parametrize("name", NAMES)
def test_order_and_parts_do_not_matter(tmp_path: Path, manifest: Manifest, name: str) -> None:
    rows = some_rows(400)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(400)]
    other = commit_rows(tmp_path / "m", [shuffled[:1], shuffled[1:333], shuffled[333:]], Stage.CHOOSE)
    for n in (3, 120):
        assert drawn(other, Draw(**DRAWS[name](n))) == drawn(manifest, Draw(**DRAWS[name](n)))


def test_new_rows_do_not_change_whether_others_are_in_a_fraction(tmp_path: Path, manifest: Manifest) -> None:
    more = commit_rows(tmp_path / "m", [some_rows(100, 400), some_rows(400)], Stage.CHOOSE)
    old = {f"k{n}" for n in range(400)}
    for draw in (Draw(fraction=0.3), Draw(fraction=0.3, where="width > 200")):
        assert drawn(more, draw) & old == drawn(manifest, draw)


@pytest.mark.parametrize("name", ["count", "top", "weight", "per cluster"])
def test_new_rows_add_no_others_to_a_count(tmp_path: Path, manifest: Manifest, name: str) -> None:
    more = commit_rows(tmp_path / "m", [some_rows(100, 400), some_rows(400)], Stage.CHOOSE)
    old = {f"k{n}" for n in range(400)}
    assert drawn(more, Draw(**DRAWS[name](90))) & old <= drawn(manifest, Draw(**DRAWS[name](90)))


@pytest.mark.parametrize(("name", "eligible"), [("count", 400), ("weight", 363), ("top", 363), ("per cluster", 200)])
def test_counts_are_exact(manifest: Manifest, name: str, eligible: int) -> None:
    for n in (0, 1, 77, 399, 400, 1000):
        found = len(drawn(manifest, Draw(**DRAWS[name](n))))
        # A weight of 0 is never drawn.
        assert found == min(n, eligible) or (name == "weight" and eligible - 5 < found <= min(n, eligible))


@pytest.mark.slow
def test_many_passes_find_the_same_rows(manifest: Manifest, monkeypatch) -> None:
    before = {name: drawn(manifest, Draw(**DRAWS[name](101))) for name in NAMES}
    monkeypatch.setattr(sampling, "MAX_RANKED", 0)  # every digit is used
    assert {name: drawn(manifest, Draw(**DRAWS[name](101))) for name in NAMES} == before


class CountingDuck(DuckEngine):
    """DuckDB, which remembers the largest table that was fetched."""

    fetched_rows = 0

    def fetch(self, sql: str) -> pa.Table:
        """See Engine."""
        table = super().fetch(sql)
        self.fetched_rows = max(self.fetched_rows, len(table))
        return table


def md5_of(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_no_more_than_a_row_for_each_stratum_is_fetched(tmp_path: Path, monkeypatch) -> None:
    """With thousands of strata, whose histograms together would be as large as the manifest."""
    strata, each = 3_000, 4
    members = {f"k{n}": f"{n % strata}.jpg" for n in range(strata * each)}
    rows = [{"key": key, "member": member} for key, member in members.items()]
    many = commit_rows(tmp_path / "m", [rows[:5_000], rows[5_000:]], Stage.CHOOSE)
    first: dict[str, str] = {}
    for key in sorted(members, key=lambda key: md5_of(f"curate:{key}"), reverse=True):
        first[members[key]] = key
    for max_ranked in (sampling.MAX_RANKED, 0):
        monkeypatch.setattr(sampling, "MAX_RANKED", max_ranked)
        with CountingDuck(threads=2) as engine:
            pick_sample(engine, many, Draw(count=strata, stratify_by=("member",), shares="equal"))
            assert engine.fetched_rows == strata
            picks = engine.fetch("SELECT part, row FROM picks").to_pylist()
        assert {rows[5_000 * pick["part"] + pick["row"]]["key"] for pick in picks} == set(first.values())
    monkeypatch.setattr(sampling, "MAX_STRATA", 50)
    with CountingDuck(threads=2) as engine:
        with pytest.raises(InputError, match="3,000 strata, at most 50"):
            pick_sample(engine, many, Draw(count=3, stratify_by=("member",)))
        assert engine.fetched_rows == 51


def test_the_top_has_the_largest_values(manifest: Manifest) -> None:
    rows = rows_of(manifest).to_pylist()
    for by in ("text_score", "-size", "width - 300"):
        value = {"text_score": lambda r: r["text_score"], "-size": lambda r: -r["size"]}.get(
            by, lambda r: r["width"] - 300
        )
        taken = drawn(manifest, Draw(top=60, by=by))
        inside = [value(r) for r in rows if r["key"] in taken]
        outside = [value(r) for r in rows if r["key"] not in taken and value(r) is not None]
        assert min(inside) >= max(outside)


def test_heavier_rows_are_drawn_more_often(tmp_path: Path) -> None:
    rows = [{"key": f"k{n}", "text_score": 0.9 if n % 2 else 0.1} for n in range(2000)]
    manifest = commit_rows(tmp_path / "m", [rows], Stage.CHOOSE)
    taken = drawn(manifest, Draw(count=200, weight="text_score"))
    heavy = sum(int(key[1:]) % 2 for key in taken)
    assert 165 <= heavy <= 192  # 180 are expected, give or take 4


def test_a_fraction_takes_about_that_share(tmp_path: Path) -> None:
    manifest = commit_rows(tmp_path / "m", [[{"key": f"k{n}"} for n in range(20_000)]], Stage.SCAN)
    assert 4_800 <= len(drawn(manifest, Draw(fraction=0.25))) <= 5_200


def test_strata_get_their_shares(manifest: Manifest) -> None:
    rows = {r["key"]: r for r in rows_of(manifest).to_pylist()}
    sizes = Counter(r["format"] for r in rows.values())
    even = Counter(
        rows[k]["format"] for k in drawn(manifest, Draw(count=90, stratify_by=("format",), shares="equal"))
    )
    assert set(even.values()) == {90 // len(sizes)}
    fair = Counter(rows[k]["format"] for k in drawn(manifest, Draw(count=90, stratify_by=("format",))))
    assert all(abs(fair[f] - 90 * n / 400) < 1 for f, n in sizes.items())


def test_no_cluster_gives_more_than_requested(manifest: Manifest) -> None:
    rows = {r["key"]: r for r in rows_of(manifest).to_pylist()}
    taken = Counter(rows[k]["cluster_id"] for k in drawn(manifest, Draw(per_cluster=1)))
    assert set(taken.values()) == {1}
    assert len(taken) == len({r["cluster_id"] for r in rows.values()})


# --- apportionment


@SETTINGS
@given(rows=STRATA, counts=st.tuples(st.integers(0, 500), st.integers(0, 500)))
def test_seats_add_up_and_only_grow(rows, counts) -> None:
    total = sum(rows.values())
    small, large = sorted(min(n, total) for n in counts)
    for share in (proportional, equal):
        few, many = share(rows, small), share(rows, large)
        assert (sum(few.values()), sum(many.values())) == (small, large)
        assert all(0 <= few[s] <= many[s] <= rows[s] for s in rows)


@SETTINGS
@given(rows=STRATA, data=st.data())
def test_proportional_is_websters_method(rows, data) -> None:
    count = data.draw(st.integers(0, sum(rows.values())))
    seats = dict.fromkeys(rows, 0)
    for _ in range(count):
        free = [s for s in rows if seats[s] < rows[s]]
        seats[max(sorted(free, reverse=False), key=lambda s: rows[s] / (2 * seats[s] + 1))] += 1
    found = proportional(rows, count)
    # Equal quotients may go either way; the quotients that are used are the same.
    used = lambda given: sorted(rows[s] / (2 * i + 1) for s in rows for i in range(given[s]))  # noqa: E731
    assert used(found) == pytest.approx(used(seats))


# --- the command


def run(*args: object):
    return CliRunner().invoke(main, [str(a) for a in args])


def test_a_sample_is_a_manifest_and_a_second_run_leaves_it(tmp_path: Path, manifest: Manifest) -> None:
    done = run("sample", manifest.uri, "-o", tmp_path / "s", "--count", 50, "--json")
    assert done.exit_code == 0, done.output
    made = open_manifest(str(tmp_path / "s"))
    assert (made.rows, made.stage, made.made_by) == (50, Stage.CHOOSE, "sample")
    assert made.parents[0].digest == manifest.digest
    assert made.counts["keep"]["true"] == sum(rows_of(made).column("keep").to_pylist())
    assert rows_of(made).column("key").to_pylist() == sorted(drawn(manifest, Draw(count=50, among="kept")))
    again = run("sample", manifest.uri, "-o", tmp_path / "s", "--count", 50)
    assert "up to date" in again.output
    other = run("sample", manifest.uri, "-o", tmp_path / "s", "--count", 51)
    assert other.exit_code == 2
    assert "derivation.count: 50 → 51" in other.output
    assert run("sample", manifest.uri, "-o", tmp_path / "s", "--count", 51, "--restart").exit_code == 0
    assert open_manifest(str(tmp_path / "s")).rows == 51


def test_sample_then_diff_shows_only_removals(tmp_path: Path, manifest: Manifest) -> None:
    run("sample", manifest.uri, "-o", tmp_path / "s", "--fraction", 0.4)
    done = run("diff", manifest.uri, tmp_path / "s", "--stat", "--quiet")
    kept = open_manifest(str(tmp_path / "s")).rows
    assert f"0 added, {400 - kept} removed, 0 changed, 0 moved, {kept} the same; proven" in done.output
    assert "not drawn" in done.output


def test_an_interrupted_sample_resumes_to_the_same_bytes(tmp_path: Path, manifest: Manifest, monkeypatch) -> None:
    from jobs.operations import derive
    from jobs.units.accepted import read_run

    monkeypatch.setattr(derive, "ROWS_PER_PART", 1)  # a unit for each part
    run("sample", manifest.uri, "-o", tmp_path / "whole", "--fraction", 0.5)
    write = derive.PieceWriter.write

    def stop(self, attempt, rows):
        if attempt.unit.name == "part-00001":
            raise KeyboardInterrupt
        return write(self, attempt, rows)

    with monkeypatch.context() as patched:
        patched.setattr(derive.PieceWriter, "write", stop)
        assert run("sample", manifest.uri, "-o", tmp_path / "cut", "--fraction", 0.5).exit_code == 130
    (run_folder,) = (tmp_path / "cut").glob("_work/runs/*")
    assert "part-00000" in read_run(f"file://{run_folder}")
    done = run("sample", manifest.uri, "-o", tmp_path / "cut", "--fraction", 0.5)
    assert "resuming: 1 of 2 units are done" in done.output
    parts = [[(p.name, p.sha256) for p in open_manifest(str(tmp_path / n)).parts] for n in ("whole", "cut")]
    assert parts[0] == parts[1]


def test_a_dry_run_writes_nothing(tmp_path: Path, manifest: Manifest) -> None:
    done = run("sample", manifest.uri, "-o", tmp_path / "s", "--top", 30, "--by", "text_score", "--dry-run", "--json")
    assert '"rows": 30' in done.stdout
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the number of rows is missing"),
        (["--count", "3", "--fraction", "0.1"], "give one of them"),
        (["--fraction", "1.3"], "--fraction 1.3: must be a share of the rows, from 0 to 1"),
        (["--top", "3"], "--by"),
        (["--by", "width"], "the number of rows is missing"),
        (["--count", "3", "--shares", "equal"], "--stratify-by"),
        (["--weight", "width"], "the number of rows is missing"),
        (["--count", "3", "--stratify-by", "colour"], "colour: no column"),
        (["--count", "3", "--where", "widht > 3"], "widht"),
        (["--count", "3", "--where", "random() < 0.5"], "another answer each time"),
        (["--count", "3", "--where", "width"], "not a truth value"),
        (["--top", "3", "--by", "caption || 'x'"], "--by"),
        (["--count", "3", "--memory", "much"], "write a size"),
    ],
)
def test_contradicting_options_are_refused(tmp_path: Path, manifest: Manifest, options, message: str) -> None:
    done = run("sample", manifest.uri, "-o", tmp_path / "s", *options)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "s").exists()


def test_per_cluster_needs_clusters(tmp_path: Path) -> None:
    scan = commit_rows(tmp_path / "m", [[{"key": "a"}]], Stage.SCAN)
    with pytest.raises(InputError, match="cluster_id: no column"):
        Draw(per_cluster=1).check(scan)


def test_thresholds_are_exact() -> None:
    assert fraction_condition(1.0, "s") == "true"
    assert fraction_condition(0.5, "s").endswith(f"'8{'0' * 31}'")
    assert "''" in fraction_condition(0.5, "it's")


@settings(SETTINGS, max_examples=6)
@given(name=st.sampled_from(NAMES), n=st.integers(0, 400))
def test_any_sample_then_diff_shows_only_removals(tmp_path: Path, manifest: Manifest, name: str, n: int) -> None:
    from manifests.compare.diff import Comparison, DiffOptions, diff

    draw = Draw(**DRAWS[name](n))
    kept = drawn(manifest, draw)
    small = commit_rows(
        tmp_path / f"m{next(COUNTER)}", [[r for r in some_rows(400) if r["key"] in kept]], Stage.CHOOSE
    )
    with DuckEngine(threads=2) as engine:
        found = diff(lambda: engine, manifest, small, Comparison(), DiffOptions())
    assert set(found.tally.reasons) <= {"removed"}
    assert found.tally.rows == 400 - len(kept)
    assert found.is_proven
