"""What may be shown of settings: everything but secrets."""

from collections.abc import Mapping
from typing import Any

SECRET_WORDS = ("secret", "password", "passwd", "token", "credential", "key", "sas", "auth")
REDACTED = "<redacted>"


def redact(value: Any, name: str = "") -> Any:
    """Return `value` without secrets: at any depth, an entry with a name such as `token` is replaced as a whole."""
    if value is not None and any(word in name.lower() for word in SECRET_WORDS):
        return REDACTED
    if isinstance(value, Mapping):
        return {k: redact(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(v) for v in value]
    return value
