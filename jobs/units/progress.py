"""What a person sees while a stage runs: a bar on a terminal, plain lines elsewhere, nothing when quiet.

Workers count finished units in an accumulator of Spark, so that progress costs no request to the storage. A session
of Spark Connect has none; there the units of this run are only shown when all are done. Workers on this machine also
tell how far they are within a unit, see jobs.units.underway.
"""

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from jobs.show import logs, terminal
from jobs.units.plan import Plan
from jobs.units.state import State
from jobs.units.underway import read_underway
from manifests.format.done import NOTHING_DONE, Done, DoneCounter, add_done, done_of

if TYPE_CHECKING:  # workers import this module, and do without rich
    from rich.console import Console

POLL_SECONDS = 0.5
LINE_EVERY_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a stage, or an operation on manifests, has come.

    `images` counts the rows of finished units, those of earlier runs too; `seconds` is the time since this run began.
    `step` is what a stage with several steps is at, with numbers, such as "proof 41,200 of 118,000 pairs".
    """

    stage: str
    units_done: int
    units: int
    images: int
    not_ok: int
    seconds: float
    step: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a stage: its name, and what is counted, of which there are `total`; rows, or units if not `by_rows`.

    `before` is what earlier runs have done, and `done` counts what this one does.
    """

    name: str
    noun: str
    total: int
    by_rows: bool = False
    before: Done = NOTHING_DONE
    done: DoneCounter | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def counted(self) -> int:
        """How many are done."""
        units, rows, _ = add_done(self.before, NOTHING_DONE if self.done is None else self.done.value)
        return min(self.total, rows if self.by_rows else units)

    @property
    def seconds_left(self) -> float | None:
        """An estimate from what this run has done so far; None before it has done anything."""
        found = self.counted
        now = found - min(self.total, self.before[1 if self.by_rows else 0])
        return (time.monotonic() - self.began) * (self.total - found) / now if now else None

    def __str__(self) -> str:
        return f"{self.name} {self.counted:,} of {self.total:,} {self.noun}"


OnProgress = Callable[[Progress], None]


class Reporter:
    """Reports on stderr what is being done. stdout is left for results.

    With `on_progress`, progress goes to that function instead, whenever units are done, in a thread of its own.
    """

    def __init__(self, *, quiet: bool = False, on_progress: OnProgress | None = None) -> None:
        self.quiet = quiet
        self.on_progress = on_progress
        self.console = terminal.console(stderr=True, soft_wrap=True)
        self._step: Step | None = None

    @contextlib.contextmanager
    def at(self, step: Step) -> Iterator[None]:
        """Show `step` in place of the units of the stage until the block ends."""
        self._step = step
        try:
            yield
        finally:
            self._step = None
            _log.info("%s", step)

    def say(self, text: str) -> None:
        """Print one line, unless quiet. The log file gets it always."""
        if not self.quiet:
            self.console.print(text, markup=False)
        _log.info("%s", text, extra={logs.IS_SHOWN: not self.quiet})

    @contextlib.contextmanager
    def watch(self, plan: Plan, state: State, done: DoneCounter | None) -> Iterator[None]:
        """Show the progress of `plan` until the block ends. `done` counts what this run has finished."""
        view: _View
        if self.on_progress is not None:
            view = _Calls(plan, self.on_progress)
        elif self.quiet:
            yield
            return
        else:
            view = _Bar(plan, self.console) if self.console.is_terminal else _Lines(plan, self)
        watcher = _Watcher(plan, state, done, view, lambda: self._step)
        watcher.start()
        try:
            yield
        finally:
            watcher.finish()


@dataclass(frozen=True, kw_only=True)
class _Tally:
    """Sums of units, images and errors, those of earlier runs too; `images_now` are those of this run.

    `underway`: how much of unfinished units is done, in units. `images` counts their images, too.
    """

    units: int
    underway: float
    units_total: int
    images: int
    errors: int
    images_now: int
    seconds: float
    step: Step | None = None

    @property
    def done(self) -> float:
        """How many units are done, those that are underway in part."""
        return min(self.units + self.underway, self.units_total)

    @property
    def rate(self) -> float:
        """Images per second in this run."""
        return self.images_now / max(1e-9, self.seconds)


class _View(Protocol):
    def show(self, tally: _Tally) -> None: ...

    def close(self, tally: _Tally) -> None: ...


