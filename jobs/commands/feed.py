"""Reads batches as a trainer does, and measures how fast."""

import itertools
import sys
import time
from typing import Any

from curation.feed.feed import Feed
from curation.feed.opening import FeedOptions, open_feed
from jobs.commands.shared import names_in
from jobs.show import feeding
from jobs.show.feeding import Reading
from manifests.format.store import open_manifest

EXIT_PROBLEMS = 1


def feed(manifest: str, batches: int, as_json: bool, no_decode: bool, members: str, **options: Any) -> None:
    """Read `batches` batches, or an epoch, and print what was read and how fast."""
    made = time.perf_counter()
    options |= {"decode": not no_decode, "members": names_in(members)}
    opened = open_feed([open_manifest(manifest)], FeedOptions(**options))
    found = _read(opened, batches or len(opened), time.perf_counter() - made)
    feeding.print_reading(found, as_json=as_json)
    if found.problem_count:
        sys.exit(EXIT_PROBLEMS)


def _read(opened: Feed, batches: int, open_seconds: float) -> Reading:
    begun, cpu = time.perf_counter(), time.process_time()
    first_seconds, read, counted = 0.0, 0, 0
    for batch in itertools.islice(opened, batches):
        first_seconds = first_seconds or time.perf_counter() - begun
        read += 1
        counted += int(batch["mask"].sum())
    return Reading(
        samples=opened.samples,
        batches=read,
        read=counted,
        open_seconds=open_seconds,
        first_seconds=first_seconds,
        seconds=time.perf_counter() - begun,
        core_seconds=time.process_time() - cpu,
        problem_count=opened.problem_count,
        problems=opened.problems,
    )
