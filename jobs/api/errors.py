"""The errors of the Python API: all below CurateError."""

import contextlib
from collections.abc import Iterator

from filters import protocol
from manifests.errors import CurateError, StorageUnavailable, is_failure, sentence_of


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
