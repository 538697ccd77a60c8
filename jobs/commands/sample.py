"""Makes the manifest of a sample, and runs the request of any command that makes a manifest from manifests."""

from collections.abc import Mapping
from typing import Any

from jobs.commands.shared import has_summary, note, reporter
from jobs.operations import requests
from jobs.operations.derive import Request, count_expected_rows, derive
from jobs.operations.engine_choice import EngineChoice, storage_options
from jobs.operations.engines import engines
from jobs.show import answers
from jobs.units.lease import require_free, work_uri
from jobs.units.output_place import require_folder
from manifests.draw.sampling import Draw
from manifests.format.store import open_manifest


def sample(manifest: str, output: str, **flags: Any) -> None:
    """Make the manifest of a sample."""
    choice = EngineChoice.taken_from(flags)
    run = {name: flags.pop(name) for name in ("dry_run", "restart", "as_json")}
    strata = flags.pop("stratify_by")
    draw = Draw(**flags, stratify_by=tuple(name.strip() for name in strata.split(",")) if strata else ())
    options = storage_options(choice)
    source = open_manifest(manifest)
    make(requests.sample(source, draw, output, options, note), choice, run)


def make(request: Request, choice: EngineChoice, run: Mapping[str, Any]) -> None:
    """Make the manifest of `request`, or count the rows it would have, and print the answer.

    `run` contains the options dry_run, restart and as_json.
    """
    progress = reporter(as_json=run["as_json"])
    with engines(choice, progress) as engine:
        if run["dry_run"]:
            require_folder(request.output)
            require_free(work_uri(request.output))
            rows = count_expected_rows(request, engine(request.sources))
            answers.print_would_be(request.about.made_by, rows, request.output, as_json=run["as_json"])
            return
        made = derive(request, lambda: engine(request.sources), progress, restart=run["restart"])
    if has_summary(as_json=run["as_json"]):
        answers.print_done(made, as_json=run["as_json"])
