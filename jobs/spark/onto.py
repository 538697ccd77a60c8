"""The manifest of an earlier run that a stage takes over from what is unchanged (`--onto`)."""

from jobs.spark.run import Context
from manifests import storage
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest


def earlier(stage: Stage, output: str, ctx: Context) -> Manifest | None:
    """Return the manifest of an earlier run of `stage` that `ctx.onto` names; None if it names none.

    Raises ManifestError if there is no manifest at that place, InputError if another stage or operation made it, or
    if it is the `output` itself.
    """
    if stage not in ctx.onto:
        return None
    uri = storage.absolute(ctx.onto[stage])
    if uri == storage.absolute(output):
        raise InputError(f"--onto {uri}: is the output itself; name another output")
    found = open_manifest(uri)
    if found.made_by != stage:
        raise InputError(f"--onto {uri}: made by {found.made_by}; name the manifest of an earlier {stage}")
    return found
