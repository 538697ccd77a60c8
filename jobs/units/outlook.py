"""What a run of a plan would do, without doing it."""

from typing import Any

from jobs.show.answers import Outlook
from jobs.units.plan import Plan
from jobs.units.state import inspect


def outlook_of(plan: Plan, *, restart: bool) -> Outlook:
    """Return what running `plan` would do, without writing anything. Raises as `inspect` does."""
    sized = [u.size_bytes for u in plan.units if u.size_bytes is not None]
    facts: dict[str, Any] = {
        "stage": plan.stage,
        "output": plan.output,
        "units": len(plan.units),
        "size_bytes": sum(sized) if sized else None,
    }
    state = inspect(plan, restart=restart)
    if state.manifest is not None:
        return Outlook(**facts, state="up to date", units_done=len(plan.units))
    done = len(plan.units) - len(state.todo)
    return Outlook(
        **facts, state="resume" if done else "run", units_done=done, detail="; ".join(state.notices) or None
    )
