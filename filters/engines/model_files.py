"""The files that text engines load: which they are, where they lie, and what to do where one is missing."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filters.protocol import BUILT_IN_ENGINES, EngineUnavailable


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file that an engine loads: its place, and what to do where it is missing.

    `url` and `md5` are those of its publisher, where curate can fetch it.
    """

    path: Path
    advice: str
    url: str | None = None
    md5: str | None = None


def path_from_home(text: str) -> Path:
    """Return the path that `text` is, with the home folder that it may begin with (`~/models`).

    Raises `EngineUnavailable` when there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as e:
        raise EngineUnavailable(f"{text}: {e}; write the path without ~") from e


def model_files(engine: str, **options: object) -> Sequence[ModelFile]:
    """Return the files that a built-in engine loads, there or not; `options` are those of its that choose files.

    Loads none of them. Raises `EngineUnavailable` if a package is missing, or no model fits the options.
    """
    module_name = BUILT_IN_ENGINES[engine].partition(":")[0]
    found: Sequence[ModelFile] = importlib.import_module(module_name).model_files(**options)
    return found


def check_model_files(engine: str, files: Sequence[ModelFile]) -> None:
    """Raise `EngineUnavailable` that names the first of `files` that is missing, and says what to do."""
    for file in files:
        if not file.path.is_file():
            raise EngineUnavailable(f"text engine {engine!r}: model file {file.path} is missing; {file.advice}")
