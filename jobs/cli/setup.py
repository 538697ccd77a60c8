"""`curate doctor`, `init` and `package`: what comes before a pipeline."""

from pathlib import Path
from typing import Any

import click

from jobs.cli.options import examples
from jobs.show import answers, terminal
from manifests import storage

EXIT_FAILED = 1


@click.command(
    epilog=examples(
        "curate doctor",
        "curate doctor -c pipeline.yaml",
        "curate doctor --storage s3://bucket/out --engine easyocr",
        "curate doctor --json",
    )
)
@click.option(
    "-c",
    "--config",
    "config_files",
    multiple=True,
    metavar="FILE",
    help="Pipeline file: try its engine with its options, its output, its storage and its Spark; may be repeated.",
)
@click.option("--engine", help="Text engine to try; by default the pipeline file's, or rapidocr.")
@click.option("--storage", "places", multiple=True, metavar="URI", help="Folder to try to write and read.")
@click.option("--master", metavar="URL", help="Spark master to start a worker on.")
@click.option("--no-spark", is_flag=True, help="Do not start Spark.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(config_files: tuple[str, ...], engine: str | None, places: tuple[str, ...], **flags: Any) -> None:
    """Check Java, Python workers, engine and models, storage and free disk, and say how to mend each."""
    from curation.config import ScoreConfig, SparkConfig  # noqa: PLC0415
    from curation.config_files import load_config  # noqa: PLC0415
    from jobs.setup.doctor import checks  # noqa: PLC0415

    score_config, spark_config = ScoreConfig(), SparkConfig(master="local[1]")
    if config_files:
        config = load_config(config_files)
        storage.configure(config.storage)
        score_config, spark_config = config.score, config.spark
        places = (config.output, *places)
    if engine is not None and engine != score_config.engine:
        score_config = ScoreConfig(engine=engine)  # the options were another engine's
    if flags["master"]:
        spark_config = spark_config.model_copy(update={"master": flags["master"]})
    found = checks(
        engine=score_config.engine,
        engine_options=score_config.engine_options,
        places=places,
        spark=None if flags["no_spark"] else spark_config,
    )
    answers.print_checks(found, as_json=flags["as_json"])
    if not all(c.is_good for c in found):
        raise click.exceptions.Exit(EXIT_FAILED)


@click.command(epilog=examples("curate init > pipeline.yaml"))
def init() -> None:
    """Print a commented pipeline file to start from."""
    from curation.config_files import template  # noqa: PLC0415

    terminal.write_utf8()  # the pipeline file that stdout becomes is read as UTF-8
    click.echo(template(), nl=False)


@click.command(
    epilog=examples(
        "curate package -o dist/",
        "spark-submit --master spark://host:7077 --py-files dist/curate.zip dist/curate_submit.py run pipeline.yaml",
    )
)
@click.option("-o", "--output", "folder", default="dist", show_default=True, help="Folder to write to.")
def package(folder: str) -> None:
    """Write curate.zip and curate_submit.py, for spark-submit to workers that do not have curate installed."""
    from jobs.spark.session import SUBMIT_SCRIPT, source_zip  # noqa: PLC0415
    from jobs.units.output_place import require_folder  # noqa: PLC0415

    require_folder(storage.absolute(folder))
    for name, data in (("curate.zip", source_zip()), ("curate_submit.py", SUBMIT_SCRIPT.encode())):
        storage.write_bytes(storage.join(storage.absolute(folder), name), data)
        click.echo(str(Path(folder) / name))
