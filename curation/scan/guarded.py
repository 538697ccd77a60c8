"""Measuring in a child process, for images that may crash the decoder, which is native code.

It is slow, so it is used only in a second attempt: if a unit's worker died, one of its images may be the reason.
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
"""Signals that decoding an image can raise. Others (a kill, lack of memory) have other reasons than the image."""

_NOTHING = {field.name: None for field in dataclasses.fields(Measures)}


def measure_guarded(
    data: bytes, on_image: Callable[[bytes], Measures], then: Callable[[bytes], Measures] | None = None
) -> Measures:
    """Return `on_image(data)`, computed in a forked child; if it crashes, `undecodable` with the signal's name.

    If the image did not crash and `then` is given, the result is `then(data)`, computed in this process: user filters
    and the embedder may have models that do not work after a fork, and if they crash, the image is not the reason.

    The child's result is returned as JSON, not pickled, because the child has read untrusted bytes. Raises
    RuntimeError when the child fails or is killed; the unit is then tried again.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _measure_in_child(reader, writer, data, on_image)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read()
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        name = signal.Signals(os.WTERMSIG(ended)).name
        if name in CRASHES:
            return _crashed(data, name)
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


def _crashed(data: bytes, name: str) -> Measures:
    """Return the measures of an image that crashed its decoder."""
    known: dict[str, Any] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "status": str(Status.UNDECODABLE),
        "error": f"crashed the decoder: {name}",
    }
    return Measures(**{**_NOTHING, **known})
