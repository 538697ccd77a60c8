"""Accounts for the processor time of a run by phase, as the operating system counts it for each process.

See docs/adr/0029 for what is counted, and why it is not taken from Spark's metrics.
"""

import resource
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import psutil

from manifests.format.cost import UNITS, Spent

STARTING = "starting"
PLANNING = "planning"
COMMITTING = "committing"
EARLIER_RUNS = "earlier runs"

Seen = Mapping[str, tuple[float, float]]
"""Processes by name: the processor seconds that each had used when it was seen first, and last."""


def process_seconds() -> float:
    """Return the processor seconds that this process has used, with those of children that it has waited for."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def used_by(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """Return the processor seconds of `processes`, with those of children that they have waited for, by name.

    The name is one process's alone, on all machines. A process that has ended is left out.
    """
    host, found = socket.gethostname(), {}
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        found[f"{host}:{hash(process)}"] = times.user + times.system + times.children_user + times.children_system
    return found


def this_process() -> Seen:
    """Return this process, seen from its start."""
    return {name: (0.0, seconds) for name, seconds in used_by([psutil.Process()]).items()}


class Account:
    """Adds up what processes use, phase by phase. Phases follow each other without a gap.

    This process counts from now on, or with `from_start` from when it started. `workers_are_counted` is false if
    workers run where nobody can look at their processes; then only receipts tell what their units used.
    """

    def __init__(self, *, from_start: bool = False) -> None:
        self.workers_are_counted = True
        self._sources: list[tuple[Callable[[], Seen], bool]] = []
        self._base: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._earlier_seconds = 0.0
        self._phase, self._seconds, self._total = STARTING, defaultdict[str, float](float), 0.0
        self.include(this_process, from_start=from_start)

    def include(self, source: Callable[[], Seen], *, from_start: bool) -> None:
        """Count the processes that `source` returns, from now on, or with `from_start` from when each started.

        A process that is seen later counts from its start, or from when it was seen first. If two sources return one
        process, the larger figure counts.
        """
        if not from_start:
            for name, (_, last) in source().items():
                self._base.setdefault(name, last)
        self._sources.append((source, from_start))

    @property
    def phase(self) -> str:
        """The phase that what is used now belongs to."""
        return self._phase

    def begin(self, phase: str) -> None:
        """Begin `phase`: what is used from now on belongs to it."""
        for source, from_start in self._sources:
            for name, (first, last) in source().items():
                self._base.setdefault(name, 0.0 if from_start else first)
                self._last[name] = max(last, self._last.get(name, 0.0))
        total = sum(last - self._base[name] for name, last in self._last.items())
        self._seconds[self._phase] += total - self._total
        self._phase, self._total = phase, total

    def add_earlier(self, seconds: float) -> None:
        """Add what earlier runs have spent on work that this one takes over, and that is in no receipt of a part."""
        self._earlier_seconds += seconds

    def taken(self, *, wall_seconds: float, earlier_seconds: float, unit_seconds: float) -> Spent:
        """Return what was spent since this was last called, and begin to plan what comes next.

        `earlier_seconds` and `unit_seconds` are what receipts say of the units of earlier runs, and of this one.
        """
        self.begin(PLANNING)
        phases, self._seconds = dict(self._seconds), defaultdict(float)
        starting = phases.pop(STARTING, 0.0)
        if not self.workers_are_counted:
            phases[UNITS] = phases.get(UNITS, 0.0) + unit_seconds
        if earlier_seconds + self._earlier_seconds:
            phases[EARLIER_RUNS] = earlier_seconds + self._earlier_seconds
            self._earlier_seconds = 0.0
        return Spent(phases=phases, starting_seconds=starting, wall_seconds=wall_seconds)
