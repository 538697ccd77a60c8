"""`curate select`, `merge` and `patch`: manifests of listed rows, of several manifests, of one and a diff."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa

from jobs.cli.options import examples
from jobs.cli.sample import make
from jobs.operations.engines import EngineChoice, engine_options, storage_options
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest, open_manifest

if TYPE_CHECKING:
    from jobs.operations.derive import Request
    from manifests.compare.diff_set import DiffPart, DiffSet
    from manifests.sql.engine import Engine


def _say(text: str, run: dict[str, Any]) -> None:
    if not run["quiet"]:
        click.echo(text, err=True)


def _run_options(command: Any) -> Any:
    """Add the options of every command that makes a manifest."""
    for option in reversed(
        (
            click.option("-o", "--output", required=True, metavar="URI", help="Where the manifest is committed."),
            click.option("--dry-run", is_flag=True, help="Print how many rows it would have; write nothing."),
            click.option("--restart", is_flag=True, help="Discard other work at the output, instead of refusing."),
            click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON."),
            click.option("--quiet", "-q", is_flag=True, help="No progress on stderr."),
        )
    ):
        command = option(command)
    return command


@click.command(
    epilog=examples(
        "curate select out/chosen --keys keys.txt -o picked/",
        "curate select out/scan --keys datacomp-subset.npy -o picked/   # u8,u8 uids",
        "curate select out/chosen --keys urls.txt --by url -o picked/",
        "curate select out/chosen --keys takedown.parquet --invert -o rest/",
        "curate select june/chosen --keys may/chosen -o both/           # the keys of another manifest",
    )
)
@click.argument("manifest")
@click.option(
    "--keys", "keys_uri", required=True, metavar="FILE", help="Text, CSV, JSON, Parquet, .npy, or a manifest."
)
@click.option(
    "--by",
    type=click.Choice(["key", "sha256", "url"]),
    help="What the file lists.  [default: what its column is called, else key]",
)
@click.option("--invert", is_flag=True, help="The rows that are not listed.")
@click.option("--strict", is_flag=True, help="Refuse when a listed value is in no row.")
@_run_options
@engine_options
def select(manifest: str, keys_uri: str, choice: EngineChoice, **flags: Any) -> None:
    """Take the rows of MANIFEST that a file lists: a manifest like any other."""
    from jobs.operations.derive import Request, derive, derived_from  # noqa: PLC0415 - takes a while to import
    from manifests.draw.combining import pick_listed, unmatched, values_digest  # noqa: PLC0415
    from manifests.exchange.key_lists import read_keys  # noqa: PLC0415

    options = storage_options(choice)
    source = open_manifest(manifest)
    listed = read_keys(keys_uri)
    column = flags["by"] or listed.column or "key"
    is_inverted = flags["invert"]

    def decide(engine: "Engine") -> None:
        pick_listed(engine, source, column, listed.values, is_inverted=is_inverted)
        left = unmatched(engine)
        if left.values:
            sentence = left.sentence(column, listed.type)
            if flags["strict"]:
                raise InputError(f"{sentence}; correct the list, or leave out --strict")
            advice = (
                "" if left.values < left.of else "; write them as in the manifest, or name another column with --by"
            )
            _say(f"select: {sentence}{advice}", flags)

    settings = {"by": column, "values": len(listed.values), "values_sha256": values_digest(listed.values)}
    request = Request(
        about=derived_from([source], "select", {**settings, **({"is_inverted": True} if is_inverted else {})}),
        sources=[source],
        output=storage.absolute(flags.pop("output")),
        decide=decide,
        options=options,
    )
    make(request, choice, flags, derive)


@click.command(
    epilog=examples(
        "curate merge may/scan june/scan -o both/scan",
        "curate merge a/chosen b/chosen -o all/chosen --on-conflict best",
        "curate merge a/scan b/scan c/scan -o all/scan --dry-run",
    )
)
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST MANIFEST...")
@click.option(
    "--on-conflict",
    type=click.Choice(["refuse", "first", "best"]),
    default="refuse",
    show_default=True,
    help="When a key has different rows: refuse; take the row of the manifest named first; take the best row.",
)
@_run_options
@engine_options
def merge(manifests: tuple[str, ...], on_conflict: str, choice: EngineChoice, **flags: Any) -> None:
    """Join manifests of one stage into one that has each key once.

    With refuse and best, the order of the manifests does not matter. best is: whole before truncated, then most
    pixels, then most bytes. Copies across manifests are not looked for: dedupe merged scans, or use dedupe --against.
    """
    from jobs.operations.derive import Request, derive, derived_from  # noqa: PLC0415 - takes a while to import
    from manifests.draw.combining import OnConflict, check_mergeable, pick_merged  # noqa: PLC0415

    if len(manifests) < 2:
        raise click.UsageError("name at least two manifests")
    options = storage_options(choice)
    sources = [open_manifest(uri) for uri in manifests]
    check_mergeable(sources)
    rule = OnConflict(on_conflict)

    def decide(engine: "Engine") -> None:
        shared, differ = pick_merged(engine, sources, rule)
        if shared:
            _say(f"merge: {shared:,} keys are in several manifests, {differ:,} with different rows", flags)

    about = derived_from(sources, "merge", {"on_conflict": on_conflict})
    if any(each.config != sources[0].config for each in sources):
        about = dataclasses.replace(about, config={})
    request = Request(
        about=about, sources=sources, output=storage.absolute(flags.pop("output")), decide=decide, options=options
    )
    make(request, choice, flags, derive)


@click.command(
    epilog=examples(
        "curate diff may/chosen june/chosen --out june.diff.parquet",
        "curate patch may/chosen june.diff.parquet -o june/chosen      # the digest of June's, or nothing",
    )
)
@click.argument("manifest")
@click.argument("diff_uri", metavar="DIFF")
@_run_options
@engine_options
def patch(manifest: str, diff_uri: str, choice: EngineChoice, **flags: Any) -> None:
    """Apply DIFF, written by `curate diff A B --out`, to MANIFEST, which is A: the result is B, or nothing.

    It is checked against B's digest before it is committed.
    """
    from jobs.operations.derive import derive  # noqa: PLC0415 - takes a while to import
    from manifests.compare.diff_set import open_diff  # noqa: PLC0415
    from manifests.draw.combining import check_patch  # noqa: PLC0415

    options = storage_options(choice)
    a, diff = open_manifest(manifest), open_diff(diff_uri)
    check_patch(a, diff)
    make(_patching(a, diff, storage.absolute(flags.pop("output")), options), choice, flags, derive)


def _patching(a: Manifest, diff: "DiffSet", output: str, options: Any) -> "Request":
    from jobs.operations.derive import Request, derived_from  # noqa: PLC0415
    from manifests.draw.combining import pick_unchanged, rebased  # noqa: PLC0415

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


def _gone(diff: "DiffSet") -> pa.Table:
    """Return the keys of all rows that the diff removes or replaces."""
    keys = pa.schema([("key", pa.string())])
    batches = itertools.chain.from_iterable(map(diff.batches, diff.parts))
    found = [batch.column("before").field("key").filter(batch.column("before").is_valid()) for batch in batches]
    return pa.table([pa.chunked_array(found, pa.string())], schema=keys)


def _after(diff: "DiffSet", part: "DiffPart") -> Iterator[pa.RecordBatch]:
    """Yield the rows that one part of the diff adds or puts in place of others."""
    from manifests.compare.changes import side_rows  # noqa: PLC0415

    for batch in diff.batches(part):
        yield from side_rows(pa.Table.from_batches([batch]), "after", diff.b.schema).to_batches()
