"""A committed manifest: its rows as tables of several libraries, its images, and its funnel."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from curation.explaining.explanation import Explanation
from curation.pages.site import DEFAULT_PICTURES, DEFAULT_SALT, LINKS, ReportOptions, make_report
from curation.report import FunnelRow, funnel
from curation.sources import originals
from jobs.api.errors import translated
from jobs.api.images import Image, Images
from jobs.operations.explain import explain_rows
from jobs.operations.report import steps_of
from jobs.operations.report_folder import report_folder
from manifests import storage
from manifests.errors import InputError
from manifests.format import store
from manifests.format.integrity import require_intact
from manifests.format.schema import Stage
from manifests.sql.engine import from_parts, quoted
from manifests.sql.expressions import check_expression
from manifests.sql.lookup import known_columns
from manifests.sql.query import run_query

if TYPE_CHECKING:  # optional, or slow to import: only who asks for them needs them
    import polars as pl
    from pyspark.sql import DataFrame, SparkSession

_VIEW = "manifest"


class Manifest:
    """A committed manifest. `open` returns one, and so does everything that makes one.

    Arguments that its methods share: `columns`, names of columns, by default all; `where`, a SQL expression over the
    columns of one row, in DuckDB's dialect, such as "keep and width >= 512". Rows come in the order of the manifest.
    """

    def __init__(
        self, committed: store.Manifest, *, storage_options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.committed = committed
        """What `_manifest.json` contains."""
        self.storage_options = dict(storage_options or {})

    @property
    def uri(self) -> str:
        """Where it is stored."""
        return self.committed.uri

    @property
    def stage(self) -> str:
        """The stage whose columns it has: scan, dedupe, score, choose or shard."""
        return str(self.committed.stage)

    @property
    def digest(self) -> str:
        """The digest of its rows; equal for equal rows, whatever their order or parts."""
        return self.committed.digest

    @property
    def schema(self) -> pa.Schema:
        """Its columns, as Arrow types."""
        return self.committed.schema

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.schema.names)

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Rows by the values of a few columns, such as status and drop_reason."""
        return self.committed.counts

    def funnel(self) -> list[FunnelRow]:
        """Return how many images came to each stage, how many left it, and why."""
        return funnel(self.committed.funnel)

    def __len__(self) -> int:
        return self.committed.rows

    def __repr__(self) -> str:
        return f"<curate.Manifest {self.uri}: {self.stage}, {len(self):,} rows, digest {self.digest[:12]}>"

    def to_arrow(
        self, columns: Sequence[str] = (), where: str | None = None, *, limit: int | None = None
    ) -> pa.Table:
        """Return rows as an Arrow table; all of them must fit in memory.

        Raises InputError for an unknown column or a wrong `where`, ManifestError when a part is missing or damaged.
        """
        schema = self._schema_of(columns)
        return pa.Table.from_batches(self.batches(columns, where, limit=limit), schema)

    def batches(
        self, columns: Sequence[str] = (), where: str | None = None, *, limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows as Arrow batches, for more rows than fit in memory. Raises as `to_arrow`."""
        schema = self._schema_of(columns)
        sql = self._select(schema.names, where)
        with translated(), run_query({_VIEW: self.committed}, sql, max_rows=limit) as answer:
            for batch in answer.batches:
                yield batch.cast(schema)

    def to_polars(
        self, columns: Sequence[str] = (), where: str | None = None, *, limit: int | None = None
    ) -> "pl.DataFrame":
        """Return rows as a Polars frame, as `to_arrow` does. Raises InputError when Polars is not installed."""
        try:
            import polars as pl  # noqa: PLC0415 - optional
        except ImportError as e:
            raise InputError("to_polars needs Polars: pip install polars") from e
        frame = pl.from_arrow(self.to_arrow(columns, where, limit=limit))
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - of a table, never a series
        return frame

    def to_duckdb(
        self,
        columns: Sequence[str] = (),
        where: str | None = None,
        *,
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Return rows as a DuckDB relation, which reads them when it is evaluated.

        It belongs to `connection`, by default to a new one in memory. Raises as `to_arrow`.
        """
        names = self._schema_of(columns).names
        self._check(where)
        with translated():
            require_intact(self.committed)
        db = duckdb.connect() if connection is None else connection
        parts = from_parts(db, self.committed, range(len(self.committed.parts)))
        listed = ", ".join(map(quoted, names))
        return db.sql(f"SELECT {listed} FROM {parts}{f' WHERE ({where})' if where else ''}")

    def to_spark(self, spark: "SparkSession", columns: Sequence[str] = (), where: str | None = None) -> "DataFrame":
        """Return rows as a Spark frame of the session `spark`, a task for each part.

        Workers read the parts through fsspec: Spark needs no jars for the storage. Raises as `to_arrow`.
        """
        from jobs.spark.row_query import rows_of  # noqa: PLC0415 - Spark, which only who has a session needs
        from jobs.spark.session import prepared_workers  # noqa: PLC0415

        names = self._schema_of(columns).names
        self._check(where)
        with translated(), prepared_workers(spark):
            return rows_of(spark, self.committed, names, where=where, options=self.storage_options)

    def images(self, where: str | None = None, *, limit: int = 20, columns: Sequence[str] = ()) -> Images:
        """Return the images of the first `limit` rows, read by byte range from the shards or the sources.

        Args:
            where: which rows, see the class.
            limit: how many images; all their bytes are in memory at once.
            columns: columns that each image's `row` has, besides those that locate it.

        An image whose bytes cannot be read, or are no longer those that the scan saw, says why in `problem`. Raises
        as `to_arrow`.
        """
        shards_uri = self.committed.shards_uri if self.committed.stage is Stage.SHARD else None
        needed = originals.needed_columns(self.schema.names, from_shards=shards_uri is not None)
        wanted = list(dict.fromkeys([*needed, *columns]))
        rows = self.to_arrow(wanted, where, limit=limit).to_pylist()
        with translated():
            found = originals.fetch(rows, shards_uri=shards_uri)
            return Images(
                [Image(row=row, data=data, problem=problem) for row, (data, problem) in zip(rows, found, strict=True)]
            )

    def explain(self, *names: str, limit: int = 20, compared: bool = False) -> list[Explanation]:
        """Return why rows are what they are: where each came from, what was measured, what decided, its cluster.

        Args:
            names: a key or its beginning, the name of a member with or without its tar and extension, a URL, a sha256
                or a file on this machine, for each row.
            limit: members of a cluster, at most.
            compared: whether to look for pictures that were compared with each row and are no copies.

        Raises InputError for a name of no row, with the nearest, and for one of several; ManifestError when a part is
        missing or damaged.
        """
        with translated():
            found = explain_rows(self.committed, names, limit=limit, compared=compared)
        if found.problems:
            raise InputError("; ".join(found.problems))
        return list(found.explanations)

    def report(self, folder: str, *, pictures: int = DEFAULT_PICTURES, salt: str = DEFAULT_SALT) -> str:
        """Make pages that show the manifest in pictures, as `curate report` does, and return the URI of the first.

        Args:
            folder: path or URI of a new or empty folder, or of an earlier report.
            pictures: of each reason, at most.
            salt: draws other samples.

        Raises:
            InputError: something else is in the folder.
            ManifestError: a part is missing or damaged.
        """
        with translated():
            place = report_folder(folder, "folder", [path for path, _ in LINKS], force=False)
            options = ReportOptions(pictures=pictures, salt=salt, steps=steps_of(self.committed), processes=0)
            return make_report(self.committed, place, options).index

    def _schema_of(self, columns: Sequence[str]) -> pa.Schema:
        if isinstance(columns, str):
            raise InputError(f"columns: {columns!r} is a text; give a list of names")
        return pa.schema([self.schema.field(name) for name in known_columns(self.committed, columns)])

    def _check(self, where: str | None) -> None:
        if where is not None:
            check_expression(where, self.schema, "where")

    def _select(self, names: Sequence[str], where: str | None) -> str:
        self._check(where)
        return f"SELECT {', '.join(map(quoted, names))} FROM {_VIEW}" + (f" WHERE ({where})" if where else "")

    def _repr_html_(self) -> str:
        title = f"{html.escape(self.uri)}: {self.stage}, {len(self):,} rows"
        return (
            f"<p>{title}<br>digest <code>{html.escape(self.digest)}</code></p><table><thead><tr><th>stage</th>"
            "<th>came in</th><th>left</th><th>went on</th><th>why</th></tr></thead><tbody>"
            f"{''.join(map(_funnel_row, self.funnel()))}</tbody></table>"
        )


def _funnel_row(row: FunnelRow) -> str:
    reasons = ", ".join(f"{name} {count:,}" for name, count in sorted(row.reasons.items(), key=lambda r: -r[1]))
    numbers = "".join(f"<td>{number:,}</td>" for number in (row.came_in, row.left, row.went_on))
    return f"<tr><td>{html.escape(row.stage)}</td>{numbers}<td>{html.escape(reasons)}</td></tr>"


def open(uri: str, *, storage: Mapping[str, Mapping[str, Any]] | None = None) -> Manifest:
    """Return the committed manifest at `uri`, a path or any fsspec URI.

    Args:
        uri: its folder.
        storage: fsspec arguments by protocol, such as {"s3": {"endpoint_url": …}}. This process uses them from now
            on, and `to_spark` passes them to workers.

    Raises ManifestError when there is no committed manifest, or one that this version cannot read, and
    StorageUnavailable when the storage does not answer.
    """
    configure(storage)
    with translated():
        return Manifest(store.open_manifest(uri), storage_options=storage)


def configure(options: Mapping[str, Mapping[str, Any]] | None) -> None:
    """Set fsspec's default arguments for each protocol, in this process."""
    storage.configure(options or {})


def committed_of(manifest: "str | Manifest") -> store.Manifest:
    """Return what is committed at a URI, or of a manifest that is open."""
    return manifest.committed if isinstance(manifest, Manifest) else store.open_manifest(manifest)
