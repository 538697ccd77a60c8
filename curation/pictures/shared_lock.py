"""A lock that many threads may hold at the same time, or one alone."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Held by any number of threads with `shared`, or by one with `alone`, which is let in before new sharers.

    A process that is forked while threads hold it gets a free one, because these threads do not exist there.
    """

    def __init__(self) -> None:
        self._make_free()
        os.register_at_fork(after_in_child=self._make_free)

    def _make_free(self) -> None:
        self._changed = threading.Condition()
        self._sharers = self._waiting = 0
        self._is_taken = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it together with others."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_taken or self._waiting))
            self._sharers += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharers -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it without any other."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not (self._is_taken or self._sharers))
            self._waiting -= 1
            self._is_taken = True
        try:
            yield
        finally:
            with self._changed:
                self._is_taken = False
                self._changed.notify_all()
