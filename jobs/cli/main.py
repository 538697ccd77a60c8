"""The command line. Answers go to stdout, messages to stderr.

Exit codes: 0 done, 1 the work failed, 2 refused, 130 interrupted.
"""

import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import click

from jobs.cli.completing import make_completable
from jobs.cli.lazy import LazyGroup, Listed, load
from jobs.cli.options import add_output_options, examples, wants_traceback
from jobs.show import logs, terminal
from manifests.errors import STORAGE_ADVICE, CurateError, InputError, StageFailed, is_failure, sentence_of
from manifests.storage_errors import LIBRARIES, sentence_for

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
COMPLETION_VARIABLE = "_CURATE_COMPLETE"
_logger = logging.getLogger(__name__)

SECTIONS: Mapping[str, Mapping[str, Listed]] = {
    "Pipeline": {
        "run": Listed("jobs.cli.stages:run", "Run the whole pipeline: scan, dedupe, score, choose, shard."),
        "scan": Listed("jobs.cli.stages:scan", "Locate, decode and measure every sample of INPUT, once."),
        "dedupe": Listed("jobs.cli.stages:dedupe", "Find all copies, and one representative of each cluster."),
        "score": Listed("jobs.cli.stages:score", "Measure the text in all images that are no copies."),
        "choose": Listed("jobs.cli.choose:choose", "Turn measurements into keep or a drop_reason."),
        "shard": Listed("jobs.cli.stages:shard", "Write the kept images, unchanged, as shuffled webdataset tars."),
    },
    "Look into manifests": {
        "show": Listed("jobs.cli.look:show", "Print origin, funnel, counts, columns and some rows of MANIFEST."),
        "report": Listed("jobs.cli.report:report", "Make pages that show MANIFEST in pictures, for a browser."),
        "stats": Listed("jobs.cli.look:stats", "Print quantiles, histograms and frequent values of columns."),
        "log": Listed("jobs.cli.look:log", "Print what MANIFEST was made from, step by step."),
        "query": Listed("jobs.cli.look:query", "Run a SELECT, in DuckDB's SQL, over the rows of MANIFEST."),
        "cat": Listed("jobs.cli.look:cat", "Print the rows with these keys, and write their images."),
        "explain": Listed("jobs.cli.explain:explain", "Print where a row came from, what became of it, and why."),
    },
    "Compare and make manifests": {
        "diff": Listed("jobs.cli.diff:diff", "Print which rows differ between the manifests A and B, and why."),
        "patch": Listed("jobs.cli.combine:patch", "Apply a DIFF of `curate diff A B --out` to A, which makes B."),
        "sample": Listed("jobs.cli.sample:sample", "Draw a reproducible subset of MANIFEST as a new manifest."),
        "select": Listed("jobs.cli.combine:select", "Take the rows of MANIFEST that a file lists."),
        "takedown": Listed("jobs.cli.takedown:takedown", "Remove what must go from MANIFEST, with its copies."),
        "purge": Listed("jobs.cli.takedown:purge", "Take samples out of the tars of SHARDS."),
        "merge": Listed("jobs.cli.combine:merge", "Join manifests of one stage into one that has each key once."),
        "export": Listed("jobs.cli.export:export", "Write rows of MANIFEST as a file for another tool."),
        "embed": Listed("jobs.cli.embed:embed", "Write a vector of each image, by a vision model, as Parquet."),
    },
    "Publish": {
        "release": Listed(
            "jobs.cli.release:release", "Write everything that the readers of SHARDS need into one folder."
        ),
    },
    "Train": {
        "feed": Listed("jobs.cli.feed:feed", "Read MANIFEST as a trainer does, and print how fast that is."),
    },
    "Trust": {
        "verify": Listed("jobs.cli.verify:verify", "Check that MANIFEST is valid, and report every fault."),
        "audit": Listed("jobs.cli.audit:audit", "Measure precision and recall from images labelled by hand."),
        "calibrate": Listed("jobs.cli.calibrate:calibrate", "Compute bounds and thresholds from labelled samples."),
    },
    "Set up": {
        "doctor": Listed("jobs.cli.setup:doctor", "Check that everything a run needs is there."),
        "models": Listed("jobs.cli.models:models", "List and fetch the model files of text engines."),
        "init": Listed("jobs.cli.setup:init", "Print a commented pipeline file to start from."),
        "package": Listed("jobs.cli.setup:package", "Write the files that spark-submit needs."),
        "completion": Listed("jobs.cli.completion:completion", "Print a script for completion with the Tab key."),
    },
}


