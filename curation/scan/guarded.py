"""Measuring of one image that may crash or stall the decoder: it becomes a row like any other."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

from curation.pictures.bounded import MAX_SECONDS, DecoderFailed, within_limits
from curation.scan.measure import Measures
from manifests.format.schema import Status

_NOTHING = {field.name: None for field in dataclasses.fields(Measures)}


def measure_within_limits(
    data: bytes,
    on_image: Callable[[bytes], Measures],
    with_models: Callable[[bytes], Measures] | None = None,
    *,
    is_retry: bool,
    max_seconds: float = MAX_SECONDS,
) -> Measures:
    """Return the measures of an image; in a retry, `undecodable` if it crashes the decoder or takes too long.

    `with_models`, if given, measures the same as `on_image`, and what does not work in a forked child: user filters
    and the embedder may have models. Limits and errors are those of `within_limits`.
    """
    do = with_models or on_image
    try:
        return within_limits(do, data, is_retry=is_retry, trial=on_image, max_seconds=max_seconds)
    except DecoderFailed as e:
        return _unmeasured(data, str(e))


def _unmeasured(data: bytes, error: str) -> Measures:
    """Return the measures of an image that its decoder did not survive."""
    known: dict[str, Any] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "status": str(Status.UNDECODABLE),
        "error": error,
    }
    return Measures(**{**_NOTHING, **known})
