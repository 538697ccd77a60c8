"""Why units failed, noted at the output by workers and read there by the driver."""

import contextlib

from manifests import storage
from manifests.errors import sentence_of
from manifests.format.receipts import WORK

FAILURES = "failures"


def note_failure(output: str, unit: str, error: Exception) -> None:
    """Leave the reason of a failed unit where the driver finds it, whatever becomes of the worker's own log.

    On a full disk there is no place for it: then `error`, which the caller raises, is all that is left.
    """
    text = sentence_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        data = text.encode("utf-8", "backslashreplace")
        storage.write_bytes(storage.join(output, WORK, FAILURES, f"{unit}.txt"), data)


def read_failures(output: str) -> dict[str, str]:
    """Return unit → reason of the units that failed in the run at `output`."""
    folder = storage.join(output, WORK, FAILURES)
    names = [n for n in storage.list_names(folder) if n.endswith(".txt")]
    return {n[:-4]: data.decode(errors="replace") for n, data in sorted(storage.read_many(folder, names).items())}


def forget(output: str) -> None:
    """Remove the notes of an earlier run at `output`."""
    storage.remove(storage.join(output, WORK, FAILURES))
