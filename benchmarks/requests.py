"""What reading a manifest from an object store fetches against what it needs: bytes and requests.

    python -m benchmarks.requests [--rows 100000] [--rows-per-part 20000] [--folder F] [--json]

A manifest with the columns of a real one (benchmarks.synthetic_manifests, with local features) is put on an S3 server
on this machine. Every request goes through a proxy that counts it and the body of its answer.

dedupe          each part is read as the first step of dedupe does, with its columns.
query           `curate query` that reads one column.
verify --quick  files, sums and keys.
remove          a folder with as many objects as --objects says; only requests count.

`needed` is `_manifest.json`, its table of parts, and of each part the footer and the column chunks of these columns;
for verify --quick it is every byte of every part once, because all are hashed. The bar is for `fetched / needed`.
Exits with 1 if one is missed.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import pyarrow.parquet as pq
import s3fs
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic_manifests import make
from jobs.dedupe.pictures import NARROW
from manifests import storage
from manifests.format.store import Manifest, manifest_uri, open_manifest, read_batches
from manifests.inspect.verify import Findings, Resources, check_files
from manifests.sql.query import run_query
from tests.support.http_proxy import Proxy, proxy_of
from tests.support.object_store import bucket_of

BUCKET = "bench"
MAX_RATIO = 1.3
QUERY_COLUMN = "text_score"
THREADS = 2


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measurement. `needed_bytes` and the bar are None where only requests count."""

    what: str
    needed_bytes: int | None
    fetched_bytes: int
    requests: int
    items: int

    @property
    def ratio(self) -> float | None:
        """How many bytes were fetched for one that is needed."""
        return None if self.needed_bytes is None else self.fetched_bytes / self.needed_bytes

    @property
    def is_met(self) -> bool:
        """Whether the bar is met."""
        return self.ratio is None or self.ratio <= MAX_RATIO


def needed_bytes(manifest: Manifest, columns: Sequence[str]) -> int:
    """Return the size of `_manifest.json`, its table of parts, and footers and chunks of `columns` of a local one."""
    total = _document_bytes(manifest)
    for part in manifest.parts:
        metadata = pq.read_metadata(_local(manifest.part_uri(part)))
        total += metadata.serialized_size + 8  # its length and the magic number
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            chunks = map(group.column, range(group.num_columns))
            total += sum(c.total_compressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)
    return total


def _document_bytes(manifest: Manifest) -> int:
    files = [manifest_uri(manifest.uri), *(f"{manifest.uri}/{path}" for path in manifest.tables if "/parts-" in path)]
    return sum(_local(uri).stat().st_size for uri in files)


