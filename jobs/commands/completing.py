"""What a shell offers for the values of options: columns and settings, each with its meaning."""

import itertools
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

from curation.config import PipelineConfig
from manifests import storage
from manifests.errors import CurateError
from manifests.format.schema import Stage, schema
from manifests.format.store import open_manifest


def columns(manifest: str | None) -> dict[str, str]:
    """Return the columns of the manifest at this place and their meanings; of one that is not on a disk here, all."""
    known = schema(Stage.SHARD)
    try:
        place = None if manifest is None else storage.absolute(manifest)
        if place is not None and storage.is_local(place):
            known = open_manifest(place).schema
    except (CurateError, OSError, ValueError):
        pass  # all columns are offered
    return {field.name: _meaning(field) for field in known}


def _meaning(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"description", b"").decode())


def settings() -> dict[str, str]:
    """Return `section.name=` of each setting and its meaning; of one with few values, with each of them."""
    return dict(_settings(PipelineConfig, ""))


def _settings(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        if name == "choose_variants":  # they are written in `choose`, with names of the user's
            continue
        dotted, kinds = f"{prefix}{name}", list(_kinds(field.annotation))
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for kind in nested:
            yield from _settings(kind, f"{dotted}.")
        if nested:
            continue
        values = list(itertools.chain.from_iterable(map(_values, kinds)))
        for value in values or [""]:
            yield f"{dotted}={value}", field.description or ""


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types of which a setting may be: those of a union, one by one."""
    if get_origin(annotation) in (None, Literal) or get_origin(annotation) in (tuple, dict, list):
        yield annotation
        return
    for each in get_args(annotation):
        yield from _kinds(each)


def _values(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return list(map(str, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [str(each) for each in kind]
    return ["true", "false"] if kind is bool else []
