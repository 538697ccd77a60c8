"""The hash of a picture's pixels, for pictures that are too plain for PDQ."""

import hashlib

from curation.pictures.decode import Decoded
from manifests.format.schema import Status


def pixel_hash(decoded: Decoded) -> bytes | None:
    """Return the sha256 of the width and pixels of an undamaged picture; None for others."""
    if decoded.rgb is None or decoded.status is not Status.OK:
        return None
    width = decoded.rgb.shape[1].to_bytes(8)
    return hashlib.sha256(width + decoded.rgb.tobytes()).digest()
