"""`curate sample` and `curate select`: manifests of some of another's rows."""

import sys
from typing import Any

import click

from jobs.cli.options import examples
from jobs.operations.engines import EngineChoice, engine_options, engines, storage_options
from manifests import storage
from manifests.format.store import Manifest, open_manifest


@click.command(
    epilog=examples(
        "curate sample out/chosen -o small/ --fraction 0.013",
        "curate sample out/chosen -o small/ --count 100000 --where 'text_chars > 50 and width >= 256'",
        "curate sample out/chosen -o mixed/ --count 60000 --stratify-by format,text_class --shares equal",
        "curate sample out/scored -o rich/ --top 1000000 --by text_score",
        "curate sample out/scored -o rich/ --count 1000000 --weight text_score --salt run-2",
        "curate sample out/deduped -o firsts/ --per-cluster 1",
        "curate sample s3://bucket/chosen -o s3://bucket/small --fraction 0.01 --engine spark --master spark://host:7077",
    )
)
@click.argument("manifest")
@click.option("-o", "--output", required=True, metavar="URI", help="Where the manifest of the sample is committed.")
@click.option(
    "--fraction", type=float, help="Share of the rows, 0 to 1; each row is in or out whatever the others are."
)
@click.option("--count", type=click.IntRange(min=0), help="Exactly this many rows.")
@click.option("--top", type=click.IntRange(min=0), metavar="N", help="The N rows with the largest --by.")
@click.option("--by", metavar="COLUMN", help="What --top goes by: a column, or a SQL expression over one row.")
@click.option("--weight", metavar="COLUMN", help="Draw in proportion to this, without replacement; 0 and null never.")
@click.option("--stratify-by", metavar="COLUMN,...", help="Give every combination of these columns its share.")
@click.option(
    "--shares",
    type=click.Choice(["proportional", "equal"]),
    default="proportional",
    show_default=True,
    help="The shares of --stratify-by.",
)
@click.option("--per-cluster", type=click.IntRange(min=0), metavar="N", help="At most N rows of each cluster_id.")
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option("--salt", default="curate", show_default=True, help="Names the draw; another salt, other rows.")
@click.option("--dry-run", is_flag=True, help="Print how many rows would be drawn; write nothing.")
@click.option("--restart", is_flag=True, help="Discard what another draw left at the output, instead of refusing.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@engine_options
def sample(manifest: str, output: str, choice: EngineChoice, **flags: Any) -> None:
    """Draw a subset of MANIFEST that is the same tomorrow: a manifest like any other.

    A keyed hash of `key` decides: with one salt, smaller samples lie inside larger ones, and neither order, parts nor
    engine matter. With --fraction alone new rows move no old ones in or out.
    """
    from jobs.operations.derive import Request, derive, derived_from  # noqa: PLC0415 - takes a while to import
    from manifests.draw.sampling import Draw  # noqa: PLC0415

    run = {name: flags.pop(name) for name in ("dry_run", "restart", "as_json", "quiet")}
    strata = flags.pop("stratify_by")
    draw = Draw(**flags, stratify_by=tuple(c.strip() for c in strata.split(",")) if strata else ())
    options = storage_options(choice)
    source = open_manifest(manifest)
    draw.check(source)
    request = Request(
        about=derived_from([source], "sample", draw.settings),
        sources=[source],
        output=storage.absolute(output),
        options=options,
        **_how(source, draw),
    )
    make(request, choice, run, derive)


def _how(source: Manifest, draw: Any) -> dict[str, Any]:
    """Return how a request finds the rows of `draw`."""
    from manifests.draw.sampling import local_condition, pick_sample  # noqa: PLC0415

    if draw.is_local:
        return {"where": local_condition(draw), "share": 1.0 if draw.fraction is None else draw.fraction}

    return {"decide": lambda engine: pick_sample(engine, source, draw)}


def make(request: Any, choice: EngineChoice, run: dict[str, Any], derive: Any) -> None:
    """Make the manifest of `request`, or tell how many rows it would have, and print the answer."""
    from jobs.operations.derive import count_rows  # noqa: PLC0415
    from jobs.show import answers  # noqa: PLC0415
    from jobs.units.at_work import require_no_other, run_uri  # noqa: PLC0415
    from jobs.units.output_place import require_folder  # noqa: PLC0415
    from jobs.units.progress import Reporter  # noqa: PLC0415

    reporter = Reporter(quiet=run["quiet"] or (run["as_json"] and not sys.stderr.isatty()))
    with engines(choice, reporter) as engine:
        if run["dry_run"]:
            require_folder(request.output)
            require_no_other(run_uri(request.output), request.output)
            rows = count_rows(request, engine(request.sources))
            answers.print_would_be(request.about.made_by, rows, request.output, as_json=run["as_json"])
            return
        made = derive(request, lambda: engine(request.sources), reporter, restart=run["restart"])
    answers.print_done(made, as_json=run["as_json"])
