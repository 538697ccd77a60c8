"""Refuses manifests of earlier versions, where a stage needs what they did not measure."""

from manifests.errors import InputError
from manifests.format.schema import COLUMNS, Stage, schema
from manifests.format.store import Manifest

_SINCE_0_2 = frozenset({"text_kinds", "text_kind"})
"""Columns that no manifest of 0.1 has; with them came other text scores."""


def require_current(manifest: Manifest, uri: str, stage: Stage | None = None) -> None:
    """Check that a manifest has all columns that a stage and those before write in this version.

    Args:
        manifest: the committed manifest.
        uri: where it is, as the user named it.
        stage: the last stage whose columns are needed; by default its own.

    Raises:
        InputError: it lacks some. The message says by which version it was made, and from which stage on to make it
            again.
    """
    lacking = [name for name in schema(stage or manifest.stage).names if name not in manifest.schema.names]
    if not lacking:
        return
    first = next(stage for stage in Stage if any(field.name in lacking for field in COLUMNS[stage]))
    version, why = "an earlier curate", ""
    if _SINCE_0_2 & set(lacking):
        version, why = "curate 0.1", ", and its text scores do not compare with those of this version"
    raise InputError(f"{uri}: made by {version}, without {', '.join(lacking)}{why}; make it again, from {first} on")
