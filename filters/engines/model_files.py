"""The files that text engines load: where they are, and what to do if one is missing."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filters.protocol import BUILT_IN_ENGINES, EngineUnavailable


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file that an engine loads: its path, and what to do if it is missing.

    `url` and `md5` are its publisher's, if curate can fetch it.
    """

    path: Path
    advice: str
    url: str | None = None
    md5: str | None = None


def path_from_home(text: str) -> Path:
    """Return `text` as a path, with `~` or `~user` at its beginning replaced by the home folder.

    Raises `EngineUnavailable` when there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as e:
        raise EngineUnavailable(f"{text}: {e}; write the path without ~") from e


def model_files(engine: str, **options: object) -> Sequence[ModelFile]:
    """Return the files that a built-in engine loads, existing or not; `options` are its options that choose files.

    No file is loaded. Raises `EngineUnavailable` if a package is missing, or no model fits the options.
    """
    module_name = BUILT_IN_ENGINES[engine].partition(":")[0]
    found: Sequence[ModelFile] = importlib.import_module(module_name).model_files(**options)
    return found


def check_model_files(engine: str, files: Sequence[ModelFile]) -> None:
    """Raise `EngineUnavailable` with the first of `files` that is missing, and its advice."""
    for file in files:
        if not file.path.is_file():
            raise EngineUnavailable(f"text engine {engine!r}: model file {file.path} is missing; {file.advice}")