class _CurateGroup(LazyGroup):
    """Turns errors raised on purpose into a message and an exit code."""

    def main(self, *given: Any, **named: Any) -> Any:
        """Run the command line. stdout and stderr are made safe before, and flushed after."""
        if COMPLETION_VARIABLE in os.environ:
            load("jobs.cli.completion:SHELLS")  # makes click complete files, too
        if not terminal.are_own_streams() or not named.get("standalone_mode", True):
            return super().main(*given, **named)
        args = given[0] if given else named.get("args")
        if args is None:
            terminal.restart_in_utf8()
        terminal.prepare()
        try:
            try:
                return super().main(*given, **named)
            finally:
                sys.stdout.flush()
        except terminal.OutputFailed as e:
            _complain(str(e))
            sys.exit(_exit_failed(next(iter(sys.argv[1:] if args is None else args), None)))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command's name, with logging as it is without any."""
        if not ctx.resilient_parsing:
            logs.configure()
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Ends with a message and an exit code where it raises an error on purpose."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _complain("interrupted; the same command goes on from here")
            ctx.exit(EXIT_INTERRUPTED)
        except (click.ClickException, click.Abort, click.exceptions.Exit, terminal.OutputFailed):
            raise
        except Exception as e:
            outcome = _outcome(e, ctx.invoked_subcommand)
            if outcome is None:
                _logger.critical("%s: %s", type(e).__name__, e, exc_info=True, extra={logs.IS_SHOWN: True})
                raise
            text, code = outcome
            if wants_traceback(ctx):
                click.echo(traceback.format_exc(), err=True, nl=False)
            _complain(text)
            ctx.exit(code)


def _outcome(error: Exception, command: str | None) -> tuple[str, int] | None:
    """Return the message and the exit code of an error; None for one that nobody raised on purpose."""
    from filters.protocol import FilterError  # noqa: PLC0415 - imports numpy, which `curate --help` does not need

    if isinstance(error, StageFailed):
        return str(error), _exit_failed(command)
    if isinstance(error, CurateError | FilterError):
        return str(error), EXIT_REFUSED
    if isinstance(error, OSError):
        return sentence_for(error) or sentence_of(error), _exit_failed(command) if is_failure(error) else EXIT_REFUSED
    if type(error).__module__.split(".")[0] in LIBRARIES:
        return sentence_for(error) or f"{STORAGE_ADVICE}: {type(error).__name__}: {error}", EXIT_REFUSED
    return None


def _complain(text: str) -> None:
    click.echo(f"curate: {text}", err=True)
    _logger.error(text, extra={logs.IS_SHOWN: True})


def _exit_failed(command: str | None) -> int:
    """Return the exit code of a command that failed. For `diff`, 1 means that the manifests differ."""
    return EXIT_REFUSED if command == "diff" else EXIT_FAILED


_Callback = Callable[[click.Context, click.Parameter, Any], Any]


def _prepare(command: click.Command) -> None:
    """Give `command`, and those below it, the options of every command, and let them refuse every empty value.

    An unset shell variable leaves `""`.
    """
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _prepare(each)
    else:
        add_output_options(command)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            make_completable(parameter)
        parameter.callback = functools.partial(_check_value, parameter.callback)


def _check_value(then: _Callback | None, ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return `value`, or what the callback `then` makes of it. Raises InputError when it contains an empty text."""
    if "" in (value if isinstance(value, tuple) else (value,)):
        named = (parameter.metavar or parameter.human_readable_name).split()[0].rstrip(".")
        name = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else named
        command = ctx.command_path.partition(" ")[2]
        raise InputError(f"{command}: {name} is empty; is a shell variable unset?")
    return then(ctx, parameter, value) if then else value


@click.group(
    cls=_CurateGroup,
    sections=SECTIONS,
    prepare=_prepare,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "curate init > pipeline.yaml         # a commented pipeline file to edit",
        "curate run pipeline.yaml --dry-run  # what it would do",
        "curate run pipeline.yaml            # do it; run it again to resume",
        "curate show out/chosen              # what came out and why",
    ),
)
@click.version_option(package_name="curate-images")
def main() -> None:
    """Turn tars of web images into deduplicated, text-rich, trainer-ready shards."""


add_output_options(main)
