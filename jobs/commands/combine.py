"""Makes manifests of listed rows, of several manifests, and of a manifest and a diff."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import click
import pyarrow as pa

from jobs.commands.sample import make
from jobs.commands.shared import blaming, note
from jobs.operations.derive import Request, derived_from
from jobs.operations.engines import EngineChoice, storage_options
from manifests import storage
from manifests.compare.changes import side_rows
from manifests.compare.diff_set import DiffPart, DiffSet, open_diff
from manifests.draw.combining import (
    OnConflict,
    check_mergeable,
    check_patch,
    pick_listed,
    pick_merged,
    pick_unchanged,
    rebased,
    unmatched,
    values_digest,
)
from manifests.errors import InputError
from manifests.exchange.key_lists import read_keys
from manifests.format.store import Manifest, open_manifest
from manifests.sql.engine import Engine


def select(manifest: str, keys_uri: str, **flags: Any) -> None:
    """Make the manifest of the listed rows."""
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    source = open_manifest(manifest)
    with blaming("--keys"):
        listed = read_keys(keys_uri)
    column = flags["by"] or listed.column or "key"
    is_inverted = flags["invert"]

    def decide(engine: Engine) -> None:
        pick_listed(engine, source, column, listed.values, is_inverted=is_inverted)
        left = unmatched(engine)
        if left.values:
            sentence = left.sentence(column, listed.type)
            if flags["strict"]:
                raise InputError(f"{sentence}; correct the list, or leave out --strict")
            advice = (
                "" if left.values < left.of else "; write them as in the manifest, or name another column with --by"
            )
            note(f"select: {sentence}{advice}")

    settings = {"by": column, "values": len(listed.values), "values_sha256": values_digest(listed.values)}
    request = Request(
        about=derived_from([source], "select", {**settings, **({"is_inverted": True} if is_inverted else {})}),
        sources=[source],
        output=storage.absolute(flags.pop("output")),
        decide=decide,
        options=options,
    )
    make(request, choice, flags)


def merge(manifests: tuple[str, ...], on_conflict: str, **flags: Any) -> None:
    """Make one manifest of several of the same stage."""
    if len(manifests) < 2:
        raise click.UsageError("name at least two manifests")
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    sources = [open_manifest(uri) for uri in manifests]
    check_mergeable(sources)
    rule = OnConflict(on_conflict)

    def decide(engine: Engine) -> None:
        shared, differ = pick_merged(engine, sources, rule)
        if shared:
            note(f"merge: {shared:,} keys are in several manifests, {differ:,} with different rows")

    about = derived_from(sources, "merge", {"on_conflict": on_conflict})
    if any(each.config != sources[0].config for each in sources):
        about = dataclasses.replace(about, config={})
    request = Request(
        about=about, sources=sources, output=storage.absolute(flags.pop("output")), decide=decide, options=options
    )
    make(request, choice, flags)


def patch(manifest: str, diff_uri: str, **flags: Any) -> None:
    """Make the manifest B from A and the diff from A to B."""
    choice = EngineChoice.taken_from(flags)
    options = storage_options(choice)
    a, diff = open_manifest(manifest), open_diff(diff_uri)
    check_patch(a, diff)
    make(patching(a, diff, storage.absolute(flags.pop("output")), options), choice, flags)


def patching(a: Manifest, diff: DiffSet, output: str, options: Mapping[str, Mapping[str, Any]]) -> Request:
    """Return the request that makes B at `output`. Its commit fails when the digest is not that of B."""
    b = diff.b
    shards = {"shards_at": b.shards_uri} if "shard" in b.schema.names else {}
    about = dataclasses.replace(
        derived_from([a], "patch", {"to": b.digest, **shards}),
        stage=b.stage,
        config=b.config,
        software=b.software,
        inputs={"parent": a.digest, "patched": b.digest},
        roots=b.roots,
        funnel=b.funnel,
        schema=b.schema,
    )
    return Request(
        about=about,
        sources=[a],
        output=output,
        decide=lambda engine: pick_unchanged(engine, a, _gone(diff)),
        extra={part.name: functools.partial(_after, diff, part) for part in diff.parts},
        rebased=rebased(a, b),
        digest=b.digest,
        options=options,
    )


def _gone(diff: DiffSet) -> pa.Table:
    """Return the keys of all rows that the diff removes or replaces."""
    keys = pa.schema([("key", pa.string())])
    batches = itertools.chain.from_iterable(map(diff.batches, diff.parts))
    found = [batch.column("before").field("key").filter(batch.column("before").is_valid()) for batch in batches]
    return pa.table([pa.chunked_array(found, pa.string())], schema=keys)


def _after(diff: DiffSet, part: DiffPart) -> Iterator[pa.RecordBatch]:
    """Yield the rows that one part of the diff adds or puts in place of others."""
    for batch in diff.batches(part):
        yield from side_rows(pa.Table.from_batches([batch]), "after", diff.b.schema).to_batches()
