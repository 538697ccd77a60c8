"""Limits for the decoder, which is native code: a picture may crash it, keep it busy for ever, or need all memory.

In the first attempt at a task a timer ends the worker if one picture takes too long. In the next, each picture is
first tried in a child process, so that the one that crashes or stalls becomes a DecoderFailed. That costs twice as
much, and so it is done only then: if a worker died, one of its pictures may be the reason.
"""

import contextlib
import faulthandler
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from curation.pictures.decode import Decoded, DecodeLimits, decode

T = TypeVar("T")

CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"})
"""Signals that decoding an image can raise. Others (a kill, lack of memory) have other reasons than the image."""

MAX_SECONDS = 120
"""So much processor time one image may take. Real ones take less than a second."""

MEMORY_BYTES, MEMORY_BYTES_PER_PIXEL = 1 << 30, 32
"""So much memory decoding may take, for each pixel that `max_pixels` allows. Formats were seen to take 6 to 23."""

_SIZES = Path("/proc/self/statm")


class DecoderFailed(Exception):
    """A picture crashed the decoder or took too long; the text says which."""


def within_limits(
    do: Callable[[bytes], T],
    data: bytes,
    *,
    is_retry: bool,
    trial: Callable[[bytes], object] | None = None,
    max_seconds: float = MAX_SECONDS,
) -> T:
    """Return `do(data)`, which may take `max_seconds` of processor time, at least 1.

    Unless `is_retry`, this process ends with SIGPROF after that time: no handler of Python could interrupt native
    code. In a retry, `trial`, by default `do` itself, is first called in a forked child. Code that does not work
    after a fork, such as that of models, must not be in `trial`; if it crashes, the picture is not the reason.

    Raises DecoderFailed when the child crashes or takes too long, and RuntimeError when it is killed from outside.
    """
    if is_retry:
        _try_in_child(trial or do, data, max_seconds)
        return do(data)
    with _timer(max_seconds):
        return do(data)


def decode_bounded(data: bytes, limits: DecodeLimits, **how: Any) -> Decoded:
    """Return `decode(data, limits, **how)`, with a limit on the memory that it takes; for workers.

    The limit holds for the process while it decodes, so other threads should not allocate much. A picture that needs
    more has the status and error of the decoder whose allocation failed, mostly too_large and MemoryError.
    """
    with memory_limit(MEMORY_BYTES + MEMORY_BYTES_PER_PIXEL * limits.max_pixels):
        return decode(data, limits, **how)


@contextlib.contextmanager
def memory_limit(more_bytes: int) -> Iterator[None]:
    """Let this process take at most `more_bytes` more memory than it has now, until the block ends.

    Without /proc, or where a stricter limit is in force, nothing is changed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _address_space_bytes() + more_bytes if _SIZES.exists() else None
    if wanted is None or any(limit != resource.RLIM_INFINITY and limit <= wanted for limit in (soft, hard)):
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space_bytes() -> int:
    """Return what RLIMIT_AS limits."""
    return int(_SIZES.read_bytes().split()[0]) * resource.getpagesize()


@contextlib.contextmanager
def _timer(max_seconds: float) -> Iterator[None]:
    """End this process if the block takes too long, unless another such timer runs, as under a profiler."""
    if signal.getitimer(signal.ITIMER_PROF) != (0.0, 0.0) or signal.getsignal(signal.SIGPROF) != signal.SIG_DFL:
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, max_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _try_in_child(trial: Callable[[bytes], object], data: bytes, max_seconds: float) -> None:
    child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()  # a crash is reported by the parent
            seconds = max(1, round(max_seconds))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            trial(data)
        finally:
            os._exit(0)  # without the parent's clean-up; an error of Python occurs again in the parent
    _, ended = os.waitpid(child, 0)
    if not os.WIFSIGNALED(ended):
        return
    name = signal.Signals(os.WTERMSIG(ended)).name
    if name in CRASHES:
        raise DecoderFailed(f"crashed the decoder: {name}")
    if name == "SIGXCPU":
        raise DecoderFailed(f"took more than {max_seconds} s to decode")
    raise RuntimeError(f"decoding in a child process was ended from outside: {name}")
