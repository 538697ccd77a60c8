"""Safe stdout and stderr: for any encoding, for a reader that stops reading, and for a full disk.

`prepare` is called once, when the command line starts, and replaces `sys.stdout` and `sys.stderr`. Streams that are
not those of the process, as in a test or a notebook, are left alone.
"""

import codecs
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from manifests.errors import sentence_of

if TYPE_CHECKING:  # takes a while to import
    from rich.console import Console

PLAIN = "curate.plain"
"""The error handler that replaces characters that an encoding does not have by ASCII."""
_ASCII = "curate_ascii"
_CHARACTERS = {
    **dict(zip("…–—→←≈×·•✓‘’“”\xa0", ".--><~x.*v''\"\" ", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#", strict=True)),
    **dict.fromkeys("─━┄┅┈┉╌╍╴╶╸╺╼╾", "-"),
    **dict.fromkeys("│┃┆┇┊┋╎╏║╵╷╹╻╽╿", "|"),
    **dict.fromkeys(map(chr, range(0x2801, 0x2900)), "*"),  # rich's spinner
    **{"═": "=", "╱": "/", "╲": "\\", "╳": "x", "\u2800": " "},
}


class OutputFailed(Exception):
    """The result cannot be written to stdout. Not an OSError, so that it is not mistaken for one of a storage."""


# --- characters


def ascii_for(character: str) -> str:
    """Return ASCII for a character: one that looks like it, so that tables stay aligned, else an escape."""
    if "\u2500" <= character <= "\u257f":
        return _CHARACTERS.get(character, "+")
    return _CHARACTERS.get(character) or character.encode("ascii", "backslashreplace").decode()


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(ascii_for, error.object[error.start : error.end])), error.end


def _find_codec(name: str) -> codecs.CodecInfo | None:
    """Return the ASCII codec under another name: click writes UTF-8 to streams whose encoding is called `ascii`."""
    if name != _ASCII:
        return None
    ascii_codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        name=_ASCII,
        encode=ascii_codec.encode,
        decode=ascii_codec.decode,
        incrementalencoder=ascii_codec.incrementalencoder,
        incrementaldecoder=ascii_codec.incrementaldecoder,
        streamreader=ascii_codec.streamreader,
        streamwriter=ascii_codec.streamwriter,
    )


codecs.register_error(PLAIN, _replace)
codecs.register(_find_codec)


def is_utf8() -> bool:
    """Return whether stdout takes UTF-8. Where it does not, JSON must be written in ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def write_utf8() -> None:
    """Make stdout write UTF-8 in any locale, for results that are files, such as CSV and YAML."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors=PLAIN)


# --- streams


class _Raw(io.FileIO):
    """A stream of the process that drops what is written after its reader has gone."""

    def __init__(self, descriptor: int, *, is_answer: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.is_answer = is_answer
        self.is_unread = False

    def write(self, data: Any) -> int:
        """Write `data`, or drop it when nobody reads. Raises OutputFailed, once, when a result cannot be written."""
        if not self.is_unread:
            try:
                return super().write(data)
            except OSError as e:
                self.is_unread = True  # also after a failure: the rest of the buffer would fail again
                if self.is_answer and e.errno != errno.EPIPE:
                    e.filename = "stdout"
                    raise OutputFailed(sentence_of(e)) from e
        return memoryview(data).nbytes


def nobody_reads() -> bool:
    """Return whether the reader of stdout is gone, as after `| head`, so that commands can stop printing."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Raw) and raw.is_unread


def are_own_streams() -> bool:
    """Return whether stdout and stderr are those that the process was started with."""
    return sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__


def prepare() -> None:
    """Make stdout and stderr safe: writing raises only OutputFailed, when a result cannot be written.

    Characters that an encoding does not have are replaced by ASCII. A closed stream is opened on /dev/null, so that
    no file gets its number.
    """
    for descriptor in range(3):
        _occupy(descriptor)
    sys.stdout = _safe(sys.stdout, 1, is_answer=True)
    sys.stderr = _safe(sys.stderr, 2, is_answer=False)


def _occupy(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _safe(stream: Any, descriptor: int, *, is_answer: bool) -> io.TextIOWrapper:
    raw = _Raw(descriptor, is_answer=is_answer)
    raw.is_unread = stream is None  # Python found it closed
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if codecs.lookup(encoding).name == "ascii":
        encoding = _ASCII
    is_by_line = raw.isatty() or not is_answer
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, PLAIN, line_buffering=is_by_line)


def restart_in_utf8() -> None:
    """Restart the process in Python's UTF-8 mode where file names are not UTF-8, as in the locale en_US.ISO-8859-1.

    Only this mode changes how Python decodes file names and arguments, and it can only be set when Python starts.
    Without it, the names in a manifest would depend on the locale. stdout keeps the encoding of the locale.
    """
    is_tried = os.environ.get("PYTHONUTF8") == "1"
    if sys.getfilesystemencoding() == "utf-8" or is_tried or not sys.executable:
        return
    shown = getattr(sys.stdout or sys.stderr, "encoding", None) or "ascii"
    environment = {"PYTHONIOENCODING": shown, **os.environ, "PYTHONUTF8": "1"}
    command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, command, environment)  # noqa: S606 - the command that is running already


# --- rich


def console(*, stderr: bool = False, width: int | None = None, soft_wrap: bool = False) -> "Console":
    """Return a rich console on stdout or stderr, `width` characters wide or as wide as the terminal.

    It prints every text literally: rich would replace `:smile:` in a path or a caption by a picture. Characters that
    the encoding does not have are replaced before the columns of a table are measured.
    """
    from rich.console import Console  # noqa: PLC0415 - `curate --help` needs none of it
    from rich.text import Text  # noqa: PLC0415

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            shown = text.encode(self.encoding, PLAIN).decode(self.encoding)
            return super().render_str(shown, **options)

    return Plain(stderr=stderr, width=width, soft_wrap=soft_wrap, highlight=False, emoji=False)
