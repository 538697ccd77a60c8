"""Checks a manifest, and the images it points to, as deep as wanted."""

from curation.shards.verify_absence import check_members, check_taken_down
from curation.shards.verify_images import check_images
from manifests.errors import InputError
from manifests.format.store import Manifest
from manifests.inspect.verify import Depth, Findings, Resources, check_files, check_rows


def verify(
    manifest: Manifest,
    depth: Depth,
    resources: Resources,
    *,
    fraction: float = 1.0,
    salt: str = "curate",
    max_faults: int | None = None,
) -> Findings:
    """Return every fault of `manifest`, the first `max_faults` of them in words.

    `fraction` is the share of the images that the depth `deep` reads, and `salt` decides which. Raises InputError
    when `fraction` is no share.
    """
    if not 0 <= fraction <= 1:
        raise InputError(f"--fraction {fraction}: not a share of the images, from 0 to 1")
    found = Findings(max_faults)
    complete = check_files(manifest, found, resources)
    if depth is not Depth.QUICK:
        check_rows(manifest, complete, found, resources)
        check_taken_down(manifest, complete, found, resources)
    if depth is Depth.DEEP:
        check_members(manifest, complete, found, resources)
        check_images(manifest, complete, found, resources, fraction=fraction, salt=salt)
    return found
