"""Apply a patch to a folder of tars without a manifest, as somebody else may have."""

import contextlib

from curation.shards.cuts import copy_without
from curation.shards.purge_patch import Patch, ShardCut
from manifests import storage
from manifests.errors import InputError
from manifests.format.integrity import file_sha256


def cut_tars(folder: str, output: str, patch: Patch) -> int:
    """Write the tars of `folder` that `patch` names without what goes, to `output`, and return how many were written.

    In the same folder, a tar is replaced in one step, or its old name goes after the new one is there. Tars that are
    as the patch leaves them are skipped, so that an interrupted call is resumed. Raises InputError, before anything
    is written, when a tar is neither as the patch takes it nor as it leaves it.
    """
    todo = [each for each in patch.shards if not _is_done(folder, output, each)]
    for each in todo:
        source, target = storage.join(folder, each.before.name), storage.join(output, each.after.name)
        storage.make_folder(output)
        with storage.open_input(source) as stream, storage.write_atomically(target) as sink:
            copy_without(stream, sink, each.cuts)
            if sink.sha256.hexdigest() != each.after.sha256:
                raise InputError(f"{source}: changed while it was read; run the same command again")
        if folder == output and each.before.name != each.after.name:
            storage.remove(source)
    return len(todo)


def _is_done(folder: str, output: str, cut: ShardCut) -> bool:
    """Return whether the tar is as the patch leaves it. Raises InputError when it is not as the patch takes it."""
    target, source = storage.join(output, cut.after.name), storage.join(folder, cut.before.name)
    with contextlib.suppress(FileNotFoundError):
        if file_sha256(target) == cut.after.sha256:
            if folder == output and cut.before.name != cut.after.name:
                storage.remove(source)  # what an interrupted call left
            return True
    try:
        found = file_sha256(source)
    except FileNotFoundError as e:
        raise InputError(f"{source}: missing; the patch is of shards that have it") from e
    if found != cut.before.sha256:
        raise InputError(f"{source}: its sha256 is not the one that the patch is for; it is another tar, or damaged")
    return False
