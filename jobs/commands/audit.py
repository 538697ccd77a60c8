"""Draws a sample of a chosen manifest to label, and estimates precision and recall from the labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import pyarrow as pa

from curation.pages import audit_page
from curation.trust.audit import COLUMNS, Audit, AuditRules, draw
from curation.trust.audit_labels import empty_sheet, estimate, read_sheet
from jobs.commands.shared import has_summary
from jobs.show.trust import print_estimates, print_strata
from jobs.units.output_place import require_folder
from manifests import storage
from manifests.errors import InputError
from manifests.format.outdated import require_current
from manifests.format.schema import Stage
from manifests.format.store import Manifest, open_manifest, read_batches

PAGE, SHEET, FILLED, AUDIT = "index.html", "sheet.csv", "filled.csv", "audit.json"
DEFAULT_N, DEFAULT_SALT = 400, "curate"


def audit(
    manifest: str, n: int | None, salt: str | None, output: str | None, filled: str | None, as_json: bool
) -> None:
    """Draw a sample to label, or print the estimates that follow from a labelled sheet."""
    opened = _open_chosen(manifest)
    if filled is None:
        if output is None:
            raise click.UsageError("name the folder to write to with -o, or a labelled sheet with --filled")
        salt = DEFAULT_SALT if salt is None else salt
        _draw(opened, storage.absolute(output), n=n or DEFAULT_N, salt=salt, as_json=as_json)
        return
    if n is not None or salt is not None:
        raise click.UsageError("--n and --salt are for drawing a sample; with --filled it is drawn already")
    sheet = storage.absolute(filled)
    _estimate(opened, sheet, storage.absolute(output) if output else sheet.rpartition("/")[0], as_json=as_json)


def _open_chosen(uri: str) -> Manifest:
    opened = open_manifest(uri)
    if opened.stage is not Stage.CHOOSE:
        raise InputError(
            f"{uri}: a manifest of stage {opened.stage}; an audit needs the one that `curate choose` committed, "
            "the folder chosen/ of a run"
        )
    require_current(opened, uri)
    return opened


# --- drawing


def _draw(manifest: Manifest, folder: str, *, n: int, salt: str, as_json: bool) -> None:
    if not manifest.config:
        raise InputError(f"{manifest.uri}: merged from manifests with different rules; audit each, or choose again")
    rules = AuditRules(**{name: manifest.config[name] for name in ("keep", "min_light_score", "min_heavy_score")})
    drawn = draw(_batches(manifest, [p.name for p in manifest.parts], COLUMNS), rules, n=n, salt=salt)
    if not drawn.strata:
        raise InputError(
            f"{manifest.uri}: no row has an image, is no duplicate and was scored; there is nothing to draw"
        )
    made = Audit(
        uri=manifest.uri, digest=manifest.digest, rules=rules, salt=salt, n=n, rows=drawn.rows, strata=drawn.strata
    )
    require_folder(folder)
    _refuse_another(folder, made)
    keys = made.keys
    rows = _rows(manifest, drawn.parts)
    with storage.write_atomically(storage.join(folder, PAGE)) as f:
        for piece in audit_page.page(
            audit_page.pictures([rows[key] for key in keys]), count=len(keys), name=made.name
        ):
            f.write(piece.encode())
    storage.write_bytes(storage.join(folder, SHEET), empty_sheet(keys).encode())
    storage.write_bytes(storage.join(folder, AUDIT), made.to_json())
    if has_summary(as_json=as_json):
        print_strata(made, page=storage.join(folder, PAGE), as_json=as_json)


def _batches(
    manifest: Manifest, names: Sequence[str], columns: Sequence[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the name of a part and a batch of its rows, part after part."""
    for name in names:
        for batch in read_batches(storage.join(manifest.uri, name), columns):
            yield name, batch


def _rows(manifest: Manifest, parts: Mapping[str, str]) -> dict[str, Any]:
    """Return key → row of the drawn keys, reading only the parts that contain them. `parts` is key → part."""
    batches = _batches(manifest, sorted(set(parts.values())), audit_page.COLUMNS)
    return {row["key"]: row for _, batch in batches for row in audit_page.picked(batch, parts)}


def _refuse_another(folder: str, made: Audit) -> None:
    """Raise InputError when another draw is in `folder`: someone may have labelled it."""
    uri = storage.join(folder, AUDIT)
    if storage.exists(uri) and storage.read_bytes(uri) != made.to_json():
        raise InputError(f"{uri}: another sample is here, perhaps with labels; name another folder, or remove it")


# --- estimating


def _estimate(manifest: Manifest, sheet: str, folder: str, *, as_json: bool) -> None:
    made = read_audit(folder)
    if made.digest != manifest.digest:
        raise InputError(
            f"{storage.join(folder, AUDIT)}: drawn from {made.uri} (digest {made.digest[:16]}…), not from "
            f"{manifest.uri} ({manifest.digest[:16]}…); give the manifest it was drawn from, or draw another sample"
        )
    print_estimates(estimate(made, read_labels_of(made, sheet)), as_json=as_json)


def read_labels_of(made: Audit, sheet: str) -> dict[str, str]:
    """Return key → label of the sheet at `sheet`, which a person filled in. Raises InputError if it is not one."""
    try:
        return read_sheet(storage.read_bytes(sheet).decode(), made.keys)
    except FileNotFoundError as e:
        raise InputError(
            f"{sheet}: no such file; the button of the page downloads {FILLED}, or fill in {SHEET}"
        ) from e
    except UnicodeDecodeError as e:
        raise InputError(f"{sheet}: not UTF-8 text ({e}); save it as CSV in UTF-8") from e
    except InputError as e:
        raise InputError(f"{sheet}: {e}") from e


def read_audit(folder: str) -> Audit:
    """Return the sample that was drawn into `folder`. Raises InputError if there is none."""
    uri = storage.join(folder, AUDIT)
    try:
        return Audit.from_json(storage.read_bytes(uri))
    except (FileNotFoundError, NotADirectoryError) as e:
        raise InputError(f"{uri}: missing; name the folder that the sample was drawn into with -o") from e
    except ValueError as e:
        raise InputError(f"{uri}: not a drawn sample ({e}); draw it again with the same --n and --salt") from e
