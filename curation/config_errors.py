"""What a configuration is refused for, in the words of those who wrote it: names of settings, or of options."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pydantic

_VARIANTS = "choose_variants"
_REPLACED = {
    "scan.tars_per_unit": "scan.unit_bytes",
    "scan.files_per_unit": "scan.unit_bytes",
    "dedupe.neighbours": None,
    "dedupe.fingerprints_per_cell": "dedupe.cell_bytes",
    "dedupe.pictures_per_cell": "dedupe.cell_bytes",
}
"""Settings of earlier versions, and what is set instead, if anything."""


def describe_errors(
    error: pydantic.ValidationError, root: type[pydantic.BaseModel], *, origin: str, options: Mapping[str, str]
) -> str:
    """Return every wrong entry, one a line, below a line that starts with `origin`.

    An unknown name comes with the nearest known name of `root`. `options` is the dotted name of a setting → the
    option of the command line that gave its value, by which that value is named. If all wrong values are values of
    options, `origin` is left out.
    """
    # A default that depends on other settings is unknown while one of them is wrong; that one is named.
    entries = [_as_written(each) for each in error.errors() if each["type"] != "default_factory_not_called"]
    lines = [_by_option(each, options) for each in entries]
    if all(lines):
        return "\n  ".join(map(str, lines))
    problems = [line or _by_name(each, root) for line, each in zip(lines, entries, strict=True)]
    return "\n  ".join([f"{origin}: the configuration is refused, nothing was started", *problems])


def _as_written(error: Any) -> dict[str, Any]:
    """Return an error with the place that the user wrote: variants are written in `choose`."""
    place = error["loc"]
    return {**error, "loc": ("choose", *place[1:]) if place[:1] == (_VARIANTS,) else place}


def _by_option(error: Mapping[str, Any], options: Mapping[str, str]) -> str | None:
    """Return what is wrong with the value of an option, or with several together; None when no option gave it."""
    message = _message(error)
    place = [str(part) for part in error["loc"]]
    for length in range(len(place), 0, -1):
        if option := options.get(".".join(place[:length])):
            return f"{option} {error['input']}: {message}"
    if len(place) != 1:
        return None
    named = message  # of several settings of one section
    for setting, option in options.items():
        section, _, name = setting.rpartition(".")
        if section == place[0]:
            named = re.sub(rf"\b{re.escape(name)}\b(: false)?", option, named, count=1)
    return None if named == message else named


def _by_name(error: Mapping[str, Any], root: type[pydantic.BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(top)"
    if error["type"] != "extra_forbidden":
        return f"{where}: {_message(error)}"
    if where in _REPLACED:
        instead = _REPLACED[where]
        return f"{where}: no longer a setting; " + (f"set {instead} instead, or nothing" if instead else "remove it")
    *parents, name = (str(part) for part in error["loc"])
    known = [field.alias or each for each, field in _section_at(root, parents).model_fields.items()]
    known = [each for each in known if each != _VARIANTS]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"{where}: unknown; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _section_at(root: type[pydantic.BaseModel], names: Sequence[str]) -> type[pydantic.BaseModel]:
    """Return the section at a path of names; a name that users choose, as of a filter or a variant, is skipped."""
    section = root
    for name in names:
        if field := section.model_fields.get(name):
            section = _section_in(field.annotation) or section
    return section


def _section_in(annotation: Any) -> type[pydantic.BaseModel] | None:
    """Return the section within a type such as `dict[str, FilterConfig]` or `EmbeddingConfig | None`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _section_in(each))), None)
