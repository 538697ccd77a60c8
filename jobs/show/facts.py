"""What commands find out before they print it."""

from dataclasses import dataclass

from manifests.format.schema import Stage


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


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A file that a text engine loads: its place and size, None when missing, and what is to be said about it."""

    path: str
    size_bytes: int | None
    note: str


@dataclass(frozen=True, kw_only=True)
class EngineModels:
    """The files of a text engine, or the problem for which it has none that could be named."""

    engine: str
    problem: str | None
    files: tuple[FoundModel, ...]
