"""Features in Parquet: a row for each image, with its key, its vector, and why it has none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.features.extract import Extracted
from curation.features.nearest import Vectors
from manifests import storage
from manifests.errors import InputError
from manifests.format.parquet_files import open_parquet

FACTS = b"curate"
OWN_COLUMNS = ("key", "vector", "problem")
DTYPES = {"float16": pa.float16(), "float32": pa.float32()}
_DESCRIBED = {
    "key": "permanent, unique name of the sample",
    "vector": "what the model sees: a vector of length 1; null if there is a problem",
    "problem": "why there is no vector",
}


def schema(dimensions: int, dtype: str, columns: Sequence[pa.Field], facts: Mapping[str, Any]) -> pa.Schema:
    """Return the columns of a file of features; `columns` are further ones, `facts` what it was made from."""
    kinds = {"key": pa.string(), "vector": pa.list_(DTYPES[dtype], dimensions), "problem": pa.string()}
    fields = [
        pa.field(name, kind, nullable=name != "key", metadata={"description": _DESCRIBED[name]})
        for name, kind in kinds.items()
    ]
    return pa.schema([*fields, *columns], metadata={FACTS: json.dumps(facts, sort_keys=True).encode()})


def facts_of(stored: pa.Schema) -> dict[str, Any]:
    """Return what a file of features was made from. Raises InputError for any other file's schema."""
    found: dict[str, Any] = json.loads((stored.metadata or {}).get(FACTS, b"{}"))
    if not {"model", "manifest"} <= found.keys() or "vector" not in stored.names:
        raise InputError("not a file of features; `curate embed` writes them")
    return found


def table(found: Sequence[Extracted], further: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return rows of a file of features, whose columns are `wanted`; `further` has the further columns."""
    kind = wanted.field("vector").type
    vectors = np.zeros((len(found), kind.list_size), kind.value_type.to_pandas_dtype())
    for place, each in enumerate(found):
        if each.vector is not None:
            vectors[place] = each.vector
    without = pa.array([each.vector is None for each in found], pa.bool_())
    columns = [
        pa.array([each.key for each in found], pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), kind.value_type), kind.list_size, mask=without),
        pa.array([each.problem or None for each in found], pa.string()),
        *further.columns,
    ]
    return pa.Table.from_arrays(columns, schema=wanted)


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of pictures, a row each.

    `keys` are their keys, `vectors` is (rows, dimensions) float32, `columns` has the further columns of the rows,
    `model` names the network and all else that a vector depends on.
    """

    keys: tuple[str, ...]
    vectors: Vectors
    columns: pa.Table
    model: str

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[Any] | Sequence[int]) -> "Features":
        """Return these rows: their numbers, or a Boolean for each row."""
        places = np.arange(len(self))[np.asarray(rows)]
        return Features(
            keys=tuple(self.keys[place] for place in places),
            vectors=self.vectors[places],
            columns=self.columns.take(pa.array(places)),
            model=self.model,
        )


def read(uri: str) -> Features:
    """Return the features in the file at `uri`, a path or any fsspec URI; rows without a vector are left out.

    Raises InputError when it is no file of features, and FileNotFoundError or StorageUnavailable.
    """
    try:
        with open_parquet(storage.absolute(uri)) as file:
            facts, stored = facts_of(file.schema), file.schema
            rows = pa.Table.from_batches(file.batches(), stored)
    except (InputError, pa.ArrowInvalid) as e:
        raise InputError(f"{uri}: {e}") from e
    rows = rows.filter(rows["vector"].is_valid()).combine_chunks()
    flat = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Features(
        keys=tuple(rows["key"].to_pylist()),
        vectors=flat.astype(np.float32).reshape(len(rows), stored.field("vector").type.list_size),
        columns=rows.drop_columns(["key", "vector", "problem"]),
        model=facts["model"],
    )


def in_common(first: Features, second: Features) -> tuple[Features, Features]:
    """Return the rows of both whose keys both have, in the order of the first."""
    places = {key: place for place, key in enumerate(second.keys)}
    mine = [place for place, key in enumerate(first.keys) if key in places]
    return first.take(mine), second.take([places[first.keys[place]] for place in mine])
