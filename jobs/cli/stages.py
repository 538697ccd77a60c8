"""The commands of the pipeline: `curate run`, and one for each stage."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from jobs.cli.options import examples, named_sets
from jobs.show import answers
from manifests import storage
from manifests.errors import InputError
from manifests.format.schema import Stage

F = TypeVar("F", bound=Callable[..., Any])


def _job_options(command: F) -> F:
    """Add the options every job takes."""
    for option in reversed(
        (
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="SECTION.NAME=VALUE",
                help="Override one value of the configuration; may be repeated.",
            ),
            click.option("--master", metavar="URL", help="Spark master; local[*] unless submitted or configured."),
            click.option("--dry-run", is_flag=True, help="Print what would be done; write nothing."),
            click.option(
                "--restart",
                is_flag=True,
                help="Discard work of another configuration found at the output, instead of refusing.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON."),
            click.option("--quiet", "-q", is_flag=True, help="No progress on stderr."),
        )
    ):
        command = option(command)
    return command


def _stage_options(command: F) -> F:
    """Add the options every single stage takes."""
    for option in reversed(
        (
            click.option("-o", "--output", required=True, metavar="URI", help="Where the manifest is committed."),
            click.option(
                "-c",
                "--config",
                "config_files",
                multiple=True,
                metavar="FILE",
                help="Pipeline file to take settings from; may be repeated, later ones win.",
            ),
        )
    ):
        command = option(command)
    return _job_options(command)


@click.command(
    epilog=examples(
        "curate run pipeline.yaml",
        "curate run pipeline.yaml --set score.engine=rapidocr --set choose.target_fraction=0.013",
        "curate run pipeline.yaml thresholds.yaml",
        "curate run pipeline.yaml --dry-run --json",
    )
)
@click.argument("pipeline", metavar="PIPELINE.YAML...", nargs=-1, required=True)
@_job_options
def run(pipeline: Sequence[str], overrides: Sequence[str], **flags: Any) -> None:
    """Run the whole pipeline: scan, dedupe, score, choose, shard. Run it again to resume.

    Of several files the later ones win, so that thresholds can lie in a file of their own.
    """
    from curation.config_files import load_config  # noqa: PLC0415 - `curate show` needs none of it
    from jobs import pipeline as pipelines  # noqa: PLC0415

    config = load_config(pipeline, [*overrides, *_master(flags)])
    storage.configure(config.storage)
    if flags["dry_run"]:
        places = {
            s: (
                pipelines.place_of(config, pipelines.READS[s]) if s in pipelines.READS else None,
                pipelines.place_of(config, s),
            )
            for s in Stage
        }
        pipelines.check_ahead(config)
        answers.print_outlook(
            pipelines.outlook(config, list(Stage), places, restart=flags["restart"]), as_json=flags["as_json"]
        )
        return
    _run(config, flags, lambda ctx: pipelines.run(config, ctx))


def _master(flags: dict[str, Any]) -> list[str]:
    return [f"spark.master={flags['master']}"] if flags["master"] else []


def _run(config: Any, flags: dict[str, Any], do: Callable[[Any], Any]) -> None:
    from jobs.spark.run import context  # noqa: PLC0415
    from jobs.units.progress import Reporter  # noqa: PLC0415

    reporter = Reporter(quiet=flags["quiet"] or (flags["as_json"] and not sys.stderr.isatty()))
    with context(config, reporter=reporter, restart=flags["restart"]) as ctx:
        manifest = do(ctx)
    answers.print_done(manifest, as_json=flags["as_json"])


def _run_stage(
    stage: Stage, source: str | None, patterns: Sequence[str], settings: dict[str, Any], flags: dict[str, Any]
) -> None:
    """Run one stage from its command's arguments; settings given as options win over the file and --set."""
    from curation.config_files import load_config  # noqa: PLC0415
    from jobs import pipeline as pipelines  # noqa: PLC0415

    given = {name: value for name, value in settings.items() if value not in (None, ())}
    last = {"input": list(patterns) or [str(source)], "output": flags["output"], stage.value: given}
    config = load_config(flags["config_files"], [*flags["overrides"], *_master(flags)], last=last)
    storage.configure(config.storage)
    if flags["dry_run"]:
        places = {stage: (source, flags["output"])}
        found = pipelines.outlook(config, [stage], places, restart=flags["restart"])
        answers.print_outlook(found, as_json=flags["as_json"])
        return
    _run(config, flags, lambda ctx: pipelines.run_one(config, stage, source, flags["output"], ctx))