class _Watcher(threading.Thread):
    def __init__(
        self, plan: Plan, state: State, done: DoneCounter | None, view: _View, step: Callable[[], Step | None]
    ) -> None:
        super().__init__(daemon=True)
        self._step = step
        self._units, self._view, self._done = len(plan.units), view, done
        self._folder, self._sizes = plan.underway, {unit.name: unit.size_bytes for unit in plan.units}
        self._most: tuple[float, int] = (0.0, 0)
        self._before = functools.reduce(add_done, map(done_of, state.receipts.values()), NOTHING_DONE)
        self._began = time.monotonic()
        self._ended = threading.Event()

    def run(self) -> None:
        self._view.show(self._tally())
        while not self._ended.wait(POLL_SECONDS):
            self._view.show(self._tally())

    def _tally(self) -> _Tally:
        now = NOTHING_DONE if self._done is None else self._done.value
        units, images, errors = add_done(self._before, now)
        part, seen = self._underway()
        # What a unit reports is gone a moment before it counts as finished: nothing goes back meanwhile.
        self._most = max(self._most[0], units + part), max(self._most[1], now[1] + seen)
        return _Tally(
            units=min(units, self._units),
            underway=self._most[0] - units,
            units_total=self._units,
            images=images - now[1] + self._most[1],
            errors=errors,
            images_now=self._most[1],
            seconds=time.monotonic() - self._began,
            step=self._step(),
        )

    def _underway(self) -> tuple[float, int]:
        """Return how much of unfinished units is done, in units, and how many images that is."""
        underway = read_underway(self._folder)
        sizes = ((size_bytes, self._sizes.get(unit)) for unit, (_, size_bytes) in underway.items())
        part = sum(min(1.0, read_bytes / whole) for read_bytes, whole in sizes if whole)
        return part, sum(images for images, _ in underway.values())

    def finish(self) -> None:
        self._ended.set()
        self.join()
        self._view.close(self._tally())


class _Bar:
    def __init__(self, plan: Plan, console: "Console") -> None:
        from jobs.show.progress_bar import ProgressBar  # noqa: PLC0415 - rich, which workers do without

        self._bar = ProgressBar(plan.made_by, len(plan.units), console)

    def show(self, tally: _Tally) -> None:
        if tally.step is not None:
            self._bar.show(tally.step.counted, tally.step.total, tally.step.name, noun=tally.step.noun)
            return
        facts = f"{tally.images:,} images · {tally.rate:,.0f}/s · {tally.errors:,} not ok"
        self._bar.show(tally.done, tally.units_total, facts)

    def close(self, tally: _Tally) -> None:
        self.show(tally)
        self._bar.close()


class _Calls:
    def __init__(self, plan: Plan, on_progress: OnProgress) -> None:
        self._stage, self._on_progress = plan.made_by, on_progress
        self._last = (-1, "")
        self._has_failed = False

    def show(self, tally: _Tally) -> None:
        now = (tally.units, "" if tally.step is None else str(tally.step))
        if self._has_failed or now == self._last:
            return
        self._last = now
        progress = Progress(
            stage=self._stage,
            units_done=tally.units,
            units=tally.units_total,
            images=tally.images,
            not_ok=tally.errors,
            seconds=tally.seconds,
            step=now[1],
        )
        try:
            self._on_progress(progress)
        except Exception:  # noqa: BLE001 - whatever the caller's function raises, the work goes on
            self._has_failed = True
            _log.exception("the progress function failed and is not called again")

    def close(self, tally: _Tally) -> None:
        self.show(tally)


class _Lines:
    def __init__(self, plan: Plan, reporter: Reporter) -> None:
        self._stage, self._reporter = plan.made_by, reporter
        self._next = time.monotonic() + LINE_EVERY_SECONDS

    def show(self, tally: _Tally) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_SECONDS
            self._print(tally)

    def close(self, tally: _Tally) -> None:
        self._print(tally)

    def _print(self, tally: _Tally) -> None:
        if tally.step is not None:
            seconds_left = tally.step.seconds_left
            end = "" if seconds_left is None else f", {seconds_left:,.0f} s left"
            self._reporter.say(f"{self._stage}: {tally.step}, {tally.seconds:,.0f} s{end}")
            return
        done = tally.done / max(1, tally.units_total)
        left = f", {tally.seconds * (1 - done) / done:,.0f} s left" if 0 < done < 1 else ""
        self._reporter.say(
            f"{self._stage}: {tally.units}/{tally.units_total} units, {tally.images:,} images, "
            f"{tally.rate:,.0f} images/s, {tally.errors:,} not ok, {tally.seconds:,.0f} s{left}"
        )
