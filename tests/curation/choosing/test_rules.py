"""Rules depend on one row, give the first reason in a fixed order, and refuse SQL that reads anything else."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.choosing.conditions import Rules
from curation.choosing.rules import DROP_TARGET, apply_rules, check_expressions, columns_read, text_classes
from curation.choosing.selection import NOTHING, Selection
from curation.choosing.verdicts import Chooser, columns_counted, count_places
from curation.text.bounds import TextRules
from filters.text_kind import TextKind
from manifests.errors import InputError
from manifests.format.schema import Stage, Status, schema

GOOD = {
    "key": "k",
    "source": "file:///0.tar",
    "member": "0.jpg",
    "status": "ok",
    "cluster_id": "k",
    "width": 640,
    "height": 480,
    "text_score": 0.9,
    "text_lines": 1,
    "text_kind": "document",
}
EVERYTHING = Rules(
    min_side_pixels=100,
    max_aspect=3.0,
    where=(("has_caption", "caption IS NOT NULL"),),
    kinds=(TextKind.DOCUMENT, TextKind.TABLE),
)


def rows(*changes):
    """One good row with a caption for each mapping, changed by it."""
    return pa.Table.from_pylist([{**GOOD, "caption": "c", **c} for c in changes], schema(Stage.SCORE))


def reasons(rules, *changes):
    return apply_rules(rows(*changes), rules)[1].to_pylist()


# --- reasons -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"status": "truncated"}, "status:truncated"),
        ({"status": "too_large"}, "status:too_large"),
        ({"duplicate_of": "a", "duplicate_kind": "exact"}, "duplicate:exact"),
        ({"duplicate_of": "a", "duplicate_kind": "mild"}, "duplicate:mild"),
        ({"duplicate_of": "a"}, "duplicate:?"),
        ({"width": 99}, "too_small"),
        ({"height": 99}, "too_small"),
        ({"width": 100, "height": 100}, None),
        ({"width": 301, "height": 100}, "aspect"),
        ({"width": 100, "height": 301}, "aspect"),
        ({"width": 300, "height": 100}, None),
        ({"caption": None}, "where:has_caption"),
        ({"text_score": None}, "not_scored"),
        ({"text_score": None, "text_kind": None}, "not_scored"),
        ({"text_score": 0.3}, "not_heavy"),
        ({"text_lines": 0}, "not_heavy"),
        ({"text_lines": None}, "not_heavy"),
        ({"text_kind": "table"}, None),
        ({"text_kind": "scene"}, "kind:scene"),
        ({"text_kind": None}, "kind:?"),
        ({"text_score": 0.0}, "not_heavy"),
    ],
)
def test_each_rule_gives_its_reason(change, reason):
    assert reasons(EVERYTHING, change) == [reason]


def test_the_first_rule_that_fails_gives_the_reason():
    wrongs = [
        ({"status": "empty"}, "status:empty"),
        ({"duplicate_of": "a", "duplicate_kind": "mild"}, "duplicate:mild"),
        ({"width": 50}, "too_small"),
        ({"height": 5000}, "aspect"),
        ({"caption": None}, "where:has_caption"),
        ({"text_score": 0.96}, "has_text"),
        ({"text_lines": 0}, "not_heavy"),
        ({"text_kind": "map"}, "kind:map"),
    ]
    rules = dataclasses.replace(EVERYTHING, max_text_score=0.95)
    for first in range(len(wrongs)):
        everything = {k: v for change, _ in wrongs[first:] for k, v in change.items()}
        assert reasons(rules, everything) == [wrongs[first][1]]
    not_scored = {"text_score": None, "text_lines": 0, "text_kind": "map"}
    assert reasons(rules, not_scored, not_scored | {"caption": None}) == ["not_scored", "where:has_caption"]


def test_only_rules_over_text_need_a_score():
    nothing = {"text_score": None, "text_lines": None, "text_kind": None}
    assert reasons(Rules(least_class="all"), nothing) == [None]
    every_kind = Rules(least_class="all", kinds=tuple(TextKind))
    assert reasons(every_kind, nothing, {}) == ["not_scored", None]
    assert reasons(Rules(least_class="all", max_text_score=1), nothing, {}) == ["not_scored", None]


def test_text_scores_up_to_the_limit_pass():
    scores = [0.0, 0.049999, 0.05, 0.050001, 1.0]
    found = reasons(Rules(least_class="all", max_text_score=0.05), *({"text_score": s} for s in scores))
    assert found == [None, None, None, "has_text", "has_text"]


@given(st.lists(st.tuples(st.none() | st.sampled_from(TextKind), st.booleans()), max_size=20))
def test_kinds_pass_whatever_else_is_measured(given_kinds):
    wanted = tuple({kind for kind, is_wanted in given_kinds if kind and is_wanted})
    changes = [{"text_kind": kind} for kind, _ in given_kinds]
    expected = [None if kind in wanted else f"kind:{kind or '?'}" for kind, _ in given_kinds]
    assert reasons(Rules(kinds=wanted), *changes) == expected


def test_nulls_fail_the_rules_that_need_a_value():
    nothing = {"status": "undecodable", "width": None, "height": None, "text_score": None, "caption": None}
    assert reasons(EVERYTHING, nothing) == ["status:undecodable"]
    lenient = Rules(least_class="all", statuses=(Status.UNDECODABLE,))
    assert reasons(lenient, nothing) == [None]
    assert reasons(Rules(least_class="all", statuses=(Status.UNDECODABLE,), min_side_pixels=1), nothing) == [
        "too_small"
    ]
    assert reasons(Rules(least_class="all", statuses=(Status.UNDECODABLE,), max_aspect=2), nothing) == ["aspect"]
    wide = Rules(least_class="all", statuses=(Status.UNDECODABLE,), where=(("wide", "width > 3"),))
    assert reasons(wide, nothing) == ["where:wide"]


@pytest.mark.parametrize(
    ("least", "kept"),
    [("heavy", [0.7, 1.0]), ("light", [0.2, 0.5, 0.7, 1.0]), ("all", [None, 0.1, 0.2, 0.5, 0.7, 1.0])],
)
def test_the_least_class_that_is_kept(least, kept):
    scores = [None, 0.1, 0.2, 0.5, 0.7, 1.0]
    text = TextRules(min_light_score=0.2, min_heavy_score=0.7)
    found = reasons(Rules(least_class=least, text=text), *({"text_score": s} for s in scores))
    assert [s for s, reason in zip(scores, found, strict=True) if reason is None] == kept
    assert set(found) <= {None, "not_scored", f"not_{least}"}


def test_statuses_can_be_widened():
    both = Rules(statuses=(Status.OK, Status.TRUNCATED))
    assert reasons(both, {}, {"status": "truncated"}, {"status": "empty"}) == [None, None, "status:empty"]


# --- classes -------------------------------------------------------------------------------------


def test_classes_at_their_thresholds():
    rules = TextRules(min_light_score=0.2, min_heavy_score=0.7)
    scores = [0.0, 0.199999, 0.2, 0.699999, 0.7, 1.0, None]
    assert text_classes(pa.array(scores, pa.float64()), rules).to_pylist() == [
        "none", "none", "light", "light", "heavy", "heavy", None,
    ]  # fmt: skip


@given(st.lists(st.none() | st.floats(0, 1), max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_classes_are_ordered_by_score(scores, a, b):
    rules = TextRules(min_light_score=min(a, b), min_heavy_score=max(a, b))
    classes = text_classes(pa.array(scores, pa.float64()), rules).to_pylist()
    assert [c is None for c in classes] == [s is None for s in scores]
    place = {"none": 0, "light": 1, "heavy": 2}
    ordered = sorted((s, place[c]) for s, c in zip(scores, classes, strict=True) if s is not None)
    assert [c for _, c in ordered] == sorted(c for _, c in ordered)


LINES = st.none() | st.integers(0, 3)


@given(st.lists(st.tuples(st.none() | st.floats(0, 1), LINES), max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_picture_is_heavy_only_with_a_line_and_else_what_its_score_says(pictures, a, b):
    rules = TextRules(min_light_score=min(a, b), min_heavy_score=max(a, b))
    scores, lines = pa.array([s for s, _ in pictures], pa.float64()), pa.array([n for _, n in pictures], pa.int32())
    by_score = text_classes(scores, rules).to_pylist()
    found = text_classes(scores, rules, lines).to_pylist()
    expected = ["light" if c == "heavy" and not n else c for c, (_, n) in zip(by_score, pictures, strict=True)]
    assert found == expected
    classes, _ = apply_rules(rows(*({"text_score": s, "text_lines": n} for s, n in pictures)), Rules(text=rules))
    assert classes.to_pylist() == expected


def test_dropped_rows_have_a_class_too():
    classes, found = apply_rules(rows({"status": "truncated"}, {"width": 1, "text_score": 0.3}), EVERYTHING)
    assert classes.to_pylist() == ["heavy", "light"]
    assert found.to_pylist() == ["status:truncated", "too_small"]


# --- tables --------------------------------------------------------------------------------------


def test_order_of_rows_is_kept_over_many_chunks():
    count = 30_000
    table = rows(*({"key": str(n), "width": 100 + n, "caption": None if n % 7 == 0 else "c"} for n in range(count)))
    pieces = pa.concat_tables([table.slice(a, 4_999) for a in range(0, count, 4_999)])
    rules = Rules(where=(("captioned", "caption IS NOT NULL"), ("narrow", "width < 20100")))
    expected = [
        "where:captioned" if n % 7 == 0 else None if 100 + n < 20100 else "where:narrow" for n in range(count)
    ]
    for each in (table, pieces):
        classes, found = apply_rules(each, rules)
        assert found.to_pylist() == expected
        assert classes.to_pylist() == ["heavy"] * count


def test_verdicts_do_not_depend_on_the_batch():
    table = rows({}, {"width": 10}, {"text_score": None}, {"caption": None}, {"status": "empty"})
    whole = apply_rules(table, EVERYTHING)[1].to_pylist()
    assert [apply_rules(table.slice(n, 1), EVERYTHING)[1].to_pylist() for n in range(5)] == [[r] for r in whole]


def test_no_rows():
    classes, found = apply_rules(schema(Stage.SCORE).empty_table(), EVERYTHING)
    assert (len(classes), len(found)) == (0, 0)


def test_chooser_adds_the_columns_of_the_stage():
    table = rows({}, {"width": 10}, {"text_score": 0.3})
    chosen = Chooser(EVERYTHING, Selection(), "salt")(table)
    assert chosen.schema.names == schema(Stage.CHOOSE).names
    assert chosen.cast(schema(Stage.CHOOSE)).select(["text_class", "keep", "drop_reason"]).to_pydict() == {
        "text_class": ["heavy", "heavy", "light"],
        "keep": [True, False, False],
        "drop_reason": [None, "too_small", "not_heavy"],
    }
    nothing = Chooser(EVERYTHING, NOTHING, "salt")(table)
    assert nothing.column("drop_reason").to_pylist() == [DROP_TARGET, "too_small", "not_heavy"]


# --- rules of the user -----------------------------------------------------------------------------------


def check(expression):
    check_expressions(Rules(where=(("mine", expression),)))


@pytest.mark.parametrize(
    "expression",
    [
        "width >= 3",
        "caption IS NOT NULL AND length(caption) BETWEEN 3 AND 300",
        "caption ILIKE '%chart%' OR regexp_matches(url, '\\.gov/')",
        "error IS NULL",
        "width * height > 1e5",
        "caption.lower() = 'now()'",
        "true",
        "\"key\" < '5'",
        "CASE WHEN format = 'PNG' THEN text_score > 0.5 ELSE true END",
        "width > 3 /* a comment */",
        "caption NOT IN ('', 'random()', 'now(); select 1')",
        "list_contains(['JPEG', 'PNG'], format)",
    ],
)
def test_expressions_over_the_columns_are_accepted(expression):
    check(expression)
    assert apply_rules(rows({}), Rules(where=(("mine", expression),)))[1].to_pylist()[0] in (None, "where:mine")


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("widht > 3", 'column "widht" not found'),
        ("keep", 'column "keep" not found'),  # a column of this stage does not exist yet
        ("shard = 'a'", "not found"),
        ("random() < 0.5", "another answer each time"),
        ("RANDOM ( ) < 0.5", "another answer each time"),
        ('"random"() < 0.5', "another answer each time"),
        ("width > 3 AND now() IS NOT NULL", "another answer each time"),
        ("today() > DATE '2025-01-01'", "another answer each time"),
        ("current_date > DATE '2025-01-01'", "another answer each time"),
        ("CURRENT_TIMESTAMP IS NULL", "another answer each time"),
        ("uuid() < 'a'", "another answer each time"),
        ("nextval('s') > 1", "another answer each time"),
        ("read_csv('/etc/passwd') IS NULL", "refused"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 0", "looks beyond its row"),
        ("(SELECT count(*) FROM '/etc/passwd') > 0", "looks beyond its row"),
        ("width > (SELECT avg(width) FROM rows)", "looks beyond its row"),
        ("EXISTS (SELECT 1)", "looks beyond its row"),
        ("COLUMNS(*) IS NOT NULL", "looks beyond its row"),
        ("#9 > 3", "takes a column by its number"),
        ("rows::VARCHAR LIKE '%a%'", 'column "rows" not found'),
        ("rows.to_json() LIKE '%a%'", "refused"),
        ("count(*) > 1", "aggregates"),
        ("width > avg(width)", "aggregates"),
        ("row_number() OVER () < 10", "window"),
        ("unnest([true, false])", "UNNEST"),
        ("width", "is a INTEGER, not a truth value"),
        ("caption", "is a VARCHAR, not a truth value"),
        ("'abc'", "is a VARCHAR, not a truth value"),
        ("[width]", "not a truth value"),
        ("NULL", "not a truth value"),
        ("true, false", "not a truth value"),
        ("width > 1; SELECT true", "more than one statement"),
        ("width > 1; DROP TABLE rows", "refused"),
        ("true)::BOOLEAN AS passes FROM rows; SELECT (true", "refused"),
        ("width > 1 FROM rows WHERE (width > 3", "refused"),
        ("ATTACH '/etc/passwd'", "refused"),
        ("width >", "refused"),
        ("width > 3 -- and so on", "refused"),
        ("", "."),
    ],
)
def test_other_expressions_are_refused_by_name(expression, why):
    with pytest.raises(InputError, match=why) as error:
        check(expression)
    assert str(error.value).startswith("choose.where.mine: ")


def test_the_refused_rule_is_the_one_named():
    with pytest.raises(InputError, match=r"^choose\.where\.second: "):
        check_expressions(Rules(where=(("first", "width > 3"), ("second", "width >"))))
    check_expressions(Rules())


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("true", set()),
        ("caption IS NOT NULL", {"caption"}),
        ('"Caption" IS NOT NULL AND URL IS NULL', {"caption", "url"}),
        ("caption.lower() = 'a'", {"caption"}),
        ("list_filter([1], lambda x: x < length(caption)) IS NOT NULL", {"caption"}),
        ("CASE WHEN format = 'PNG' THEN text_density > 0.5 ELSE pdq IS NULL END", {"format", "text_density", "pdq"}),
        ("(measures ->> '$.brightness')::DOUBLE > 0.5", {"measures"}),
        ("coalesce(url, caption) IN ('a', sha256) /* error */", {"url", "caption", "sha256"}),
    ],
)
def test_only_the_columns_that_rules_name_are_read(expression: str, columns: set[str]):
    """With them alone, each row has the reason that it has with all columns."""
    check(expression)
    mine = (("mine", expression),)
    always = {"status", "duplicate_of", "duplicate_kind", "text_score", "text_lines"}
    assert set(columns_read(Rules(where=mine))) == always | columns
    every = Rules(where=mine, min_side_pixels=100, kinds=(TextKind.TABLE,), max_text_score=0.5)
    assert set(columns_read(every)) == always | columns | {"width", "height", "text_kind"}
    table = rows({}, {"caption": None, "url": "a"}, {"format": "PNG", "text_kind": "table"}, {"width": 3})
    for rules in (Rules(where=mine), every, Rules(where=mine, max_aspect=3.0, least_class="all")):
        few = table.select(columns_read(rules))
        assert [each.to_pylist() for each in apply_rules(few, rules)] == [
            each.to_pylist() for each in apply_rules(table, rules)
        ]
        narrow, whole = (
            count_places(each, rules=rules, salt="s", prefix=())
            for each in (table.select(columns_counted(rules)), table)
        )
        assert narrow == whole


def test_a_rule_fails_without_a_column_that_it_names():
    named = Rules(where=(("mine", "caption IS NULL"),))
    with pytest.raises(InputError, match=r'choose\.where\.mine.*"caption" not found'):
        apply_rules(rows({}).select(columns_read(Rules())), named)


def test_rules_of_the_user_are_applied_in_order_of_name():
    a, b = ("a", "width > 1000"), ("b", "height > 1000")
    assert reasons(Rules(where=(b, a)), {}) == reasons(Rules(where=(a, b)), {}) == ["where:a"]


def test_rules_cannot_read_files_even_unchecked(tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    reading = Rules(where=(("leak", f"(SELECT count(*) FROM read_csv('{tmp_path}/secret.csv')) > 0"),))
    with pytest.raises(Exception, match=r"disabled|ermission"):
        apply_rules(rows({}), reading)
