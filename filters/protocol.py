"""The contracts of filters and text engines, the values they exchange, and how they are loaded by name.

Errors, whose messages say what to do::

    FilterError
    ├── FilterUnavailable          the filter exists, but cannot be built here (a package or an option is wrong)
    │   └── EngineUnavailable      the same for a text engine (or a model is missing)
    ├── UnknownFilter              the dotted path names no class
    │   └── UnknownEngine          the same for a text engine, or no engine has this name
    └── FilterFailed               a filter raised an error on a picture, or broke its contract
"""

import difflib
import hashlib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""A picture, (height, width, 3): decoded, EXIF-oriented and composited on white by the caller."""

Measured = float | int | str | None

BUILT_IN_ENGINES: Mapping[str, str] = {
    "rapidocr": "filters.engines.rapidocr:RapidOcrEngine",
    "easyocr": "filters.engines.easyocr:EasyOcrEngine",
    "tesseract": "filters.engines.tesseract:TesseractEngine",
}


class FilterError(Exception):
    """An error of a filter that the user can fix; the message says how."""


class FilterUnavailable(FilterError):
    """The filter exists but cannot be built here: a package or an option is missing or wrong."""


class EngineUnavailable(FilterUnavailable):
    """The engine is known but cannot be built here: a model, a package or an option is missing or wrong."""


class UnknownFilter(FilterError):
    """No class can be imported from the dotted path."""


class UnknownEngine(UnknownFilter):
    """The name is not a built-in engine, and no class can be imported from it."""


class FilterFailed(FilterError):
    """A filter raised an error on a picture, or returned a value that it did not declare or that cannot be stored."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Detected text lines.

    `quads` is (N, 4, 2) float32: x, y of the corners in pixels of the picture, clockwise from the top left as the
    line is read. `scores` is (N,) float32 in [0, 1]: the detector's confidence in each.
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


@dataclass(frozen=True, kw_only=True)
class TextProbabilities:
    """The probabilities, in [0, 1], that a picture has any text to read (light) and is mostly text (heavy)."""

    light: float
    heavy: float


@runtime_checkable
class Filter(Protocol):
    """A measurement of one picture. It never decides whether to keep the picture.

    It is built inside the worker from plain options, so that it never has to be pickled. `version` changes whenever
    the same pixels could be measured differently. `columns` are the keys of every mapping that `measure` returns.
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

    It is built inside the worker from plain options, so that it never has to be pickled. Pictures come in batches,
    which some engines process faster; the same picture must give the same numbers, whatever else is in its batch or
    was measured before. `version` names the engine, its version and its model files with a short sha256: numbers of
    equal versions can be compared.
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
        """Return the text lines of each picture, found in it shrunk (never enlarged) to about `max_area_pixels`."""
        ...

    def read(self, pictures: Sequence[Rgb], boxes: Sequence[Boxes]) -> Sequence[Sequence[Line]]:
        """Return, for each picture, one `Line` for each of its `boxes`, in their order."""
        ...


def model_id(path: Path) -> str:
    """Return the name of a model file with a short sha256, as used in an engine's `version`."""
    return f"{path.stem}@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What is built from a dotted path: its name in messages, its contract, and its errors."""

    called: str
    contract: type
    unknown: type[UnknownFilter]
    unavailable: type[FilterUnavailable]


_FILTER = _Kind(called="filter", contract=Filter, unknown=UnknownFilter, unavailable=FilterUnavailable)
_ENGINE = _Kind(called="text engine", contract=TextEngine, unknown=UnknownEngine, unavailable=EngineUnavailable)


def load_filter(name: str, /, **options: object) -> Filter:
    """Return a new filter by its dotted path, `package.module:Class`.

    `options` are the keyword arguments of the class. Raises `UnknownFilter` if there is no such module or class, and
    `FilterUnavailable` if the class does not take `options` or does not build a `Filter` with a version and columns.
    """
    if not all(name.partition(":")):
        raise UnknownFilter(f"filter {name!r} is not a path to a class; write package.module:Class")
    built: Filter = _build(_FILTER, name, name, options)
    if not isinstance(built.version, str):
        raise FilterUnavailable(f"filter {name!r}: its version is {built.version!r}; make it a str")
    if not _are_columns(built.columns):
        raise FilterUnavailable(
            f"filter {name!r}: its columns are {built.columns!r}; name each once, in a tuple, "
            "with letters, digits and _"
        )
    return built


def load_engine(name: str, /, **options: object) -> TextEngine:
    """Return a new engine: a built-in one by name, or any other by its dotted path, `package.module:Class`.

    `options` are the keyword arguments of the class. Raises `UnknownEngine` if there is no such name, module or
    class, and `EngineUnavailable` if the class does not take `options` or does not build a `TextEngine`.
    """
    path = BUILT_IN_ENGINES.get(name, name)
    if not all(path.partition(":")):
        raise UnknownEngine(_unknown_name(name))
    built: TextEngine = _build(_ENGINE, name, path, options)
    return built


def _build(kind: _Kind, name: str, path: str, options: Mapping[str, object]) -> Any:
    """Return a new object of the class at `path`, checked against the contract of its kind; messages use `name`."""
    module_name, _, class_name = path.partition(":")
    build = getattr(_import_module(kind, name, module_name), class_name, None)
    if not callable(build):
        raise kind.unknown(f"{kind.called} {name!r}: module {module_name} has no class {class_name}; check it")
    _check_options(kind, name, build, options)
    try:
        built = build(**options)
    except FilterError:
        raise
    except Exception as error:
        raise kind.unavailable(
            f"{kind.called} {name!r}: {class_name} cannot be built: {type(error).__name__}: {error}; "
            f"check its options ({', '.join(options) or 'none are given'})"
        ) from error
    if not isinstance(built, kind.contract):
        members = sorted(each for each in vars(kind.contract) if not each.startswith("_"))
        raise kind.unavailable(
            f"{kind.called} {name!r}: {class_name} lacks part of filters.protocol.{kind.contract.__name__}; "
            f"give it {', '.join(members[:-1])} and {members[-1]}"
        )
    return built


def _are_columns(columns: object) -> bool:
    if not isinstance(columns, tuple) or not columns or len(set(columns)) != len(columns):
        return False
    return all(isinstance(each, str) and each.isidentifier() for each in columns)


def _check_options(kind: _Kind, name: str, build: object, options: Mapping[str, object]) -> None:
    signature = inspect.signature(build)  # type: ignore[arg-type]  # callable: checked by the caller
    try:
        signature.bind(**options)
    except TypeError as error:
        raise kind.unavailable(f"{kind.called} {name!r}: {error}; its options are {signature}") from error


def _import_module(kind: _Kind, name: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise kind.unknown(
                f"{kind.called} {name!r}: no module {missing}; check the path, "
                "or put it on PYTHONPATH of every worker"
            ) from error
        raise kind.unavailable(
            f"{kind.called} {name!r}: {module_name} needs package {missing}; install it on every worker"
        ) from error
    except Exception as error:
        raise kind.unavailable(
            f"{kind.called} {name!r}: {module_name} cannot be imported: {type(error).__name__}: {error}; fix it"
        ) from error


def _unknown_name(name: str) -> str:
    known = sorted(BUILT_IN_ENGINES)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"text engine {name!r} is not known; {hint} For an engine of yours, write its path as package.module:Class"
