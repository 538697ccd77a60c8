"""Writes a file for another tool from the rows of a manifest."""

import json
import re
import sys
from typing import Any, BinaryIO, cast

import click

from jobs.operations.engine_choice import EngineChoice, storage_options
from jobs.show import logs, terminal
from jobs.units.output_place import require_file
from manifests import storage
from manifests.errors import InputError
from manifests.exchange.exports import BINARY, BY_EXTENSION, Export, Exported, Format, check_target
from manifests.exchange.exports import export as write
from manifests.format.store import Manifest, open_manifest
from manifests.hashing_writer import HashingWriter

STDOUT = "-"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def export(manifest: str, output: str, kind: str | None, columns: str | None, **flags: Any) -> None:
    """Write a file for another tool, and print what was written."""
    storage_options(EngineChoice(config_files=flags["config_files"]))
    chosen = Format(kind) if kind else _format_of(output)
    if output == STDOUT and chosen in BINARY:
        raise InputError(f"-o -: {chosen} is a binary format; name a file")
    if output == STDOUT and flags["as_json"]:
        raise InputError("-o -: --json needs stdout, too; leave --json out, or name a file")
    opened = open_manifest(manifest)
    is_kept = flags["which"] == "kept" or (flags["which"] is None and "keep" in opened.schema.names)
    names = tuple(name.strip() for name in columns.split(",")) if columns else ()
    wanted = Export(format=chosen, columns=names, where=flags["where"], is_kept=is_kept)
    wanted.check(opened)
    if output == STDOUT:
        _print_summary(_to_stdout(opened, wanted, flags["temp_dir"]), wanted, "stdout", as_json=False)
        return
    uri = storage.absolute(output)
    _print_summary(_to_file(opened, wanted, uri, flags), wanted, uri, as_json=flags["as_json"])


def _format_of(output: str) -> Format:
    name = output.rpartition("/")[2]
    found = BY_EXTENSION.get(name.rpartition(".")[2].lower() if "." in name else "")
    if found is None:
        raise InputError(f"-o {output}: no format has its extension; add --format {', '.join(Format)}")
    return found


def _to_file(manifest: Manifest, wanted: Export, uri: str, flags: dict[str, Any]) -> Exported:
    require_file(uri)
    check_target(uri, is_forced=flags["force"])
    with storage.write_atomically(uri) as sink:
        return write(manifest, wanted, sink, temp_folder=flags["temp_dir"])


class _Stdout:
    """The bytes of stdout. On a terminal control characters are replaced: texts of others must not control it."""

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


def _to_stdout(manifest: Manifest, wanted: Export, temp_folder: str | None) -> Exported:
    raw = sys.stdout.buffer
    done = write(manifest, wanted, HashingWriter(cast(BinaryIO, _Stdout(raw))), temp_folder=temp_folder)
    raw.flush()
    return done


def _print_summary(done: Exported, wanted: Export, place: str, *, as_json: bool) -> None:
    if as_json:
        summary = {"format": wanted.format, "uri": place, "rows": done.rows, "left_out": done.left_out}
        summary |= {"bytes": done.size_bytes, "sha256": done.sha256, "kept": wanted.is_kept, "where": wanted.where}
        click.echo(json.dumps(summary, indent=1))
        return
    if logs.is_quiet():
        return
    of_which = "; only kept rows, --all takes all" if wanted.is_kept else ""
    left_out = f"; {done.left_out:,} left out, without a value or with a repeated one" if done.left_out else ""
    click.echo(
        f"{wanted.format}: {done.rows:,} rows, {done.size_bytes:,} bytes at {place}{of_which}{left_out}",
        err=place == "stdout",
    )
