"""The command line. stdout is the answer, stderr the talk; 0 done, 1 the job failed, 2 refused, 130 interrupted."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from filters.protocol import FilterError
from jobs.cli.audit import audit
from jobs.cli.calibrate import calibrate
from jobs.cli.combine import merge, patch, select
from jobs.cli.completion import completion
from jobs.cli.diff import diff
from jobs.cli.explain import explain
from jobs.cli.export import export
from jobs.cli.look import cat, log, query, show, stats
from jobs.cli.models import models
from jobs.cli.options import examples
from jobs.cli.sample import sample
from jobs.cli.setup import doctor, init, package
from jobs.cli.stages import choose, dedupe, run, scan, score, shard
from jobs.cli.verify import verify
from jobs.show import terminal
from manifests.errors import STORAGE_ADVICE, CurateError, InputError, StageFailed, is_failure, sentence_of

_STORAGE_PACKAGES = frozenset({"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs"})

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130


SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Pipeline": (run, scan, dedupe, score, choose, shard),
    "Look into manifests": (show, stats, log, query, cat, explain),
    "Compare and make manifests": (diff, patch, sample, select, merge, export),
    "Trust": (verify, audit, calibrate),
    "Set up": (doctor, models, init, package, completion),
}


class _Group(click.Group):
    """Turns errors raised on purpose into a message and an exit code; lists commands by what they are for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(each.name), each.get_short_help_str(70)) for each in commands])

    def main(self, *given: Any, **named: Any) -> Any:
        """Run the command line. stdout and stderr are made safe before, and flushed after."""
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

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StageFailed as e:
            _complain(str(e))
            ctx.exit(_exit_failed(ctx.invoked_subcommand))
        except (CurateError, FilterError) as e:
            _complain(str(e))
            ctx.exit(EXIT_REFUSED)
        except OSError as e:
            _complain(sentence_of(e))
            ctx.exit(_exit_failed(ctx.invoked_subcommand) if is_failure(e) else EXIT_REFUSED)
        except Exception as e:
            if type(e).__module__.split(".")[0] not in _STORAGE_PACKAGES:
                raise
            _complain(f"{STORAGE_ADVICE}: {type(e).__name__}: {e}")
            ctx.exit(EXIT_REFUSED)
        except KeyboardInterrupt:
            _complain("interrupted; the same command goes on from here")
            ctx.exit(EXIT_INTERRUPTED)


def _complain(text: str) -> None:
    click.echo(f"curate: {text}", err=True)


def _exit_failed(command: str | None) -> int:
    """Return the exit code of a command that failed; 1 says of `diff` that the manifests differ."""
    return EXIT_REFUSED if command == "diff" else EXIT_FAILED


_Callback = Callable[[click.Context, click.Parameter, Any], Any]


def _refuse_empty(command: click.Command) -> None:
    """Let `command`, and those below it, refuse every empty value: `""` is what an unset variable leaves."""
    for parameter in command.params:
        parameter.callback = functools.partial(_check_value, parameter.callback)
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        _refuse_empty(each)


def _check_value(then: _Callback | None, ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return `value`, or what the callback `then` makes of it. Raises InputError when an empty text is in it."""
    if "" in (value if isinstance(value, tuple) else (value,)):
        named = (parameter.metavar or parameter.human_readable_name).split()[0].rstrip(".")
        name = max(parameter.opts, key=len) if isinstance(parameter, click.Option) else named
        command = ctx.command_path.partition(" ")[2]
        raise InputError(f"{command}: {name} is empty; is a shell variable unset?")
    return then(ctx, parameter, value) if then else value


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "curate init > pipeline.yaml         # a commented pipeline file to edit",
        "curate run pipeline.yaml --dry-run  # what it would do",
        "curate run pipeline.yaml            # do it; run it again to resume",
        "curate show out/chosen              # what came out and why",
    ),
)
@click.version_option(package_name="curate")
def main() -> None:
    """Turn tars of web images into deduplicated, text-rich, trainer-ready shards."""


for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
        _refuse_empty(_command)
