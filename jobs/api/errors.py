"""The errors of the Python API: all below CurateError."""

import contextlib
import re
from collections.abc import Iterator

from filters import protocol
from manifests.errors import CurateError, InputError, StorageUnavailable, is_failure, sentence_of


class FilterError(CurateError):
    """A filter, a text engine or an embedding model is missing, cannot be loaded, or failed on an image."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of filters and of the operating system into CurateError, as the command line reports them.

    An error that says that the machine failed, such as a full disk, stays an OSError.
    """
    try:
        yield
    except protocol.FilterError as e:
        raise FilterError(str(e)) from e
    except OSError as e:
        if is_failure(e):
            raise
        raise StorageUnavailable(sentence_of(e)) from e


@contextlib.contextmanager
def naming_arguments() -> Iterator[None]:
    """Let errors name arguments as Python does, where the command line writes --per-cluster."""
    try:
        yield
    except InputError as e:
        text = re.sub(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)", lambda found: found[1].replace("-", "_"), str(e))
        if text == str(e):
            raise
        raise InputError(text) from e
