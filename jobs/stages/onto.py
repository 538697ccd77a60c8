"""A stage on top of an earlier run of it (`--onto`): what is unchanged is taken from there."""

from jobs.spark.run import Context
from jobs.units.earlier import with_parts_of, with_rows_of
from jobs.units.plan import Plan
from manifests import storage
from manifests.errors import InputError
from manifests.format.schema import Stage
from manifests.format.store import open_manifest


def onto(plan: Plan, ctx: Context) -> Plan:
    """Return `plan`, of a scan or a score, with what it can take from the manifest in `ctx.onto`.

    A scan copies the parts of units whose sources and settings are the same. A score takes the rows of images that
    were scored with the same settings. Without an earlier manifest, `plan` is returned. Raises ManifestError if there
    is none at that place, InputError if it is of another stage or is the output itself.
    """
    if plan.stage not in ctx.onto:
        return plan
    uri = storage.absolute(ctx.onto[plan.stage])
    if uri == plan.output:
        raise InputError(f"--onto {uri}: is the output itself; name another output")
    earlier = open_manifest(uri)
    if earlier.made_by != plan.stage:
        raise InputError(f"--onto {uri}: made by {earlier.made_by}; name the manifest of an earlier {plan.stage}")
    return with_parts_of(plan, earlier) if plan.stage is Stage.SCAN else with_rows_of(plan, earlier)
