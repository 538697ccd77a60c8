"""Processor time by part of the work."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator


class Clock:
    """Adds up the processor time spent in parts of the work."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count the time of the block for `part`."""
        started = time.process_time_ns()
        yield
        self.milliseconds[part] += (time.process_time_ns() - started) / 1e6
