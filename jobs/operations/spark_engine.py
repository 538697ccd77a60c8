"""Spark as the engine of an operation; a file of its own, since operations on DuckDB import no Spark."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from curation.config import SparkConfig
from curation.config_files import load_config
from jobs.operations.engine_choice import EngineChoice
from jobs.spark import session
from jobs.spark.engine import SparkEngine


@contextlib.contextmanager
def started(choice: EngineChoice, options: Mapping[str, Mapping[str, Any]]) -> Iterator[SparkEngine]:
    """Yield an engine on the session of `choice`, with storage `options`; a session that it started ends with it."""
    config = load_config(choice.config_files).spark if choice.config_files else SparkConfig()
    if choice.master:
        config = config.model_copy(update={"master": choice.master})
    with session.opened(config, name="curate", given=choice.spark) as spark, SparkEngine(spark, options) as engine:
        yield engine
