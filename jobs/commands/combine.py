"""Makes manifests of listed rows, of several manifests, and of a manifest and a diff."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import click

from jobs.commands.named_rows import named_rows
from jobs.commands.sample import make
from jobs.commands.shared import blaming, note
from jobs.operations import requests
from jobs.operations.engine_choice import EngineChoice, storage_options
from manifests.compare.diff_set import open_diff
from manifests.draw.combining import OnConflict
from manifests.errors import InputError
from manifests.exchange.key_lists import KeyList, keys_of, read_keys
from manifests.format.store import Manifest, open_manifest


def select(manifest: str, keys_uri: str | None, names: tuple[str, ...], output: str, **flags: Any) -> None:
    """Make the manifest of the rows that are listed in a file, or named. Raises InputError when one is missing."""
    if (keys_uri is None) == (not names):
        raise InputError("name a file of keys with --keys, or rows with --key")
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    source = open_manifest(manifest)
    with blaming("--key" if keys_uri is None else "--keys"):
        values = _keys_named(source, names) if keys_uri is None else read_keys(keys_uri)
    listed = requests.Listed(values=values, by=flags["by"], is_inverted=flags["invert"], is_strict=flags["strict"])
    make(requests.select(source, listed, output, options, note), choice, flags)


def _keys_named(source: Manifest, names: Sequence[str]) -> KeyList:
    found = named_rows(source, names)
    if problems := list(found.problems(source.uri)):
        raise InputError("; ".join(problems))
    return dataclasses.replace(keys_of(found.places.column("key")), column="key")


def merge(manifests: tuple[str, ...], on_conflict: str, output: str, **flags: Any) -> None:
    """Make one manifest of several of the same stage."""
    if len(manifests) < 2:
        raise click.UsageError("name at least two manifests")
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    sources = [open_manifest(uri) for uri in manifests]
    make(requests.merge(sources, OnConflict(on_conflict), output, options, note), choice, flags)


def patch(manifest: str, diff_uri: str, output: str, **flags: Any) -> None:
    """Make the manifest B from A and the diff from A to B."""
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    make(requests.patch(open_manifest(manifest), open_diff(diff_uri), output, options), choice, flags)
