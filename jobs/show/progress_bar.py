"""A progress bar of units on a terminal."""

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """Shows how many units of one stage or operation are done, until it is closed."""

    def __init__(self, name: str, units: int, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:7}"),
            BarColumn(bar_width=28),
            TextColumn("{task.completed}/{task.total} units · {task.fields[facts]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(name, total=units, facts="starting")
        self._progress.start()

    def show(self, units_done: int, units: int, facts: str) -> None:
        """Show the number of units done, and `facts` beside it."""
        self._progress.update(self._task, completed=units_done, total=units, facts=facts)

    def close(self) -> None:
        """Stop drawing."""
        self._progress.stop()
