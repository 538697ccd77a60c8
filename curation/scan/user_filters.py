"""Filters of the user's own: found by dotted path, run on each decoded picture, their values kept as JSON.

They are built in each process that measures, once in its life, and are never pickled. What they measure becomes one
text, the column `measures`, since a manifest's columns are the same whoever made it (docs/adr/0011).
"""

import json
import math
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filters.protocol import Filter, FilterError, FilterFailed, Measured, Rgb, load_filter
from manifests import storage
from manifests.format.digest import settings_hash

UserFilters = Sequence[tuple[str, Filter]]
"""Filters under the names that the user gave them."""

FilterSpecs = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Name → (dotted path of the class, its arguments) of filters to build."""

DECIMALS = 6
WHOLE_NUMBERS = range(-(2**63), 2**63)
_NEXT = "mend it and run the same command again, or take it out of scan.filters"


def load_user_filters(wanted: FilterSpecs) -> UserFilters:
    """Return new filters, as configured. Raises FilterError, naming the setting, as `load_filter` does."""
    return tuple((name, _load(name, path, options)) for name, (path, options) in wanted.items())


def _load(name: str, path: str, options: Mapping[str, Any]) -> Filter:
    try:
        return load_filter(path, **options)
    except FilterError as e:
        raise type(e)(f"scan.filters.{name}: {e}") from e


def cached_user_filters(wanted: FilterSpecs) -> UserFilters:
    """Return this process's filters; their models are loaded once in its life. Raises as `load_user_filters` does."""
    key = settings_hash(list(wanted.items()))
    if key not in _BUILT:
        _BUILT.clear()
        _BUILT[key] = load_user_filters(wanted)
    return _BUILT[key]


_BUILT: dict[str, UserFilters] = {}


def filter_versions(own: UserFilters) -> dict[str, str]:
    """Return the versions of filters, as a manifest's `software` names them."""
    return {f"filter.{name}": each.version for name, each in own}


def recorded_settings(wanted: FilterSpecs) -> dict[str, Any]:
    """Return the filters' settings as a manifest shows them, redacted; a mark still tells when a secret changed."""
    return {
        name: {"class": path}
        | ({"options": storage.redact(options), "mark": settings_hash(options)} if options else {})
        for name, (path, options) in wanted.items()
    }


def measure_user_filters(rgb: Rgb, own: UserFilters) -> str | None:
    """Return what the filters measure on `rgb`, (height, width, 3), as JSON; None without filters.

    Keys are `name.column`, sorted; numbers have at most six decimals; equal values give equal texts. Raises
    FilterFailed, naming the filter, when one raises, returns other columns than its own, or a value that cannot be
    held.
    """
    if not own:
        return None
    found: dict[str, Measured] = {}
    for name, each in own:
        for column, value in _measured(rgb, name, each).items():
            found[f"{name}.{column}"] = _held(value, f"filter {name!r} measured {column}")
    return json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _measured(rgb: Rgb, name: str, own: Filter) -> Mapping[str, Any]:
    picture = rgb.view()  # one for each, since even a view's shape could be changed
    picture.flags.writeable = False
    try:
        values: object = own.measure(picture)
    except Exception as e:
        raise FilterFailed(f"filter {name!r} raised {_told(e)}; {_NEXT}") from e
    if not isinstance(values, Mapping):
        raise FilterFailed(f"filter {name!r} returned a {type(values).__name__}, not a mapping from columns; {_NEXT}")
    if set(values) != set(own.columns):
        raise FilterFailed(
            f"filter {name!r} returned {_list(values)}, but its columns are {_list(own.columns)}; {_NEXT}"
        )
    return values


def _held(value: object, what: str) -> Measured:
    """Return `value` as JSON holds it, the same whatever the machine."""
    if value is None:
        return None
    if isinstance(value, str):
        if not _is_whole(value):
            raise FilterFailed(f"{what} as a text with half a surrogate pair, which UTF-8 cannot hold; {_NEXT}")
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value not in WHOLE_NUMBERS:
            raise FilterFailed(f"{what} as {value}, which 64 bits cannot hold: return a float or a text; {_NEXT}")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FilterFailed(f"{what} as {value}: return None where there is nothing to measure; {_NEXT}")
        return round(float(value), DECIMALS) + 0.0  # makes -0.0 and 0.0 one value
    raise FilterFailed(f"{what} as a {type(value).__name__}: return a float, an int, a str or None; {_NEXT}")


def _is_whole(text: str) -> bool:
    return text == text.encode("utf-8", "replace").decode()


def _list(columns: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, columns))) or "nothing"


def _told(error: Exception) -> str:
    """Return an error as one line that also says where it was raised."""
    *_, last = traceback.extract_tb(error.__traceback__)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
