"""Several choices in one pipeline file: what counts as one, what they share, and how mistakes are named."""

import pytest

from curation.config import PipelineConfig, check_config
from curation.config_files import load_config, template
from manifests.errors import InputError

LEAST = {"input": "a.tar", "output": "out"}


def checked(choose: object, **more: object) -> PipelineConfig:
    return check_config({**LEAST, "choose": choose, **more}, origin="p.yaml")


def test_one_choice_is_its_own_only_variant() -> None:
    for choose in ({}, {"keep": "light"}, {"where": {"large": "width > 5"}}):
        config = checked(choose)
        assert config.variants() == {"": config}
        assert config.variant() is config


def test_each_variant_is_the_choice_that_it_would_be_alone() -> None:
    written = {"heavy": {"min_heavy_score": 0.6}, "light": {"preset": "websl-light"}, "default": {}}
    config = checked(written)
    assert list(config.variants()) == list(written)
    for name, settings in written.items():
        assert config.variant(name) == checked(settings)


def test_settings_beside_variants_hold_unless_a_variant_sets_them() -> None:
    config = checked({"min_side": 200, "small": {"min_side": 10}, "large": {"keep": "all"}})
    assert config.variant("small").choose.min_side == 10
    assert config.variant("large") == checked({"min_side": 200, "keep": "all"})


def test_options_reach_into_a_variant(tmp_path) -> None:
    (tmp_path / "p.yaml").write_text("input: a\noutput: b\nchoose: {heavy: {}, light: {keep: light}}\n")
    config = load_config(str(tmp_path / "p.yaml"), ["choose.heavy.min_heavy_score=0.9"])
    assert config.variant("heavy").choose.min_heavy_score == 0.9
    assert config.variant("light").choose.min_heavy_score != 0.9


@pytest.mark.parametrize(
    ("choose", "said"),
    [
        ({"heavy": {"min_hevy_score": 1}}, "choose.heavy.min_hevy_score: unknown; did you mean min_heavy_score?"),
        ({"heavy": {"min_side": -1}, "light": {}}, "choose.heavy.min_side: Input should be"),
        ({"wheres": {"large": "true"}}, "choose.wheres: unknown; did you mean where?"),
        ({"heavy": None}, "choose.heavy: unknown; "),
        ({"min_heavy": 0.3}, "choose.min_heavy: unknown; did you mean min_heavy_score?"),
        ({"a b": {}}, "'a b' cannot name a variant"),
        ({"../up": {}}, "cannot name a variant"),
    ],
)
def test_mistakes_are_named_where_they_were_written(choose: object, said: str) -> None:
    with pytest.raises(InputError) as raised:
        checked(choose)
    assert said in str(raised.value)


def test_every_variant_must_be_measured() -> None:
    with pytest.raises(InputError, match=r"needs score\.ask: light"):
        checked({"heavy": {}, "light": {"keep": "light"}}, score={"ask": "heavy"})


def test_without_a_name_several_variants_are_ambiguous() -> None:
    config = checked({"heavy": {}, "light": {}})
    with pytest.raises(InputError, match="has the variants heavy, light"):
        config.variant()
    with pytest.raises(InputError, match="no variant 'x'; its variants are heavy, light"):
        config.variant("x")
    with pytest.raises(InputError, match="it has no variants"):
        checked({}).variant("x")


def test_a_configuration_comes_back_from_what_it_is_dumped_as() -> None:
    config = checked({"heavy": {"min_side": 3}, "light": {"preset": "websl-light"}})
    assert check_config(config.model_dump(mode="json", exclude_unset=True), origin="dump") == config


def test_the_template_shows_one_choice() -> None:
    assert "choose_variants" not in template()
