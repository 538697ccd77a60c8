"""What `choose --dry-run` and `choose --what-if` print: the rows that would be kept, and why not the others."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from curation.choosing.what_if import Outcome
from jobs.show.answers import Outlook, print_outlook
from jobs.show.basics import print_json, setting_text, stdout_console


@dataclass(frozen=True, kw_only=True)
class Tried:
    """Settings that were tried, by name, and what they would keep."""

    settings: Mapping[str, Any]
    outcome: Outcome


def print_outcome(outcome: Outcome, rows: int, outlook: Outlook | None, *, as_json: bool) -> None:
    """Print what choosing would do at its output, if there is one, and how many of `rows` rows it would keep."""
    if as_json:
        plan = {} if outlook is None else dataclasses.asdict(outlook)
        print_json([{**plan, "rows": rows, "kept": outcome.kept, "reasons": outcome.reasons}])
        return
    if outlook is not None:
        print_outlook([outlook], as_json=False)
    table = Table(title="Verdicts (nothing was written)", title_justify="left")
    table.add_column("drop_reason", overflow="fold")
    for name in ("rows", "share"):
        table.add_column(name, justify="right")
    table.add_row("(kept)", f"{outcome.kept:,}", _share(outcome.kept, rows), style="bold")
    for reason, count in sorted(outcome.reasons.items(), key=lambda each: (-each[1], each[0])):
        table.add_row(escape(reason), f"{count:,}", _share(count, rows))
    stdout_console().print(table)


def print_tried(found: Sequence[Tried], rows: int, *, as_json: bool) -> None:
    """Print a line for each of the settings that were tried: how many of `rows` rows they keep, and drop by reason.

    What all of them drop alike is below the table.
    """
    if as_json:
        print_json(
            [
                {"settings": each.settings, "kept": each.outcome.kept, "reasons": each.outcome.reasons}
                for each in found
            ]
        )
        return
    reasons = sorted(set().union(*(each.outcome.reasons for each in found)))
    differing = [name for name in reasons if len({each.outcome.reasons.get(name, 0) for each in found}) > 1]
    names = list(found[0].settings)
    table = Table(title="What if (nothing was written)", title_justify="left")
    for name in (*names, "kept", "share", *differing):
        table.add_column(escape(name), justify="left" if name in names else "right", overflow="fold")
    for each in found:
        values = [setting_text(value) for value in each.settings.values()]
        counts = [f"{each.outcome.reasons.get(name, 0):,}" for name in differing]
        kept = each.outcome.kept
        table.add_row(*map(escape, values), f"{kept:,}", _share(kept, rows), *counts)
    console = stdout_console()
    console.print(table)
    same = [f"{name} {found[0].outcome.reasons[name]:,}" for name in reasons if name not in differing]
    in_each = f"; in each case dropped: {', '.join(same)}" if same else ""
    console.print(f"of {rows:,} rows{in_each}", markup=False)


def _share(count: int, rows: int) -> str:
    return f"{count / rows:.2%}" if rows else "–"
