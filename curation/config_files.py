"""Reads pipeline files: plain YAML, later files over earlier ones, `--set section.name=value` over all files.

A text is always that text: nothing in it is a reference or a variable. YAML is version 1.1, as PyYAML reads it, with
three differences: a key that is given twice is an error, a date is a text, and aliases cannot expand without bound.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from curation.config import PipelineConfig, StepsConfig, StrictnessConfig, check_config, flat_settings
from curation.config_types import Section
from manifests import storage
from manifests.errors import InputError, StorageUnavailable

MAX_FILE_BYTES = 32 << 20
MAX_ALIASED_VALUES = 10_000
_ALLOWED_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")
)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_FLOAT = "tag:yaml.org,2002:float"
# PyYAML raises the builtin ones for wrong scalars, such as `!!int x`.
_WRONG_TEXT = (yaml.YAMLError, ValueError, LookupError, OverflowError)
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$|[-+]?[0-9][0-9_]*\.[0-9_]*[eE][0-9]+$")


class _FileLoader(yaml.SafeLoader):
    """PyYAML's safe loader, for values that JSON can represent; refuses duplicate keys and excessive aliases."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's way to configure a loader
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_document(self, node: yaml.Node) -> Any:
        sizes: dict[int, int | None] = {}
        if _checked_size(node, sizes) > len(sizes) + MAX_ALIASED_VALUES:
            raise _error(node, f"aliases repeat more than {MAX_ALIASED_VALUES:,} values; write fewer")
        return super().construct_document(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in _ALLOWED_TAGS:
            raise _error(node, f"{node.tag.replace('tag:yaml.org,2002:', '!!')} cannot be used here; quote the text")
        return super().construct_object(node, deep=deep)


class _ValueLoader(_FileLoader):
    """Reads the value of `--set`, where 1e-3 is a number; in a file, YAML 1.1 makes a text of it."""


_ValueLoader.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+0123456789"))


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _checked_size(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return how many values `node` has when every alias is replaced by what it names.

    `sizes` collects the size of each node. Raises MarkedYAMLError for a duplicate key and an alias within its anchor.
    """
    if id(node) in sizes:
        known = sizes[id(node)]
        if known is None:
            raise _error(node, "an alias names the value that contains it; write the value out")
        return known
    sizes[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        _require_distinct([key for key, _ in node.value])
        children = [each for pair in node.value for each in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    size = 1 + sum(_checked_size(child, sizes) for child in children)
    sizes[id(node)] = size
    return size


def _require_distinct(keys: Sequence[yaml.Node]) -> None:
    seen = set()
    for key in keys:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if (key.tag, key.value) in seen:
            raise _error(key, f"{key.value} is set twice; keep one of them")
        seen.add((key.tag, key.value))


def parse_yaml(text: str, *, origin: str) -> Any:
    """Return the value of a YAML document. Raises InputError with `origin` and the line of what is wrong."""
    return _parse(text, _FileLoader, origin)


def _parse(text: str, loader: type[_FileLoader], origin: str) -> Any:
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        where = f"{origin}, line {mark.line + 1}" if mark and loader is _FileLoader else origin
        raise InputError(f"{where}: {', '.join(filter(None, (e.context, e.problem)))}") from e
    except _WRONG_TEXT as e:
        raise InputError(f"{origin}: {e}") from e
    except RecursionError as e:
        raise InputError(f"{origin}: nested too deeply to be a pipeline file") from e


def merge_settings(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `defaults` with `overrides` over them: mappings are merged at every depth, all else is replaced."""
    merged = dict(defaults)
    for name, value in overrides.items():
        before = merged.get(name)
        if isinstance(value, Mapping):
            value = merge_settings(before if isinstance(before, Mapping) else {}, value)  # noqa: PLW2901
        merged[name] = value
    return merged


def load_config(
    path: str | Sequence[str] | None,
    overrides: Sequence[str] = (),
    *,
    last: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
) -> PipelineConfig:
    """Return the checked configuration: the YAML files at `path` (any URIs), `section.name=value` overrides, `last`.

    What comes later wins. `options` names the options of the command line that gave settings, by the dotted names of
    the settings. Raises InputError that names every wrong entry, with the nearest known name for an
    unknown one.
    """
    paths = [path] if isinstance(path, str) else list(path or ())
    values = read_layers(paths, overrides)
    for name, value in (last or {}).items():
        wrong = isinstance(value, Mapping) and not isinstance(values.get(name, {}), Mapping | None)
        if not wrong:  # else it stays, to be reported
            values = merge_settings(values, {name: value})
    return check_config(values, origin=" + ".join(paths) or "--set", options=options)


def read_layers(paths: Sequence[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of the YAML files at `paths` under `section.name=value` overrides, unchecked.

    Raises InputError when a file cannot be read, or an override is not of that form.
    """
    values: dict[str, Any] = {}
    for layer in [*map(_read_file, paths), *map(parse_override, overrides)]:
        values = merge_settings(values, _with_flat_conf(layer))
    return values


def parse_override(text: str) -> dict[str, Any]:
    """Return `section.name=value`, whose value is YAML, as nested mappings. Raises InputError when it is not that."""
    name, equals, value = text.partition("=")
    names = name.split(".")
    if not equals or not all(names):
        raise InputError(f"--set {text}: write section.name=value")
    parsed = _parse(value, _ValueLoader, f"--set {name}")  # the value may be a secret
    for each in reversed(names):
        parsed = {each: parsed}
    return dict(parsed)


def _with_flat_conf(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `layer` with the names of Spark settings dotted, so that a later layer replaces them however written."""
    spark = layer.get("spark")
    if not isinstance(spark, Mapping) or not isinstance(spark.get("conf"), Mapping):
        return layer
    return {**layer, "spark": {**spark, "conf": flat_settings(spark["conf"])}}


def _read_file(path: str) -> dict[str, Any]:
    try:
        content = storage.read_bytes(storage.absolute(path), end=MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise InputError(f"{path}: more than {MAX_FILE_BYTES >> 20} MiB; name a pipeline file")
        values = parse_yaml(content.decode(), origin=path)
    except StorageUnavailable:
        raise
    except FileNotFoundError as e:
        raise InputError(f"{path}: no such file; `curate init` writes one to start from") from e
    except OSError as e:
        raise InputError(f"{path}: not readable ({e}); name a pipeline file") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: not UTF-8 ({e.reason} at byte {e.start}); name a pipeline file") from e
    if not isinstance(values, dict):
        raise InputError(f"{path}: a pipeline file is a mapping with at least `input` and `output`")
    return values


def template() -> str:
    """Return a commented pipeline file with every setting at its default."""
    lines = [
        "# A pipeline for `curate run`. Every setting is shown with its default; delete what you do not change.",
        "# What choose.preset decides is a comment: a setting that is given wins over the preset.",
        "",
    ]
    for name, field in PipelineConfig.model_fields.items():
        if name == "choose_variants":  # they are written in `choose`
            continue
        lines += [f"# {field.description}"] if field.description else []
        if name == "input":
            lines += ["input:", "  - data/{00000..00007}.tar", ""]
        elif name == "output":
            lines += ["output: out", ""]
        elif isinstance(field.default, Section):
            lines += [f"# {(type(field.default).__doc__ or '').strip()}", f"{name}:"]
            lines += [f"  {line}" for line in _settings(field.default)] + [""]
        else:
            lines += [f"{name}: {{}}"]
    return "\n".join(lines) + "\n"


def _settings(section: Section) -> Iterator[str]:
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        if isinstance(field.default, StepsConfig | StrictnessConfig):
            yield f"{name}:  # {field.description}"
            yield from (f"  {line}" for line in _settings(field.default))
            continue
        text = yaml.safe_dump(values[name], default_flow_style=True).removesuffix("...\n").strip()
        sign = "# " if field.default_factory_takes_validated_data else ""
        yield f"{sign}{name}: {text}  # {field.description}"
