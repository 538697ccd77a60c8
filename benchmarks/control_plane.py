"""What a driver costs at 200,000 tars: plan, begin, resume, commit, open, show, query, diff, restart.

    python -m benchmarks.control_plane [--units 2000,20000] [--on disk,s3] [--folder F] [--json]

A scan of about ten tars a unit, and 100,000 images, is simulated by tars without content and by receipts and parts in
the shape of real ones, without any image; 20,000 units are 2 billion rows. Each operation runs in a process of its
own, on a disk and on an S3 server on this machine:

plan     list the tars, and group them into units.
begin    take the lease of an empty output.
resume   the same where half of the units are done: read their receipts, check the sizes of their parts, take over.
commit   check and commit what all units left, and remove what is left over.
open     read `_manifest.json` and the table of parts.
show     `curate show --rows 0`.
query    `curate query … "SELECT count(*) FROM manifest"`.
diff     `curate diff` of equal manifests.
restart  discard the committed manifest, with all parts, for one of other settings.

`requests` are those that the server got, or on a disk the calls that open, list, link, move or remove a file of the
input or the output; there each file is removed by itself. `exponent` is the slope of log time by log units, from the
smallest size to the largest. Exits with 1 if a bar is missed: at the largest size 1 GiB of memory for each operation,
1 s and 200 MB to open, 30 s to resume, and on S3 one request for 100 units and operation, besides one for each 1,000
tars or parts that have to be listed; an exponent of 1.1.
"""

import json
import math
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.control.server import BUCKET, Server
from manifests.format.merged_receipts import group_sizes, merge_receipts
from manifests.format.receipts import RECEIPTS, Receipt, group_of, receipt_uri
from tests.support.making import receipts_of

TARS_PER_UNIT, TAR_BYTES, UNIT_BYTES = 10, 120 << 20, 1 << 30
MAX_BYTES, MAX_OPEN_BYTES = 1 << 30, 200_000_000
MAX_SECONDS = {"open": 1.0, "resume": 30.0}
UNITS_PER_REQUEST, NAMES_PER_REQUEST = 100, 1000
MAX_EXPONENT = 1.1
LEAST_SECONDS = 0.5  # a shorter time says little about growth


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one operation took. `names` are the files that it has to list or to remove, at least."""

    on: str
    units: int
    operation: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    requests: int
    names: int

    @property
    def missed(self) -> list[str]:
        """The bars of the largest size that are missed."""
        found = []
        if self.peak_bytes > (MAX_OPEN_BYTES if self.operation == "open" else MAX_BYTES):
            found.append("memory")
        if self.seconds > MAX_SECONDS.get(self.operation, math.inf):
            found.append("time")
        if self.on == "s3" and self.requests > self.units / UNITS_PER_REQUEST + self.names / NAMES_PER_REQUEST:
            found.append("requests")
        return found


class Place:
    """Where a scan is simulated: a folder, or an S3 server."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        self.folder, self.server = folder, server
        self.top = f"file://{folder}" if server is None else f"s3://{BUCKET}"

    @property
    def on(self) -> str:
        """`disk` or `s3`."""
        return "disk" if self.server is None else "s3"

    def put(self, files: Mapping[str, bytes], size_bytes: int | None = None) -> None:
        """Write files: path below the top → content. `size_bytes` is their size, if it is not that of the content."""
        if self.server is not None:
            self.server.put(files, size_bytes)
            return
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as f:
                f.write(content)
                f.truncate(size_bytes or len(content))

    def copy(self, folder: str, to: str) -> None:
        """Copy a folder's `_manifest.json` and its tables."""
        if self.server is not None:
            found = self.server.keys(f"{folder}/_")
            self.server.put({to + key.removeprefix(folder): content for key, content in found.items()})
            return
        shutil.copytree(self.folder / folder / "_tables", self.folder / to / "_tables")
        shutil.copy(self.folder / folder / "_manifest.json", self.folder / to)

    def perform(self, operation: str, **job: Any) -> dict[str, Any]:
        """Do an operation in a process of its own, and return what it took."""
        options = {} if self.server is None else {"s3": {"endpoint_url": self.server.url, "key": "x", "secret": "x"}}
        given = {"operation": operation, "storage": options, "folder": "" if self.server else str(self.folder), **job}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(given, f)
            f.flush()
            if self.server is not None:
                self.server.requests()
            line = [sys.executable, "-m", "benchmarks.control.operations", f.name]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(f"{operation}: {done.stderr[-2000:]}")
        took: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        calls = took.pop("calls")
        took["requests"] = calls if self.server is None else self.server.requests()
        return took


