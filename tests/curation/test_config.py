"""The pipeline file: every wrong entry is reported before anything starts, and no secret is recorded."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.choosing.conditions import Rules
from curation.choosing.rules import check_expressions
from curation.config import PipelineConfig, check_config
from curation.config_files import MAX_ALIASED_VALUES, MAX_FILE_BYTES, load_config, merge_settings, template
from curation.config_types import Section
from curation.text.bounds import CascadeSettings, TextRules
from jobs.units.plan import Plan, Unit
from manifests import storage
from manifests.errors import InputError, StorageUnavailable
from manifests.format.digest import settings_hash
from manifests.format.schema import Stage, Status
from tests.support.object_store import bucket_of

LEAST = {"input": ["a.tar"], "output": "out"}
DEFAULTS = check_config(LEAST, origin="test")
SECTIONS = {
    name: type(f.default) for name, f in PipelineConfig.model_fields.items() if isinstance(f.default, Section)
}


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "pipeline.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(path)

    return write


def refusal(values):
    with pytest.raises(InputError) as error:
        check_config({**LEAST, **values}, origin="test")
    first, *problems = str(error.value).splitlines()
    assert first == "test: the configuration is refused, nothing was started"
    return "\n".join(problems)


# --- every wrong entry is named ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"outptu": "x"}, "outptu: unknown; did you mean output?"),
        ({"choos": {}}, "choos: unknown; did you mean choose?"),
        ({"scan": {"unit_byts": 2}}, "scan.unit_byts: unknown; did you mean unit_bytes?"),
        (
            {"scan": {"tars_per_unit": 2}},
            "scan.tars_per_unit: no longer a setting; set scan.unit_bytes instead, or nothing",
        ),
        ({"dedupe": {"neighbours": 32}}, "dedupe.neighbours: no longer a setting; remove it"),
        (
            {"dedupe": {"pictures_per_cell": 10}},
            "dedupe.pictures_per_cell: no longer a setting; set dedupe.cell_bytes instead, or nothing",
        ),
        (
            {"scan": {"files_per_unit": 2}},
            "scan.files_per_unit: no longer a setting; set scan.unit_bytes instead, or nothing",
        ),
        ({"dedupe": {"distance": 2}}, "dedupe.distance: unknown; did you mean max_distance?"),
        ({"choose": {"target": 2}}, "choose.target: unknown; did you mean target_count?"),
        ({"dedupe": {"strictness": {"corp": 1}}}, "dedupe.strictness.corp: unknown; did you mean crop?"),
        ({"score": {"bounds": {"reed": {}}}}, "score.bounds.reed: unknown; did you mean read?"),
        ({"scan": {"embedding": {"model": "x", "siez": 2}}}, "scan.embedding.siez: unknown; did you mean size?"),
        (
            {"scan": {"filters": {"sharp": {"class": "a:B", "option": {}}}}},
            "scan.filters.sharp.option: unknown; did you mean options?",
        ),
        (
            {"shard": {"zzz": 2}},
            "shard.zzz: unknown; known are samples_per_shard, target_shard_bytes, salt, layout, json_columns, "
            "resize, read",
        ),
        ({"zzz": 2}, "zzz: unknown; known are input, output, scan, dedupe, score, choose, shard, spark, storage"),
    ],
)
def test_unknown_entries_are_named_with_the_nearest_known(values, problem):
    assert refusal(values).strip() == problem


def test_columns_and_sizes_of_shards_are_checked():
    assert "shard.json_columns: colour: not a column" in refusal({"shard": {"json_columns": ["width", "colour"]}})
    assert "shard.resize: '512': write the length of the shorter side" in refusal({"shard": {"resize": "512"}})


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"scan": {"unit_bytes": "many"}}, "scan.unit_bytes: "),
        ({"scan": {"unit_bytes": 0}}, "scan.unit_bytes: "),
        ({"scan": {"unit_bytes": 1.5}}, "scan.unit_bytes: "),
        ({"scan": {"max_image_pixels": 10**12}}, "scan.max_image_pixels: "),
        ({"scan": {"max_broken_tars": -1}}, "scan.max_broken_tars: "),
        ({"dedupe": {"verify": "perhaps"}}, "dedupe.verify: "),
        ({"dedupe": {"copies": ["exact", "rotated"]}}, "dedupe.copies.1: "),
        ({"dedupe": {"copies": ["mild"]}}, "dedupe: copies: add exact"),
        ({"dedupe": {"verify": False}}, "dedupe: verify: false finds only exact and mild"),
        ({"dedupe": {"strictness": {"crop": 1.5}}}, "dedupe.strictness.crop: "),
        ({"dedupe": {"max_distance": 65}}, "dedupe.max_distance: "),
        ({"dedupe": []}, "dedupe: "),
        ({"choose": {"min_heavy_score": 1.01}}, "choose.min_heavy_score: "),
        ({"score": {"bounds": {"read": {"keep_light": float("nan")}}}}, "score.bounds.read.keep_light: "),
        ({"choose": {"keep": "most"}}, "choose.keep: "),
        ({"choose": {"preset": "some"}}, "choose.preset: "),
        ({"choose": {"kinds": ["poster"]}}, "choose.kinds.0: "),
        ({"choose": {"kinds": []}}, "choose: kinds: an empty list keeps nothing"),
        ({"choose": {"max_text_score": 1.5}}, "choose.max_text_score: "),
        ({"choose": {"statuses": ["fine"]}}, "choose.statuses.0: "),
        ({"choose": {"max_aspect": 0.5}}, "choose.max_aspect: "),
        ({"choose": {"max_aspect": float("inf")}}, "choose.max_aspect: "),
        ({"choose": {"where": ["width > 3"]}}, "choose.where: "),
        ({"choose": {"target_fraction": 1.3}}, "choose.target_fraction: "),
        ({"shard": {"target_shard_bytes": 0}}, "shard.target_shard_bytes: "),
        ({"spark": {"conf": ["a"]}}, "spark.conf: "),
        ({"storage": {"s3": "secret"}}, "storage.s3: "),
        ({"input": []}, "input: "),
        ({"input": ["a.tar", 3]}, "input.1: "),
        ({"output": ""}, "output: "),
        ({"output": None}, "output: "),
    ],
)
def test_wrong_values_are_named(values, where):
    (problem,) = refusal(values).splitlines()
    assert problem.startswith(f"  {where}")


def test_every_wrong_entry_is_named_at_once():
    problems = refusal({"scan": {"unit_bytes": 0, "x": 1}, "choose": {"keep": "most"}, "zzz": 1})
    assert sorted(line.split(":")[0].strip() for line in problems.splitlines()) == [
        "choose.keep", "scan.unit_bytes", "scan.x", "zzz",
    ]  # fmt: skip


def test_targets_exclude_each_other():
    both = {"choose": {"target_fraction": 0.013, "target_count": 5}}
    assert refusal(both).strip() == "choose: target_fraction and target_count exclude each other; set one"
    for one in ({"target_fraction": 0.013}, {"target_count": 0}, {"target_fraction": 0.0}):
        check_config({**LEAST, "choose": one}, origin="test")


def test_light_is_less_than_heavy():
    wrong = {"choose": {"min_light_score": 0.8, "min_heavy_score": 0.7}}
    assert refusal(wrong).strip() == "choose: min_light_score must not exceed min_heavy_score"


def test_input_and_output_are_needed(written):
    with pytest.raises(InputError, match=r"(?s)input: Field required.*output: Field required"):
        load_config(written({"scan": {}}))


# --- files ---------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"no\.yaml: no such file; `curate init` writes one"):
        load_config(str(tmp_path / "no.yaml"))
    with pytest.raises(InputError, match="not readable"):
        load_config(str(tmp_path))


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just text", "5"])
def test_a_file_that_is_not_a_mapping(written, content):
    with pytest.raises(InputError, match="a pipeline file is a mapping with at least `input` and `output`"):
        load_config(written(content))


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("a: [1", "line 1: "),
        ("a: 1\nb: c: d", "line 2: "),
        ("\tx: 1", "line 1: "),
        ("a: 1\nb: 2\na: 3\n", "line 3: a is set twice; keep one of them"),
        ("scan:\n  filters: {x: a:B, y: a:B, x: a:C}\n", "line 2: x is set twice"),
        ("salt: !!binary aGVsbG8=\n", "line 1: !!binary cannot be used here"),
        ("a: !!set {b, c}\n", "line 1: !!set cannot be used here"),
        ("a: !!python/object:os.system {}\n", "line 1: !!python/object:os.system cannot be used here"),
        ("a: &a [*a]\n", "line 1: an alias names the value that contains it"),
        ("a: 1\n--- \nb: 2\n", "line 2: "),
    ],
)
def test_a_file_that_cannot_be_parsed(written, content, where):
    with pytest.raises(InputError, match=r"pipeline\.yaml, ") as error:
        load_config(written(content))
    assert f"pipeline.yaml, {where}" in str(error.value)


@pytest.mark.parametrize(
    "content", ["a: \x07\n", "a: " + "[" * 5000, "a: 0b", "a: !!bool x", "a: !!int ''", '"\\uD800": "\\UFFFFFFFF"']
)
def test_a_file_that_no_parser_accepts_is_refused(written, content):
    with pytest.raises(InputError, match=r"pipeline\.yaml"):
        load_config(written(content))


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "a.tar"
    with path.open("wb") as f:
        f.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InputError, match="more than 32 MiB; name a pipeline file"):
        load_config(str(path))


def test_aliases_repeat_a_value(written):
    text = "input: a.tar\noutput: out\nchoose:\n  where: &rules {a: width > 1}\nstorage:\n  s3: &s {key: k}\n  gs:\n"
    config = load_config(written(text + "    <<: *s\n    key: own\n  az: *s\n"))
    assert config.storage == {"s3": {"key": "k"}, "gs": {"key": "own"}, "az": {"key": "k"}}


def test_a_merged_mapping_can_be_merged_again(written):
    text = "input: a\noutput: b\nstorage:\n  a: &a {x: 1, y: 1}\n  b: &b {<<: *a, x: 2}\n  c: {<<: *b, y: 3}\n"
    assert load_config(written(text)).storage["c"] == {"x": 2, "y": 3}


def test_aliases_do_not_expand_without_bound(written):
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(InputError, match=f"aliases repeat more than {MAX_ALIASED_VALUES:,} values"):
        load_config(written(f"l0: &l0 [lol]\n{levels}"))


def test_a_text_is_that_text(written, monkeypatch):
    monkeypatch.setenv("SECRET", "S3CR3T")
    rules = {"env": "caption <> '${oc.env:SECRET}'", "regex": "regexp_matches(url, '^${1,3}')", "open": "url <> '${'"}
    config = load_config(
        written({**LEAST, "output": "a/${x}", "choose": {"where": rules}}),
        ["choose.where.more=url <> '${oc.env:SECRET}'", "shard.salt=???"],
    )
    assert config.choose.where == {**rules, "more": "url <> '${oc.env:SECRET}'"}
    assert (config.output, config.shard.salt) == ("a/${x}", "???")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", False),
        ("on", True),
        ("1:30", 90),
        ("010", 8),
        ("0x10", 16),
        ("1_000", 1000),
        ("1.5e-3", 0.0015),
        ("1e-3", "1e-3"),
        ("2024-01-31", "2024-01-31"),
        ("~", None),
        ("'no'", "no"),
        ("!!str 010", "010"),
    ],
)
def test_values_are_those_of_yaml_1_1(written, text, value):
    config = load_config(written(f"input: a\noutput: b\nscore: {{engine_options: {{x: {text}}}}}\n"))
    assert config.score.engine_options == {"x": value}
    assert type(config.score.engine_options["x"]) is type(value)


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"p\.yaml: "):
        load_config(str(tmp_path / "p.yaml"))


def test_a_file_at_any_uri():
    storage.write_bytes("memory://configs/p.yaml", b"input: a.tar\noutput: out\nchoose: {keep: light}\n")
    config = load_config("memory://configs/p.yaml", ["choose.min_side=64"])
    assert (config.input, config.choose.keep, config.choose.min_side) == (("a.tar",), "light", 64)
    with pytest.raises(InputError, match="no such file"):
        load_config("memory://configs/other.yaml")


# --- overrides -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "section", "name", "value"),
    [
        ("scan.unit_bytes=4", "scan", "unit_bytes", 4),
        ("dedupe.copies=[exact,mild]", "dedupe", "copies", ("exact", "mild")),
        ("score.engine=my.module:Engine", "score", "engine", "my.module:Engine"),
        ("score.engine_options.min=1e-3", "score", "engine_options", {"min": 0.001}),
        ("score.engine_options.since=2024-01-31", "score", "engine_options", {"since": "2024-01-31"}),
        ("score.engine_options={a: [1, {b: no}]}", "score", "engine_options", {"a": [1, {"b": False}]}),
        ("score.engine_options.gpu=true", "score", "engine_options", {"gpu": True}),
        ("choose.target_fraction=0.013", "choose", "target_fraction", 0.013),
        ("choose.target_fraction=1e-3", "choose", "target_fraction", 0.001),
        ("choose.max_aspect=null", "choose", "max_aspect", None),
        ("choose.statuses=[ok,truncated]", "choose", "statuses", (Status.OK, Status.TRUNCATED)),
        ("choose.where.wide=width >= 3 AND url = 'a=b'", "choose", "where", {"wide": "width >= 3 AND url = 'a=b'"}),
        ("spark.conf.spark.sql.shuffle.partitions=8", "spark", "conf", {"spark.sql.shuffle.partitions": "8"}),
        ("spark.conf.spark.ui.enabled=false", "spark", "conf", {"spark.ui.enabled": "false"}),
        ("spark.master=local[2]", "spark", "master", "local[2]"),
    ],
)
def test_overrides(written, override, section, name, value):
    config = load_config(written(LEAST), [override])
    assert getattr(getattr(config, section), name) == value
    untouched = {s for s in SECTIONS if s != section}
    assert all(getattr(config, s) == getattr(DEFAULTS, s) for s in untouched)


def test_what_comes_later_wins(written):
    path = written({**LEAST, "scan": {"unit_bytes": 2, "max_broken_tars": 3}})
    assert load_config(path).scan.unit_bytes == 2
    assert load_config(path, ["scan.unit_bytes=4", "scan.unit_bytes=5"]).scan.unit_bytes == 5
    last = load_config(path, ["scan.unit_bytes=4"], last={"scan": {"unit_bytes": 6}, "output": "other"})
    assert (last.scan.unit_bytes, last.scan.max_broken_tars, last.output) == (6, 3, "other")


def test_spark_settings_dotted_nested_and_overridden(written):
    path = written({**LEAST, "spark": {"conf": {"spark.ui.enabled": True, "spark.executor.memory": "2g"}}})
    config = load_config(path, ["spark.conf.spark.executor.memory=4g", "spark.conf.spark.task.cpus=2"])
    assert config.spark.conf == {
        "spark.ui.enabled": "true",
        "spark.executor.memory": "4g",
        "spark.task.cpus": "2",
    }


@pytest.mark.parametrize("nested_first", [True, False])
def test_a_later_spark_setting_wins_however_it_is_written(written, tmp_path, nested_first):
    nested = {"spark": {"conf": {"spark": {"executor": {"memory": "2g", "cores": 3}}}}}
    dotted = {"spark": {"conf": {"spark.executor.memory": "4g"}}}
    first, second = (nested, dotted) if nested_first else (dotted, nested)
    later = tmp_path / "later.yaml"
    later.write_text(yaml.safe_dump(second))
    config = load_config([written({**LEAST, **first}), str(later)])
    expected = "4g" if nested_first else "2g"
    assert config.spark.conf == {"spark.executor.memory": expected, "spark.executor.cores": "3"}


VALUES = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
LAYERS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def leaves(values, prefix=()):
    """Return path → value of all that is not a mapping, and of empty mappings."""
    found = {}
    for name, value in values.items():
        below = leaves(value, (*prefix, name)) if isinstance(value, dict) and value else {(*prefix, name): value}
        found |= below
    return found


@given(LAYERS, LAYERS)
def test_merging_takes_later_values_and_keeps_the_others(one, two):
    assert merge_settings(one, {}) == one == merge_settings({}, one) == merge_settings(one, one)
    merged = leaves(merge_settings(one, two))
    assert all(merged[path] == value for path, value in leaves(two).items() if value != {})
    assert all(
        merged[path] in (one_value, leaves(two).get(path))
        for path, one_value in leaves(one).items()
        if path in merged
    )


def test_merging_changes_neither_layer():
    one, two = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merge_settings(one, two) == {"a": {"b": 1, "c": 2}}
    assert (one, two) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_a_wrong_section_is_reported_also_where_an_option_sets_part_of_it(written):
    with pytest.raises(InputError, match=r"scan: Input should be"):
        load_config(written({**LEAST, "scan": 3}), last={"scan": {"unit_bytes": 2}})


def test_without_a_file():
    config = load_config(None, ["output=out"], last={"input": ["a.tar", "b/"]})
    assert (config.input, config.output) == (("a.tar", "b/"), "out")


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("scan.unit_bytes", "write section.name=value"),
        ("scan.unit_byts=3", "did you mean unit_bytes"),
        ("scan=3", "scan: "),
        ("scan.unit_bytes=[1", "--set|pipeline.yaml"),
        ("=3", "write section.name=value"),
        ("a..b=3", "write section.name=value"),
        ("scan.x.=3", "write section.name=value"),
        ("score.engine_options={a: 1, a: 2}", "--set score.engine_options.*a is set twice"),
    ],
)
def test_wrong_overrides(written, override, why):
    with pytest.raises(InputError, match=why):
        load_config(written(LEAST), [override])


@given(
    st.text(max_size=20)
    | st.builds(
        "{}={}".format,
        st.sampled_from(
            ["input", "choose.where.a", "choose.salt", "spark.conf.a.b", "storage.s3", "score.engine_options"]
        ),
        st.text("ab019 .,:=${}[]'\"\\-#&*!|>%@\n\t", max_size=12),
    )
)
def test_any_override_is_accepted_or_refused_with_an_input_error(text):
    storage.write_bytes("memory://configs/least.yaml", yaml.safe_dump(LEAST).encode())
    try:
        config = load_config("memory://configs/least.yaml", [text])
    except InputError:
        return
    assert isinstance(config, PipelineConfig)


def test_one_input_or_many(written):
    assert load_config(written({**LEAST, "input": "data/{0..7}.tar"})).input == ("data/{0..7}.tar",)


def test_nothing_can_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        DEFAULTS.scan.unit_bytes = 3


# --- defaults and the template -------------------------------------------------------------------


def test_the_template_loads_back_to_the_defaults(written):
    config = load_config(written(template()))
    assert config == check_config({"input": ["data/{00000..00007}.tar"], "output": "out"}, origin="test")


def test_the_template_shows_every_setting_and_as_a_comment_what_a_preset_decides(written):
    complete = re.sub(r"^  # (\w+: )", r"  \1", template(), flags=re.MULTILINE)
    decided = set(yaml.safe_load(complete)["choose"]) - set(yaml.safe_load(template())["choose"])
    assert decided == {"keep", "kinds", "max_text_score"}
    assert load_config(written(complete)) == load_config(written(template()))
    shown = yaml.safe_load(complete)
    assert list(shown) == [name for name in PipelineConfig.model_fields if name != "choose_variants"]
    for name, section in SECTIONS.items():
        assert list(shown[name]) == list(section.model_fields)


def test_every_setting_is_described():
    for name, field in PipelineConfig.model_fields.items():
        assert field.description or SECTIONS[name].__doc__
    for section in SECTIONS.values():
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            assert "\n" not in field.description


def test_defaults_are_those_of_the_code():
    assert (DEFAULTS.choose.min_light_score, DEFAULTS.choose.min_heavy_score) == (
        TextRules().min_light_score,
        TextRules().min_heavy_score,
    )
    assert DEFAULTS.score.cascade() == CascadeSettings()
    check_expressions(Rules(where=tuple(DEFAULTS.choose.where.items())))


def test_every_stage_has_a_section():
    assert {stage: type(getattr(DEFAULTS, stage.value)) for stage in Stage} == {s: SECTIONS[s.value] for s in Stage}


# --- fingerprints and secrets --------------------------------------------------------------------


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3) | st.none(), max_size=4))
def test_equal_values_have_equal_fingerprints(values):
    backwards = dict(reversed(list(values.items())))
    assert settings_hash(Stage.SCAN, values) == settings_hash(Stage.SCAN, backwards)
    assert settings_hash(Stage.SCAN, values) != settings_hash(Stage.SCAN, {**values, "one more": 1})
    assert settings_hash(Stage.SCAN, values) != settings_hash(Stage.DEDUPE, values)
    assert len(settings_hash(values)) == 32


def plan_of(config):
    """A plan made of every section of `config`, as the stages make theirs."""
    sections = {s.value: getattr(config, s.value).model_dump(mode="json") for s in Stage}
    unit = Unit(name="part-00000", inputs={}, fingerprint=settings_hash(sections))
    return Plan(
        stage=Stage.SCAN,
        output="file:///out",
        config=sections,
        software={},
        inputs={},
        parents=[],
        roots=[],
        funnel=[],
        units=[unit],
        options=config.storage,
    )


def test_storage_options_are_in_no_fingerprint_and_in_no_plan():
    open_ = plan_of(DEFAULTS)
    secret = plan_of(check_config({**LEAST, "storage": {"s3": {"key": "me", "secret": "S3CR3T"}}}, origin="test"))
    assert secret.options == {"s3": {"key": "me", "secret": "S3CR3T"}}
    assert secret.fingerprint == open_.fingerprint
    assert secret.units == open_.units
    assert "S3CR3T" not in json.dumps(secret.document())


def test_where_the_work_runs_is_in_no_fingerprint():
    spark = {"master": "local[7]", "conf": {"spark.executor.memory": "9g"}}
    elsewhere = plan_of(check_config({**LEAST, "output": "elsewhere", "spark": spark}, origin="test"))
    assert elsewhere.fingerprint == plan_of(DEFAULTS).fingerprint
    changed = plan_of(check_config({**LEAST, "choose": {"keep": "light"}}, origin="test"))
    assert changed.fingerprint != plan_of(DEFAULTS).fingerprint


def test_a_refused_secret_is_not_repeated():
    with pytest.raises(InputError) as error:
        check_config({**LEAST, "storage": {"s3": "S3CR3T"}}, origin="test")
    assert "S3CR3T" not in str(error.value)


def test_a_secret_that_cannot_be_parsed_is_not_repeated(written):
    with pytest.raises(InputError, match=r"^--set storage\.s3\.secret: ") as error:
        load_config(written(LEAST), ["storage.s3.secret=[S3CR3T"])
    assert "S3CR3T" not in str(error.value)


def test_sections_can_be_written_down():
    for stage in Stage:
        json.dumps(getattr(DEFAULTS, stage.value).model_dump(mode="json"))


# --- text -----------------------------------------------------------------------------------------


def test_light_cannot_be_kept_when_only_heavy_is_measured():
    problems = refusal({"score": {"ask": "heavy"}, "choose": {"keep": "light"}})
    assert problems == "  (top): choose.keep: light needs score.ask: light; score.ask: heavy measures only rich text"
    assert check_config({**LEAST, "score": {"ask": "heavy"}}, origin="test").score.ask == "heavy"


def test_bounds_of_one_step_can_be_set_alone(written):
    config = load_config(written(LEAST), ["score.bounds.density.drop_heavy=0.25"])
    assert config.score.bounds.density.drop_heavy == 0.25
    assert config.score.bounds.density.drop_light == DEFAULTS.score.bounds.density.drop_light
    assert config.score.bounds.read == DEFAULTS.score.bounds.read


def test_a_later_file_wins(written, tmp_path):
    first = written({**LEAST, "score": {"max_lines": 2}, "choose": {"min_heavy_score": 0.9}})
    second = tmp_path / "thresholds.yaml"
    second.write_text(yaml.safe_dump({"choose": {"min_heavy_score": 0.8}}))
    config = load_config([first, str(second)])
    assert (config.choose.min_heavy_score, config.score.max_lines, config.output) == (0.8, 2, "out")


def test_a_file_in_a_bucket_that_does_not_exist():
    with (
        bucket_of("bucket"),
        pytest.raises(StorageUnavailable, match=r"s3://nobody/p\.yaml: there is no bucket nobody"),
    ):
        load_config("s3://nobody/p.yaml")