def _local(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def upload(local: Manifest, uri: str) -> None:
    """Copy the files of a local manifest to `uri`."""
    top = _local(local.uri)
    for path in sorted(path for path in top.rglob("*") if path.is_file()):
        storage.write_bytes(storage.join(uri, str(path.relative_to(top))), path.read_bytes())


def read_for_dedupe(uri: str) -> None:
    """Read the columns that dedupe reads first, part by part, as its workers do."""
    manifest = open_manifest(uri)
    for part in manifest.parts:
        rows = sum(b.num_rows for b in read_batches(manifest.part_uri(part), NARROW, rows=part.rows))
        assert rows == part.rows


def query_one_column(uri: str) -> None:
    """Run a query that reads one column."""
    sql = f"SELECT max({QUERY_COLUMN}) FROM m"
    with run_query({"m": open_manifest(uri)}, sql, threads=THREADS) as found:
        assert sum(batch.num_rows for batch in found.batches) == 1


def verify_quick(uri: str) -> None:
    """Check the manifest's files, sums and keys."""
    found = Findings()
    check_files(open_manifest(uri), found, Resources(threads=THREADS))
    assert found.is_valid, found.faults


def measured(proxy: Proxy, what: str, work: Callable[[], None], needed: int | None, items: int) -> Line:
    """Return what `work` fetched. It starts as a new process does, with nothing cached."""
    s3fs.S3FileSystem.clear_instance_cache()
    proxy.requests.clear()
    work()
    return Line(
        what=what,
        needed_bytes=needed,
        fetched_bytes=proxy.body_bytes,
        requests=len(proxy.requests),
        items=items,
    )


def measure(local: Manifest, objects: int, say: Callable[[str], None]) -> list[Line]:
    """Return a line for each kind of work on a copy of `local` in an object store."""
    uri, full = f"s3://{BUCKET}/manifest", f"s3://{BUCKET}/full"
    with bucket_of(BUCKET) as client, proxy_of(client.meta.endpoint_url) as proxy:
        upload(local, uri)
        for number in range(objects):
            client.put_object(Bucket=BUCKET, Key=f"full/{number:06d}", Body=b"")
        storage.configure({"s3": {"endpoint_url": proxy.url}})
        parts = len(local.parts)
        whole = _document_bytes(local) + local.size_bytes
        works: list[tuple[str, Callable[[], None], int | None, int]] = [
            ("dedupe's columns", lambda: read_for_dedupe(uri), needed_bytes(local, NARROW), parts),
            (f"query of {QUERY_COLUMN}", lambda: query_one_column(uri), needed_bytes(local, [QUERY_COLUMN]), parts),
            ("verify --quick", lambda: verify_quick(uri), whole, parts),
            (f"remove {objects:,} objects", lambda: storage.remove(full), None, objects),
        ]
        lines = []
        for what, work, needed, items in works:
            say(what)
            lines.append(measured(proxy, what, work, needed, items))
    return lines


def print_table(title: str, lines: Sequence[Line]) -> None:
    """Print the answer for people."""
    table = Table(title=title, title_justify="left")
    for name in ("what", "needed (MB)", "fetched (MB)", "ratio", "requests", "parts or objects", "bar", "met"):
        table.add_column(name, justify="left" if name in ("what", "bar", "met") else "right")
    for each in lines:
        has_bar = each.needed_bytes is not None
        table.add_row(
            each.what,
            f"{each.needed_bytes / 1e6:.2f}" if each.needed_bytes is not None else "",
            f"{each.fetched_bytes / 1e6:.2f}",
            f"{each.ratio:.2f}" if each.ratio is not None else "",
            f"{each.requests:,}",
            f"{each.items:,}",
            f"at most {MAX_RATIO:g}" if has_bar else "",
            ("yes" if each.is_met else "no") if has_bar else "",
        )
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 120).print(table)


@click.command()
@click.option(
    "--rows", type=click.IntRange(min=1000), default=100_000, show_default=True, help="Rows of the manifest."
)
@click.option(
    "--rows-per-part", type=click.IntRange(min=100), default=20_000, show_default=True, help="Rows of a part."
)
@click.option("--objects", type=click.IntRange(min=1), default=1500, show_default=True, help="Objects to remove.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path, resolve_path=True),
    help="Keep the manifest here, or use the one that is.  [default: a temporary folder]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rows: int, rows_per_part: int, objects: int, folder: Path | None, as_json: bool) -> None:
    """Compare what is fetched from an object store with what is needed."""

    def say(text: str) -> None:
        click.echo(text, err=True)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the server names each request
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as temporary:
        say(f"a manifest of {rows:,} rows")
        local = make(folder or Path(temporary), rows, has_local=True, rows_per_part=rows_per_part)
        lines = measure(local, objects, say)
    part_bytes = local.size_bytes // len(local.parts)
    about: dict[str, Any] = {"rows": rows, "parts": len(local.parts), "part_bytes": part_bytes}
    if as_json:
        found = [{**asdict(each), "ratio": each.ratio, "is_met": each.is_met} for each in lines]
        click.echo(json.dumps({**about, "lines": found}, indent=1))
    else:
        print_table(f"{len(local.parts)} parts of {part_bytes / 1e6:.1f} MB, {rows:,} rows, on an S3 server", lines)
    if not all(each.is_met for each in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
