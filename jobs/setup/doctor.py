"""`curate doctor`: checks of what a run needs, each with how to fix it."""

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import pyarrow as pa

from curation.config import SparkConfig
from curation.sources.sources import expand, without_secret
from filters.protocol import FilterError, load_engine
from jobs.setup.places import read_first_bytes
from jobs.show.setup import Check
from jobs.spark import frames, session
from jobs.spark.master import is_local, master_of, require_master
from manifests import storage
from manifests.errors import CurateError, InputError, StorageUnavailable, sentence_of
from manifests.storage_errors import sentence_for

MIN_FREE_BYTES = 5 * 10**9
PYTHON_MIN, PYTHON_MAX = (3, 11), (3, 13)


def checks(
    *,
    engine: str,
    engine_options: Mapping[str, Any],
    places: Sequence[str],
    spark: SparkConfig | None,
    inputs: Sequence[str] = (),
) -> list[Check]:
    """Return every check, each with how to fix it.

    `places` are folders to write to, `inputs` the patterns of a pipeline file. Without `spark`, no worker is started.
    """
    found = [_python(), _java()]
    if spark is not None:
        found += _spark(spark, has_java=found[-1].is_good)
    found.append(_engine(engine, engine_options))
    found += [_input(pattern) for pattern in inputs]
    found += [_storage(place) for place in places]
    found.append(_disk(tempfile.gettempdir(), "free disk for temporary files"))
    local = os.environ.get("SPARK_LOCAL_DIRS")
    found += [_disk(folder, "free disk for Spark's shuffles") for folder in (local.split(",") if local else [])]
    return found


def _python() -> Check:
    version = sys.version_info[:2]
    return Check(
        name="Python",
        is_good=PYTHON_MIN <= version <= PYTHON_MAX,
        found=", ".join([sys.version.split()[0], *(f"{p} {metadata.version(p)}" for p in ("pyspark", "pyarrow"))]),
        fix="use Python 3.11 to 3.13",
    )


def _java() -> Check:
    version = session.java_version()
    return Check(
        name="Java",
        is_good=version is not None and version >= session.MIN_JAVA,
        found="none" if version is None else f"version {version}",
        fix=session.JAVA_ADVICE,
    )


def _spark(config: SparkConfig, *, has_java: bool) -> list[Check]:
    """Return the checks of the master and, if it answers, of a Python worker."""
    name = master_of(config)
    found = []
    try:
        require_master(config)
    except InputError as e:
        return [_failed("Spark master", e)]
    if not is_local(name):
        found.append(
            Check(name="Spark master", is_good=True, found=f"{str(name).partition('/;')[0]} answers", fix="")
        )
    return [*found, _workers(config)] if has_java else found


def _workers(config: SparkConfig) -> Check:
    """Start one Python worker that imports what units import."""
    fix = "set PYSPARK_PYTHON to a Python that has curate's dependencies, on every worker"
    try:
        with session.opened(config, name="curate doctor") as spark:
            row = frames.map_batches(spark.range(1), _report_versions, "python string").first()
    except CurateError as e:
        return Check(name="Spark and its Python workers", is_good=False, found=str(e), fix=fix)
    except Exception as e:  # noqa: BLE001 - whatever Spark raises is what the doctor reports
        reason = str(e).strip().splitlines()[-1] if str(e).strip() else type(e).__name__
        return Check(name="Spark and its Python workers", is_good=False, found=reason, fix=fix)
    report = row["python"] if row is not None else "nothing"
    return Check(name="Spark and its Python workers", is_good=row is not None, found=report, fix=fix)


def _report_versions(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import cv2  # noqa: PLC0415
    import faiss  # noqa: PLC0415
    import pdqhash  # noqa: PLC0415
    import PIL  # noqa: PLC0415

    for _ in batches:
        report = (
            f"{sys.executable}: pillow {PIL.__version__}, pdqhash {pdqhash.__version__}, "
            f"opencv {cv2.__version__}, faiss {faiss.__version__}"
        )
        yield pa.RecordBatch.from_pydict({"python": [report]})


def _engine(name: str, options: Mapping[str, Any]) -> Check:
    try:
        engine = load_engine(name, **options)
    except FilterError as e:
        return Check(name=f"text engine {name}", is_good=False, found="cannot be used", fix=str(e))
    return Check(name=f"text engine {name}", is_good=True, found=engine.version, fix="")


def _input(pattern: str) -> Check:
    """List what a pattern names, and read the first bytes of the first source."""
    name = f"input {without_secret(pattern)}"
    try:
        sources = expand([pattern])
        read = read_first_bytes(sources[0])
    except (CurateError, OSError) as e:
        return _failed(name, e)
    folders = sum(source.is_folder for source in sources)
    kinds = [f"{count:,} {kind}" for count, kind in ((len(sources) - folders, "tars"), (folders, "folders")) if count]
    size = sum(source.size_bytes for source in sources)
    return Check(name=name, is_good=True, found=f"{', '.join(kinds)}, {size / 1e9:,.1f} GB; read {read}", fix="")


def _failed(name: str, error: CurateError | OSError) -> Check:
    """Return a failed check: what happened, and the advice that follows the last semicolon of its sentence."""
    sentence = (sentence_for(error) or sentence_of(error)) if isinstance(error, OSError) else str(error)
    what, _, advice = sentence.rpartition("; ")
    return Check(name=name, is_good=False, found=what or sentence, fix=advice)


def _storage(place: str) -> Check:
    name = f"storage {place}"
    fix = "check the address, the permissions and the credentials in the environment"
    probe = storage.join(storage.absolute(place), f".curate-doctor-{uuid.uuid4().hex}")
    try:
        storage.write_bytes(probe, b"curate")
        is_good = storage.read_bytes(probe) == b"curate"
        storage.remove(probe)
    except StorageUnavailable as e:
        return _failed(name, StorageUnavailable(str(e).replace(probe, place)))
    except OSError as e:
        return Check(name=name, is_good=False, found=f"{type(e).__name__}: {e}", fix=sentence_of(e))
    except Exception as e:  # noqa: BLE001 - storages raise errors of any class, and the doctor reports them all
        return Check(name=name, is_good=False, found=f"{type(e).__name__}: {e}", fix=fix)
    return Check(name=name, is_good=is_good, found="written, read and removed a file", fix=fix)


def _disk(folder: str, name: str) -> Check:
    free = shutil.disk_usage(folder).free
    return Check(
        name=name,
        is_good=free >= MIN_FREE_BYTES,
        found=f"{free / 1e9:,.1f} GB in {folder}",
        fix=f"free at least {MIN_FREE_BYTES / 1e9:.0f} GB, or point TMPDIR or SPARK_LOCAL_DIRS elsewhere",
    )
