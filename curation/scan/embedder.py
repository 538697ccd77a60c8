"""The embedder that the configuration names, loaded once in each process."""

from dataclasses import dataclass, field

from filters.embedding import Embedder, Preprocessing, load_embedder
from filters.protocol import FilterError, FilterUnavailable


@dataclass(frozen=True, kw_only=True)
class EmbeddingModel:
    """A model: its file, folder or name, how pictures are prepared for it, and whether it may be downloaded."""

    path: str
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    download: bool = False


def load(model: EmbeddingModel) -> Embedder:
    """Return a new embedder. Raises FilterError, naming the setting, as `load_embedder` does."""
    try:
        return load_embedder(model.path, preprocessing=model.preprocessing, download=model.download)
    except FilterError as e:
        raise type(e)(f"scan.embedding: {e}") from e


def embedder(model: EmbeddingModel, version: str) -> Embedder:
    """Return this process's embedder, which is loaded on the first call; `version` is the driver's.

    Raises FilterUnavailable when the version here differs, and as `load` does.
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


_LOADED: dict[tuple[EmbeddingModel, str], Embedder] = {}
