"""`curate doctor`: what a run needs, whether it is here, and how to mend it."""

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
from filters.protocol import FilterError, load_engine
from jobs.show.setup import Check
from jobs.spark import frames, session
from manifests import storage
from manifests.errors import CurateError, sentence_of

MIN_FREE_BYTES = 5 * 10**9
PYTHON_MIN, PYTHON_MAX = (3, 11), (3, 13)


def checks(
    *, engine: str, engine_options: Mapping[str, Any], places: Sequence[str], spark: SparkConfig | None
) -> list[Check]:
    """Return every check, each with how to mend it; without `spark`, no worker is started."""
    found = [_python(), _java()]
    if spark is not None and found[-1].is_good:
        found.append(_workers(spark))
    found.append(_engine(engine, engine_options))
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
        mend="use Python 3.11 to 3.13",
    )


def _java() -> Check:
    version = session.java_version()
    return Check(
        name="Java",
        is_good=version is not None and version >= session.MIN_JAVA,
        found="none" if version is None else f"version {version}",
        mend=session.JAVA_ADVICE,
    )


def _workers(config: SparkConfig) -> Check:
    """Start one Python worker and let it import what units import."""
    mend = "set PYSPARK_PYTHON to a Python that has curate's dependencies, on every worker"
    try:
        spark = session.start(config, name="curate doctor")
        try:
            row = frames.map_batches(spark.range(1), _look_around, "python string").first()
        finally:
            spark.stop()
    except CurateError as e:
        return Check(name="Spark and its Python workers", is_good=False, found=str(e), mend=mend)
    except Exception as e:  # noqa: BLE001 - whatever Spark raises is what the doctor reports
        reason = str(e).strip().splitlines()[-1] if str(e).strip() else type(e).__name__
        return Check(name="Spark and its Python workers", is_good=False, found=reason, mend=mend)
    told = row["python"] if row is not None else "nothing"
    return Check(name="Spark and its Python workers", is_good=row is not None, found=told, mend=mend)


def _look_around(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import cv2  # noqa: PLC0415
    import faiss  # noqa: PLC0415
    import pdqhash  # noqa: PLC0415
    import PIL  # noqa: PLC0415

    for _ in batches:
        told = (
            f"{sys.executable}: pillow {PIL.__version__}, pdqhash {pdqhash.__version__}, "
            f"opencv {cv2.__version__}, faiss {faiss.__version__}"
        )
        yield pa.RecordBatch.from_pydict({"python": [told]})


def _engine(name: str, options: Mapping[str, Any]) -> Check:
    try:
        engine = load_engine(name, **options)
    except FilterError as e:
        return Check(name=f"text engine {name}", is_good=False, found="cannot be used", mend=str(e))
    return Check(name=f"text engine {name}", is_good=True, found=engine.version, mend="")


def _storage(place: str) -> Check:
    name, mend = (
        f"storage {place}",
        "check the address, the permissions and the credentials in the environment",
    )
    probe = storage.join(storage.absolute(place), f".curate-doctor-{uuid.uuid4().hex}")
    try:
        storage.write_bytes(probe, b"curate")
        is_good = storage.read_bytes(probe) == b"curate"
        storage.remove(probe)
    except OSError as e:
        return Check(name=name, is_good=False, found=f"{type(e).__name__}: {e}", mend=sentence_of(e))
    except Exception as e:  # noqa: BLE001 - each storage has errors of its own, and all are what the doctor reports
        return Check(name=name, is_good=False, found=f"{type(e).__name__}: {e}", mend=mend)
    return Check(name=name, is_good=is_good, found="written, read and removed a file", mend=mend)


def _disk(folder: str, name: str) -> Check:
    free = shutil.disk_usage(folder).free
    return Check(
        name=name,
        is_good=free >= MIN_FREE_BYTES,
        found=f"{free / 1e9:,.1f} GB in {folder}",
        mend=f"free at least {MIN_FREE_BYTES / 1e9:.0f} GB, or point TMPDIR or SPARK_LOCAL_DIRS elsewhere",
    )
