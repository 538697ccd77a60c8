"""The embedder that the configuration names, loaded once in the life of a process."""

from dataclasses import dataclass, field

from filters.embedding import Embedder, Preprocessing, load_embedder
from filters.protocol import FilterError, FilterUnavailable


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model to load: a file, a folder or a name, and how pictures are prepared for it."""

    path: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    download: bool = False


def load(model: Model) -> Embedder:
    """Return a new embedder. Raises FilterError, naming the setting, as `load_embedder` does."""
    try:
        return load_embedder(model.path, preprocessing=model.preprocessing, download=model.download)
    except FilterError as e:
        raise type(e)(f"scan.embedding: {e}") from e


def embedder(model: Model, version: str) -> Embedder:
    """Return this process's embedder, loaded once in its life; `version` is the one that the driver found.

    Raises FilterUnavailable when it is another here, and as `load` does.
    """
    key = (model, version)
    if key not in _LOADED:
        _LOADED.clear()
        found = load(model)
        if found.version != version:
            raise FilterUnavailable(
                f"scan.embedding: the model here is {found.version}, on the driver {version}; put the same files and "
                "packages on every machine"
            )
        _LOADED[key] = found
    return _LOADED[key]


_LOADED: dict[tuple[Model, str], Embedder] = {}
