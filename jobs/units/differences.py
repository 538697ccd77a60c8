"""How two sets of settings differ, one clause for each setting."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Return a clause for each value that differs as JSON, with its path: `a.b: 1 → 2`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in sorted(set(old) | set(new))
            for line in differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        ]
    before, after = json.dumps(old, default=str), json.dumps(new, default=str)
    return [] if before == after else [f"{name}: {_short(before)} → {_short(after)}"]


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def first(lines: Sequence[str], shown: int = 10) -> list[str]:
    """Return the first lines, and how many more there are."""
    return [*lines[:shown], *([f"… and {len(lines) - shown:,} more"] if len(lines) > shown else [])]
