"""Work whose processor time is known: for tests of what is counted."""

import os
import time
from collections.abc import Mapping

from filters.protocol import Measured, Rgb


def burn(seconds: float) -> None:
    """Use so much processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def burn_in_child(seconds: float) -> None:
    """Use so much processor time in a child process, and wait for it."""
    child = os.fork()
    if child == 0:
        burn(seconds)
        os._exit(0)
    os.waitpid(child, 0)


class Burning:
    """A filter that uses SECONDS of processor time for each image, half of it in a child process."""

    name = "burning"
    version = "1"
    columns = ("seconds",)
    SECONDS = 0.2

    def measure(self, rgb: Rgb) -> Mapping[str, Measured]:
        burn(self.SECONDS / 2)
        burn_in_child(self.SECONDS / 2)
        return {"seconds": self.SECONDS}
