"""What `choose` would keep of a scored manifest with other settings, counted without writing anything."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from curation.choosing.what_if import Choice, Outcome, count_outcomes
from curation.config_choose import ChooseConfig
from curation.config_files import parse_yaml
from manifests.errors import InputError
from manifests.format.store import Manifest
from manifests.sql.engine import Engine

MAX_COMBINATIONS = 1000


def what_if(manifest: Manifest, settings: Sequence[ChooseConfig], engine: Engine) -> list[Outcome]:
    """Return how many rows of `manifest` each of `settings` keeps, and drops for which reason.

    The manifest needs the columns of a scored one, so a chosen manifest and shards will do, too. All settings are
    counted in one pass. Raises as `count_outcomes` does.
    """
    choices = [Choice(rules=each.rules(), wanted=each.wanted_rows(manifest.rows)) for each in settings]
    return count_outcomes(manifest, choices, engine)


def values_tried(text: str) -> tuple[str, list[Any]]:
    """Return the name and the values of a text such as `min_heavy_score=0.4,0.5`, whose values are YAML.

    Raises InputError when it is not of that form.
    """
    name, equals, values = text.partition("=")
    if not (equals and name and values.strip()):
        raise InputError(f"--what-if {text}: write NAME=VALUE,..., for example min_heavy_score=0.4,0.5,0.6")
    found: list[Any] = parse_yaml(f"[{values}]", origin=f"--what-if {name}")
    return name, found


def combinations(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return each combination of the values, as name → value. Raises InputError if they are too many."""
    count = math.prod(map(len, values.values()))
    if count > MAX_COMBINATIONS:
        raise InputError(f"--what-if: {count:,} combinations of values; give at most {MAX_COMBINATIONS:,}")
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]
