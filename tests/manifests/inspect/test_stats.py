"""Statistics are exact for any threads and parts; with many rows they are of a sample, which is reported."""

import dataclasses
import itertools
import json
import math
import uuid
from collections import Counter
from fractions import Fraction

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jobs.cli.main import main
from jobs.show.look import bars, number
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.inspect.stats import QUANTILES, Histogram, StatsRequest, bin_edges, compute_stats
from manifests.sql.engine import DuckEngine
from tests.support.making import commit_rows

pytestmark = pytest.mark.slow  # many manifests

PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.target]  # without shrinking, which takes too long here
numbers = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 0.5, 1e300, -1e308, 5e-324]))
integers = st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1), st.integers(0, 5))
texts = st.one_of(st.none(), st.text(max_size=3), st.sampled_from(["ok", "a'b", 'c"d', "[bold]", "\x1b"]))
row = st.fixed_dictionaries(
    {
        "width": integers,
        "text_score": numbers,
        "caption": texts,
        "keep": st.booleans(),
        "local_points": st.one_of(st.none(), st.binary(max_size=5)),
        "text_class": st.sampled_from([None, "none", "heavy"]),
    }
)
COLUMNS = ("width", "text_score", "caption", "keep", "local_points", "text_class")


def committed(rows, cuts=()):
    """Commit a manifest in memory with these rows, divided into parts at `cuts`."""
    keyed = [{"key": f"k{i:05d}", **each} for i, each in enumerate(rows)]
    edges = [0, *sorted(min(c, len(keyed)) for c in cuts), len(keyed)]
    parts = [keyed[a:b] for a, b in itertools.pairwise(edges)]
    return commit_rows(f"memory://stats/{uuid.uuid4().hex}", parts, Stage.CHOOSE)


def found(manifest, threads=2, **question):
    with DuckEngine(threads=threads) as engine:
        return compute_stats(manifest, StatsRequest(**question), engine)


def by_name(group):
    return {column.name: column for column in group.columns}


def check_numbers(result, values):
    """Compare Numbers with the values, exactly except for the last bits of the mean."""
    finite = sorted(v + 0 for v in values if v is not None and math.isfinite(v))
    assert result.not_finite == sum(v is not None for v in values) - len(finite)
    if not finite:
        assert (result.min, result.max, result.mean, result.quantiles, result.histogram) == (
            None,
            None,
            None,
            {},
            None,
        )
        return
    assert (result.min, result.max) == (finite[0], finite[-1])
    exact = sum(map(Fraction, finite)) / len(finite)
    assert result.mean == pytest.approx(float(exact), rel=1e-14, abs=1e-14 * max(map(abs, finite)))
    wanted = [finite[math.ceil(Fraction(q) * len(finite)) - 1] for q in QUANTILES]
    assert list(result.quantiles.values()) == wanted
    assert sum(result.histogram.rows) == len(finite)


@pytest.mark.slow
@given(st.lists(row, max_size=25))
@settings(max_examples=40, deadline=None, phases=PHASES)
def test_stats_are_those_of_the_rows(rows):
    (group,) = found(committed(rows), columns=COLUMNS, top=3).groups
    assert group.rows == len(rows)
    result = by_name(group)
    for name in COLUMNS:
        assert result[name].nulls == sum(each[name] is None for each in rows)
    check_numbers(result["width"].numbers, [each["width"] for each in rows])
    check_numbers(result["text_score"].numbers, [each["text_score"] for each in rows])
    lengths = [None if each["local_points"] is None else len(each["local_points"]) for each in rows]
    check_numbers(result["local_points"].lengths, lengths)
    for name in ("caption", "keep", "text_class"):
        counted = Counter(each[name] for each in rows if each[name] is not None)
        values = result[name].values
        assert (values.distinct, values.is_exact) == (len(counted), True)
        order = sorted(counted.items(), key=lambda e: (-e[1], e[0].encode() if isinstance(e[0], str) else e[0]))
        assert [(t.value, t.rows, t.share) for t in values.top] == [(v, n, n / len(rows)) for v, n in order[:3]]


@pytest.mark.slow
@given(st.lists(row, min_size=1, max_size=40), st.lists(st.integers(0, 40), max_size=4), st.booleans())
@settings(max_examples=20, deadline=None, phases=PHASES)
def test_neither_threads_nor_parts_matter(rows, cuts, is_sampled):
    few = {"max_exact_rows": 5, "sampled_rows": 10, "max_exact_values": 2} if is_sampled else {}
    question = {"columns": COLUMNS, "by": ("keep",), **few}
    whole = dataclasses.asdict(found(committed(rows), threads=1, **question))
    cut = dataclasses.asdict(found(committed(rows, cuts), threads=4, **question))
    del whole["uri"], cut["uri"]
    assert json.dumps(whole) == json.dumps(cut)


