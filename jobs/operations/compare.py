"""Finds what differs between two manifests, and writes it as a diff where that is wanted."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from jobs.units.lease import held, require_free
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.compare.diff import Comparison, Diff, DiffOptions, diff
from manifests.compare.diff_set import BEGUN_FOLDER, make_room, require_room
from manifests.format.store import Manifest
from manifests.sql.engine import Engine


def compare(
    a: Manifest,
    b: Manifest,
    comparison: Comparison,
    options: DiffOptions,
    engine: Callable[[Sequence[Manifest]], Engine],
    *,
    may_replace: bool = False,
) -> Diff:
    """Return what differs between `a` and `b`.

    With `options.out` it is written there, too; `may_replace` allows to replace a diff. Raises InputError when the
    comparison does not fit the manifests or something else is at `out`, and RunAtWork when another run writes there.
    """
    comparison.check(a, b)
    with _prepared(options.out, may_replace=may_replace):
        return diff(lambda: engine([a, b]), a, b, comparison, options)


@contextlib.contextmanager
def _prepared(out: str | None, *, may_replace: bool) -> Iterator[None]:
    """Prepare `out`, if a diff is to be written, and hold its lease until the block ends."""
    if out is None:
        yield
        return
    begun = storage.join(out, BEGUN_FOLDER)
    require_folder(out)
    require_free(begun)
    require_room(out, may_replace=may_replace)
    if (found := storage.describe(begun)) is not None and found["type"] == "file":
        storage.remove(begun)  # version 0.1 marked an unfinished diff by a file
    with held(begun):
        make_room(out)
        yield