@click.command(
    epilog=examples(
        "curate scan 'data/{00000..00999}.tar' -o scan/",
        "curate scan 's3://bucket/*.tar' @more.txt -o s3://bucket/scan --master spark://host:7077",
        "curate scan photos/ -o scan/ --dry-run",
    )
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--tars-per-unit", type=int, help="Source tars one task reads, and one part holds.")
@click.option("--max-broken-tars", type=int, help="Tars that may be unreadable before the scan fails.")
@_stage_options
def scan(inputs: tuple[str, ...], tars_per_unit: int | None, max_broken_tars: int | None, **flags: Any) -> None:
    """Locate, decode and measure every sample of INPUT, once.

    INPUT is a tar, a folder of images, a glob, a brace pattern or @LIST.TXT, on any fsspec URI.
    """
    _run_stage(Stage.SCAN, None, inputs, {"tars_per_unit": tars_per_unit, "max_broken_tars": max_broken_tars}, flags)


@click.command(
    epilog=examples(
        "curate dedupe scan/ -o deduped/",
        "curate dedupe scan/ -o deduped/ --max-distance 24",
        "curate dedupe scan/ -o deduped/ --fingerprint embedding --min-cosine 0.9",
        "curate dedupe scan/ -o deduped/ --copies exact,mild",
        "curate dedupe scan/ -o deduped/ --reference imagenet-val/scan --reference charts=evaluation/scan",
        "curate dedupe june/scan/ -o june/deduped/ --against may/deduped/",
    )
)
@click.argument("manifest")
@click.option(
    "--copies",
    metavar="KIND,...",
    help="Kinds that count: exact, mild, overlay, crop, mirror, turn, joined by commas; by default all.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="[NAME=]MANIFEST",
    help="Scan of a set to keep out, whose copies are named after it; may be repeated.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="MANIFEST",
    help="Deduplicated manifest that samples may be copies of; it is not rewritten; may be repeated.",
)
@click.option("--no-verify", is_flag=True, help="Let PDQ alone decide, reading no picture; for exact and mild.")
@click.option("--max-distance", type=int, help="Largest PDQ distance of mild copies, in bits of 256.")
@click.option("--fingerprint", type=click.Choice(["pdq", "embedding"]), help="What copies are told by.")
@click.option("--min-cosine", type=float, help="Least cosine of two copies' embeddings.")
@_stage_options
def dedupe(manifest: str, copies: str | None, references: tuple[str, ...], no_verify: bool, **flags: Any) -> None:
    """Find copies over a whole scan, and one representative of each cluster.

    A set is named by its last folder, or the one above if that is scan, unless a NAME is given.
    """
    settings: dict[str, Any] = {n: flags.pop(n) for n in ("against", "max_distance", "fingerprint", "min_cosine")}
    settings["copies"] = None if copies is None else [kind.strip() for kind in copies.split(",")]
    settings["references"] = named_sets(references) or None
    settings["verify"] = False if no_verify else None
    _run_stage(Stage.DEDUPE, manifest, (), settings, flags)


@click.command(
    epilog=examples(
        "curate score deduped/ -o scored/",
        "curate score deduped/ -o scored/ --engine my_package.my_module:MyEngine",
    )
)
@click.argument("manifest")
@click.option("--engine", help="rapidocr, easyocr, tesseract, or your own as package.module:Class.")
@click.option(
    "--ask",
    type=click.Choice(["light", "heavy"]),
    help="light: any text, too; heavy: charts, tables, documents alone.",
)
@_stage_options
def score(manifest: str, engine: str | None, ask: str | None, **flags: Any) -> None:
    """Measure text on the survivors of dedupe, each read by byte range."""
    _run_stage(Stage.SCORE, manifest, (), {"engine": engine, "ask": ask}, flags)


@click.command(
    epilog=examples(
        "curate choose scored/ -o chosen/ --keep heavy",
        "curate choose scored/ -o chosen/ --keep all --target-fraction 0.013",
        "curate choose scored/ -o chosen/ --where 'large=width * height >= 65536'",
    )
)
@click.argument("manifest")
@click.option("--keep", type=click.Choice(["heavy", "light", "all"]), help="The least text_class that is kept.")
@click.option("--target-fraction", type=float, help="Keep this share of all rows, best text_score first.")
@click.option("--target-count", type=int, help="Keep this many rows, best text_score first.")
@click.option("--min-side", type=int, help="Shortest side kept, in pixels.")
@click.option("--max-aspect", type=float, help="Longest by shortest side, at most.")
@click.option(
    "--where",
    multiple=True,
    metavar="NAME=SQL",
    help="Own rule: a SQL expression over the columns that must be true; may be repeated.",
)
@_stage_options
def choose(manifest: str, where: tuple[str, ...], overrides: tuple[str, ...], **flags: Any) -> None:
    """Turn measurements into keep or a drop_reason. No image is read: rerun it with other thresholds."""
    names = ("keep", "target_fraction", "target_count", "min_side", "max_aspect")
    settings: dict[str, Any] = {name: flags.pop(name) for name in names}
    if where:
        settings["where"] = dict(_named(w) for w in where)
    _run_stage(Stage.CHOOSE, manifest, (), settings, {**flags, "overrides": overrides})


def _named(text: str) -> tuple[str, str]:
    name, equals, expression = text.partition("=")
    if not (equals and name.isidentifier()):
        raise InputError(f"--where {text}: write NAME=SQL, for example large='width >= 512'")
    return name, expression


@click.command(
    epilog=examples(
        "curate shard chosen/ -o shards/ --samples-per-shard 5000",
        "curate shard chosen/ -o s3://bucket/shards --target-shard-bytes 1000000000",
    )
)
@click.argument("manifest")
@click.option("--samples-per-shard", type=int, help="Samples in a tar.")
@click.option("--target-shard-bytes", type=int, help="Image bytes in a tar, about, instead of a count.")
@click.option("--salt", help="Names the global shuffle; another salt, another order.")
@_stage_options
def shard(
    manifest: str,
    samples_per_shard: int | None,
    target_shard_bytes: int | None,
    salt: str | None,
    **flags: Any,
) -> None:
    """Write the kept images, byte for byte, as shuffled reproducible webdataset tars."""
    _run_stage(
        Stage.SHARD,
        manifest,
        (),
        {"samples_per_shard": samples_per_shard, "target_shard_bytes": target_shard_bytes, "salt": salt},
        flags,
    )
