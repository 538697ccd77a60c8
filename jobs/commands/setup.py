"""What comes before a pipeline: checks of this machine, a pipeline file, and the files of spark-submit."""

from pathlib import Path
from typing import Any

import click

from curation.config import ScoreConfig, SparkConfig
from curation.config_files import load_config, template
from jobs.setup.doctor import checks
from jobs.show import logs, terminal
from jobs.show.setup import print_checks
from jobs.spark.session import SUBMIT_SCRIPT, source_zip
from jobs.units.output_place import require_folder
from manifests import storage

EXIT_FAILED = 1


def doctor(config_files: tuple[str, ...], engine: str | None, places: tuple[str, ...], **flags: Any) -> None:
    """Print what is missing for a run, and how to fix it."""
    score_config, spark_config = ScoreConfig(), SparkConfig(master="local[1]")
    inputs: tuple[str, ...] = ()
    if config_files:
        config = load_config(config_files)
        storage.configure(config.storage)
        score_config, spark_config = config.score, config.spark
        places, inputs = (config.output, *places), config.input
    if engine is not None and engine != score_config.engine:
        score_config = ScoreConfig(engine=engine)  # the options are those of another engine
    if flags["master"]:
        spark_config = spark_config.model_copy(update={"master": flags["master"]})
    found = checks(
        engine=score_config.engine,
        engine_options=score_config.engine_options,
        places=places,
        inputs=inputs,
        spark=None if flags["no_spark"] else spark_config,
    )
    print_checks(found, as_json=flags["as_json"])
    if not all(c.is_good for c in found):
        raise click.exceptions.Exit(EXIT_FAILED)


def init() -> None:
    """Print a commented pipeline file to start from."""
    terminal.write_utf8()  # the pipeline file that stdout becomes is read as UTF-8
    click.echo(template(), nl=False)


def package(folder: str) -> None:
    """Write curate.zip and curate_submit.py to `folder`."""
    require_folder(storage.absolute(folder))
    for name, data in (("curate.zip", source_zip()), ("curate_submit.py", SUBMIT_SCRIPT.encode())):
        storage.write_bytes(storage.join(storage.absolute(folder), name), data)
        if not logs.is_quiet():
            click.echo(str(Path(folder) / name))
