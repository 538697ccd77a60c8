"""Trying again what fails for a moment: waits grow exponentially and are random, so that many workers do not meet.

The waits are those of "full jitter" in M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
Client libraries try again, too, for some seconds: what is counted here are the times that they give up.
"""

import dataclasses
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

from manifests.errors import InputError

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often a request is made, and how long to wait: at most `base_seconds`, then twice that, up to a maximum."""

    attempts: int = 6
    base_seconds: float = 1.0
    max_seconds: float = 30.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Return it from settings by name. Raises InputError if one is unknown, or no number that fits."""
        known = {field.name: field.type for field in dataclasses.fields(cls)}
        for name, value in settings.items():
            if name not in known:
                raise InputError(f"storage.retries: no setting {name!r}; there are {', '.join(known)}")
            if not isinstance(value, int | float) or value < (name == "attempts"):
                raise InputError(f"storage.retries.{name}: {value!r}; write a number, for attempts at least 1")
        return cls(**settings)

    def wait_seconds(self, failures: int) -> float:
        """Return how long to wait after this many failures: a random time, up to twice as long each time."""
        most = min(self.max_seconds, self.base_seconds * 2 ** (failures - 1))
        return random.uniform(0, most)  # noqa: S311 - decides nothing but when


def retried(do: Callable[[], T], is_transient: Callable[[Exception], bool], backoff: Backoff) -> T:
    """Return `do()`. It is called again after an error for which `is_transient` is true; the last error is raised."""
    for failures in range(1, backoff.attempts):
        try:
            return do()
        except Exception as e:
            if not is_transient(e):
                raise
            seconds = backoff.wait_seconds(failures)
            _log.info("%s: %s; trying again in %.1f s", type(e).__name__, e, seconds)
        time.sleep(seconds)
    return do()
