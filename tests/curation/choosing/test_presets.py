"""A preset is a set of defaults: what is given wins, what results is recorded, and columns alone decide."""

from typing import get_args

import click
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.choosing.presets import DEFAULT_PRESET, PRESETS, PresetName
from curation.choosing.rules import apply_rules
from curation.config import PipelineConfig, check_config
from curation.config_choose import ChooseConfig
from curation.text.bounds import TextRules
from filters.text_kind import TextKind
from jobs.cli.choose import choose as choose_command
from manifests.errors import InputError
from manifests.format.schema import Stage, schema

DECIDED = ("keep", "kinds", "max_text_score")
LEAST = {"input": "a.tar", "output": "out"}
NAMES = get_args(PresetName)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.sampled_from(NAMES),
        "keep": st.sampled_from(["heavy", "light", "all"]),
        "kinds": st.none() | st.lists(st.sampled_from(TextKind), min_size=1, max_size=3).map(tuple),
        "max_text_score": st.none() | st.floats(0, 1),
    },
)
PICTURE = st.fixed_dictionaries(
    {
        "text_score": st.none() | st.floats(0, 1) | st.sampled_from([0.0, 0.05, 1.0]),
        "text_lines": st.none() | st.integers(0, 2),
        "text_kind": st.none() | st.sampled_from(TextKind),
    }
)


def kept(name: str, pictures: list[dict]) -> set[int]:
    """Return the places of the pictures that a preset keeps."""
    row = {"source": "file:///0.tar", "member": "0.jpg", "status": "ok", "width": 640, "height": 480}
    numbered = [{**row, "key": str(n), "cluster_id": str(n), **p} for n, p in enumerate(pictures)]
    table = pa.Table.from_pylist(numbered, schema(Stage.SCORE))
    _, reasons = apply_rules(table, ChooseConfig(preset=name).rules())
    return {place for place, reason in enumerate(reasons.to_pylist()) if reason is None}


def test_every_preset_is_described_and_can_be_named():
    assert tuple(PRESETS) == NAMES
    assert all(p.description.endswith(".") and "\n" not in p.description for p in PRESETS.values())
    (option,) = (p for p in choose_command.params if p.name == "preset")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == NAMES


@given(GIVEN)
def test_what_is_given_wins_over_the_preset(given_settings):
    config = check_config({**LEAST, "choose": given_settings}, origin="test").choose
    preset = PRESETS[given_settings.get("preset", DEFAULT_PRESET)]
    assert {name: getattr(config, name) for name in DECIDED} == {
        name: given_settings.get(name, getattr(preset, name)) for name in DECIDED
    }


@given(GIVEN)
def test_what_is_recorded_is_the_result_and_means_the_same(given_settings):
    config = ChooseConfig(**given_settings)
    recorded = config.model_dump(mode="json")
    assert recorded.keys() >= {"preset", *DECIDED}
    assert ChooseConfig(**recorded) == config
    assert ChooseConfig(**recorded).rules() == config.rules()


def test_the_default_keeps_what_it_kept_before_there_were_presets():
    config = ChooseConfig()
    assert (config.preset, config.keep, config.kinds, config.max_text_score) == ("websl-heavy", "heavy", None, None)


def test_a_later_preset_is_not_held_back_by_the_defaults_of_an_earlier_one():
    earlier = check_config({**LEAST, "choose": {"min_side": 3}}, origin="test")
    layers = earlier.model_dump(exclude_unset=True)
    layers["choose"]["preset"] = "documents"
    config = PipelineConfig.model_validate(layers).choose
    assert (config.kinds, config.min_side) == (PRESETS["documents"].kinds, 3)


@given(st.lists(PICTURE, max_size=30))
def test_presets_keep_what_they_say(pictures):
    rules = TextRules()
    readable = {n for n, p in enumerate(pictures) if p["text_lines"]}
    scored = {n: p["text_score"] for n, p in enumerate(pictures) if p["text_score"] is not None}
    rich = {n for n, score in scored.items() if score >= rules.min_heavy_score} & readable
    assert kept("websl-heavy", pictures) == rich
    assert kept("websl-light", pictures) == {n for n, score in scored.items() if score >= rules.min_light_score}
    pages = {n for n, p in enumerate(pictures) if p["text_kind"] in ("document", "table", "handwriting")}
    assert kept("documents", pictures) == rich & pages
    empty = {n for n, score in scored.items() if score <= 0.05}
    assert kept("no-text", pictures) == {n for n in empty if pictures[n]["text_kind"] == "none"}


@given(st.lists(PICTURE, max_size=30))
def test_documents_are_heavy_heavy_is_light_and_no_text_is_not_heavy(pictures):
    documents, heavy, light, none = (
        kept(n, pictures) for n in ("documents", "websl-heavy", "websl-light", "no-text")
    )
    assert documents <= heavy <= light
    assert not none & heavy


@pytest.mark.parametrize(
    ("choose", "setting"),
    [
        ({"keep": "light"}, "choose.keep: light"),
        ({"preset": "websl-light"}, "choose.preset: websl-light"),
        ({"preset": "no-text"}, "choose.preset: no-text"),
        ({"preset": "no-text", "keep": "light"}, "choose.keep: light"),
        ({"max_text_score": 0.2}, "choose.max_text_score: 0.2"),
    ],
)
def test_what_asks_for_any_text_is_refused_when_only_rich_text_is_measured(choose, setting):
    assert ChooseConfig(**choose).needs_light == setting
    with pytest.raises(InputError) as error:
        check_config({**LEAST, "score": {"ask": "heavy"}, "choose": choose}, origin="test")
    assert f"{setting} needs score.ask: light; score.ask: heavy measures only rich text" in str(error.value)
    check_config({**LEAST, "choose": choose}, origin="test")


@pytest.mark.parametrize(
    "choose",
    [
        {},
        {"preset": "documents"},
        {"preset": "websl-light", "keep": "heavy"},
        {"preset": "no-text", "max_text_score": None},
    ],
)
def test_the_others_need_only_rich_text(choose):
    assert ChooseConfig(**choose).needs_light is None
    check_config({**LEAST, "score": {"ask": "heavy"}, "choose": choose}, origin="test")
