"""Find rows by key, and read only those rows."""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from manifests.errors import InputError, ManifestError, StorageUnavailable
from manifests.format.parquet_files import ParquetReader, open_parquet
from manifests.format.store import Manifest, first_line
from manifests.sql.engine import DuckEngine, columns_of

PLACES = pa.schema([("part", pa.int32()), ("row", pa.int64()), ("key", pa.string())])


def known_columns(manifest: Manifest, names: Sequence[str]) -> list[str]:
    """Return `names` without repetitions, or all columns if there are none.

    Raises InputError, with the most similar column, when one is not a column.
    """
    for name in names:
        if name not in manifest.schema.names:
            near = difflib.get_close_matches(name, manifest.schema.names, n=1, cutoff=0.5)
            known = f"did you mean {near[0]}?" if near else f"`curate show {manifest.uri}` lists them"
            raise InputError(f"{manifest.uri}: no column {name!r}; {known}")
    return list(dict.fromkeys(names)) or list(manifest.schema.names)


def find_rows(manifest: Manifest, keys: Iterable[str], engine: DuckEngine) -> pa.Table:
    """Return the places of the rows with these keys, in the manifest's order, as a table with the schema PLACES.

    Only the column `key` is read. Raises ManifestError when a part differs from what `_manifest.json` records.
    """
    engine.table("wanted", pa.table({"key": pa.array(dict.fromkeys(keys), pa.string())}))
    engine.view("keyed", manifest, columns_of(["key"]))
    found = engine.fetch("SELECT part, row, key FROM keyed JOIN wanted USING (key) ORDER BY part, row")
    return found.cast(PLACES)


def rows_at(manifest: Manifest, places: pa.Table, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows at `places` (a table of `find_rows`) with `columns`, in the manifest's order.

    One row group is in memory at a time, and those without such a row are not read. Raises ManifestError when a part
    cannot be read.
    """
    by_part = zip(places.column("part").to_pylist(), places.column("row").to_pylist(), strict=True)
    for part, group in itertools.groupby(by_part, key=lambda place: place[0]):
        uri = manifest.part_uri(manifest.parts[part])
        try:
            with open_parquet(uri, manifest.parts[part].size_bytes) as parquet:
                yield from _rows_of_part(parquet, [row for _, row in group], columns)
        except StorageUnavailable:
            raise
        except (pa.ArrowException, ValueError, OSError) as e:
            raise ManifestError(
                f"{uri}: not readable Parquet ({first_line(e)}); `curate verify` shows what is damaged"
            ) from e


def _rows_of_part(parquet: ParquetReader, rows: Sequence[int], columns: Sequence[str]) -> Iterator[pa.Table]:
    first, waiting = 0, list(rows)
    for number, group_rows in enumerate(parquet.group_rows):
        end = first + group_rows
        here = [row - first for row in itertools.takewhile(lambda row: row < end, waiting)]  # noqa: B023 - used at once
        if here:
            group = parquet.read_group(number, columns)
            yield group.select(list(columns)).take(pa.array(here, pa.int64()))
            waiting = waiting[len(here) :]
        first = end
