"""The command line. stdout is the answer, stderr the talk; 0 done, 1 the job failed, 2 refused, 130 interrupted."""

import errno
from typing import Any

import click

from filters.protocol import FilterError
from jobs.cli_audit import audit
from jobs.cli_calibrate import calibrate
from jobs.cli_combine import merge, patch, select
from jobs.cli_completion import completion
from jobs.cli_diff import diff
from jobs.cli_explain import explain
from jobs.cli_export import export
from jobs.cli_look import cat, log, query, show, stats
from jobs.cli_models import models
from jobs.cli_options import examples
from jobs.cli_sample import sample
from jobs.cli_setup import doctor, init, package
from jobs.cli_stages import choose, dedupe, run, scan, score, shard
from jobs.cli_verify import verify
from manifests.errors import CurateError, StageFailed

_STORAGE_PACKAGES = frozenset({"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs"})
_STORAGE_ADVICE = "the storage refused; check the address, the permissions and the credentials in the environment"

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

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StageFailed as e:
            _complain(str(e))
            ctx.exit(EXIT_FAILED)
        except (CurateError, FilterError) as e:
            _complain(str(e))
            ctx.exit(EXIT_REFUSED)
        except OSError as e:
            if e.errno == errno.EPIPE:  # `curate … | head`: click ends quietly
                raise
            _complain(f"{_STORAGE_ADVICE}: {type(e).__name__}: {e}")
            ctx.exit(EXIT_REFUSED)
        except Exception as e:
            if type(e).__module__.split(".")[0] not in _STORAGE_PACKAGES:
                raise
            _complain(f"{_STORAGE_ADVICE}: {type(e).__name__}: {e}")
            ctx.exit(EXIT_REFUSED)
        except KeyboardInterrupt:
            _complain("interrupted; the same command goes on from here")
            ctx.exit(EXIT_INTERRUPTED)


def _complain(text: str) -> None:
    click.echo(f"curate: {text}", err=True)


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
