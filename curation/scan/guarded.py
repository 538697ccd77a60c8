"""Measuring of images that may crash or stall the decoder, which is native code.

In the first attempt at a unit a timer ends the worker if one image takes too long. In the second, each image is
measured in a child process, so that one that crashes or stalls becomes a row. That is slow, and so it is used only
then: if a unit's worker died, one of its images may be the reason.
"""

import dataclasses
import faulthandler
import hashlib
import json
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

from curation.scan.measure import Measures
from manifests.format.schema import Status

CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"})
"""Signals that decoding an image can raise. Others (a kill, lack of memory) have other reasons than the image."""

MAX_SECONDS = 120
"""So much processor time one image may take. Real ones take less than a second."""

_NOTHING = {field.name: None for field in dataclasses.fields(Measures)}


def measure_timed(data: bytes, on_image: Callable[[bytes], Measures], max_seconds: float = MAX_SECONDS) -> Measures:
    """Return `on_image(data)`. If it takes more than `max_seconds` of processor time, this process ends: SIGPROF.

    No handler of Python could interrupt native code. Where another timer of this kind runs, as under a profiler, none
    is set.
    """
    if signal.getitimer(signal.ITIMER_PROF) != (0.0, 0.0) or signal.getsignal(signal.SIGPROF) != signal.SIG_DFL:
        return on_image(data)
    signal.setitimer(signal.ITIMER_PROF, max_seconds)
    try:
        return on_image(data)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def measure_guarded(
    data: bytes,
    on_image: Callable[[bytes], Measures],
    then: Callable[[bytes], Measures] | None = None,
    *,
    max_seconds: int = MAX_SECONDS,
) -> Measures:
    """Return `on_image(data)`, computed in a forked child; `undecodable` if it crashes or takes too long.

    `max_seconds` of processor time are allowed.

    If the image did not crash and `then` is given, the result is `then(data)`, computed in this process: user filters
    and the embedder may have models that do not work after a fork, and if they crash, the image is not the reason.

    The child's result is returned as JSON, not pickled, because the child has read untrusted bytes. Raises
    RuntimeError when the child fails or is killed; the unit is then tried again.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (max_seconds, max_seconds + 1))
        _measure_in_child(reader, writer, data, on_image)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read()
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        name = signal.Signals(os.WTERMSIG(ended)).name
        if name in CRASHES:
            return _unmeasured(data, f"crashed the decoder: {name}")
        if name == "SIGXCPU":
            return _unmeasured(data, f"took more than {max_seconds} s to decode")
        raise RuntimeError(f"measuring in a child process was ended from outside: {name}")
    result: dict[str, Any] = json.loads(text) if text else {"failed": f"exit code {os.waitstatus_to_exitcode(ended)}"}
    if "failed" in result:
        raise RuntimeError(f"measuring in a child process failed: {result['failed']}")
    if then is not None:
        return then(data)
    return Measures(**{name: _from_json(value) for name, value in result.items()})


def _measure_in_child(reader: int, writer: int, data: bytes, on_image: Callable[[bytes], Measures]) -> None:
    """Write the measurements to the pipe and end this process, whatever happens, without the parent's clean-up."""
    os.close(reader)
    faulthandler.disable()  # a crash is reported in the row
    try:
        result = {name: _to_json(value) for name, value in dataclasses.asdict(on_image(data)).items()}
    except BaseException as e:  # noqa: BLE001 - the parent raises it
        result = {"failed": f"{type(e).__name__}: {e}"}
    with os.fdopen(writer, "wb") as stream:
        stream.write(json.dumps(result).encode())
    os._exit(0)


def _to_json(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _from_json(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def _unmeasured(data: bytes, error: str) -> Measures:
    """Return the measures of an image that its decoder did not survive."""
    known: dict[str, Any] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "status": str(Status.UNDECODABLE),
        "error": error,
    }
    return Measures(**{**_NOTHING, **known})
