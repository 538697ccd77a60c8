"""The settings of a stage from the options of its command, and the options named in errors about them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curation.config import PipelineConfig
from curation.config_files import load_config
from filters.protocol import UnknownEngine
from manifests.errors import InputError
from manifests.format.schema import Stage

_OPTIONS = {"references": "--reference", "verify": "--no-verify"}
"""Settings whose options have another name."""


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def taken(flags: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the flags that become settings of the stage, taken out of `flags`."""
    return {name: flags.pop(name) for name in names}


def master(flags: Mapping[str, Any]) -> list[str]:
    """Return the override that --master means, if it is given."""
    return [f"spark.master={flags['master']}"] if flags["master"] else []


def stage_config(
    stage: Stage, inputs: Sequence[str], settings: Mapping[str, Any], flags: Mapping[str, Any], *, below: str = ""
) -> tuple[PipelineConfig, dict[str, str]]:
    """Return the configuration of one stage, and setting → option of those that options gave, for `blaming_options`.

    `settings` given as options win over the files and --set. They are those of the stage, or of its variant `below`.
    """
    given = {name: value for name, value in settings.items() if value not in (None, ())}
    last = {"input": inputs, "output": flags["output"], stage.value: {below: given} if below else given}
    place = ".".join(filter(None, (stage, below)))
    options = {"output": "-o", **{f"{place}.{name}": _OPTIONS.get(name, _option(name)) for name in given}}
    overrides = [*flags["overrides"], *master(flags)]
    return load_config(flags["config_files"], overrides, last=last, options=options), options


@contextlib.contextmanager
def blaming_options(options: Mapping[str, str]) -> Iterator[None]:
    """Name options instead of settings, such as choose.where.large, in errors that the block raises."""
    try:
        yield
    except InputError as e:
        text = str(e)
        for setting, option in options.items():
            if text.startswith((f"{setting}.", f"{setting}:")):
                rest = text.removeprefix(setting)
                raise InputError(f"{option} {rest[1:]}" if rest.startswith(".") else f"{option}{rest}") from e
        raise
    except UnknownEngine as e:
        if "score.engine" in options:
            raise InputError(f"{options['score.engine']}: {e}") from e
        raise
