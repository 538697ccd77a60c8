"""Commands that are imported when they are needed: `curate --help` imports none of them."""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

MAX_SENTENCE_CHARS = 1000

F = TypeVar("F", bound=Callable[..., Any])


class Listed(NamedTuple):
    """A command that is not imported yet: `module:attribute`, and the first sentence of its help."""

    target: str
    short_help: str


def load(target: str) -> Any:
    """Import `module:attribute` and return the attribute."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def runs(target: str) -> Callable[[F], F]:
    """Return a decorator that lets a command call the function `target`, `module:function`, with its parameters.

    The decorated function has the name and the help of the command, and no body. The module is imported when the
    command runs, so that its help and the completion of its options do not wait for what only the work needs.
    """

    def decorate(declared: F) -> F:
        @functools.wraps(declared)
        def call(**values: Any) -> Any:
            return load(target)(**values)

        call.target = target  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


class LazyCommands(MutableMapping[str, click.Command]):
    """Name → command, in the order of `listed`. A command is imported and prepared when it is looked up."""

    def __init__(self, listed: Mapping[str, Listed], prepare: Callable[[click.Command], None]) -> None:
        self._listed = listed
        self._prepare = prepare
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            command: click.Command = load(self._listed[name].target)
            self._prepare(command)
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError(f"{name}: list the command in SECTIONS")

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name}: take the command out of SECTIONS")

    def __contains__(self, name: object) -> bool:
        return name in self._listed

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class FullHelpGroup(click.Group):
    """A group whose help has the first sentence of each command, however wide the terminal is."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.get_short_help_str(limit=MAX_SENTENCE_CHARS)) for name, each in self.commands.items()]
            )


class LazyGroup(click.Group):
    """A group of commands in sections. Its help and the completion of command names import no command."""

    def __init__(
        self,
        *given: Any,
        sections: Mapping[str, Mapping[str, Listed]],
        prepare: Callable[[click.Command], None],
        **named: Any,
    ) -> None:
        super().__init__(*given, **named)
        self.sections = sections
        self.listed = {name: each for commands in sections.values() for name, each in commands.items()}
        self.commands = LazyCommands(self.listed, prepare)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the sections."""
        return list(self.listed)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, section by section."""
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, each.short_help) for name, each in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the commands, and the options of the group, that start with `incomplete`."""
        found = [
            CompletionItem(name, help=each.short_help)
            for name, each in self.listed.items()
            if name.startswith(incomplete)
        ]
        return [*found, *super(click.Group, self).shell_complete(ctx, incomplete)]
