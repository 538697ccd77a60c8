"""Labels people gave to samples, read from CSV and found again in a manifest."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from curation.sources.members import split_member
from manifests import storage
from manifests.errors import InputError

Label = Literal["none", "light", "heavy"]

_LABELS: Mapping[str, Label] = {"none": "none", "light": "light", "heavy": "heavy", "some": "light", "rich": "heavy"}
_UNSURE = ("", "unsure")
Place = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What people said: label by key, or by (name of the source, stem of the member)."""

    by_key: Mapping[str, Label]
    by_place: Mapping[Place, Label]
    unsure: int

    def __len__(self) -> int:
        return len(self.by_key) + len(self.by_place)


def read_labels(uri: str) -> Labels:
    """Return the labels in the CSV at `uri` (any fsspec URI).

    It has a column `label` (none, light or some, heavy or rich; empty or unsure is left out) and either `key`, or
    `tar` and `key` as img2dataset counts: the source's name and the member's stem. Debatable labels, those with a
    question mark or a non-empty column `boundary`, count as unsure. Raises InputError that names the line.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(storage.read_bytes(uri).decode("utf-8-sig"))))
    except FileNotFoundError as e:
        raise InputError(f"{uri}: no such file; name a CSV with the columns key and label") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{uri}: not UTF-8 text ({e}); save it as a CSV in UTF-8") from e
    if not rows or not {"key", "label"} <= set(rows[0]):
        found = ", ".join(rows[0]) if rows else "nothing"
        raise InputError(f"{uri}: holds {found}; a file of labels has the columns key (or tar and key) and label")
    by_key: dict[str, Label] = {}
    by_place: dict[Place, Label] = {}
    unsure = 0
    for number, row in enumerate(rows, start=2):
        said = (row["label"] or "").strip()
        if said in _UNSURE or said.endswith("?") or row.get("boundary"):
            unsure += 1
        elif said not in _LABELS:
            raise InputError(f"{uri}: line {number}: label {said!r}; write none, light, heavy, or leave it empty")
        elif row.get("tar"):
            by_place[row["tar"], row["key"]] = _LABELS[said]
        else:
            by_key[row["key"]] = _LABELS[said]
    return Labels(by_key=by_key, by_place=by_place, unsure=unsure)


def label_rows(batches: Iterable[pa.RecordBatch], labels: Labels) -> pa.Table:
    """Return the rows of `batches` that are labelled, with their label in a column of that name.

    `batches` have the columns key, source and member. Raises InputError when no row is.
    """
    found: list[pa.Table] = []
    for batch in batches:
        said = [
            labels.by_key.get(key) or labels.by_place.get(place_of(source, member))
            for key, source, member in zip(
                *(batch.column(name).to_pylist() for name in ("key", "source", "member")), strict=True
            )
        ]
        column = pa.array(said, pa.string())
        found.append(pa.Table.from_batches([batch]).append_column("label", column).filter(column.is_valid()))
    table = pa.concat_tables(found) if found else None
    if table is None or not table.num_rows:
        raise InputError(
            f"none of {len(labels)} labelled samples is in the manifest; are they labels of another one?"
        )
    return table


def place_of(source: str, member: str) -> Place:
    """Return how img2dataset names a sample: the name of its tar, and the member's stem without folders."""
    return source.rstrip("/").rsplit("/", 1)[-1], split_member(member)[0].rsplit("/", 1)[-1]
