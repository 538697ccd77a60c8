"""What a filter and a text engine promise, the values they exchange, and how an engine is found by name.

Errors, all of them advice as text::

    FilterError
    ├── EngineUnavailable      the engine is known, but cannot be built here (a model or package is missing)
    └── UnknownEngine          no engine has this name, or the dotted path leads nowhere
"""

import difflib
import hashlib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""A picture, (height, width, 3): decoded, EXIF-oriented and composited on white by the caller."""

Measured = float | int | str | None

BUILT_IN_ENGINES: Mapping[str, str] = {
    "rapidocr": "filters.rapidocr_engine:RapidOcrEngine",
    "easyocr": "filters.easyocr_engine:EasyOcrEngine",
    "tesseract": "filters.tesseract_engine:TesseractEngine",
}


class FilterError(Exception):
    """Something about a filter is wrong that the user can put right; the text says how."""


class EngineUnavailable(FilterError):
    """The engine is known but cannot be built here: a model, a package or an option is missing or wrong."""


class UnknownEngine(FilterError):
    """The name is no built-in engine, and no class can be imported from it."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Detected text lines.

    `quads` is (N, 4, 2) float32: x, y of the corners in the picture's own pixels, clockwise from the top left
    as the line is read. `scores` is (N,) float32 in [0, 1]: how sure the detector is of each.
    """

    quads: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.quads.shape != (count, 4, 2) or self.scores.shape != (count,):
            raise ValueError(
                f"Boxes: quads {self.quads.shape} do not fit scores {self.scores.shape}; "
                "an engine must return quads (N, 4, 2) and scores (N,)"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, positions: Sequence[int]) -> "Boxes":
        """Return the boxes at `positions`, in that order."""
        chosen = np.asarray(positions, dtype=np.intp)
        return Boxes(quads=self.quads[chosen], scores=self.scores[chosen])

    def heights_pixels(self) -> NDArray[np.float32]:
        """Return each line's thickness, (N,) float32 pixels: the shorter side of its quad."""
        along, across = self._sides()
        return np.minimum(along, across)

    def areas_pixels(self) -> NDArray[np.float32]:
        """Return each line's area, (N,) float32 square pixels."""
        along, across = self._sides()
        return along * across

    def _sides(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        edges = np.linalg.norm(self.quads - np.roll(self.quads, -1, axis=1), axis=2)
        return (edges[:, 0] + edges[:, 2]) / np.float32(2), (edges[:, 1] + edges[:, 3]) / np.float32(2)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One recognised line: its text, and the mean confidence of its characters in [0, 1]."""

    text: str
    confidence: float


class Filter(Protocol):
    """A measurement of one picture: it says what it saw, never whether to keep the picture.

    `version` changes whenever the same pixels could measure differently. `columns` are the keys of every
    mapping that `measure` returns.
    """

    @property
    def name(self) -> str:
        """The name it goes by in a manifest."""
        ...

    @property
    def version(self) -> str:
        """What its numbers depend on."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it fills."""
        ...

    def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
        """Return one value for each of `columns`."""
        ...


@runtime_checkable
class TextEngine(Protocol):
    """Finds lines of text in pictures and reads them.

    Built inside the worker from plain options, so that it never has to be pickled. Pictures come in batches, for
    engines that gain by it; the same picture must give the same numbers, whatever was measured before it or is
    measured beside it. `version` names the engine, its version and its model files with a short sha256, for it
    says which numbers may be compared.
    """

    @property
    def name(self) -> str:
        """The name it goes by in a manifest."""
        ...

    @property
    def version(self) -> str:
        """What its numbers depend on."""
        ...

    def detect(self, pictures: Sequence[Rgb], *, max_area_pixels: int) -> Sequence[Boxes]:
        """Return, for each picture, the text lines seen in it shrunk (never enlarged) to about `max_area_pixels`."""
        ...

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> Sequence[Sequence[Line]]:
        """Return, for each picture, one `Line` for each of its `boxes`, in their order."""
        ...


def model_mark(path: Path) -> str:
    """Return the name of a model file with a short sha256, as an engine's `version` names it."""
    return f"{path.stem}@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


def load_engine(name: str, **options: object) -> TextEngine:
    """Return a new engine: a built-in one by name, or anybody's by its dotted path, `package.module:Class`.

    `options` go to the class as keyword arguments. Raises `UnknownEngine` if there is no such name, module or
    class, and `EngineUnavailable` if the class does not take `options` or does not build a `TextEngine`.
    """
    path = BUILT_IN_ENGINES.get(name, name)
    module_name, colon, class_name = path.partition(":")
    if not (colon and module_name and class_name):
        raise UnknownEngine(_unknown_name(name))
    build = getattr(_import_engine_module(module_name, name), class_name, None)
    if not callable(build):
        raise UnknownEngine(f"text engine {name!r}: module {module_name} has no class {class_name}; check it")
    _check_options(build, name, options)
    engine = build(**options)
    if not isinstance(engine, TextEngine):
        raise EngineUnavailable(
            f"text engine {name!r}: {class_name} lacks part of filters.protocol.TextEngine; "
            "give it name, version, detect and read"
        )
    return engine


def _check_options(build: object, name: str, options: Mapping[str, object]) -> None:
    signature = inspect.signature(build)  # type: ignore[arg-type]  # callable: seen by the caller
    try:
        signature.bind(**options)
    except TypeError as error:
        raise EngineUnavailable(f"text engine {name!r}: {error}; its options are {signature}") from error


def _import_engine_module(module_name: str, name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise UnknownEngine(
                f"text engine {name!r}: no module {missing}; check the path, or put it on PYTHONPATH of every worker"
            ) from error
        raise EngineUnavailable(
            f"text engine {name!r}: {module_name} needs package {missing}; install it on every worker"
        ) from error


def _unknown_name(name: str) -> str:
    known = sorted(BUILT_IN_ENGINES)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"text engine {name!r} is not known; {hint} For your own, give its path as package.module:Class"
