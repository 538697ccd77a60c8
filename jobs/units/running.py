"""How every stage runs: look at what is there, do the units that are left, commit when all are done."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jobs.units.accepted import accepted_receipts
from jobs.units.commit import finish
from jobs.units.cost import COMMITTING, Account
from jobs.units.failures import read_failures
from jobs.units.plan import Plan, Unit
from jobs.units.progress import Reporter
from jobs.units.state import begun
from jobs.units.underway import underway_folder
from manifests.errors import CurateError, StageFailed, sentence_in
from manifests.format.done import DoneCounter
from manifests.format.integrity import require_sizes
from manifests.format.receipts import Receipt
from manifests.format.store import Manifest


@dataclass(kw_only=True)
class Terms:
    """How to report, and whether to start over. `account` adds up what the command costs."""

    reporter: Reporter = field(default_factory=Reporter)
    restart: bool = False
    account: Account = field(default_factory=Account)


Work = Callable[[Plan, Sequence[Unit]], Mapping[str, Receipt] | None]
"""Does units of a plan. Returns receipts that count instead of those of the units, by unit, if there are any."""


def run_plan(
    plan: Plan, work: Work, terms: Terms, *, done: Callable[[], DoneCounter | None], advice: str = ""
) -> Manifest:
    """Bring `plan` to its commit and return the manifest; does only what is left to do.

    `done` makes the counter of finished units, and is called only if there is something to do. `advice` is for the
    person who reads that units failed.

    Raises RunAtWork when another run is at work at the output, RunChanged when other work is there, StageFailed when
    units cannot be done. Whatever was finished stays, and the same call goes on from there.
    """
    started = time.monotonic()
    with begun(plan, restart=terms.restart) as begin:
        plan, state = begin.plan, begin.state
        for notice in state.notices:
            terms.reporter.say(f"{plan.stage}: {notice}")
        if state.manifest is not None:
            terms.reporter.say(f"{plan.stage}: up to date, {state.manifest.rows:,} rows at {plan.output}")
            return state.manifest
        for manifest in plan.reads:
            require_sizes(manifest)
        counter = done()
        with underway_folder() as underway, terms.reporter.watch(replace(plan, underway=underway), state, counter):
            try:
                replaced = work(replace(plan, done=counter, underway=underway), state.todo)
            except CurateError:
                raise
            except Exception as e:
                plan.run.require_held()
                raise StageFailed(" ".join(filter(None, [explain_failure(plan, e), advice]))) from e
        terms.account.begin(COMMITTING)
        return finish(begin, started, replaced=replaced, account=terms.account)


def explain_failure(plan: Plan, error: Exception) -> str:
    """Return which units failed and why, as the workers noted it."""
    done = accepted_receipts(plan.run)
    failures = {u: why for u, why in read_failures(plan.run).items() if u not in done}
    lines = [f"  {unit}: {why}" for unit, why in list(failures.items())[:5]]
    if len(failures) > len(lines):
        lines.append(f"  … and {len(failures) - len(lines)} more")
    if not lines:
        lines_of_error = str(error).strip().splitlines()
        raised = re.compile(r"^(manifests\.errors\.\w+|[\w.]*(Error|Exception|Exit)\b)")
        python = [sentence_in(line) or line for line in lines_of_error if raised.match(line)]
        lines = ["  " + line for line in python[-1:] or lines_of_error[:3]]
    return (
        f"{plan.stage}: {len(plan.units) - len(done)} of {len(plan.units)} units are not done\n"
        + "\n".join(lines)
        + "\nWhat was finished is kept; remove the cause and run the same command to go on."
    )
