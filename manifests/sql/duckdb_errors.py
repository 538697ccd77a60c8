"""DuckDB's errors as errors of this project: one sentence each, with what failed and what to do."""

import contextlib
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from manifests.errors import NO_SPACE, CurateError, InputError, ManifestError
from manifests.format.store import first_line
from manifests.sql.opaque_files import with_uris

# DuckDB's messages begin with the kind of error, also where Arrow or the operating system passes them on.
_NO_MEMORY = "Out of Memory Error"
_VALUE_ERRORS = ("Conversion Error", "Out of Range Error")
_FAILS_ON_A_ROW = (*_VALUE_ERRORS, "Invalid Input Error")
_UNREADABLE = ("IO Error", "INTERNAL Error", "FATAL Error")
_DAMAGED = ("No magic bytes found", "Footer length error")  # of a part, though the kind is "Invalid Input Error"
_HINTS = ("Candidate", "Did you mean")


@contextlib.contextmanager
def duckdb_errors(what: str, *, where: str | None = None, is_streamed: bool = False) -> Iterator[None]:
    """Raise DuckDB's errors in the block as InputError or ManifestError, with a message that begins with `what`.

    `where` is the condition that the user gave with --where, if any: an error on the value of a row is then blamed on
    it. Set `is_streamed` when the block reads an answer batch by batch, because errors then arrive as those of Arrow
    or of the operating system.
    """
    kinds = (duckdb.Error, pa.ArrowException, OSError) if is_streamed else (duckdb.Error,)
    try:
        yield
    except kinds as e:
        raise _translated(e, what, where) from e
    except (InputError, ManifestError) as e:  # translated by an inner block, which did not know `where`
        cause = e.__cause__
        if where is None or not isinstance(cause, duckdb.Error) or not _fails_on_a_row(cause):
            raise
        raise _translated(cause, what, where) from cause


@contextlib.contextmanager
def query_errors(*, is_streamed: bool = False) -> Iterator[None]:
    """Raise DuckDB's errors as `duckdb_errors` does, for a query that the user wrote.

    Whatever is not a damaged part is an InputError, with DuckDB's suggestion of another name if there is one.
    """
    kinds = (duckdb.Error, pa.ArrowException, OSError) if is_streamed else (duckdb.Error,)
    try:
        yield
    except kinds as e:
        raise _translated_query(e) from e


def _translated(error: Exception, what: str, where: str | None) -> CurateError:
    line = with_uris(first_line(error))
    if where is not None and _fails_on_a_row(error):
        return InputError(f"--where: {where!r} fails on a row: {line}; guard it, for example with TRY_CAST")
    if _needs_space(line):
        return InputError(f"{what}: needs more memory or more disk to spill to: {line}")
    if line.startswith(_VALUE_ERRORS):
        return InputError(f"{what}: an expression fails on a row: {line}; guard it, for example with TRY_CAST")
    return ManifestError(f"{what}: {line}; `curate verify` shows whether a part is damaged")


def _translated_query(error: Exception) -> CurateError:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    hints = [line for line in lines[1:] if line.startswith(_HINTS)]
    sentence = with_uris(" ".join([*lines[:1], *hints[:1]]))
    if sentence.startswith("Permission Error"):
        return InputError(f"query: {sentence}; a query reads the manifests that it is given, nothing else")
    if _needs_space(sentence):
        return InputError(f"query: needs more memory or more disk to spill to: {sentence}")
    if _is_damage(error, sentence):
        return ManifestError(f"query: a part cannot be read: {sentence}; `curate verify` names it")
    return InputError(f"query: {sentence}")


def _needs_space(line: str) -> bool:
    return line.startswith(_NO_MEMORY) or NO_SPACE in line


def _is_damage(error: Exception, sentence: str) -> bool:
    """Whether a part cannot be read. What DuckDB has no kind for is a footer that it cannot decode."""
    return (
        sentence.startswith(_UNREADABLE)
        or any(words in sentence for words in _DAMAGED)
        or isinstance(error, pa.ArrowException)
        or type(error) is duckdb.Error
    )


def _fails_on_a_row(error: BaseException) -> bool:
    text = str(error).lstrip()
    return text.startswith(_FAILS_ON_A_ROW) and not any(words in text for words in _DAMAGED)
