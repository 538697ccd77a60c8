"""Types of options whose values a shell can complete: columns of a manifest, and settings."""

import click
from click.shell_completion import CompletionItem

from jobs.cli.lazy import load

COLUMN, SETTING = "COLUMN", "SECTION.NAME=VALUE"
"""How the metavar of such an option begins."""


class _ColumnNames(click.types.StringParamType):
    """Names of columns, joined by commas."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return the columns of the manifest that was named before, or all that there are."""
        before, comma, last = incomplete.rpartition(",")
        columns = load("jobs.commands.completing:columns")(next(iter(ctx.args), None))
        given = before.split(",")
        return [
            CompletionItem(f"{before}{comma}{name}", help=meaning)
            for name, meaning in columns.items()
            if name.startswith(last) and name not in given
        ]


class _Settings(click.types.StringParamType):
    """A setting and its value."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return the settings that begin so, with each value of those that have few."""
        settings = load("jobs.commands.completing:settings")()
        return [
            CompletionItem(text, help=meaning) for text, meaning in settings.items() if text.startswith(incomplete)
        ]


def make_completable(option: click.Option) -> None:
    """Let a shell complete the values of `option`, if its metavar says that they are columns or settings."""
    metavar = option.metavar or ""
    if metavar.startswith(COLUMN):
        option.type = _ColumnNames()
    elif metavar == SETTING:
        option.type = _Settings()