@pytest.mark.slow
@given(st.lists(row, min_size=1, max_size=30))
@settings(max_examples=20, deadline=None, phases=PHASES)
def test_a_group_has_the_stats_of_its_rows_alone(rows):
    manifest = committed(rows)
    grouped = found(manifest, columns=COLUMNS, by=("text_class", "keep"))
    assert sum(group.rows for group in grouped.groups) == len(rows)
    assert [g.rows for g in grouped.groups] == sorted((g.rows for g in grouped.groups), reverse=True)
    for group in grouped.groups[:3]:
        name, kept = group.group["text_class"], group.group["keep"]
        where = f"text_class IS NOT DISTINCT FROM {'NULL' if name is None else repr(name)} AND keep = {kept}"
        (alone,) = found(manifest, columns=COLUMNS, where=where).groups
        for mine, other in zip(group.columns, alone.columns, strict=True):
            assert _without_bars(mine) == _without_bars(other)


def _without_bars(column):
    """Groups share the bins of their histograms, so that they can be compared; alone a group has its own."""
    result = dataclasses.asdict(column)
    for kind in ("numbers", "lengths"):
        if result[kind] is not None:
            del result[kind]["histogram"]
    return result


def test_many_rows_are_sampled_and_that_is_reported():
    rows = [{"width": n, "caption": f"c{n}", "text_class": "none" if n % 4 else "heavy"} for n in range(2000)]
    manifest = committed(rows, [700])
    few = {"max_exact_rows": 1000, "sampled_rows": 500, "max_exact_values": 100}
    result = found(manifest, columns=("width", "caption", "text_class"), **few)
    assert 400 < result.sampled_rows < 600
    columns = by_name(result.groups[0])
    width = columns["width"].numbers
    assert (width.min, width.max, width.mean) == (0, 1999, 999.5), "these are of all rows"
    assert 800 < width.quantiles["p50"] < 1200
    assert sum(width.histogram.rows) == result.sampled_rows
    caption, kind = columns["caption"].values, columns["text_class"].values
    assert not caption.is_exact
    assert 1800 < caption.distinct < 2200
    assert caption.top == [], "nothing comes twice"
    assert kind.is_exact, "few values are always counted"
    assert [(t.value, t.rows) for t in kind.top] == [("none", 1500), ("heavy", 500)]
    smaller = found(manifest, columns=("width",), **{**few, "sampled_rows": 100})
    assert smaller.sampled_rows < 200


def test_groups_are_bounded():
    result = found(committed([{"width": n // 2} for n in range(130)]), columns=("width",), by=("width",))
    assert len(result.groups) == 50
    assert result.rows_left_out == 130 - 100


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ({"columns": ("widht",)}, "did you mean width?"),
        ({"columns": ("zzzzzz",)}, "curate show"),
        ({"by": ("pdq",)}, "cannot be grouped by bytes"),
        ({"by": ("klass",)}, "no column 'klass'"),
        ({"where": "widht > 3"}, "widht"),
        ({"where": "width"}, "not a truth value"),
        ({"where": "random() > 0.5"}, "another answer each time"),
        ({"where": "caption::INTEGER > 1"}, "TRY_CAST"),
    ],
)
def test_wrong_requests_are_refused(question, named):
    manifest = committed([{"caption": "no number"}])
    with pytest.raises(InputError, match=named.replace("?", r"\?").replace("(", r"\(")):
        found(manifest, **question)


def test_no_rows():
    manifest = committed([])
    (group,) = found(manifest).groups
    assert group.rows == 0
    assert len(group.columns) == len(manifest.schema.names)
    assert all(column.nulls == 0 for column in group.columns)
    assert found(manifest, by=("status",)).groups == []


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_bins_cover_their_numbers(a, b):
    low, high, bins = bin_edges(min(a, b), max(a, b), is_float=True)
    assert low <= a <= high
    assert bins >= 1


def test_integers_have_a_bin_each_where_they_are_few():
    (group,) = found(committed([{"width": n} for n in (3, 3, 5, 6, None)]), columns=("width",)).groups
    assert group.columns[0].numbers.histogram == Histogram(low=2.5, high=6.5, rows=[2, 0, 1, 1])


def test_bars_show_every_bin_that_has_rows():
    assert bars(Histogram(low=0, high=4, rows=[0, 1, 500, 1000])) == " ▁▄█"
    assert number(0.000525) == "5.2e-04"
    assert number(-1_234_567) == "-1.23M"
    assert number(99_999) == "99,999"
    assert number(999_999) == "1.00M"
    assert number(3e30) == "3.00e+30"


def test_the_command(tmp_path):
    rows = [{"key": f"k{n}", "width": n, "caption": "[red]\x1b[31m", "text_class": "none"} for n in range(30)]
    commit_rows(tmp_path / "m", [rows], Stage.CHOOSE)

    def run(*arguments):
        return CliRunner().invoke(main, ["stats", str(tmp_path / "m"), *arguments])

    done = run("--columns", "width,caption,pdq", "--by", "text_class")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert "[red]·[31m 100.0%" in done.stdout
    result = json.loads(run("--json", "--columns", "width", "--where", "width >= 10").stdout)
    assert result["rows"] == 20
    assert result["groups"][0]["columns"][0]["numbers"]["min"] == 10
    assert json.loads(run("--json").stdout)["groups"][0]["rows"] == 30
    assert "key" in run().stdout
    done = run("--where", "nonsense >")
    assert done.exit_code == 2
    assert "Traceback" not in done.output
