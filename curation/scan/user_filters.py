"""User filters: loaded by dotted path, run on each decoded picture, their values stored as JSON.

They are built once in each process that measures, and are never pickled. Their values are stored as one text, the
column `measures`, because the columns of a manifest do not depend on who made it (docs/adr/0011).
"""

import json
import math
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filters.protocol import Filter, FilterError, FilterFailed, Measured, Rgb, load_filter
from manifests.format.digest import settings_hash
from manifests.redaction import redact

UserFilters = Sequence[tuple[str, Filter]]
"""Filters, with the names that the user gave them."""

FilterSpecs = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Name → (dotted path of the class, its arguments) of filters to build."""

DECIMALS = 6
WHOLE_NUMBERS = range(-(2**63), 2**63)
_NEXT = "fix it and run the same command again, or remove it from scan.filters"


def load_user_filters(specs: FilterSpecs) -> UserFilters:
    """Return new filters, as configured. Raises FilterError, naming the setting, as `load_filter` does."""
    return tuple((name, _load(name, path, options)) for name, (path, options) in specs.items())


def _load(name: str, path: str, options: Mapping[str, Any]) -> Filter:
    try:
        return load_filter(path, **options)
    except FilterError as e:
        raise type(e)(f"scan.filters.{name}: {e}") from e


def cached_user_filters(specs: FilterSpecs) -> UserFilters:
    """Return this process's filters, which are built on the first call. Raises as `load_user_filters` does."""
    key = settings_hash(list(specs.items()))
    if key not in _BUILT:
        _BUILT.clear()
        _BUILT[key] = load_user_filters(specs)
    return _BUILT[key]


_BUILT: dict[str, UserFilters] = {}


def filter_versions(filters: UserFilters) -> dict[str, str]:
    """Return the versions of filters, as in a manifest's `software`."""
    return {f"filter.{name}": each.version for name, each in filters}


def recorded_settings(specs: FilterSpecs) -> dict[str, Any]:
    """Return the filters' settings as a manifest records them: redacted, with a hash that changes with a secret."""
    return {
        name: {"class": path} | ({"options": redact(options), "mark": settings_hash(options)} if options else {})
        for name, (path, options) in specs.items()
    }


def measure_user_filters(rgb: Rgb, filters: UserFilters) -> str | None:
    """Return what the filters measure on `rgb`, (height, width, 3) uint8, as JSON; None without filters.

    Keys are `name.column`, sorted; numbers have at most six decimals; equal values give equal texts. Raises
    FilterFailed, naming the filter, when one raises, or returns other columns than it declares or a value that cannot
    be stored.
    """
    if not filters:
        return None
    found: dict[str, Measured] = {}
    for name, each in filters:
        for column, value in _measured(rgb, name, each).items():
            found[f"{name}.{column}"] = _json_value(value, f"filter {name!r} measured {column}")
    return json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _measured(rgb: Rgb, name: str, user_filter: Filter) -> Mapping[str, Any]:
    picture = rgb.view()  # a new one for each filter, which could change even its shape
    picture.flags.writeable = False
    try:
        values: object = user_filter.measure(picture)
    except Exception as e:
        raise FilterFailed(f"filter {name!r} raised {_describe(e)}; {_NEXT}") from e
    if not isinstance(values, Mapping):
        raise FilterFailed(f"filter {name!r} returned a {type(values).__name__}, not a mapping from columns; {_NEXT}")
    if set(values) != set(user_filter.columns):
        raise FilterFailed(
            f"filter {name!r} returned {_list(values)}, but its columns are {_list(user_filter.columns)}; {_NEXT}"
        )
    return values


def _json_value(value: object, what: str) -> Measured:
    """Return `value` as it is stored in JSON, the same on every machine."""
    if value is None:
        return None
    if isinstance(value, str):
        if not _is_unicode(value):
            raise FilterFailed(f"{what} as a text with an unpaired surrogate, which UTF-8 cannot store; {_NEXT}")
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value not in WHOLE_NUMBERS:
            raise FilterFailed(f"{what} as {value}, which does not fit in 64 bits: return a float or a text; {_NEXT}")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FilterFailed(f"{what} as {value}: return None where there is nothing to measure; {_NEXT}")
        return round(float(value), DECIMALS) + 0.0  # makes -0.0 and 0.0 one value
    raise FilterFailed(f"{what} as a {type(value).__name__}: return a float, an int, a str or None; {_NEXT}")


def _is_unicode(text: str) -> bool:
    return text == text.encode("utf-8", "replace").decode()


def _list(columns: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, columns))) or "nothing"


def _describe(error: Exception) -> str:
    """Return an error and where it was raised, in one line."""
    *_, last = traceback.extract_tb(error.__traceback__)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
