"""What is reported of a decode that failed, or that succeeded with warnings."""

import re
import struct
import warnings
import zlib
from collections.abc import Sequence

from PIL import Image, ImageCms

from manifests.format.schema import Status

# Nearly every built-in error passes through Pillow's plugins when a header is wrong. They are listed, so that
# KeyboardInterrupt, SystemExit and errors that no decoder is known to raise still stop the unit.
DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, AssertionError),
    *(ArithmeticError, EOFError, BufferError, RuntimeError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError, ImageCms.PyCMSError),
)


def status_of(error: Exception) -> Status:
    """Return the status of an image whose decoder raised `error`."""
    if isinstance(error, (Image.DecompressionBombError, MemoryError)):
        return Status.TOO_LARGE
    names_a_variant = re.search(r"\b(un|not )(supported|implemented)", str(error), re.IGNORECASE)
    return Status.UNSUPPORTED if names_a_variant else Status.UNDECODABLE


def one_line(text: str) -> str:
    """Return `text` in one printable ASCII line of at most 200 characters, without addresses or paths."""
    text = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>|\b0x[0-9a-fA-F]{6,}\b", "(object)", text)
    text = re.sub(r"(?<![\w.])/[\w.-]+(/[\w.-]+)+", "(path)", text)
    text = re.sub(r"[^\x20-\x7e]+", " ", text)
    return re.sub(r"\s+", " ", text).strip()[:200]


def facts_of(caught: Sequence[warnings.WarningMessage]) -> str | None:
    """Return the texts of warnings in one line, each once, sorted, at most ten; None without warnings.

    Warnings about our own code (deprecations, resources) and Pillow's about large sizes are left out.
    """
    kept = {
        one_line(str(warning.message))
        for warning in caught
        if issubclass(warning.category, (UserWarning, RuntimeWarning))
        and not issubclass(warning.category, Image.DecompressionBombWarning)
    }
    facts = sorted(kept)
    more = [f"and {len(facts) - 10} more"] if len(facts) > 10 else []
    return "; ".join([*facts[:10], *more]) or None
