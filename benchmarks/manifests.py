"""Operations on manifests against bare DuckDB and bare hashing, in one run: time, ratio, memory, spill, growth.

    python -m benchmarks.manifests [--rows 10000000] [--millions 1,10,30] [--repeats 3] [--folder F] [--json]

The manifests are made first, which is not counted (benchmarks.synthetic_manifests): a plain one, and an edited one
that lacks 2 % of the rows, has 2 % others and another score and verdict in 1 %, so that no part is the same in both.

diff      `manifests.compare.diff.diff` against one full outer join on `key` that counts rows only left, only right,
          and those where any other column is distinct; the numbers must be the same. Beside it `curate diff … --stat`
          as a user runs it, and once more with the same manifest twice.
sample    `jobs.operations.derive.derive` for --fraction 0.013 against a COPY of the rows with the same predicate to
          Parquet. The other draws are compared with nothing; each must have exactly the wanted number of rows.
growth    diff alone at each of --millions; `ratio` is the slope of log time by log rows, smallest size to largest.
          Sizes above 10 million are run once.
verify    what `verify --quick` does against SHA-256 of the same files in chunks of 4 MiB; `ratio` is of throughput.
          The bar is for rows as default settings leave them, with local features. In rows without, a fifth of the
          bytes is the keys, which have to be decoded and compared.

Both contenders have as many threads as there are cores, the same memory limit, and a folder to spill to. Each
measurement is a process of its own; contenders take turns, and the best time of each and its largest memory count.
Files are read once before every measurement, so all of it is of warm files. Imports are counted for command lines
alone. Memory is the peak resident set of the process as the kernel accounts it, in 10^6 bytes; `spilled` is the most
that DuckDB's temporary files occupied at once, sampled. Only the manifests in --folder are kept.
"""

import contextlib
import functools
import importlib.metadata
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.manifest_kernels import CHUNK_BYTES, parts_of, run, threads

# What a process inherits of its parent's memory counts as its own: heavy imports wait until a measurement needs them.
PROJECT = Path(__file__).resolve().parents[1]
SAMPLE_SECONDS = 0.2
PIPED_WIDTH = 170
REPEATED_ROWS = 10_000_000  # larger sizes are run once
FRACTION, COUNT = 0.013, 130_000
MIN_ROWS = 1000
MAX_BYTES = 4 * 10**9
MAX_DIFF_RATIO, MAX_SAMPLE_RATIO, MIN_VERIFY_RATIO = 2.0, 1.5, 0.7
MAX_EQUAL_SECONDS, MAX_EXPONENT = 2.0, 1.15


# --- one process, and the best of several -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A process to measure: one of manifest_kernels.KERNELS and its arguments, or the command line of `curate`."""

    kernel: str = ""
    given: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    curate: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The command to start."""
        if self.curate:
            return [sys.executable, "-m", "jobs", *self.curate]
        return [
            sys.executable,
            "-m",
            "benchmarks.manifests",
            "--one",
            json.dumps([self.kernel, self.given, self.named]),
        ]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a contender took: its best time, the most memory and spill, what it said; or why it failed."""

    seconds: float = math.inf
    peak_bytes: int = 0
    spilled_bytes: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None

    def joined(self, other: "Taken") -> "Taken":
        """Return both as one."""
        return Taken(
            seconds=min(self.seconds, other.seconds),
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
            spilled_bytes=max(self.spilled_bytes, other.spilled_bytes),
            facts=other.facts or self.facts,
            problem=self.problem or other.problem,
        )


class Spill:
    """The most bytes that DuckDB's temporary files below a folder occupied at once, sampled until the block ends."""

    def __init__(self, folder: str) -> None:
        self.peak_bytes = 0
        self._folder = folder
        self._ended = threading.Event()

    def __enter__(self) -> "Spill":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            total = 0
            for path in Path(self._folder).rglob("duckdb_temp*"):
                with contextlib.suppress(OSError):  # deleted meanwhile
                    total += path.stat().st_blocks * 512
            self.peak_bytes = max(self.peak_bytes, total)


