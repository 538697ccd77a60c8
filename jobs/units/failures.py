"""The reasons why units failed, which workers write to the output and the driver reads there."""

import contextlib

from jobs.units.lease import Fence
from manifests import exclusive, storage
from manifests.errors import sentence_of

FAILURES = "failures"


def note_failure(fence: Fence, unit: str, error: Exception) -> None:
    """Write the reason of a failed unit to the output, so that the driver does not depend on the worker's own log.

    On a full disk nothing is written; the driver then has only `error`, which the caller raises.
    """
    text = sentence_of(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        data = text.encode("utf-8", "backslashreplace")
        exclusive.rewrite(storage.join(fence.folder, FAILURES, f"{unit}.txt"), data)


def read_failures(fence: Fence) -> dict[str, str]:
    """Return unit → reason for the units that failed in the run that holds the lease."""
    folder = storage.join(fence.folder, FAILURES)
    names = [n for n in storage.list_names(folder) if n.endswith(".txt")]
    return {n[:-4]: data.decode(errors="replace") for n, data in sorted(storage.read_many(folder, names).items())}
