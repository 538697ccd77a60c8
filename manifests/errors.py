"""What can go wrong, as one tree.

CurateError            every error this project raises on purpose; its text is advice
├── InputError         the user's input or configuration is wrong: nothing was started
├── BrokenSource       one source (a tar, a folder) cannot be read whole
├── ManifestError      a manifest is missing, unfinished or damaged
├── RunChanged         unfinished or finished work belongs to another configuration or input
└── StageFailed        a stage ran and could not finish; what was done is kept
"""


class CurateError(Exception):
    """Root of the errors raised on purpose. The message says what, where and what next."""


class InputError(CurateError):
    """The user's input or configuration is wrong; nothing was started."""


class BrokenSource(CurateError):
    """A source cannot be read whole, so none of its samples can be trusted to be complete."""

    def __init__(self, message: str, *, source: str | None = None) -> None:
        super().__init__(message)
        self.source = source


class ManifestError(CurateError):
    """A manifest is missing, unfinished or damaged."""


class RunChanged(CurateError):
    """Work found at the output belongs to another configuration or input; nothing was mixed."""


class StageFailed(CurateError):
    """A stage could not finish. Finished units are kept: the same command goes on from there."""
