"""The model files of the text engines: finds them, and fetches those of EasyOCR. No model is ever loaded."""

import contextlib
import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from filters.engines.model_files import ModelFile, model_files
from filters.protocol import EngineUnavailable
from jobs.show import terminal
from jobs.show.setup import EngineModels, FoundModel
from manifests import storage

TIMEOUT_SECONDS = (20, 60)  # to connect, and between two blocks
BLOCK_BYTES = 1 << 20
MAX_MODEL_BYTES = 1 << 30  # many times the largest that EasyOCR publishes


def find_models(engines: Sequence[str], languages: Sequence[str] = ()) -> list[EngineModels]:
    """Return the files that each of `engines` loads, and which of them exist.

    Without `languages`, they are those of each engine's default languages.
    """
    return [_find(engine, languages) for engine in engines]


def _find(engine: str, languages: Sequence[str]) -> EngineModels:
    try:
        files = model_files(engine, **({"languages": languages} if languages else {}))
    except EngineUnavailable as e:
        return EngineModels(engine=engine, problem=str(e), files=())
    return EngineModels(engine=engine, problem=None, files=tuple(_look_at(file) for file in files))


def _look_at(file: ModelFile) -> FoundModel:
    if not file.path.is_file():
        return FoundModel(path=str(file.path), size_bytes=None, note=f"missing; {file.advice}")
    note = ""
    if file.md5 is not None:
        note = "as published" if md5_of(file.path) == file.md5 else "your weights: not the MD5 that is published"
    return FoundModel(path=str(file.path), size_bytes=file.path.stat().st_size, note=note)


def md5_of(path: Path) -> str:
    """Return the MD5 of a file. EasyOCR publishes no better hash: it detects damage, not malice."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, _md5).hexdigest()


def fetch_models(files: Sequence[ModelFile]) -> Iterator[tuple[Path, bool]]:
    """Yield the path of each of `files`, complete and as published, and whether this call fetched it.

    Raises EngineUnavailable, which says what to do, when other weights exist at the path, the server does not answer,
    or its answer is not what is published. A file appears complete or not at all.
    """
    for file in files:
        if not file.path.exists():
            _fetch(file)
            yield file.path, True
        elif md5_of(file.path) == file.md5:
            yield file.path, False
        else:
            raise EngineUnavailable(
                f"{file.path} exists and is not what EasyOCR publishes; if you made it, it is used as it is; "
                "if it is damaged, remove it and run this again"
            )


def _fetch(file: ModelFile) -> None:
    with tempfile.TemporaryFile() as packed:  # has no name, so that nothing is left however this ends
        _download(str(file.url), packed)
        with storage.write_atomically(storage.absolute(str(file.path))) as target:
            md5 = _md5()
            for block in _member(packed, file):
                md5.update(block)
                target.write(block)
            if md5.hexdigest() != file.md5:
                raise EngineUnavailable(
                    f"{file.url}: {file.path.name} in it has MD5 {md5.hexdigest()}, published is {file.md5}; "
                    "nothing was written; run this again, or from a network that does not change downloads"
                )


def _download(url: str, target: IO[bytes]) -> None:
    with _named(url), requests.get(url, stream=True, timeout=TIMEOUT_SECONDS) as answer:
        answer.raise_for_status()
        with _progress() as progress:
            length = answer.headers.get("Content-Length", "")
            task = progress.add_task(url.rsplit("/", 1)[-1], total=int(length) if length.isdecimal() else None)
            for block in _bounded(answer.iter_content(BLOCK_BYTES), url):
                target.write(block)
                progress.advance(task, len(block))


@contextlib.contextmanager
def _named(url: str) -> Iterator[None]:
    """Raise EngineUnavailable, with the URL and what to do, for the errors of a download."""
    try:
        yield
    except requests.HTTPError as e:
        raise EngineUnavailable(f"{e}; try again later, or copy the folder from a machine that has it") from e
    except requests.exceptions.ChunkedEncodingError as e:
        raise EngineUnavailable(f"{url}: the download ended early, nothing was written; run this again") from e
    except requests.RequestException as e:
        raise EngineUnavailable(
            f"cannot reach {url} ({type(e).__name__}); fetch on a machine with a network and copy the folder"
        ) from e


def _member(packed: IO[bytes], file: ModelFile) -> Iterator[bytes]:
    """Yield the bytes of the member with the name of `file`; no path in a zip is ever followed."""
    try:
        with zipfile.ZipFile(packed) as archive, archive.open(file.path.name) as member:
            yield from _bounded(iter(lambda: member.read(BLOCK_BYTES), b""), str(file.url))
    except KeyError as e:
        raise EngineUnavailable(
            f"{file.url}: contains no {file.path.name}; nothing was written; run this again later"
        ) from e
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as e:
        raise EngineUnavailable(f"{file.url}: not a readable zip ({e}); nothing was written; run this again") from e


def _bounded(blocks: Iterable[bytes], url: str) -> Iterator[bytes]:
    """Yield `blocks`. Raises EngineUnavailable when they are larger than any model."""
    size_bytes = 0
    for block in blocks:
        size_bytes += len(block)
        if size_bytes > MAX_MODEL_BYTES:
            raise EngineUnavailable(
                f"{url}: more than {MAX_MODEL_BYTES >> 20} MiB, which no model has; nothing was written"
            )
        yield block


def _progress() -> Progress:
    named = TextColumn("{task.description}", markup=False)
    columns = (named, BarColumn(bar_width=28), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=terminal.console(stderr=True))


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)
