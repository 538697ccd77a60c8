"""Compares, samples, selects, merges, patches and verifies manifests from Python."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from jobs.api.errors import naming_arguments, translated
from jobs.api.manifest import Manifest, committed_of, configure
from jobs.api.stages import OnProgress, Storage
from jobs.operations import requests
from jobs.operations.compare import compare
from jobs.operations.derive import Request, derive
from jobs.operations.engine_choice import EngineChoice
from jobs.operations.engines import engines
from jobs.operations.verify import verify as check
from jobs.units.progress import Reporter
from manifests import storage as storing
from manifests.compare.diff import Comparison, Diff, DiffOptions
from manifests.compare.diff_set import open_diff
from manifests.draw.combining import OnConflict
from manifests.draw.sampling import Draw
from manifests.exchange.key_lists import KeyList, keys_of, read_keys
from manifests.format.store import Manifest as Committed
from manifests.inspect.verify import Depth, Findings, Resources

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Source = str | Manifest
_log = logging.getLogger(__name__)


def diff(
    a: Source,
    b: Source,
    *,
    by: Literal["key", "sha256", "url", "image"] = "key",
    columns: Sequence[str] = (),
    ignore: Sequence[str] = (),
    where: str | None = None,
    limit: int = 20,
    out: str | None = None,
    force: bool = False,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
) -> Diff:
    """Return what differs from manifest `a` to manifest `b`, and why.

    Args:
        by: the column that makes two rows the same sample; or image, for manifests of different crawls: sha256,
            else the fingerprint, and only verdicts are compared.
        columns, ignore: compare only these columns, or all but these.
        where: compare only rows, of both, for which this SQL expression is true.
        limit: how many differing rows `first` of the answer has.
        out: folder to write the whole diff to, for `patch`.
        force: replace a diff at `out`.
        spark: a session to compare on, for manifests that are too large for this process. See `curate.run`.
        storage: fsspec arguments by protocol.

    Returns:
        `is_empty`; `tally.reasons`, rows by change and reason; `tally.columns`; `tally.entered` and `tally.left`, how
        many only `b` and only `a` keeps; `first`, the first rows.

    Raises InputError when the arguments do not fit the manifests, ManifestError when a part is missing or damaged.
    """
    configure(storage)
    comparison = Comparison(by=by, columns=tuple(columns), ignore=tuple(ignore), where=where)
    target = storing.absolute(out) if out else None
    with naming_arguments(), translated(), opened_engine(spark, storage) as engine:
        first, second = committed_of(a), committed_of(b)
        options = DiffOptions(limit=limit, out=target, say=_log.info)
        return compare(first, second, comparison, options, engine, may_replace=force)


def sample(
    manifest: Source,
    output: str,
    *,
    fraction: float | None = None,
    count: int | None = None,
    top: int | None = None,
    by: str | None = None,
    weight: str | None = None,
    stratify_by: Sequence[str] = (),
    shares: Literal["proportional", "equal"] = "proportional",
    per_cluster: int | None = None,
    where: str | None = None,
    among: Literal["all", "kept", "dropped"] | None = None,
    salt: str = "curate",
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
) -> Manifest:
    """Draw rows of `manifest`, the same ones tomorrow, and return the manifest of the sample at `output`.

    Args:
        fraction: share of the rows, 0 to 1; each row is in or out whatever the others are.
        count: exactly this many rows.
        top, by: the `top` rows with the largest `by`, a column or a SQL expression over one row.
        weight: draw in proportion to this column or expression, without replacement; 0 and null are never drawn.
        stratify_by, shares: give every combination of these columns its share.
        per_cluster: at most this many rows of each cluster_id.
        where: only rows for which this SQL expression is true.
        among: the rows to draw from; by default those that were kept, if the manifest has verdicts and no expression
            is about them, else all.
        salt: names the draw; another salt draws other rows.
        spark, storage, progress, restart: see `curate.run`.

    Raises InputError when the arguments do not fit each other or the manifest.
    """
    draw = Draw(
        fraction=fraction,
        count=count,
        top=top,
        by=by,
        weight=weight,
        stratify_by=tuple(stratify_by),
        shares=shares,
        per_cluster=per_cluster,
        where=where,
        among=among,
        salt=salt,
    )

    def request() -> Request:
        return requests.sample(committed_of(manifest), draw, output, storage or {}, _log.warning)

    return _make(request, spark=spark, storage=storage, progress=progress, restart=restart)


def select(
    manifest: Source,
    keys: str | Sequence[Any] | pa.Array | pa.ChunkedArray,
    output: str,
    *,
    by: Literal["key", "sha256", "url"] | None = None,
    invert: bool = False,
    strict: bool = False,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
) -> Manifest:
    """Take the listed rows of `manifest` and return their manifest at `output`.

    Args:
        keys: the values, as a list or an Arrow array; or the URI of a text, CSV, JSON, Parquet or .npy
            file, or of a manifest.
        by: the column that they are values of; by default what the list says, else key.
        invert: take the rows that are not listed.
        strict: refuse when a listed value is in no row.
        spark, storage, progress, restart: see `curate.run`.

    Raises InputError when the list cannot be read, or does not match with `strict`.
    """

    def request() -> Request:
        values: KeyList = read_keys(keys) if isinstance(keys, str) else keys_of(keys)
        listed = requests.Listed(values=values, by=by, is_inverted=invert, is_strict=strict)
        return requests.select(committed_of(manifest), listed, output, storage or {}, _log.warning)

    return _make(request, spark=spark, storage=storage, progress=progress, restart=restart)


def merge(
    manifests: Sequence[Source],
    output: str,
    *,
    on_conflict: Literal["refuse", "first", "best"] = "refuse",
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
) -> Manifest:
    """Join manifests of one stage into one at `output` that has each key once, and return it.

    Args:
        on_conflict: when a key has different rows: refuse; take the row of the manifest named first; take the best
            row: complete before truncated, then most pixels, then most bytes.
        spark, storage, progress, restart: see `curate.run`.

    Raises InputError when they are fewer than two or of several stages, or when rows differ with "refuse".
    """

    def request() -> Request:
        sources = [committed_of(each) for each in manifests]
        return requests.merge(sources, OnConflict(on_conflict), output, storage or {}, _log.info)

    return _make(request, spark=spark, storage=storage, progress=progress, restart=restart)


def patch(
    manifest: Source,
    diff_uri: str,
    output: str,
    *,
    spark: "SparkSession | None" = None,
    storage: Storage | None = None,
    progress: OnProgress = False,
    restart: bool = False,
) -> Manifest:
    """Apply the diff at `diff_uri`, which `diff(a, b, out=…)` wrote, to `a`, and return the manifest `b` at `output`.

    Its digest is compared with that of `b` before it is committed. The other arguments are those of `curate.run`.
    Raises InputError when the diff is of another manifest, or not of all rows and columns.
    """

    def request() -> Request:
        return requests.patch(committed_of(manifest), open_diff(diff_uri), output, storage or {})

    return _make(request, spark=spark, storage=storage, progress=progress, restart=restart)


def verify(
    manifest: Source,
    depth: Literal["quick", "rows", "deep"] = "rows",
    *,
    fraction: float = 1.0,
    salt: str = "curate",
    storage: Storage | None = None,
) -> Findings:
    """Return every fault of a manifest.

    Args:
        depth: quick: files, hashes, sums and keys; rows: also every row, read again; deep: also images, read by byte
            range from the sources or the shards.
        fraction, salt: the share of the images that "deep" reads, and the name of the draw; see `sample`.
        storage: fsspec arguments by protocol.

    Returns:
        `is_valid`; `faults`, each with `where`, `what` and `next`; `notes`; `checked`, how many of what.

    Raises ManifestError when there is no manifest to check.
    """
    configure(storage)
    with naming_arguments(), translated():
        return check(committed_of(manifest), Depth(depth), Resources(), fraction=fraction, salt=salt)


def _make(
    request: Callable[[], Request],
    *,
    spark: "SparkSession | None",
    storage: Storage | None,
    progress: OnProgress,
    restart: bool,
) -> Manifest:
    configure(storage)
    reporter = Reporter(quiet=progress is not True, on_progress=progress if callable(progress) else None)
    with naming_arguments(), translated(), opened_engine(spark, storage) as engine:
        wanted = request()
        made = derive(wanted, lambda: engine(wanted.sources), reporter, restart=restart)
    return Manifest(made, storage_options=storage)


@contextlib.contextmanager
def opened_engine(
    spark: "SparkSession | None", storage: Storage | None
) -> Iterator[Callable[[Sequence[Committed]], Any]]:
    """Yield what gives the engine: Spark on the session `spark`, else DuckDB in this process."""
    choice = EngineChoice(kind="duckdb" if spark is None else "spark", spark=spark, storage=storage or {})
    with engines(choice, Reporter(quiet=True)) as engine:
        yield engine