def take(contender: Contender) -> Taken:
    """Return what one process took, temporary files and all in a folder of its own that is deleted."""
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder, tempfile.TemporaryFile("w+") as errors:
        env = {**os.environ, "TMPDIR": folder}
        with Spill(folder) as spill:
            started = time.perf_counter()
            process = subprocess.Popen(
                contender.command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            assert process.stdout is not None
            try:
                said = process.stdout.read()
                _, status, usage = os.wait4(process.pid, 0)  # of this process alone, unlike RUSAGE_CHILDREN
                process.returncode = os.waitstatus_to_exitcode(status)
            finally:
                process.stdout.close()
                if process.returncode is None:
                    process.kill()
                    process.wait()
            wall = time.perf_counter() - started
        costs: dict[str, Any] = {"peak_bytes": usage.ru_maxrss * 1024, "spilled_bytes": spill.peak_bytes}
        if process.returncode:
            errors.seek(0)
            return Taken(problem=_why(process.returncode, errors.read()), **costs)
    facts = {} if contender.curate else json.loads(said.splitlines()[-1])
    return Taken(seconds=facts.pop("seconds", wall), facts=facts, **costs)


def _why(code: int, errors: str) -> str:
    if code < 0:
        advice = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        return f"ended by {signal.Signals(-code).name}{advice}"
    lines = [line for line in errors.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else f"ended with exit code {code}"


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Measures contenders in turns. `say` is called with each measurement."""

    repeats: int
    say: Callable[[str], None]

    def best(
        self, what: str, uris: Sequence[str], repeats: int | None = None, **contenders: Contender
    ) -> list[Taken]:
        """Return what each contender took, in order; one that failed is not run again."""
        taken = {name: Taken() for name in contenders}
        for n in range(repeats or self.repeats):
            for name, contender in contenders.items():
                if taken[name].problem is not None:
                    continue
                warm(uris)
                now = take(contender)
                self.say(f"{what}, {name}, {n + 1}: {now.problem or f'{now.seconds:.2f} s'}")
                taken[name] = taken[name].joined(now)
        return list(taken.values())


def warm(uris: Sequence[str]) -> None:
    """Read the parts of manifests once."""
    buffer = bytearray(CHUNK_BYTES)
    for path in (path for uri in uris for path in parts_of(uri)):
        with Path(path).open("rb", buffering=0) as f:
            while f.readinto(buffer):
                pass


# --- what is shown ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the answer. `bars` is the wanted figures, and whether each is reached."""

    what: str
    ours: Taken | None = None
    bare: Taken | None = None
    ratio: float | None = None
    bars: Mapping[str, bool] = field(default_factory=dict)

    @property
    def problems(self) -> dict[str, str]:
        """Why a contender failed."""
        both = {"ours": self.ours, "bare": self.bare}
        return {name: taken.problem for name, taken in both.items() if taken and taken.problem}

    @property
    def is_met(self) -> bool | None:
        """Whether all bars are reached; None without bars."""
        if self.problems:
            return False
        return all(self.bars.values()) if self.bars else None

    def to_json(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        ratio = None if self.ratio is None or self.problems else round(self.ratio, 3)
        fields = {"ours": _times(self.ours), "bare": _times(self.bare), "ratio": ratio, "bars": dict(self.bars)}
        return {"what": self.what, **fields, "is_met": self.is_met}


def _times(taken: Taken | None) -> dict[str, Any] | None:
    if taken is None:
        return None
    return {
        "seconds": None if math.isinf(taken.seconds) else round(taken.seconds, 3),
        "peak_memory_megabytes": round(taken.peak_bytes / 1e6),
        "spilled_megabytes": round(taken.spilled_bytes / 1e6),
        **taken.facts,
        **({"problem": taken.problem} if taken.problem else {}),
    }


def print_table(found: Mapping[str, Any]) -> None:
    """Print the answer for people."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=f"Manifests: {found['machine']}", title_justify="left")
    for name in ("what", "ours (s)", "bare (s)", "ratio", "bar", "memory (MB)", "spilled (MB)", "met"):
        table.add_column(name, justify="right" if "(" in name or name == "ratio" else "left")
    for each in found["lines"]:
        ours, bare = each["ours"] or {}, each["bare"] or {}
        cells = [
            f"{taken.get('seconds'):.2f}" if taken.get("seconds") is not None else "failed" if taken else ""
            for taken in (ours, bare)
        ]
        numbers = [
            " / ".join(f"{taken[name]:,}" for taken in (ours, bare) if taken)
            for name in ("peak_memory_megabytes", "spilled_megabytes")
        ]
        ratio = "" if each["ratio"] is None else f"{each['ratio']:.2f}"
        bars = "\n".join(text if is_met else f"{text}: no" for text, is_met in each["bars"].items())
        met = {True: "yes", False: "no", None: ""}[each["is_met"]]
        table.add_row(each["what"], *cells, ratio, bars, *numbers, met)
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(table)
    for each in found["lines"]:
        for name in ("ours", "bare"):
            if each[name] and each[name].get("problem"):
                console.print(f"{each['what']}, {name}, failed: {each[name]['problem']}", soft_wrap=True)
    console.print(f"memory and spilled: ours / bare. {found['note']}", soft_wrap=True)


# --- the measurements -------------------------------------------------------------------------------------


def measure_diff(runs: Runs, uris: Sequence[str], rows: int) -> list[Line]:
    """Return the lines of diff at one size, its ratio to the bare join first."""
    what = f"diff, {rows:,} rows"
    a, b = uris
    ours, bare = runs.best(
        what, uris, ours=Contender(kernel="diff_ours", given=(a, b)), bare=Contender(kernel="diff_bare", given=(a, b))
    )
    ratio = ours.seconds / bare.seconds
    bars = {
        f"at most {MAX_DIFF_RATIO:g} times": ratio <= MAX_DIFF_RATIO,
        **memory_bar(ours),
        "the same numbers": ours.facts.get("counts") == bare.facts.get("counts"),
        **proof_bar(ours),
    }
    found = [Line(what=what, ours=ours, bare=bare, ratio=ratio, bars=bars)]
    (line,) = runs.best("curate diff --stat", uris, ours=Contender(curate=("diff", a, b, "--stat")))
    found.append(Line(what="curate diff … --stat", ours=line, bars=memory_bar(line)))
    (equal,) = runs.best("curate diff, equal", [a], ours=Contender(curate=("diff", a, a, "--stat")))
    bars = {f"at most {MAX_EQUAL_SECONDS:g} s": equal.seconds <= MAX_EQUAL_SECONDS}
    return [*found, Line(what="curate diff … --stat, equal", ours=equal, bars=bars)]


def memory_bar(taken: Taken) -> dict[str, bool]:
    """Return whether a process kept to the memory it may have."""
    return {f"at most {MAX_BYTES / 1e9:g} GB": taken.peak_bytes <= MAX_BYTES}


def proof_bar(taken: Taken) -> dict[str, bool]:
    """Return whether the digests prove the diff."""
    return {"proven by digests": bool(taken.facts.get("is_proven"))}


def measure_sample(runs: Runs, uri: str, rows: int) -> list[Line]:
    """Return the lines of sample at one size, its ratio to the bare copy first."""
    count = min(COUNT, rows // 2)
    what = f"sample, {FRACTION:.1%} of {rows:,}"
    ours, bare = runs.best(
        what,
        [uri],
        ours=Contender(kernel="sample_ours", given=(uri,), named={"fraction": FRACTION}),
        bare=Contender(kernel="sample_bare", given=(uri, FRACTION)),
    )
    ratio = ours.seconds / bare.seconds
    bars = {
        f"at most {MAX_SAMPLE_RATIO:g} times": ratio <= MAX_SAMPLE_RATIO,
        "as many rows": ours.facts.get("rows") == bare.facts.get("rows"),
    }
    found = [Line(what=what, ours=ours, bare=bare, ratio=ratio, bars=bars)]
    draws: dict[str, dict[str, Any]] = {
        "--count": {"count": count},
        "--top --by text_score": {"top": count, "by": "text_score"},
        "--count --weight text_score": {"count": count, "weight": "text_score"},
        "--count --stratify-by format,text_class": {"count": count, "stratify_by": ["format", "text_class"]},
    }
    for name, draw in draws.items():
        what = f"sample, {name}"
        (ours,) = runs.best(what, [uri], ours=Contender(kernel="sample_ours", given=(uri,), named=draw))
        found.append(Line(what=what, ours=ours, bars={f"{count:,} rows": ours.facts.get("rows") == count}))
    return found


def measure_verify(runs: Runs, uri: str, what: str, *, has_bar: bool) -> Line:
    """Return the line of verify; its ratio is of throughput."""
    ours, bare = runs.best(
        what,
        [uri],
        ours=Contender(kernel="verify_ours", given=(uri,)),
        bare=Contender(kernel="verify_bare", given=(uri,)),
    )
    ratio = bare.seconds / ours.seconds
    bars = {"found whole": bool(ours.facts.get("is_whole"))}
    if has_bar:
        bars[f"at least {MIN_VERIFY_RATIO:g} of throughput"] = ratio >= MIN_VERIFY_RATIO
    return Line(what=what, ours=ours, bare=bare, ratio=ratio, bars=bars)


def measure_growth(runs: Runs, known: Mapping[int, Taken], folder: Path, sizes: Sequence[int]) -> list[Line]:
    """Return the lines of diff at each of `sizes` that is not `known`, and of how its time grows over all of them."""
    found: list[Line] = []
    taken = {rows: known[rows] for rows in sizes if rows in known}
    for rows in sorted(sizes):
        if rows not in known:
            uris = make(folder, rows, runs.say)
            repeats = 1 if rows > REPEATED_ROWS else None
            what = f"diff, {rows:,} rows"
            (ours,) = runs.best(what, uris, repeats, ours=Contender(kernel="diff_ours", given=tuple(uris)))
            found.append(Line(what=what, ours=ours, bars={**memory_bar(ours), **proof_bar(ours)}))
            taken[rows] = ours
    first, last = min(taken), max(taken)
    if first < last and all(each.problem is None for each in taken.values()):
        exponent = math.log(taken[last].seconds / taken[first].seconds) / math.log(last / first)
        bars = {f"exponent at most {MAX_EXPONENT:g}": exponent <= MAX_EXPONENT}
        found.append(Line(what=f"growth of diff, {first:,} to {last:,} rows", ratio=exponent, bars=bars))
    return found


def make(folder: Path, rows: int, say: Callable[[str], None], kernel: str = "make_both") -> list[str]:
    """Return the URIs of the plain and the edited manifest. Raises ClickException when they cannot be made."""
    say(f"manifests of {rows:,} rows at {folder}")
    made = take(Contender(kernel=kernel, given=(str(folder), rows)))
    if made.problem is not None:
        raise click.ClickException(f"manifests of {rows:,} rows cannot be made at {folder}: {made.problem}")
    os.sync()  # or the first measurement shares the disk with what is still to be written
    return list(made.facts["uris"])


def measure_all(runs: Runs, folder: Path, rows: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Return every line, and the machine they were measured on."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, "
        f"Python {platform.python_version()}, DuckDB {importlib.metadata.version('duckdb')}, load {load} at the start"
    )
    uris = make(folder, rows, runs.say)
    lines = measure_diff(runs, uris, rows)
    known = {rows: lines[0].ours} if lines[0].ours else {}
    lines += measure_sample(runs, uris[0], rows)
    (local,) = make(folder, rows, runs.say, "make_local")
    lines.append(measure_verify(runs, local, f"verify --quick, {rows:,} rows of default settings", has_bar=True))
    lines.append(measure_verify(runs, uris[0], f"verify --quick, {rows:,} rows without features", has_bar=False))
    lines += measure_growth(runs, known, folder, sizes)
    note = f"Best of {runs.repeats} in turns, above {REPEATED_ROWS:,} rows of 1; files read once before each."
    return {"machine": machine, "threads": threads(), "note": note, "lines": [each.to_json() for each in lines]}


def _sizes(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    try:
        sizes = [round(float(size) * 1e6) for size in text.split(",")]
    except (ValueError, OverflowError) as e:
        raise click.BadParameter(f"{text}: write numbers with commas between, such as 1,10,30") from e
    if min(sizes) < MIN_ROWS:
        raise click.BadParameter(f"{text}: sizes are at least {MIN_ROWS / 1e6:g} million")
    return sizes


@click.command()
@click.option(
    "--rows", type=click.IntRange(min=MIN_ROWS), default=10_000_000, show_default=True, help="Rows of all but growth."
)
@click.option("--millions", "sizes", default="1,10,30", show_default=True, callback=_sizes, help="Sizes of growth.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each; best counts."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
    help="Keep the manifests here, or use those that are.  [default: a temporary folder]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--one", hidden=True, help="Do one measurement in this process.")
def main(rows: int, sizes: list[int], repeats: int, folder: Path | None, as_json: bool, one: str | None) -> None:
    """Compare operations on manifests with bare DuckDB and bare hashing."""
    if one is not None:
        click.echo(run(one))
        return
    runs = Runs(repeats=repeats, say=functools.partial(click.echo, err=True))
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as temporary:
        found = measure_all(runs, folder or Path(temporary), rows, sizes)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_table(found)
    if any(each[name] and "problem" in each[name] for each in found["lines"] for name in ("ours", "bare")):
        sys.exit(1)


if __name__ == "__main__":
    main()
