"""What `curate feed` prints."""

import dataclasses
from collections.abc import Sequence

from jobs.show.basics import print_json, stdout_console


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read of a feed: `samples` are those of an epoch, `read` those that were read and count.

    `open_seconds` is the time until the index was there, `first_seconds` that from then to the first batch.
    """

    samples: int
    batches: int
    read: int
    open_seconds: float
    first_seconds: float
    seconds: float
    core_seconds: float
    problem_count: int
    problems: Sequence[str]

    @property
    def images_per_second(self) -> float:
        """How many samples were read in a second."""
        return self.read / self.seconds if self.seconds else 0.0

    @property
    def core_milliseconds(self) -> float:
        """Processor time of a sample."""
        return 1000 * self.core_seconds / self.read if self.read else 0.0


def print_reading(found: Reading, *, as_json: bool) -> None:
    """Print what was read, and how fast."""
    if as_json:
        computed = {"images_per_second": found.images_per_second, "core_milliseconds": found.core_milliseconds}
        print_json({**dataclasses.asdict(found), **computed})
        return
    console = stdout_console()
    epoch = found.samples / found.images_per_second if found.images_per_second else 0.0
    lines = [
        f"{found.read:,} samples in {found.batches:,} batches, of {found.samples:,} in an epoch",
        f"{found.images_per_second:,.0f} images/s, {found.core_milliseconds:.2f} core ms an image; "
        f"an epoch would take {_duration(epoch)}",
        f"opened in {found.open_seconds:.2f} s, first batch after {found.first_seconds:.2f} s",
    ]
    if found.problem_count:
        lines.append(f"{found.problem_count:,} samples cannot be read:")
        lines += [f"  {problem}" for problem in found.problems]
        more = found.problem_count - len(found.problems)
        lines += [f"  and {more:,} more"] if more else []
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    hours, minutes = int(seconds // 3600), int(seconds // 60 % 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"
