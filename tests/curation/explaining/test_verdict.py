"""The explanation of a verdict agrees with the rules that made it, for any row and any settings."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.choosing.rules import apply_rules
from curation.config import ChooseConfig
from curation.explaining.text import text_story
from curation.explaining.verdict import Cutoff, verdict
from manifests.format.schema import DuplicateKind, Stage, Status, schema

SCORES = st.none() | st.integers(0, 1_000_000).map(lambda n: n / 1_000_000)
ROWS = st.fixed_dictionaries(
    {
        "key": st.just("k"),
        "source": st.just("file:///0.tar"),
        "member": st.just("a.jpg"),
        "cluster_id": st.just("k"),
        "status": st.sampled_from([str(each) for each in Status]),
        "error": st.none() | st.just("cannot identify image file"),
        "width": st.integers(1, 2000),
        "height": st.integers(1, 2000),
        "duplicate_of": st.none() | st.just("other"),
        "duplicate_kind": st.sampled_from([str(each) for each in DuplicateKind]),
        "text_score": SCORES,
        "text_lines": st.none() | st.integers(0, 3),
        "text_kind": st.sampled_from(["chart", "none", "scene"]),
    }
)
CONFIGS = st.fixed_dictionaries(
    {
        "keep": st.sampled_from(["heavy", "light", "all"]),
        "min_light_score": st.sampled_from([0.0, 0.2, 0.4]),
        "min_heavy_score": st.sampled_from([0.4, 0.6, 1.0]),
        "max_text_score": st.sampled_from([None, 0.1, 0.5]),
        "min_side": st.sampled_from([0, 64, 512]),
        "max_aspect": st.sampled_from([None, 1.0, 3.0]),
        "kinds": st.sampled_from([None, ("chart",)]),
        "where": st.sampled_from([{}, {"wide": "width > 900"}]),
    }
)


@given(ROWS, CONFIGS)
def test_what_decided_missed_its_bound_and_what_was_kept_met_it(row, settings):
    config = ChooseConfig(**settings)
    classes, reasons = apply_rules(pa.Table.from_pylist([row], schema(Stage.SCORE)), config.rules())
    reason = reasons[0].as_py()
    decided = {**row, "text_class": classes[0].as_py(), "keep": reason is None, "drop_reason": reason}
    found = verdict(decided, config.model_dump(mode="json"))
    assert (found.keep, found.reason) == (reason is None, reason)
    assert "not recorded" not in found.why
    margins = [each.margin for each in found.measures]
    if found.keep:
        assert all(margin >= 0 for margin in margins)
    elif reason.startswith(("too_small", "aspect", "has_text", "not_light", "not_heavy")):
        assert any(margin < 0 for margin in margins)
    if reason and reason.startswith("status:") and row["error"]:
        assert row["error"] in found.why
    if reason and reason.startswith("where:"):
        assert "width > 900" in found.why
    if reason and reason.startswith("duplicate:"):
        assert "other" in found.why


def test_without_settings_the_reason_is_still_told():
    row = {"keep": False, "text_score": 0.1, "text_class": "none", "width": 5, "height": 9, "error": None}
    for reason in ("too_small", "aspect", "has_text", "not_heavy", "where:wide", "kind:scene", "below_target", "odd"):
        found = verdict({**row, "drop_reason": reason}, None)
        assert found.why
        assert found.measures == ()
    assert verdict({"status": "ok"}, None) is None


@pytest.mark.parametrize(("score", "margin"), [(0.3, -0.2), (0.5, 0.0)])
def test_a_target_says_where_it_cut(score, margin):
    row = {"keep": False, "drop_reason": "below_target", "text_score": score}
    found = verdict(row, {"target_fraction": 0.013}, Cutoff(score=0.5, kept=13, missed=987))
    assert found.measures[0].margin == margin
    assert "target_fraction 0.013" in found.why
    assert ("a hash of the key decides" in found.why) == (margin == 0)


def test_a_step_settles_what_its_bounds_say():
    bounds = {"drop_light": 0.1, "keep_light": 0.9, "drop_heavy": 0.2, "keep_heavy": 1.1}
    trail = '{"density":[0.5,0.5],"kind":[0.95,0.1],"read":[0.4,0.99]}'
    row = {"text_score": 0.5, "text_step": "read", "text_trail": trail, "text_kind": "chart", "text_engine": "x"}
    config = {"ask": "light", "bounds": {"density": bounds, "kind": bounds, "read": {**bounds, "keep_heavy": 0.95}}}
    story = text_story(row, config)
    assert [each.settled for each in story.steps] == [(), ("not heavy", "light"), ("heavy", "light")]
    assert story.steps[0].bounds == {"drop_light": 0.1, "keep_light": 0.9, "drop_heavy": 0.2}, "1.1 is never reached"
    heavy_alone = text_story(row, {**config, "ask": "heavy"})
    assert [each.settled for each in heavy_alone.steps] == [(), ("not heavy",), ("heavy",)]
    unknown = text_story(row, None)
    assert [each.bounds for each in unknown.steps] == [None] * 3
    assert text_story({"text_score": None}, config) is None
    assert text_story({**row, "text_trail": None}, config).steps == ()
