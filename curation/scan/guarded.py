"""Measuring in a child process, for images that may crash the decoder: native code can fail worse than by an error.

Slow, so it is for a second attempt only: when a unit's worker died, one of its images may have been the reason.
"""

import dataclasses
import faulthandler
import hashlib
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from curation.scan.measure import Measures
from manifests.format.schema import Status

CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"})
"""Signals that the image's own decoding raises. Others (a kill, memory running out) say nothing of the image."""

_NOTHING = {field.name: None for field in dataclasses.fields(Measures)}


def measure_guarded(
    data: bytes, on_image: Callable[[bytes], Measures], then: Callable[[bytes], Measures] | None = None
) -> Measures:
    """Return `on_image(data)`, computed in a forked child; `undecodable`, naming the signal, when it crashes.

    `then`, if given, measures an image that did not crash again, in this process, and its answer counts: own filters
    and the embedder may hold models that do not survive a fork, and a crash of theirs is no fact of the image.

    What the child says comes back as JSON, since it has read a stranger's bytes. Raises RuntimeError when the child
    fails or is killed, since that is no fact of the image either: the unit is tried again.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _tell(reader, writer, data, on_image)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        text = told.read()
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        name = signal.Signals(os.WTERMSIG(ended)).name
        if name in CRASHES:
            return _crashed(data, name)
        raise RuntimeError(f"measuring in a child process was ended from outside: {name}")
    answer: dict[str, Any] = json.loads(text) if text else {"failed": f"exit code {os.waitstatus_to_exitcode(ended)}"}
    if "failed" in answer:
        raise RuntimeError(f"measuring in a child process failed: {answer['failed']}")
    if then is not None:
        return then(data)
    return Measures(**{name: _from_json(value) for name, value in answer.items()})


def _tell(reader: int, writer: int, data: bytes, on_image: Callable[[bytes], Measures]) -> None:
    """Write the measurements to the pipe and end this process, whatever happens, without the parent's clean-up."""
    os.close(reader)
    faulthandler.disable()  # a crash is told in the row
    try:
        answer = {name: _to_json(value) for name, value in dataclasses.asdict(on_image(data)).items()}
    except BaseException as e:  # noqa: BLE001 - the parent raises it
        answer = {"failed": f"{type(e).__name__}: {e}"}
    with os.fdopen(writer, "wb") as told:
        told.write(json.dumps(answer).encode())
    os._exit(0)


def _to_json(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _from_json(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def _crashed(data: bytes, name: str) -> Measures:
    """Return what is known of an image that crashed its decoder."""
    known: dict[str, Any] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "status": str(Status.UNDECODABLE),
        "error": f"crashed the decoder: {name}",
    }
    return Measures(**{**_NOTHING, **known})
