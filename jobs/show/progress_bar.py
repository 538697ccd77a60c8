"""A progress bar of units on a terminal."""

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """Shows how many units of one stage or operation are done, until it is closed."""

    def __init__(self, name: str, units: int, console: Console) -> None:
        self._noun = "units"
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:7}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[counted]:,}/{task.total:,.0f} {task.fields[noun]} · {task.fields[facts]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(name, total=units, facts="starting", noun="units", counted=0)
        self._progress.start()

    def show(self, done: float, total: int, facts: str, *, noun: str = "units") -> None:
        """Show how many units, or whatever `noun` names, are done, some maybe in part, and `facts` beside it."""
        if noun != self._noun:
            self._noun = noun
            self._progress.reset(self._task, total=total)  # what is left is estimated anew
        self._progress.update(self._task, completed=done, total=total, facts=facts, noun=noun, counted=int(done))

    def close(self) -> None:
        """Stop drawing."""
        self._progress.stop()
