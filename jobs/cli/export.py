"""`curate export`: a file for another tool, from the rows of a manifest."""

import json
import re
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from jobs.cli.options import examples
from jobs.operations.engines import EngineChoice, storage_options
from jobs.show import terminal
from manifests import storage
from manifests.errors import InputError
from manifests.format.store import Manifest, open_manifest

if TYPE_CHECKING:  # DuckDB takes a while to import
    from manifests.exchange.exports import Export, Exported

STDOUT = "-"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FORMATS = ("datacomp", "keys", "urls", "sha256", "csv", "jsonl", "img2dataset")


@click.command(
    epilog=examples(
        "curate export out/chosen -o subset.npy                      # DataComp's subset: pairs of u8, sorted",
        "curate export out/chosen -o keys.txt --where 'text_chars > 50'",
        "curate export out/deduped -o - --format urls | head",
        "curate export out/chosen -o table.csv --columns key,url,caption,text_score --all",
        "curate export out/chosen -o s3://bucket/again.parquet       # a list of URLs for img2dataset",
    )
)
@click.argument("manifest")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write; - is stdout, for texts.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="What to write; by default by FILE's extension: npy datacomp, txt keys, csv, jsonl, parquet img2dataset.",
)
@click.option("--columns", metavar="COLUMN,...", help="Columns of csv and jsonl; by default all that are not binary.")
@click.option("--where", metavar="SQL", help="Only rows for which this expression over the columns is true.")
@click.option(
    "--kept",
    "which",
    flag_value="kept",
    help="Only rows that are kept.  [default where the manifest has a column keep]",
)
@click.option("--all", "which", flag_value="all", help="All rows, kept or not.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--temp-dir", metavar="FOLDER", help="Where sorting spills to.  [default: the system's]")
@click.option(
    "-c", "--config", "config_files", multiple=True, metavar="FILE", help="Pipeline file to take storage: from."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def export(manifest: str, output: str, kind: str | None, columns: str | None, **flags: Any) -> None:
    """Write a file for another tool: DataComp's subset, keys, URLs, hashes, a table, a list for img2dataset.

    The file is sorted, by key or by the values of its list, and appears whole or not at all. Rows without the value
    that it lists are left out and counted. MANIFEST itself is plain Parquet, for whatever reads that.
    """
    from manifests.exchange.exports import BINARY, Export, Format  # noqa: PLC0415

    storage_options(EngineChoice(config_files=flags["config_files"]))
    chosen = Format(kind) if kind else _format_of(output)
    if output == STDOUT and chosen in BINARY:
        raise InputError(f"-o -: {chosen} is no text; name a file")
    if output == STDOUT and flags["as_json"]:
        raise InputError("-o -: stdout is taken; leave --json out, or name a file")
    opened = open_manifest(manifest)
    is_kept = flags["which"] == "kept" or (flags["which"] is None and "keep" in opened.schema.names)
    names = tuple(name.strip() for name in columns.split(",")) if columns else ()
    wanted = Export(format=chosen, columns=names, where=flags["where"], is_kept=is_kept)
    wanted.check(opened)
    if output == STDOUT:
        _tell(_to_stdout(opened, wanted, flags["temp_dir"]), wanted, "stdout", as_json=False)
        return
    uri = storage.absolute(output)
    _tell(_to_file(opened, wanted, uri, flags), wanted, uri, as_json=flags["as_json"])


def _format_of(output: str) -> Any:
    from manifests.exchange.exports import BY_EXTENSION  # noqa: PLC0415

    name = output.rpartition("/")[2]
    found = BY_EXTENSION.get(name.rpartition(".")[2].lower() if "." in name else "")
    if found is None:
        raise InputError(f"-o {output}: its extension tells no format; add --format {', '.join(FORMATS)}")
    return found


def _to_file(manifest: Manifest, wanted: "Export", uri: str, flags: dict[str, Any]) -> "Exported":
    from jobs.units.output_place import require_file  # noqa: PLC0415
    from manifests.exchange.exports import check_target  # noqa: PLC0415
    from manifests.exchange.exports import export as write  # noqa: PLC0415

    require_file(uri)
    check_target(uri, is_forced=flags["force"])
    with storage.write_whole(uri) as sink:
        return write(manifest, wanted, sink, temp_folder=flags["temp_dir"])


class _Stdout:
    """The bytes of stdout. On a terminal control characters are replaced: texts of others must not steer it."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw
        self.is_terminal = raw.isatty()

    def write(self, data: bytes) -> None:
        """Write lines. Ends the command when nobody reads them."""
        if terminal.nobody_reads():
            raise click.exceptions.Exit(0)
        if self.is_terminal:
            data = _CONTROL.sub("\ufffd", bytes(data).decode("utf-8", "replace")).encode()
        self.raw.write(data)


def _to_stdout(manifest: Manifest, wanted: "Export", temp_folder: str | None) -> "Exported":
    from manifests.exchange.exports import export as write  # noqa: PLC0415

    raw = sys.stdout.buffer
    done = write(manifest, wanted, storage.HashingWriter(cast(BinaryIO, _Stdout(raw))), temp_folder=temp_folder)
    raw.flush()
    return done


def _tell(done: "Exported", wanted: "Export", place: str, *, as_json: bool) -> None:
    if as_json:
        told = {"format": wanted.format, "uri": place, "rows": done.rows, "left_out": done.left_out}
        told |= {"bytes": done.size_bytes, "sha256": done.sha256, "kept": wanted.is_kept, "where": wanted.where}
        click.echo(json.dumps(told, indent=1))
        return
    of_which = "; only kept rows, --all takes every one" if wanted.is_kept else ""
    left_out = f"; {done.left_out:,} left out, without a value or with one that is there" if done.left_out else ""
    click.echo(
        f"{wanted.format}: {done.rows:,} rows, {done.size_bytes:,} bytes at {place}{of_which}{left_out}",
        err=place == "stdout",
    )
