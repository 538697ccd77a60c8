"""The reasons why units failed, which workers write to the output and the driver reads there."""

import contextlib

from manifests import storage
from manifests.errors import sentence_of
from manifests.format.receipts import WORK

FAILURES = "failures"


def note_failure(output: str, unit: str, error: Exception) -> None:
    """Write the reason of a failed unit to the output, so that the driver does not depend on the worker's own log.

    On a full disk nothing is written; the driver then has only `error`, which the caller raises.
    """
    text = sentence_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        data = text.encode("utf-8", "backslashreplace")
        storage.write_bytes(storage.join(output, WORK, FAILURES, f"{unit}.txt"), data)


def read_failures(output: str) -> dict[str, str]:
    """Return unit → reason for the units that failed in the run at `output`."""
    folder = storage.join(output, WORK, FAILURES)
    names = [n for n in storage.list_names(folder) if n.endswith(".txt")]
    return {n[:-4]: data.decode(errors="replace") for n, data in sorted(storage.read_many(folder, names).items())}


def forget(output: str) -> None:
    """Remove the reasons that an earlier run left at `output`."""
    storage.remove(storage.join(output, WORK, FAILURES))
