"""What users say about the engine of an operation, and about storage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manifests import storage


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Which engine runs an operation: `kind` is duckdb, spark, or auto, which decides by the number of rows.

    `spark` is a session of the caller's. Workers reach storage with `storage`, or as the configuration files say.
    """

    kind: str = "auto"
    memory_bytes: int = 2 * 10**9
    temp_folder: str | None = None
    config_files: tuple[str, ...] = ()
    master: str | None = None
    spark: Any = None
    storage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def taken_from(cls, flags: dict[str, Any]) -> "EngineChoice":
        """Return the choice of the command line's engine options, which are taken out of `flags`."""
        return cls(
            kind=flags.pop("engine"),
            memory_bytes=flags.pop("memory"),
            temp_folder=flags.pop("temp_dir"),
            config_files=tuple(flags.pop("config_files")),
            master=flags.pop("master"),
        )


def storage_options(choice: EngineChoice) -> Mapping[str, Mapping[str, Any]]:
    """Return the storage arguments of the configuration files, which this process uses from now on."""
    if not choice.config_files:
        return choice.storage
    from curation.config_files import load_config  # noqa: PLC0415 - imports OpenCV, which most commands do without

    options: Mapping[str, Mapping[str, Any]] = load_config(choice.config_files).storage
    storage.configure(options)
    return options
