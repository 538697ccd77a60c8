"""The commit of a manifest: its tables, then `_manifest.json`, each in one step and only where there is none."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests import exclusive, storage
from manifests.errors import ManifestError
from manifests.format.cost import Spent, cost_of, images_worked
from manifests.format.digest import combine, digest
from manifests.format.receipts import Receipt, add_counts
from manifests.format.schema import schema
from manifests.format.store import MANIFEST_FILE, Manifest, Part, Provenance, open_manifest
from manifests.format.tables import TABLES, with_tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The run that commits: the URI of its folder, and the fingerprint of the manifest that it replaces, if any."""

    folder: str | None = None
    replaces: str | None = None


ANY_RUN = Run()


def commit(
    uri: str,
    receipts: Sequence[Receipt],
    about: Provenance,
    *,
    created: str,
    spent: Spent | None = None,
    run: Run = ANY_RUN,
) -> Manifest:
    """Write `_manifest.json` from the receipts of all units, and return the manifest.

    The row of this stage is added to the funnel of `about`, whose files are in place. A run that takes over removes
    the folder of `run`, and then nothing can be committed on a disk: raises FileNotFoundError. Raises ManifestError
    when there is a manifest already, unless it is the one that `run` replaces.
    """
    uri = storage.absolute(uri)
    manifest = _manifest_of(uri, receipts, about, created=created, spent=spent or Spent())
    document, tables = with_tables(manifest.document())
    storage.make_folder(storage.join(uri, TABLES))
    for path, data in tables.items():
        if not _put_in_place(uri, path, data, run.folder) and storage.read_bytes(storage.join(uri, path)) != data:
            raise ManifestError(f"{uri}/{path}: not the content of its name; remove it and run the command again")
    content = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    if run.replaces is not None and open_manifest(uri).fingerprint == run.replaces:
        _replace(uri, content, run.folder)
    elif not _put_in_place(uri, MANIFEST_FILE, content, run.folder):
        raise ManifestError(f"{uri}: there is a committed manifest already, which is never modified")
    return dataclasses.replace(manifest, tables=sorted(tables))


def _manifest_of(uri: str, receipts: Sequence[Receipt], about: Provenance, *, created: str, spent: Spent) -> Manifest:
    ordered = sorted(receipts, key=lambda r: r.part)
    rows = sum(r.rows for r in ordered)
    counts = add_counts(r.counts for r in ordered)
    images = images_worked(about.made_by, rows, counts)
    cost = cost_of(ordered, images, spent)
    columns = schema(about.stage) if about.schema is None else about.schema
    return Manifest(
        uri=uri,
        stage=about.stage,
        rows=rows,
        digest=digest(combine(r.row_lanes for r in ordered), rows, columns),
        fingerprint=about.fingerprint,
        config=about.config,
        software=about.software,
        inputs=about.inputs,
        parents=about.parents,
        roots=about.roots,
        counts=counts,
        funnel=[
            *about.funnel,
            {
                "stage": about.made_by,
                "rows": rows,
                "core_seconds": cost["core_seconds"],
                "images_worked": images,
                **counts,
            },
        ],
        parts=[
            Part(
                name=r.part,
                rows=r.rows,
                size_bytes=r.size_bytes,
                sha256=r.sha256,
                lanes=r.lanes,
                key_lanes=r.key_lanes,
                files=r.files,
                fingerprint=None if r.broken_sources or r.is_changed else r.fingerprint,
                counts=r.counts,
                facts=r.facts,
            )
            for r in ordered
        ],
        broken_sources=dict(sorted((s, why) for r in ordered for s, why in r.broken_sources.items())),
        source_warnings=dict(sorted((s, why) for r in ordered for s, why in r.source_warnings.items())),
        facts=add_counts({"facts": r.facts} for r in ordered).get("facts", {}),
        cost=cost,
        created=created,
        schema=columns,
        derivation=about.derivation,
        taken_down=about.taken_down,
        files={**about.whole.in_place, **{path: _described(data) for path, data in about.whole.files.items()}},
        shuffle=about.whole.shuffle,
    )


def _described(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _replace(uri: str, content: bytes, run_folder: str | None) -> None:
    """Replace `_manifest.json` in one step; on a disk, only while the folder of the run is there."""
    place = storage.join(uri, MANIFEST_FILE)
    if run_folder is None or not storage.is_local(uri):
        exclusive.rewrite(place, content)
        return
    staged = storage.join(run_folder, MANIFEST_FILE)
    exclusive.rewrite(staged, content)
    exclusive.replace_file(place, Path(storage.filesystem(staged)[1]))


def _put_in_place(uri: str, name: str, content: bytes, run_folder: str | None) -> bool:
    """Write a file of the manifest at `uri` if there is none yet, in one step, and return whether it was written."""
    place = storage.join(uri, name)
    if run_folder is None or not storage.is_local(uri):
        return exclusive.create(place, content)
    staged = storage.join(run_folder, name.rsplit("/", 1)[-1])
    exclusive.rewrite(staged, content)
    return exclusive.put_file(place, Path(storage.filesystem(staged)[1]))
