"""Checks that the fields of `_manifest.json` have the types that the code expects."""

from collections.abc import Callable, Mapping
from typing import Any

Shape = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "/" not in value and value not in (".", "..")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _many(each: Shape) -> Shape:
    return lambda value: isinstance(value, list | tuple) and all(map(each, value))


def _named(each: Shape) -> Shape:
    return lambda value: isinstance(value, Mapping) and all(map(each, value.values()))


def _either(*shapes: Shape) -> Shape:
    return lambda value: any(is_right(value) for is_right in shapes)


def _record(**shapes: Shape) -> Shape:
    return lambda value: (
        isinstance(value, Mapping)
        and all(name in value and is_right(value[name]) for name, is_right in shapes.items())
    )


_PART = {
    "name": _is_file_name,
    "rows": _is_count,
    "size_bytes": _is_count,
    "sha256": _is_text,
    "files": _named(_is_object),
}
is_part = _record(**_PART)
_REFERENCE = _record(table=_is_text, rows=_is_count, size_bytes=_is_count, sha256=_is_text)


def _or_table(shape: Shape) -> Shape:
    """A field that may be in a table of its own, see manifests.format.tables."""
    return lambda value: shape(value) or _REFERENCE(value)


_SHAPES: Mapping[str, Shape] = {
    "rows": _is_count,
    "digest": _is_text,
    "fingerprint": _is_text,
    "created": _is_text,
    "config": _is_object,
    "software": _is_object,
    "inputs": _is_object,
    "derivation": _is_object,
    "roots": _or_table(_many(_is_text)),
    "counts": _named(_named(_is_count)),
    "funnel": _many(_record(stage=_is_text)),
    "parents": _or_table(_many(_record(uri=_is_text, stage=_is_text, digest=_is_text))),
    "parts": _or_table(_many(is_part)),
    "broken_sources": _or_table(_named(_is_text)),
    "source_warnings": _or_table(_named(_is_text)),
    "taken_down": _or_table(_many(_is_text)),
    "facts": _named(_is_count),
    "files": _or_table(_named(_record(bytes=_is_count, sha256=_is_text))),
    "shuffle": _named(_is_number),
    "cost": _named(_either(_is_number, _named(_is_number))),
}


def wrong_fields(fields: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields of a manifest whose values have a wrong type."""
    return [name for name, is_right in _SHAPES.items() if name in fields and not is_right(fields[name])]
