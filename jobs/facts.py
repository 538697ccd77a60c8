"""What commands find out before they print it."""

from dataclasses import dataclass

from manifests.schema import Stage


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a stage would do: `state` is `up to date`, `resume`, `run`, or `after …` the stage it waits for."""

    stage: Stage
    output: str
    state: str
    units: int | None = None
    units_done: int | None = None
    size_bytes: int | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing `curate doctor` looked at."""

    name: str
    is_good: bool
    found: str
    mend: str
