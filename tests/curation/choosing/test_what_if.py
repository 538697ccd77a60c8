"""Counting what settings would keep gives what choosing with them counts, for any rows and settings."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.choosing.conditions import Rules
from curation.choosing.rules import DROP_TARGET, apply_rules
from curation.choosing.what_if import Choice, Outcome, count_outcomes
from curation.text.bounds import TextRules
from filters.text_kind import TextKind
from manifests.errors import InputError
from manifests.format.schema import Stage, Status, schema
from manifests.sql.engine import DuckEngine
from tests.support.making import commit_rows

scores = st.none() | st.sampled_from([0.0, 0.3, 0.30000000000000004, 0.551, 1.0]) | st.floats(0, 1)
row = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ok", "truncated", "empty"]),
        "duplicate_of": st.sampled_from([None, None, None, "a"]),
        "duplicate_kind": st.sampled_from([None, "exact", "mild"]),
        "text_score": scores,
        "text_lines": st.sampled_from([None, 0, 1, 7]),
        "text_kind": st.sampled_from([None, "document", "chart", "none"]),
        "width": st.sampled_from([None, 10, 300, 900]),
        "height": st.sampled_from([None, 10, 300, 900]),
        "caption": st.sampled_from([None, "", "7"]),
    }
)
bound = st.sampled_from([0.0, 0.3, 0.551, 1.0]) | st.floats(0, 1)
wheres = st.sampled_from(
    [
        (),
        (("captioned", "caption <> ''"),),
        (("unsure", "text_score BETWEEN 0.2 AND 0.8"), ("alone", "duplicate_of IS NULL AND text_lines IS NULL")),
    ]
)


@st.composite
def choices(draw):
    light, heavy = sorted([draw(bound), draw(bound)])
    rules = Rules(
        least_class=draw(st.sampled_from(["heavy", "light", "all"])),
        kinds=draw(st.sampled_from([None, (TextKind.DOCUMENT, TextKind.CHART)])),
        max_text_score=draw(st.none() | bound),
        text=TextRules(min_light_score=light, min_heavy_score=heavy),
        statuses=draw(st.sampled_from([(Status.OK,), (Status.OK, Status.TRUNCATED)])),
        min_side_pixels=draw(st.sampled_from([0, 300])),
        max_aspect=draw(st.sampled_from([None, 2.5])),
        where=draw(wheres),
    )
    return Choice(rules=rules, wanted=draw(st.none() | st.integers(0, 12)))


def counted_by_rows(rows, choice):
    """The oracle: the rules on every row, then the target."""
    table = pa.Table.from_pylist(
        [{"key": str(n), "source": "s", "member": "m", "cluster_id": "c", **each} for n, each in enumerate(rows)],
        schema(Stage.SCORE),
    )
    found = Counter(apply_rules(table, choice.rules)[1].to_pylist())
    passing = found.pop(None, 0)
    kept = passing if choice.wanted is None else min(passing, choice.wanted)
    found.update({DROP_TARGET: passing - kept} if passing > kept else {})
    return Outcome(kept=kept, reasons=dict(found))


@settings(max_examples=40)
@given(rows=st.lists(row, max_size=25), tried=st.lists(choices(), min_size=1, max_size=4), cut=st.integers(0, 25))
def test_counts_are_those_of_the_rules_on_every_row(tmp_path_factory, rows, tried, cut):
    keyed = [{"key": str(n), **each} for n, each in enumerate(rows)]
    scored = commit_rows(tmp_path_factory.mktemp("scored"), [keyed[:cut], keyed[cut:]], Stage.SCORE)
    with DuckEngine() as engine:
        assert count_outcomes(scored, tried, engine) == [counted_by_rows(rows, each) for each in tried]


def test_a_thousand_thresholds_are_exact_at_their_bounds(tmp_path):
    bounds = [n / 1000 for n in range(1001)]
    rows = [{"key": str(n), "text_score": score, "text_lines": 1} for n, score in enumerate(bounds)]
    scored = commit_rows(tmp_path / "scored", [rows], Stage.SCORE)
    tried = [Choice(rules=Rules(text=TextRules(min_light_score=0, min_heavy_score=bound))) for bound in bounds]
    with DuckEngine() as engine:
        kept = [each.kept for each in count_outcomes(scored, tried, engine)]
    assert kept == list(range(1001, 0, -1))


def test_a_rule_that_fails_on_a_row_is_refused_with_what_to_do(tmp_path):
    scored = commit_rows(tmp_path / "scored", [[{"key": "a", "caption": "x"}]], Stage.SCORE)
    with DuckEngine() as engine, pytest.raises(InputError, match=r"fails on a row.*TRY_CAST"):
        count_outcomes(scored, [Choice(rules=Rules(where=(("n", "caption::INT > 3"),)))], engine)
