"""Actors that a test moves one storage call at a time, so that it can stop, kill or overtake any of them anywhere.

The functions of `manifests.storage` and `manifests.exclusive` are real; each waits for the test before it does its
work. An actor that is killed does nothing more: every later call of it raises, as in a process that is gone.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from manifests import exclusive, storage

CALLS = {
    storage: (
        *("exists", "describe", "changed_at", "list_names", "entries", "read_bytes", "read_many"),
        *("make_folder", "remove", "remove_many", "write_bytes", "open_input"),
    ),
    exclusive: (
        *("create", "put_file", "replace_file", "rewrite", "make_subfolder"),
        *("remove_folder", "clear_folder", "remove_through"),
    ),
}


_WRITES = ("create", "put_file", "replace_file", "rewrite", "write_bytes")
_LISTINGS = ("list_names", "entries")


class Lag:
    """Listings that lag behind: actors do not see the files that were written last, though they can be read."""

    def __init__(self) -> None:
        self.files = 0
        self._written: list[str] = []

    def wrote(self, uri: str) -> None:
        """Remember that a file was written."""
        self._written.append(uri)

    def without_new(self, folder: str, found: Any) -> Any:
        """Return a listing of `folder`, names or a mapping, without the last `files` that were written."""
        new = set(self._written[len(self._written) - self.files :])
        left = [name for name in found if f"{folder.rstrip('/')}/{name}" not in new]
        return {name: found[name] for name in left} if isinstance(found, dict) else left


class Killed(BaseException):
    """Raised in an actor that was killed."""


class Actor(threading.Thread):
    """Runs a function in steps: each `step` lets it make one more storage call."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        super().__init__(daemon=True, name=name)
        self._work = work
        self._turn, self._is_waiting = threading.Semaphore(0), threading.Semaphore(0)
        self.is_killed = self.has_ended = False
        self.error: BaseException | None = None
        self.start()
        self._is_waiting.acquire()

    def run(self) -> None:
        try:
            self.wait_for_turn()
            self._work()
        except Killed:
            pass
        except BaseException as e:  # noqa: BLE001 - the test decides which are expected
            self.error = e
        self.has_ended = True
        self._is_waiting.release()

    def wait_for_turn(self) -> None:
        """Called in the actor before each storage call."""
        if not self.is_killed:
            self._is_waiting.release()
            self._turn.acquire()
        if self.is_killed:
            raise Killed

    def step(self) -> None:
        """Let the actor go to its next storage call, or to its end."""
        if not self.has_ended:
            self._turn.release()
            self._is_waiting.acquire()

    def kill(self) -> None:
        """End the actor where it is."""
        self.is_killed = True
        self.step()


@contextlib.contextmanager
def in_steps(lag: Lag) -> Iterator[None]:
    """Make every storage call of an actor wait for its turn, and its listings lag, inside the block."""
    before = {(module, name): getattr(module, name) for module, names in CALLS.items() for name in names}
    for (module, name), function in before.items():
        setattr(module, name, _waiting(function, lag))
    try:
        yield
    finally:
        for (module, name), function in before.items():
            setattr(module, name, function)


def _waiting(function: Callable[..., Any], lag: Lag) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(uri: str, *arguments: Any, **named: Any) -> Any:
        is_actor = isinstance(threading.current_thread(), Actor)
        if is_actor:
            cast(Actor, threading.current_thread()).wait_for_turn()
        found = function(uri, *arguments, **named)
        if function.__name__ in _WRITES:
            lag.wrote(uri)
        return lag.without_new(uri, found) if is_actor and function.__name__ in _LISTINGS else found

    return call
