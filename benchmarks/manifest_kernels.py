"""What benchmarks.manifests measures, each in a process of its own: our operations, and what is as bare as can be.

Each function imports and prepares, and returns the work that is timed. Nothing heavy is imported before.
"""

import contextlib
import hashlib
import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

CHUNK_BYTES = 4 << 20
Facts = dict[str, Any]
Work = Callable[[], Facts]


def diff_ours(a: str, b: str) -> Work:
    """Return the work of our diff."""
    from manifests.compare.changes import Change  # noqa: PLC0415
    from manifests.compare.diff import Comparison, DiffOptions, diff  # noqa: PLC0415
    from manifests.format.store import open_manifest  # noqa: PLC0415
    from manifests.sql.engine import DuckEngine  # noqa: PLC0415

    def work() -> Facts:
        with DuckEngine(threads=threads()) as engine:
            found = diff(lambda: engine, open_manifest(a), open_manifest(b), Comparison(), DiffOptions())
        added, removed, changed, moved = (
            found.tally.of(change) for change in (Change.ADDED, Change.REMOVED, Change.CHANGED, Change.MOVED)
        )
        counts = {"added": added, "removed": removed, "changed": changed + moved}
        return {"counts": counts, "is_proven": found.is_proven}

    return work


def diff_bare(a: str, b: str) -> Work:
    """Return the work of one full outer join over all columns."""
    from manifests.format.store import open_manifest  # noqa: PLC0415
    from manifests.sql.engine import quoted  # noqa: PLC0415

    names = [quoted(name) for name in open_manifest(a).schema.names if name != "key"]
    is_changed = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in names)
    query = f"""
        SELECT count(*) FILTER (WHERE b.key IS NULL), count(*) FILTER (WHERE a.key IS NULL),
               count(*) FILTER (WHERE a.key IS NOT NULL AND b.key IS NOT NULL AND ({is_changed}))
        FROM read_parquet($a) a FULL OUTER JOIN read_parquet($b) b ON a.key = b.key
    """

    def work() -> Facts:
        with bare_duckdb() as db:
            ((removed, added, changed),) = db.execute(query, {"a": parts_of(a), "b": parts_of(b)}).fetchall()
        return {"counts": {"added": added, "removed": removed, "changed": changed}}

    return work


def sample_ours(uri: str, **settings: Any) -> Work:
    """Return the work of our sample, written to the folder for temporary files."""
    from jobs.operations.derive import Request, derive, derived_from  # noqa: PLC0415
    from jobs.units.progress import Reporter  # noqa: PLC0415
    from manifests.draw.sampling import Draw, local_condition, pick_sample  # noqa: PLC0415
    from manifests.format.store import open_manifest  # noqa: PLC0415
    from manifests.sql.engine import DuckEngine  # noqa: PLC0415

    settings["stratify_by"] = tuple(settings.get("stratify_by", ()))
    draw = Draw(**settings)
    output = f"{tempfile.gettempdir()}/sample"

    def work() -> Facts:
        source = open_manifest(uri)
        about = derived_from([source], "sample", draw.settings)
        which: Any = {"decide": lambda engine: pick_sample(engine, source, draw)}
        if draw.is_local:
            which = {"where": local_condition(draw), "share": draw.fraction}
        request = Request(about=about, sources=[source], output=output, **which)
        with DuckEngine(threads=threads()) as engine:
            return {"rows": derive(request, lambda: engine, Reporter(quiet=True)).rows}

    return work


def sample_bare(uri: str, fraction: float) -> Work:
    """Return the work of copying the rows of the same predicate to one file."""
    from manifests.draw.sampling import fraction_condition  # noqa: PLC0415
    from manifests.sql.engine import sql_text  # noqa: PLC0415

    target = sql_text(f"{tempfile.gettempdir()}/sample.parquet")
    rows = f"SELECT * FROM read_parquet($files) WHERE {fraction_condition(fraction, 'curate')}"

    def work() -> Facts:
        with bare_duckdb() as db:
            copy = f"COPY ({rows}) TO {target} (FORMAT parquet, COMPRESSION zstd)"
            ((count,),) = db.execute(copy, {"files": parts_of(uri)}).fetchall()
        return {"rows": count}

    return work


def verify_ours(uri: str) -> Work:
    """Return the work of `verify --quick`."""
    from manifests.format.store import open_manifest  # noqa: PLC0415
    from manifests.inspect.verify import Findings, Resources, check_files  # noqa: PLC0415

    def work() -> Facts:
        found = Findings()
        check_files(open_manifest(uri), found, Resources(threads=threads()))
        return {"is_whole": found.is_valid}

    return work


def verify_bare(uri: str) -> Work:
    """Return the work of hashing the parts, and nothing else."""

    def sha256(path: str) -> str:
        hashed = hashlib.sha256()
        with Path(path).open("rb", buffering=0) as f:
            while chunk := f.read(CHUNK_BYTES):
                hashed.update(chunk)
        return hashed.hexdigest()

    def work() -> Facts:
        with ThreadPoolExecutor(threads()) as pool:
            return {"files": len(set(pool.map(sha256, parts_of(uri))))}

    return work


def make_both(folder: str, rows: int) -> Work:
    """Return the work of making both manifests."""
    from benchmarks.synthetic_manifests import make  # noqa: PLC0415

    def work() -> Facts:
        made = [make(Path(folder), rows, edited=edited) for edited in (False, True)]
        return {"uris": [each.uri for each in made]}

    return work


def make_local(folder: str, rows: int) -> Work:
    """Return the work of making a manifest with local features."""
    from benchmarks.synthetic_manifests import make  # noqa: PLC0415

    return lambda: {"uris": [make(Path(folder), rows, has_local=True).uri]}


KERNELS: Mapping[str, Callable[..., Work]] = {
    each.__name__: each
    for each in (diff_ours, diff_bare, sample_ours, sample_bare, verify_ours, verify_bare, make_both, make_local)
}


def threads() -> int:
    """Return how many threads each contender has."""
    return len(os.sched_getaffinity(0))


def parts_of(uri: str) -> list[str]:
    """Return the paths of the Parquet files of a manifest on a local disk."""
    return sorted(str(path) for path in Path(uri.removeprefix("file://")).glob("*.parquet"))


def bare_duckdb() -> contextlib.AbstractContextManager[Any]:
    """Return a DuckDB connection as it is, but for the limits that our engine has too."""
    import duckdb  # noqa: PLC0415

    from manifests.sql.engine import DEFAULT_MEMORY_BYTES  # noqa: PLC0415

    limits: dict[str, Any] = {"memory_limit": f"{DEFAULT_MEMORY_BYTES >> 20}MiB", "threads": threads()}
    return duckdb.connect(config={**limits, "temp_directory": f"{tempfile.gettempdir()}/spill"})


def run(text: str) -> str:
    """Return, as JSON, what one of KERNELS found and its `seconds`.

    `text` is its name, arguments and named arguments, as JSON too. Raises ClickException when it fails.
    """
    import duckdb  # noqa: PLC0415

    from manifests.errors import CurateError  # noqa: PLC0415

    for late in ("pandas", "pyarrow.dataset", "fsspec.implementations.local"):  # else imported at their first use
        importlib.import_module(late)
    name, given, named = json.loads(text)
    try:
        work = KERNELS[name](*given, **named)
        started = time.perf_counter()
        facts = work()
        seconds = time.perf_counter() - started
    except (CurateError, duckdb.Error, OSError) as e:
        raise click.ClickException(str(e).strip().split("\n", 1)[0]) from e
    return json.dumps({"seconds": seconds, **facts})
