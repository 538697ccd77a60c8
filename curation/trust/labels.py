"""Read labels that people gave to samples from a CSV file, and find their rows in a manifest."""

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
    """Labels by key, or by (name of the source, stem of the member); `unsure`: how many were left out."""

    by_key: Mapping[str, Label]
    by_place: Mapping[Place, Label]
    unsure: int

    def __len__(self) -> int:
        return len(self.by_key) + len(self.by_place)


def read_labels(uri: str) -> Labels:
    """Return the labels in the CSV at `uri` (any fsspec URI).

    The file has a column `label` (none, light or some, heavy or rich; empty or unsure is left out) and either `key`,
    or `tar` and `key` as in img2dataset: the name of the source and the stem of the member. Labels with a question
    mark or a non-empty column `boundary` are debatable, and count as unsure. Raises InputError for a missing or
    malformed file, with the line.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(storage.read_bytes(uri).decode("utf-8-sig"))))
    except FileNotFoundError as e:
        raise InputError(f"{uri}: no such file; name a CSV with the columns key and label") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{uri}: not UTF-8 text ({e}); save it as a CSV in UTF-8") from e
    if not rows or not {"key", "label"} <= set(rows[0]):
        found = ", ".join(rows[0]) if rows else "nothing"
        raise InputError(f"{uri}: contains {found}; a file of labels has the columns key (or tar and key) and label")
    by_key: dict[str, Label] = {}
    by_place: dict[Place, Label] = {}
    unsure = 0
    for number, row in enumerate(rows, start=2):
        label = (row["label"] or "").strip()
        if label in _UNSURE or label.endswith("?") or row.get("boundary"):
            unsure += 1
        elif label not in _LABELS:
            raise InputError(f"{uri}: line {number}: label {label!r}; write none, light, heavy, or leave it empty")
        elif row.get("tar"):
            by_place[row["tar"], row["key"]] = _LABELS[label]
        else:
            by_key[row["key"]] = _LABELS[label]
    return Labels(by_key=by_key, by_place=by_place, unsure=unsure)


def label_rows(batches: Iterable[pa.RecordBatch], labels: Labels) -> pa.Table:
    """Return the labelled rows of `batches`, with an added column `label`.

    `batches` have the columns key, source and member. Raises InputError when no row is labelled.
    """
    found: list[pa.Table] = []
    for batch in batches:
        label = [
            labels.by_key.get(key) or labels.by_place.get(place_of(source, member))
            for key, source, member in zip(
                *(batch.column(name).to_pylist() for name in ("key", "source", "member")), strict=True
            )
        ]
        column = pa.array(label, pa.string())
        found.append(pa.Table.from_batches([batch]).append_column("label", column).filter(column.is_valid()))
    table = pa.concat_tables(found) if found else None
    if table is None or not table.num_rows:
        raise InputError(
            f"none of {len(labels)} labelled samples is in the manifest; use the labels of this manifest"
        )
    return table


def place_of(source: str, member: str) -> Place:
    """Return the name of a sample in img2dataset: the name of its tar, and the member's stem without folders."""
    return source.rstrip("/").rsplit("/", 1)[-1], split_member(member)[0].rsplit("/", 1)[-1]
