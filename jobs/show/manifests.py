"""What `curate show` prints about the output of a pipeline: a line for each manifest in it."""

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from curation.report import funnel
from jobs.show.basics import NOTHING, human_bytes, print_json, stdout_console, visible
from manifests.format.store import Manifest

_COLUMNS = ("manifest", "made by", "rows", "came in", "left", "went on", "parts", "bytes", "created", "digest")
_NUMBERS = ("rows", "came in", "left", "went on", "parts", "bytes")
_UNFINISHED = "unfinished"


def print_manifests(uri: str, found: Mapping[str, Manifest | None], *, as_json: bool) -> None:
    """Print the manifests in the folder at `uri`, by the names of their folders; None is an unfinished one."""
    if as_json:
        print_json([_facts(name, each) for name, each in found.items()])
        return
    print(visible(f"{uri}: no manifest itself, but {len(found):,} in it"))
    table = Table(title="Manifests", title_justify="left")
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for folder, each in found.items():
        table.add_row(escape(visible(folder)), *_cells(each))
    stdout_console().print(table)
    print(visible(f"curate show {uri}/{list(found)[-1]} shows one of them"))


def _facts(name: str, manifest: Manifest | None) -> dict[str, object]:
    if manifest is None:
        return {"name": name, "state": _UNFINISHED}
    return {
        "name": name,
        "state": "committed",
        "uri": manifest.uri,
        "stage": manifest.stage,
        "made_by": manifest.made_by,
        "rows": manifest.rows,
        "parts": len(manifest.parts),
        "bytes": manifest.size_bytes,
        "created": manifest.created,
        "digest": manifest.digest,
    }


def _cells(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return [_UNFINISHED, *[NOTHING] * (len(_COLUMNS) - 2)]
    rows = funnel(manifest.funnel)
    counts = [f"{n:,}" for n in (rows[-1].came_in, rows[-1].left, rows[-1].went_on)] if rows else [NOTHING] * 3
    size = human_bytes(manifest.size_bytes)
    created, digest = manifest.created[:16].replace("T", " "), manifest.digest[:8]
    return [
        escape(manifest.made_by),
        f"{manifest.rows:,}",
        *counts,
        f"{len(manifest.parts):,}",
        size,
        created,
        digest,
    ]
