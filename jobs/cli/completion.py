"""`curate completion`: completion of commands, options and files with the Tab key."""

import os
from pathlib import PurePath

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from jobs.cli.options import examples
from jobs.show import terminal
from manifests.errors import InputError

PROGRAM = "curate"
VARIABLE = "_CURATE_COMPLETE"


class _OrFiles(ShellComplete):
    """Completes files where click knows nothing better: manifests, outputs and lists are paths."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        found = super().get_completions(args, incomplete)
        is_value = bool(args) and not incomplete.startswith("-")
        return found if found or not is_value else [CompletionItem(incomplete, type="file")]


class _Bash(_OrFiles, BashComplete):
    # After `section.name=` a value follows, not the next word.
    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value); [[ $value == *= ]] && compopt -o nospace 2>/dev/null"
    )


class _Zsh(_OrFiles, ZshComplete):
    pass


class _Fish(_OrFiles, FishComplete):
    pass


SHELLS: dict[str, type[ShellComplete]] = {made.name: made for made in (_Bash, _Zsh, _Fish)}
for _made in SHELLS.values():
    add_completion_class(_made)  # click looks them up by name when the script calls curate


@click.command(
    epilog=examples(
        "curate completion bash > ~/.local/share/bash-completion/completions/curate",
        "echo 'eval \"$(curate completion bash)\"' >> ~/.bashrc       # without the package bash-completion",
        "curate completion zsh > ~/.zfunc/_curate                   # in ~/.zshrc, before compinit: fpath+=~/.zfunc",
        "curate completion fish > ~/.config/fish/completions/curate.fish",
    )
)
@click.argument("shell", type=click.Choice(list(SHELLS)), required=False)
def completion(shell: str | None) -> None:
    """Print a script for completion with the Tab key.

    It completes commands, options, their values and files. SHELL is by default the one in $SHELL. Write the script
    where the shell looks for such scripts, as below, and start a new shell.
    """
    name = shell or PurePath(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise InputError(
            f"completion: the shell in $SHELL is {name or 'not set'}; name one of {', '.join(SHELLS)}, "
            f"as in `curate completion {next(iter(SHELLS))}`"
        )
    terminal.write_utf8()
    made = SHELLS[name](click.Command(PROGRAM), {}, PROGRAM, VARIABLE)
    click.echo(made.source_template % made.source_vars())  # source() runs the bash that is installed here