def simulate(place: Place, units: int, plan: Path) -> Iterator[Line]:
    """Yield what each operation takes, on so many units."""
    top, tars = f"{units}", units * TARS_PER_UNIT
    output = f"{place.top}/{top}/out"
    place.put({f"{top}/tars/{n:06d}.tar": b"" for n in range(tars)}, TAR_BYTES)
    job = {"input": f"{place.top}/{top}/tars/*.tar", "output": output, "unit_bytes": UNIT_BYTES, "plan": str(plan)}

    def line(operation: str, names: int = 0, shown: str = "", **more: Any) -> tuple[Line, dict[str, Any]]:
        took = place.perform(operation, **job, **more)
        found = took.pop("found")
        return Line(on=place.on, units=planned, operation=shown or operation, names=names, **took), found

    planned = 0
    took = place.perform("plan", **job)
    planned = took.pop("found")["units"]
    yield Line(on=place.on, units=planned, operation="plan", names=tars, **took)
    made, found = line("begin")
    yield made
    receipts = receipts_of(planned, fingerprints=_fingerprints(plan))
    half = planned // 2
    _fill(place, found["run"], top, receipts[:half], receipts)
    made, found = line("resume", names=half)
    _require(found["done"] == half, "the receipts of half of the units are found")
    yield made
    _fill(place, found["run"], top, receipts[half:], receipts[half:])
    made, found = line("commit", names=planned)
    rows = sum(receipt.rows for receipt in receipts)
    _require(found["rows"] == rows, "all rows are committed")
    yield made
    yield line("open")[0]
    place.copy(f"{top}/out", f"{top}/same")
    sql = "SELECT count(*) FROM manifest"
    for name, arguments in {
        "show": [output, "--rows", "0"],
        "query": [output, sql],
        "diff": [output, f"{place.top}/{top}/same"],
    }.items():
        made, found = line("command", shown=name, line=[name, *arguments])
        wanted = "the same" if name == "diff" else f"{rows}"
        _require(wanted in found["shown"].replace(",", ""), f"{name} says {wanted}")
        yield made
    made, found = line("restart", names=planned)
    _require(found["todo"] == planned, "all is to be done again")
    yield made


def _fingerprints(plan: Path) -> list[str]:
    import pickle  # noqa: PLC0415

    return [unit.fingerprint for unit in pickle.loads(plan.read_bytes()).units]  # noqa: S301 - our own


def _fill(place: Place, run: str, top: str, receipts: Sequence[Receipt], todo: Sequence[Receipt]) -> None:
    """Write what workers leave that have done the units of `receipts`, of those of `todo`: parts, and receipts."""
    sizes = group_sizes(each.unit for each in todo)
    with tempfile.TemporaryDirectory() as folder:
        here = f"file://{folder}"
        Path(folder, RECEIPTS).mkdir()
        for group in sizes:
            Path(folder, RECEIPTS, group).mkdir()
        for receipt in receipts:
            Path(receipt_uri(folder, receipt.unit)).write_bytes(receipt.to_json())
        for unit in {group_of(receipt.unit): receipt.unit for receipt in receipts}.values():
            merge_receipts(here, unit, sizes)
        below = run.removeprefix(f"{place.top}/")
        found = {str(path.relative_to(folder)): path for path in Path(folder).rglob("*.json*")}
        files = {f"{below}/{name}": path.read_bytes() for name, path in found.items()}
    files |= {f"{top}/out/{receipt.part}": b"x" * receipt.size_bytes for receipt in receipts}
    place.put(files)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise click.ClickException(f"not as it should be: {what}")


def exponents(lines: Sequence[Line]) -> dict[tuple[str, str], float]:
    """Return (place, operation) → exponent of the time from the smallest size to the largest, where it is long."""
    found = {}
    for key in dict.fromkeys((each.on, each.operation) for each in lines):
        of_key = sorted((each for each in lines if (each.on, each.operation) == key), key=lambda each: each.units)
        small, large = of_key[0], of_key[-1]
        if small.units < large.units and large.seconds >= LEAST_SECONDS:
            found[key] = math.log(large.seconds / small.seconds) / math.log(large.units / small.units)
    return found


def print_table(lines: Sequence[Line], slopes: Mapping[tuple[str, str], float]) -> None:
    """Print a row for each operation."""
    table = Table(title=f"{platform.machine()}; each operation in a process of its own", title_justify="left")
    for name in ("on", "units", "operation", "seconds", "cpu seconds", "peak MB", "requests", "exponent", "missed"):
        table.add_column(name, justify="left" if name in ("on", "operation", "missed") else "right")
    largest = max(each.units for each in lines)
    for each in lines:
        slope = slopes.get((each.on, each.operation)) if each.units == largest else None
        missed = [
            *(each.missed if each.units == largest else []),
            *(["growth"] if (slope or 0) > MAX_EXPONENT else []),
        ]
        numbers = (
            f"{each.seconds:.2f}",
            f"{each.cpu_seconds:.2f}",
            f"{each.peak_bytes / 1e6:,.0f}",
            f"{each.requests:,}",
        )
        shown = "" if slope is None else f"{slope:.2f}"
        table.add_row(each.on, f"{each.units:,}", each.operation, *numbers, shown, ", ".join(missed))
    Console().print(table)


@click.command()
@click.option("--units", default="2000,20000", show_default=True, help="Numbers of units, about.")
@click.option("--on", "places", default="disk,s3", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="A folder to work in, by default a temporary one.")
@click.option("--json", "as_json", is_flag=True)
def main(units: str, places: str, folder: Path | None, as_json: bool) -> None:
    """Measure what a driver costs, and compare it with the bars."""
    lines = []
    with tempfile.TemporaryDirectory(dir=folder) as top:
        for on in places.split(","):
            server = Server() if on == "s3" else None
            for number in map(int, units.split(",")):
                for line in simulate(Place(Path(top), server), number, Path(top) / f"plan-{on}-{number}"):
                    click.echo(f"{line.on} {line.units:,} {line.operation}: {line.seconds:.2f} s", err=True)
                    lines.append(line)
            if server is not None:
                server.stop()
    slopes = exponents(lines)
    largest = max(each.units for each in lines)
    if as_json:
        click.echo(
            json.dumps([{**asdict(each), "exponent": slopes.get((each.on, each.operation))} for each in lines])
        )
    else:
        print_table(lines, slopes)
    is_missed = (
        any(each.missed for each in lines if each.units == largest) or max(slopes.values(), default=0) > MAX_EXPONENT
    )
    sys.exit(int(is_missed))


if __name__ == "__main__":
    main()
