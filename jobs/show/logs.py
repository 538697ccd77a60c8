"""Standard logging: to stderr and a file in the driver, to stderr with unit and attempt in Python workers.

Each module logs to `logging.getLogger(__name__)`. Nothing is configured on import, so that a program that uses these
packages as a library decides for itself.
"""

import contextlib
import logging
import re
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar

from manifests.errors import InputError, sentence_of

PACKAGES = ("curation", "filters", "jobs", "manifests")
QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2
_LEVELS = {QUIET: logging.ERROR, NORMAL: logging.WARNING, VERBOSE: logging.INFO, DEBUG: logging.DEBUG}
_STDERR, _FILE, _WORKER = "curate stderr", "curate file", "curate worker"
IS_SHOWN = "is_shown"
"""Name of an attribute of records: true when a person has seen the message, so that only the log file gets it."""
_LINE = "%(asctime)s %(levelname)s %(name)s: %(work)s%(message)s"
_SECRETS = (
    (re.compile(r"://[^/@\s'\"]+@"), "://<redacted>@"),
    (
        re.compile(r"([?&][\w-]*(?:signature|sig|token|secret|key|credential)[\w-]*=)[^&\s'\"]+", re.I),
        r"\1<redacted>",
    ),
)


def configure(verbosity: int = NORMAL, log_file: str | None = None) -> None:
    """Send log messages of this process to stderr and, where one is named, to the end of a local file.

    `verbosity` is -1 for errors alone, 0 for warnings, 1 for what is being done (INFO), 2 for everything (DEBUG). The
    file gets INFO, or with verbosity 2 DEBUG. A second call replaces the first. Raises InputError when the file
    cannot be written.
    """
    verbosity = max(QUIET, min(DEBUG, verbosity))
    handlers: list[logging.Handler] = [_Stderr(_LEVELS[verbosity])]
    if log_file is not None:
        handlers.append(_file_handler(log_file, min(logging.INFO, _LEVELS[verbosity])))
    _replace_handlers(handlers)
    logging.captureWarnings(verbosity == QUIET)
    _set_levels(min(handler.level for handler in handlers))
    _process.worker_level = _LEVELS[verbosity]


def is_quiet() -> bool:
    """Return whether this process is to print errors alone."""
    return worker_level() >= logging.ERROR


def worker_level() -> int:
    """Return the level that workers are to log at: that of stderr here, or of the caller's own configuration."""
    if _process.worker_level is not None:
        return _process.worker_level
    return logging.getLogger("jobs").getEffectiveLevel()


def configure_worker(level: int, attempt: int) -> None:
    """Send log messages of this Python worker to its stderr, which Spark keeps with the executor's logs.

    `attempt` counts from 1; each line names it and the unit of the enclosing `unit` block. Costs next to nothing when
    it is called again with the same arguments, as it is for each of many small groups.
    """
    if (_process.worker_level, _process.attempt) == (level, attempt):
        return
    _process.worker_level, _process.attempt = level, attempt
    handler = logging.StreamHandler()
    handler.set_name(_WORKER)
    handler.setLevel(level)
    handler.setFormatter(_LineFormatter(_LINE))
    _replace_handlers([handler])
    _set_levels(level)


def attempt() -> int:
    """Return which attempt this worker makes at its work, counted from 1."""
    return _process.attempt or 1


@contextlib.contextmanager
def unit(name: str) -> Iterator[None]:
    """Name the unit in each line that is logged until the block ends.

    A driver does units in several threads, so it names them in lines of the same thread alone. A worker does one unit
    at a time: all its threads name it.
    """
    token = _unit.set(name)
    if _process.attempt is not None:
        _process.unit = name
    try:
        yield
    finally:
        _unit.reset(token)
        _process.unit = None


class _Process:
    """What is known of this process; `attempt` and `unit` in workers alone."""

    worker_level: int | None = None
    unit: str | None = None
    attempt: int | None = None


_process = _Process()
_unit: ContextVar[str | None] = ContextVar("unit", default=None)


def _add_work(record: logging.LogRecord) -> bool:
    """Add `work` to a record: the unit, where there is one, and in a worker the attempt."""
    named = {"unit": _unit.get() or _process.unit, "attempt": _process.attempt}
    record.work = "".join(f"{name}={value} " for name, value in named.items() if value is not None)
    return True


def _file_handler(path: str, level: int) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as e:
        raise InputError(f"log file {sentence_of(e)}") from e
    handler.set_name(_FILE)
    handler.setLevel(level)
    handler.setFormatter(_LineFormatter(_LINE))
    return handler


def _replace_handlers(handlers: list[logging.Handler]) -> None:
    """Give the root logger these handlers in place of ours of before. Handlers of others stay."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if each.name in (_STDERR, _FILE, _WORKER)]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        handler.addFilter(_add_work)
        root.addHandler(handler)


def _set_levels(level: int) -> None:
    for package in PACKAGES:
        logging.getLogger(package).setLevel(level)


class _Stderr(logging.Handler):
    """Prints on whatever `sys.stderr` is at the time, so that lines appear above a progress bar."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.set_name(_STDERR)
        self.addFilter(lambda record: not getattr(record, IS_SHOWN, False))
        self.setFormatter(_PlainFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        try:
            print(self.format(record), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as logging does: a message that cannot be shown stops no work
            self.handleError(record)


class _Redacting(logging.Formatter):
    """Leaves passwords in addresses and signatures of URLs out, also of tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record without secrets."""
        text = super().format(record)
        for pattern, instead in _SECRETS:
            text = pattern.sub(instead, text)
        return text


class _PlainFormatter(_Redacting):
    """Formats as messages of the command line are: `curate: …`, `curate: warning: …`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging calls
        """Return the line of a record."""
        level = "" if record.levelno in (logging.INFO, logging.ERROR) else f"{record.levelname.lower()}: "
        logger = f"{record.name}: " if record.levelno < logging.INFO else ""
        work: str = getattr(record, "work", "")
        return f"curate: {level}{logger}{work}{record.message}"


class _LineFormatter(_Redacting):
    """Formats with the time in UTC, to the millisecond."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
